"""The list of pairs in a real browser: scrolling, coming back, open rows, popovers; and without JavaScript."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser import catalogue
from tests.browser.catalogue import Site

MOST_NODES = 3_000
POSITIONS = "rows => rows.map((row) => Number(row.getAttribute('aria-posinset')))"
ROWS = "#pair-list > li.pair"


@pytest.fixture(scope="module")
def long_list(site: Site) -> str:
    """The pairs of the result that has more than one page of them."""
    address = site.paths["pairs"]
    assert catalogue.ask(f"{address}.json?limit=1")["total"] > 400
    return address


def scroll_on(page: Page, past: int) -> None:
    """Scroll down until a row behind so many is in the document."""
    for _ in range(60):
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(80)
        if max(page.eval_on_selector_all(ROWS, POSITIONS)) > past:
            return
    pytest.fail(f"the list ends before {past}")


def first_in_sight(page: Page) -> tuple[str, float]:
    row, top = page.evaluate(
        """() => { const row = [...document.querySelectorAll("#pair-list > li.pair")]
          .find((one) => one.getBoundingClientRect().bottom > 60);
          return [row.id, row.getBoundingClientRect().top]; }"""
    )
    return row, top


def test_the_list_goes_on_in_order_and_the_document_stays_small(quiet: Page, long_list: str) -> None:
    quiet.goto(long_list)
    seen: list[int] = []
    for _ in range(8):
        found = quiet.eval_on_selector_all(ROWS, POSITIONS)
        assert found == sorted(set(found)), "in order, none twice"
        seen += [one for one in found if one not in seen]
        assert quiet.evaluate("document.getElementsByTagName('*').length") <= MOST_NODES
        scroll_on(quiet, max(found))
    quiet.evaluate("scrollTo(0, 0)")
    expect(quiet.locator(ROWS).first).to_have_attribute("aria-posinset", "1")
    height = quiet.locator(".pair-gap").last.evaluate("gap => gap.getBoundingClientRect().height")
    assert height > 36 * 200, "what was left behind keeps its room"


def test_nothing_loads_before_the_reader_scrolls(quiet: Page, long_list: str) -> None:
    quiet.goto(long_list)
    quiet.wait_for_timeout(400)
    expect(quiet.locator(".pair-after")).to_contain_text("50 of")


def test_a_reload_and_back_come_to_the_same_place(quiet: Page, long_list: str) -> None:
    quiet.goto(long_list)
    scroll_on(quiet, 120)
    quiet.evaluate("scrollBy(0, -700)")
    expect(quiet).to_have_url(re.compile("after="))
    quiet.wait_for_timeout(400)
    row, top = first_in_sight(quiet)
    quiet.reload()
    expect(quiet.locator(f"#{row}")).to_be_in_viewport()
    assert abs(quiet.locator(f"#{row}").evaluate("row => row.getBoundingClientRect().top") - top) < 3
    quiet.wait_for_timeout(300)
    quiet.locator(f"#{row}").locator(".wallet-name").first.evaluate("link => link.click()")
    quiet.wait_for_url("**/wallets/**")
    quiet.go_back()
    expect(quiet.locator(f"#{row}")).to_be_in_viewport()


def test_above_a_list_that_was_entered_in_the_middle_the_rest_is_put_without_a_jump(
    quiet: Page, long_list: str
) -> None:
    after = catalogue.ask(f"{long_list}.json?limit=150")["next"]
    quiet.goto(f"{long_list}?after={after}")
    expect(quiet.locator(ROWS).first).to_have_attribute("aria-posinset", "151")
    expect(quiet.locator(".pair-before")).to_contain_text("Previous 50")
    quiet.evaluate("scrollTo(0, 120)")
    first = quiet.locator(f"{ROWS}[aria-posinset='160']")
    before = first.evaluate("row => row.getBoundingClientRect().top")
    expect(quiet.locator(f"{ROWS}[aria-posinset='150']")).to_be_attached()
    assert abs(first.evaluate("row => row.getBoundingClientRect().top") - before) < 3


def test_an_open_row_stays_when_it_is_far_away(quiet: Page, long_list: str) -> None:
    quiet.goto(long_list)
    row = quiet.locator(ROWS).nth(2)
    name = row.get_attribute("id")
    row.locator(".chevron").click()
    expect(row.locator(".evidence")).to_be_visible()
    scroll_on(quiet, 150)
    expect(quiet.locator(f"#{name} > details")).to_have_attribute("open", "")
    expect(quiet.locator(f"#{name} .evidence")).to_be_attached()
    held = quiet.eval_on_selector_all(ROWS, POSITIONS)
    assert 3 in held
    assert 2 not in held, "its neighbour has gone"


def test_filters_change_the_list_in_place_and_the_address_says_so(quiet: Page, site: Site) -> None:
    page = quiet
    page.goto(site.paths["partial"])
    page.locator("#insights").evaluate("card => { card.dataset.same = 'yes'; }")
    chip = page.locator("#pairs-card .chips a.chip").nth(1)
    count = chip.locator(".chip-count").inner_text()
    chip.click()
    expect(page.locator("#pairs-card .card-note").first).to_have_text(count)
    expect(page).to_have_url(re.compile(r"/analyses/[0-9a-f]{32}\?insight="))
    page.locator("#pairs-card select[name=sort]").select_option("capital")
    expect(page).to_have_url(re.compile("insight=.*sort=capital|sort=capital.*insight="))
    expect(page.locator("#pairs-card .pair-head a[aria-current]")).to_contain_text("Capital")
    expect(page.locator("#insights[data-same]")).to_have_count(1)
    page.reload()
    expect(page.locator("#pairs-card .card-note").first).to_have_text(count)
    page.go_back()
    page.go_back()
    expect(page.locator("#pairs-card .chips a[aria-current]")).to_contain_text("All")


def test_the_tokens_of_the_open_pair_are_marked_until_it_closes(quiet: Page, site: Site) -> None:
    quiet.goto(site.paths["partial"])
    row = quiet.locator(ROWS).first
    row.locator(".chevron").click()
    expect(row.locator(".evidence")).to_be_visible()
    expect(quiet.locator("#tokens-card")).to_contain_text("Marked: in the open pair")
    mints_of = "cells => cells.map((cell) => cell.dataset.mint)"
    mints = set(row.locator(".token-table .token").evaluate_all(mints_of))
    marked = set(quiet.locator("#tokens-card tr.is-selected .token").evaluate_all(mints_of))
    panel = set(quiet.locator("#tokens-card .token").evaluate_all(mints_of))
    assert marked
    assert mints & panel <= marked
    row.locator(".chevron").click()
    expect(quiet.locator("#tokens-card tr.is-selected")).to_have_count(0)


def test_the_price_of_a_token_is_in_sight_in_an_open_pair(quiet: Page, site: Site) -> None:
    quiet.set_viewport_size({"width": 1440, "height": 900})
    quiet.goto(site.paths["partial"])
    row = quiet.locator(ROWS).first
    row.locator(".chevron").click()
    table = row.locator(".token-table")
    expect(table).to_be_visible()
    assert table.evaluate("table => table.scrollWidth - table.parentElement.clientWidth") <= 0


def test_the_pager_of_the_tokens_keeps_the_focus(quiet: Page, long_list: str) -> None:
    quiet.goto(long_list)
    row = quiet.locator(ROWS).first
    row.locator(".chevron").click()
    following = row.locator(".pair-tokens a[rel=next]")
    following.focus()
    quiet.keyboard.press("Enter")
    expect(row.locator(".pair-tokens .pager")).to_contain_text("Tokens 11 to")
    expect(row.locator(".pair-tokens a:focus")).to_have_count(1)


# The popover


def score(page: Page, place: int = 0) -> Locator:
    return page.locator(ROWS).nth(place).locator(".score-button").nth(1)


def sums_up(popover: Locator, button: Locator) -> None:
    """What it shows adds up to the score."""
    parts = [float(text) for text in re.findall(r"\b[01]\.\d{3}\b", popover.locator(".popover-body").inner_text())]
    shown = float(button.locator(".figure").inner_text())
    assert 6 <= len(parts) <= 7
    assert parts[:6] == sorted(parts[:6], reverse=True)
    assert sum(parts) == pytest.approx(shown, abs=0.0101)


def test_hover_shows_what_a_score_is_made_of_and_escape_takes_it_away(quiet: Page, long_list: str) -> None:
    quiet.goto(long_list)
    popover = quiet.locator("#score-popover")
    score(quiet).hover()
    expect(popover).to_be_visible()
    sums_up(popover, score(quiet))
    popover.hover()
    quiet.wait_for_timeout(500)
    expect(popover).to_be_visible()
    quiet.keyboard.press("Escape")
    expect(popover).to_have_count(0)
    score(quiet, 1).hover()
    expect(popover).to_be_visible()
    quiet.locator("h1").hover()
    expect(popover).to_have_count(0)


def test_the_popover_by_keyboard(quiet: Page, long_list: str) -> None:
    quiet.goto(long_list)
    quiet.locator(ROWS).first.locator(".score-button").first.focus()
    quiet.keyboard.press("Tab")
    button, popover = score(quiet), quiet.locator("#score-popover")
    expect(button).to_be_focused()
    expect(popover).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    quiet.keyboard.press("Escape")
    expect(popover).to_have_count(0)
    expect(button).to_be_focused()
    quiet.keyboard.press("Enter")
    expect(popover).to_be_visible()
    quiet.keyboard.press("Tab")
    expect(popover.get_by_role("link", name="Open the pair")).to_be_focused()
    quiet.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_a_tap_shows_the_popover_and_goes_nowhere(phone_page: Page, long_list: str) -> None:
    page = phone_page
    page.goto(long_list)
    score(page).tap()
    expect(page.locator("#score-popover")).to_be_visible()
    box = page.locator("#score-popover").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    score(page).tap()
    expect(page.locator("#score-popover")).to_have_count(0)
    assert page.url.startswith(long_list)


# Without JavaScript


def test_without_javascript_links_lead_everywhere(browser: Browser, long_list: str, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(long_list)
    page.get_by_role("link", name="Next 50").click()
    expect(page.locator(ROWS).first).to_have_attribute("aria-posinset", "51")
    page.get_by_role("link", name="Previous 50").click()
    expect(page.locator(ROWS).first).to_have_attribute("aria-posinset", "1")
    page.locator(".pair-filter select[name=sort]").select_option("behavioural")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".pair-head a[aria-current]")).to_contain_text("Behavioural")
    score(page).click()
    page.wait_for_url(re.compile(r"/pairs/\w+/\w+\?sort=capital#tokens"))
    page.get_by_role("link", name="Adds to behavioural").click()
    expect(page.locator(".token-table th[aria-sort]")).to_contain_text("Adds to behavioural")
    page.goto(site.paths["partial"])
    page.locator("#pairs-card .chips a.chip").nth(1).click()
    page.wait_for_url(re.compile(r"\?insight=\w+#pairs-card|\?insight=\w+"))
    expect(page.locator("#pairs-card .chips a[aria-current]")).not_to_contain_text("All")
    context.close()
