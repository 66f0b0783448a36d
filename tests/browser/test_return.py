"""Where a reader was stays where it was: reload, Back, filters while typing; nothing on the way breaks the policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser import catalogue
from tests.browser.catalogue import Site

pytestmark = pytest.mark.slow

MOST_NODES = 3_000
NODES = "document.getElementsByTagName('*').length"
ROWS = "#pair-list > li.pair"
STANDING = """() => {
  const rows = [...document.querySelectorAll("#pair-list > li.pair")];
  const row = rows.find((one) => one.getBoundingClientRect().bottom > 60);
  const open = [...document.querySelectorAll("#pair-list details.pair-details[open]")];
  return { row: row.id, top: Math.round(row.getBoundingClientRect().top), open: open.map((one) => one.id) };
}"""
STANDS_AS = f"""(before) => {{
  const now = ({STANDING})();
  return now.row === before.row && `${{now.open}}` === `${{before.open}}` && Math.abs(now.top - before.top) <= 3;
}}"""
IN_SIGHT = """() => [...document.querySelectorAll("#pair-list > li.pair")].find((row) => {
  const { top, bottom } = row.getBoundingClientRect();
  return top > 200 && bottom < innerHeight - 200;
}).id"""
OPEN_AND_LOOK = """row => new Promise((tell) => {
  const details = row.querySelector("details");
  details.addEventListener("toggle", () => setTimeout(() => tell(history.state?.open)));
  details.open = true;
})"""
TO_THE_END = "document.querySelector('.pair-after').scrollIntoView({ block: 'end' })"
VIOLATIONS = """window.violations = [];
addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective + event.sample));"""


@pytest.fixture
def quiet(quiet: Page) -> Iterator[Page]:
    """A silent page that notes violations of the security policy too."""
    quiet.add_init_script(VIOLATIONS)
    yield quiet
    assert quiet.evaluate("window.violations") == []


def far_down(page: Page, site: Site, place: str) -> dict[str, Any]:
    """Go far down a list and open a pair there; return where the reader stands."""
    page.goto(site.paths[place])
    if place == "partial":
        page.locator(".pair-after a[rel=next]").click()
        expect(page.locator(".pair-after")).to_contain_text("70 of")
    for _ in range(3):
        page.evaluate(TO_THE_END)
        page.wait_for_timeout(200)
    page.evaluate("scrollBy(0, -300)")
    page.wait_for_timeout(200)
    row = page.locator(f"#{page.evaluate(IN_SIGHT)}")
    row.locator(".chevron").click()
    expect(row.locator(".evidence")).to_be_visible()
    page.evaluate("scrollBy(0, 240)")
    page.wait_for_timeout(500)
    stands: dict[str, Any] = page.evaluate(STANDING)
    assert len(stands["open"]) == 1
    return stands


def stands_as(page: Page, before: dict[str, Any]) -> None:
    expect(page.locator(f"#{before['open'][0]} .evidence")).to_be_visible()
    page.wait_for_function(STANDS_AS, arg=before)


@pytest.mark.parametrize("place", ["partial", "pairs"])
def test_reload_back_and_a_filter_come_back_to_the_row_and_its_open_pair(quiet: Page, site: Site, place: str) -> None:
    before = far_down(quiet, site, place)
    quiet.reload()
    stands_as(quiet, before)
    quiet.locator(f"#{before['open'][0]} .evidence a[href*='/pairs/']").first.evaluate("link => link.click()")
    quiet.wait_for_url(re.compile(r"/pairs/\w+/\w+"))
    quiet.go_back()
    stands_as(quiet, before)
    total = quiet.locator("#pairs-card .card-note").first.inner_text()
    quiet.locator("#pairs-card .chips a.chip").nth(1).evaluate("chip => chip.click()")
    expect(quiet.locator("#pairs-card .card-note").first).not_to_have_text(total)
    quiet.go_back()
    stands_as(quiet, before)


def test_below_the_list_a_reload_stays_there_too(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["partial"])
    quiet.locator(".pair-after a[rel=next]").click()
    expect(quiet.locator(".pair-after")).to_contain_text("70 of")
    quiet.evaluate("document.querySelector('#wallets').scrollIntoView()")
    quiet.wait_for_timeout(400)
    top = "document.querySelector('#wallets').getBoundingClientRect().top"
    before = quiet.evaluate(top)
    quiet.reload()
    quiet.wait_for_function(f"(before) => Math.abs({top} - before) <= 3", arg=before)


def test_a_filter_does_not_make_the_result_page_endless(quiet: Page, site: Site) -> None:
    """The card that a filter brings is that of the page of pairs, which does load on."""
    quiet.goto(site.paths["partial"])
    quiet.locator("#pairs-card select[name=sort]").select_option("capital")
    expect(quiet.locator("#pairs-card .pair-head a[aria-current]")).to_contain_text("Capital")
    for _ in range(4):
        quiet.evaluate(TO_THE_END)
        quiet.wait_for_timeout(150)
    expect(quiet.locator(".pair-after")).to_contain_text("50 of")


def test_three_open_pairs_a_reload_a_chip_and_back_break_no_policy(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["partial"])
    for place in range(3):
        quiet.locator(ROWS).nth(place).locator(".chevron").click()
        expect(quiet.locator(ROWS).nth(place).locator(".evidence")).to_be_visible()
    quiet.reload()
    expect(quiet.locator("#pair-list .evidence")).to_have_count(3)
    quiet.locator("#pairs-card .chips a.chip").nth(1).click()
    expect(quiet.locator("#pairs-card .chips a[aria-current]")).not_to_contain_text("All")
    quiet.locator(ROWS).first.locator(".score-button").first.click()
    expect(quiet.locator("#score-popover")).to_be_visible()
    quiet.go_back()
    expect(quiet.locator("#pair-list .evidence")).to_have_count(3)


def test_an_opened_pair_is_in_the_history_at_once(quiet: Page, site: Site) -> None:
    """Whoever opens one and reloads in the same breath finds it open: no timer stands between."""
    quiet.goto(site.paths["partial"])
    row = quiet.locator(ROWS).nth(1)
    assert row.evaluate(OPEN_AND_LOOK) == [row.get_attribute("id")]


def test_a_wallet_is_found_while_one_types_and_the_caret_stays(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["partial"])
    total = quiet.locator("#pairs-card .card-note").first.inner_text()
    name = quiet.locator(f"{ROWS} .pair-a .wallet-name").first.inner_text()
    field = quiet.locator("#pairs-wallet")
    field.press_sequentially(name[:4], delay=40)
    expect(quiet.locator("#pairs-card .card-note").first).not_to_have_text(total)
    expect(field).to_be_focused()
    expect(field).to_have_value(name[:4])
    field.press("ArrowLeft")
    field.press_sequentially("x", delay=40)
    expect(quiet.locator("#pairs-card .empty")).to_be_visible()
    expect(field).to_be_focused()
    assert field.evaluate("field => [field.value, field.selectionStart]") == [f"{name[:3]}x{name[3]}", 4]
    expect(quiet).to_have_url(re.compile("wallet="))
    quiet.go_back()
    expect(quiet.locator("#pairs-card .card-note").first).to_have_text(total)


def test_the_pairs_are_three_keys_from_the_content(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["partial"])
    for keys in (("Tab", "Enter"), ("Tab", "Enter"), ("Tab",)):
        for key in keys:
            quiet.keyboard.press(key)
    expect(quiet.locator(f"{ROWS} .wallet-name").first).to_be_focused()


def test_heads_and_tokens_stay_in_sight_beside_an_open_pair(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["partial"])
    row = quiet.locator(ROWS).nth(12)
    row.locator(".chevron").click()
    expect(row.locator(".evidence")).to_be_visible()
    row.evaluate("row => row.scrollIntoView({ block: 'start' })")
    quiet.evaluate("scrollBy(0, 200)")
    expect(quiet.locator(".pair-head")).to_be_in_viewport()
    expect(quiet.locator("#tokens-title")).to_be_in_viewport()


def test_a_cell_of_the_heat_map_says_its_pair_and_score(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["heat"])
    cells = quiet.locator(".heat-cells")
    box = cells.bounding_box()
    assert box is not None
    names = cells.evaluate("drawing => JSON.parse(drawing.dataset.names)")
    known = {
        frozenset((row.locator("th").inner_text(), row.locator("td").first.inner_text())): row
        for row in quiet.locator(".heat-rows tbody tr").all()
    }
    assert len(known) > 10
    found = 0
    for a in range(4):
        for b in range(a + 1, 5):
            side = box["width"] / len(names)
            quiet.mouse.move(box["x"] + (b + 0.5) * side, box["y"] + (a + 0.5) * side)
            said = quiet.locator(".heat-tip").inner_text()
            assert said.startswith(f"{names[a]} and {names[b]}: ")
            for pair, row in known.items():
                if all(any(one.startswith(name) for one in pair) for name in (names[a], names[b])):
                    assert said.endswith(row.locator(".figure").inner_text())
                    found += 1
    assert found > 3
    quiet.mouse.move(5, 5)
    expect(quiet.locator(".heat-tip")).to_have_count(0)


def test_the_tree_stays_small_when_a_pair_is_open(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["partial"])
    quiet.locator(ROWS).first.locator(".chevron").click()
    expect(quiet.locator(".evidence")).to_be_visible()
    assert quiet.evaluate(NODES) <= MOST_NODES


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_shows_what_the_list_is_sorted_by(phone_page: Page, site: Site, width: int) -> None:
    page = phone_page
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(site.paths["pairs"])
    expect(page.locator(f"{ROWS} .pair-overall").first).to_be_visible()
    page.goto(f"{site.paths['pairs']}?sort=matched")
    matched = catalogue.ask(f"{site.paths['pairs']}.json?sort=matched&limit=1")["pairs"][0]["matched"]
    expect(page.locator(f"{ROWS} .pair-overall").first).to_have_text(str(matched))
    expect(page.locator("#pairs-wallet")).to_be_hidden()
    page.locator(".filter-switch").click()
    expect(page.locator("#pairs-wallet")).to_be_visible()
