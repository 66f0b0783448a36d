"""From submit to result in one page: nothing moves, focus and open rows stay, and what fails says so in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tasks.simulator.server import Simulator
from tasks.simulator.world.sample_lists import sample_lists
from tests.browser.test_tokens import WATCH_SHIFTS

SLOW_MS = 40
MOST_SHIFT = 0.02
WATCH_POLICY = """() => {
  window.refused = [];
  document.addEventListener("securitypolicyviolation", (event) => {
    const where = event.target.outerHTML?.slice(0, 120);
    window.refused.push([event.effectiveDirective, event.sourceFile, event.lineNumber, where]);
  });
}"""


@pytest.fixture
def slow(chain: Simulator) -> Iterator[None]:
    """A chain that takes its time, so that a page sees an analysis run."""
    chain.set_faults(latency_ms=SLOW_MS)
    yield
    chain.set_faults(latency_ms=0)


def village(chain: Simulator) -> str:
    """Wallets that no other test of this session reads, as many as make a run of some seconds."""
    lines = next(one.text for one in sample_lists(chain.world.scenario) if one.name == "Whole village").splitlines()
    return "\n".join(lines[-90:-30])


@pytest.mark.usefixtures("slow")
def test_an_analysis_becomes_its_result_without_a_reload(page: Page, chain: Simulator) -> None:
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto("/")
    page.locator("#addresses").fill(village(chain))
    page.locator("#label").fill("Watched")
    expect(page.get_by_role("button", name="Analyse 60 wallets")).to_be_visible()
    page.get_by_role("button", name="Analyse 60 wallets").click()
    page.wait_for_url("**/analyses/*")
    page.evaluate(WATCH_SHIFTS)
    page.evaluate("window.kept = true")
    page.evaluate(WATCH_POLICY)
    assert re.match(r"\d+ % · Watched", page.title())
    row = page.locator("#pairs-card details.pair-details > summary").first
    expect(row).to_be_attached()
    before = [shift for shift, *_ in page.evaluate("window.shifts")]
    row.focus()
    page.keyboard.press("Enter")
    opened = page.locator("#pairs-card details[open]")
    expect(opened).to_have_count(1)
    expect(opened.locator(".evidence")).to_be_visible()
    # What a reader opens pushes the rows below it, after more than the half second for which the browser knows that it
    # was asked for when the server is busy. So what was before and what comes after are judged, and the opening is not.
    assert sum(before) <= MOST_SHIFT, before
    page.evaluate("window.shifts = []")
    name = opened.get_attribute("id")
    expect(page.locator("#summary")).to_be_visible()
    expect(page).to_have_title("Done: Watched · Walletkin")
    expect(page.locator("#live")).to_contain_text("Done. 60")
    if page.locator(f"#{name}").count():  # a provisional pair may have left the first page of the final list
        expect(page.locator(f"#{name}")).to_have_attribute("open", "")
        assert page.evaluate("document.activeElement.closest('details')?.id") == name
    expect(page.locator("#sync-state")).to_contain_text("60 of 60")
    assert page.evaluate("window.kept"), "the page was never reloaded"
    assert page.evaluate("window.refused") == [], "no style is written into the page"
    shifts = page.evaluate("window.shifts")
    assert sum(shift for shift, *_ in shifts) <= MOST_SHIFT, shifts


def broken(page: Page, pattern: str, status: int | None) -> None:
    def answer(route: Route) -> None:
        if status is None:
            route.abort()
        else:
            text = '<div class="error-page"><h1>No</h1><p>The database rests.</p></div>'
            route.fulfill(status=status, content_type="text/html", body=text)

    page.route(re.compile(pattern), answer)


@pytest.mark.parametrize(("status", "words"), [(503, "The database rests."), (None, "The server does not answer")])
def test_a_part_that_fails_says_so_in_its_place_and_tries_again(
    page: Page, chain: Simulator, status: int | None, words: str
) -> None:
    page.goto("/")
    broken(page, "/analyses/preview$", status)
    page.locator("#addresses").fill("\n".join(chain.world.addresses[:2]))
    fault = page.locator("#preview .fault")
    expect(fault).to_contain_text(words)
    page.unroute_all()
    fault.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("button", name="Analyse 2 wallets")).to_be_visible()
    expect(page.locator(".fault")).to_have_count(0)


def test_what_trying_again_cannot_mend_has_no_retry(page: Page, chain: Simulator) -> None:
    page.goto("/")
    broken(page, "/analyses/preview$", 413)
    page.locator("#addresses").fill(chain.world.addresses[0])
    expect(page.locator("#preview .fault")).to_contain_text("The database rests.")
    expect(page.locator("#preview .fault").get_by_role("button")).to_have_count(0)


@pytest.mark.usefixtures("slow")
def test_a_poll_that_fails_keeps_the_page_and_says_that_it_may_be_old(page: Page, chain: Simulator) -> None:
    page.goto("/")
    page.locator("#addresses").fill("\n".join(village(chain).splitlines()[:2] + chain.world.addresses[-30:]))
    page.get_by_role("button", name=re.compile("Analyse .* wallets")).click()
    page.wait_for_url("**/analyses/*")
    broken(page, "/progress", None)
    expect(page.locator("#silence")).to_contain_text("may be out of date")
    expect(page.locator("#wallet-progress")).to_be_visible()
    page.unroute_all()
    expect(page.locator("#silence")).to_have_count(0)
    expect(page.locator("#summary")).to_be_visible()


PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


def test_a_file_that_is_no_list_is_refused_with_what_to_do(page: Page) -> None:
    page.goto("/")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "preview" in request.url else None)
    field, error = page.locator("#file"), page.locator("[data-drop-error]")
    field.set_input_files({"name": "face.png", "mimeType": "image/png", "buffer": PNG})
    expect(error).to_contain_text("face.png: This is a picture")
    field.set_input_files({"name": "big.csv", "mimeType": "text/csv", "buffer": b"a" * 3_000_000})
    expect(error).to_contain_text("3.0 MB is too large")
    assert sent == []
    field.set_input_files({"name": "face.csv", "mimeType": "text/csv", "buffer": PNG})
    expect(page.locator("#preview .error")).to_contain_text("This is a picture; paste the addresses instead.")
    expect(error).to_be_empty()


def test_the_toolbar_takes_a_pasted_list_and_enter_sends_it(page: Page, chain: Simulator) -> None:
    page.goto("/")
    page.locator("#addresses").fill("\n".join(chain.world.addresses[:2]))
    page.get_by_role("button", name="Analyse 2 wallets").click()
    page.wait_for_url("**/analyses/*")
    first = page.url
    field = page.locator(".compact-field textarea")
    field.fill("\n".join(chain.world.addresses[2:5]))
    expect(page.locator(".compact-count")).to_have_text("3 lines")
    field.press("Enter")
    page.wait_for_url(lambda url: "/analyses/" in url and url.split("?")[0] != first.split("?")[0])
    expect(page.get_by_text("3 wallets").first).to_be_visible()


def test_edit_opens_the_settings_and_the_threshold_runs_again(page: Page, chain: Simulator) -> None:
    page.goto("/")
    page.locator("#addresses").fill("\n".join(chain.world.addresses[:3]))
    page.get_by_role("button", name="Analyse 3 wallets").click()
    page.wait_for_url("**/analyses/*")
    expect(page.locator("#summary")).to_be_visible()
    form = page.locator("#rerun form")
    expect(form).to_be_hidden()
    page.get_by_role("link", name="Change settings").click()
    expect(form).to_be_visible()
    again = page.locator(".threshold").get_by_role("button")
    expect(again).to_be_hidden()
    page.get_by_label("Threshold", exact=True).select_option("0.7")
    expect(again).to_be_visible()
    again.click()
    expect(page.get_by_text("re-run of the analysis of")).to_be_visible()
    expect(page.get_by_label("Threshold", exact=True)).to_have_value("0.7")
