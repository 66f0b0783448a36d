"""By keyboard alone, from the front page to the transactions; no key does less than a click or holds one fast."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.catalogue import Site

MOST_STEPS = 260
HERE = "element => element === document.activeElement || element.contains(document.activeElement)"


def tab_to(page: Page, wanted: Locator, key: str = "Tab") -> None:
    """Press Tab until what is wanted has the focus. Fails when the focus does not come there."""
    for _ in range(MOST_STEPS):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press(key)
    pytest.fail(f"{MOST_STEPS} steps do not lead to {wanted}")


def test_the_transactions_of_a_pair_are_found_by_keyboard(page: Page, site: Site) -> None:
    page.goto(site.paths["front"])
    tab_to(page, page.locator("#addresses"))
    page.keyboard.insert_text(site.sample("Copy traders"))
    button = page.locator("#preview").get_by_role("button", name="Analyse 24 wallets")
    expect(button).to_be_visible()
    tab_to(page, button)
    page.keyboard.press("Enter")
    page.wait_for_url("**/analyses/*")
    expect(page.locator("#insights")).to_be_visible()  # complete
    row = page.locator("#pairs-card li.pair").first
    tab_to(page, row.locator("details > summary").first)
    page.keyboard.press("Enter")
    expect(row.locator(".evidence").first).to_be_visible()
    proof = row.locator(".evidence a[href*='solscan.io/tx/']").first
    tab_to(page, proof)
    with page.context.expect_page() as opened:
        page.keyboard.press("Enter")
    assert "solscan.io/tx/" in opened.value.url or opened.value.url in ("about:blank", "chrome-error://chromewebdata/")


def test_the_skip_link_is_first_and_leads_to_the_content(page: Page, site: Site) -> None:
    page.goto(site.paths["result"])
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.locator("main").evaluate(HERE), "the next stop is in the content"


def opens_by(page: Page, summary: Locator) -> None:
    summary.focus()
    page.keyboard.press("Enter")
    expect(summary.locator("xpath=..")).to_have_attribute("open", "")


@pytest.mark.parametrize(
    ("path", "find"),
    [
        ("result", lambda page: page.locator("details.menu > summary", has_text="Export")),
        ("front", lambda page: page.locator("details.pick > summary")),
    ],
    ids=["export", "pick"],
)
def test_escape_closes_a_menu_and_gives_the_focus_back(
    page: Page, site: Site, path: str, find: Callable[[Page], Locator]
) -> None:
    page.goto(site.paths[path])
    summary = find(page)
    opens_by(page, summary)
    page.keyboard.press("Tab")
    assert not summary.evaluate("element => element === document.activeElement"), "the menu's first entry has the focus"
    page.keyboard.press("Escape")
    expect(summary.locator("xpath=..")).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()


def test_escape_closes_the_menu_of_a_phone(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(site.paths["result"])
    summary = page.locator("details.toolbar-menu > summary")
    opens_by(page, summary)
    page.keyboard.press("Escape")
    expect(summary.locator("xpath=..")).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
