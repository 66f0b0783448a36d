"""Tokens fill in while one reads: live cells, the refresh and the logos in a real browser, with the real workers.

Where a test needs a token in a certain state at a certain moment it says so to the registry itself.
"""

from __future__ import annotations

import json
import pathlib
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tasks.enrichment.cache import LOADING_PRIORITY
from tasks.settings import read_settings
from tasks.simulator.server import Simulator
from tasks.simulator.world.sample_lists import sample_lists
from tasks.simulator.world.scenario import Scenario
from tasks.storage import database
from tasks.storage.models.jobs import Job, JobMint
from tasks.storage.models.tokens import Token
from tests.browser.conftest import SEED, demo_environ
from tests.conftest import use_base
from tests.support import servers
from tests.support.waiting import HANG_S, until

ALLOWED = "https://cdn.dexscreener.com/logo.png"
FOREIGN = "https://elsewhere.example/logo.png"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001000501270b430000000049454e44ae426082"
)
WATCH_SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) {
      const moved = entry.sources.map(({ node }) => (node?.outerHTML || node?.data || "").slice(0, 90));
      window.shifts.push([entry.value, ...moved]);
    }
  }).observe({ type: "layout-shift" });
}"""

HIDE = """hidden => {
  let sent = 0;
  document.addEventListener("htmx:beforeSend", () => { sent += 1; });
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
  return sent;
}"""


@pytest.fixture(scope="module")
def reader(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Program]:
    """The web process and the pipeline, without enrichment: its worker is started by the test that wants it."""
    folder: pathlib.Path = tmp_path_factory.mktemp("tokens")
    with servers.program(folder, demo_environ(chain)) as program:
        database.open_database(read_settings(program.environ))
        yield program
    use_base()


@pytest.fixture(scope="module")
def analysis(reader: servers.Program) -> str:
    """The page of a complete analysis whose tokens nobody has looked up."""
    lines = [line.partition(",")[0] for line in sample_lists(Scenario(seed=SEED))[0].text.splitlines()]
    body = json.dumps({"wallets": [{"address": one} for one in lines[:12]]}).encode()
    request = urllib.request.Request(f"{reader.url}/analyses", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=HANG_S) as answer:
        page = f"{reader.url}/analyses/{json.load(answer)['id']}"
    until(lambda: state(page) == "complete", "the analysis")
    return page


def state(analysis: str) -> str:
    with urllib.request.urlopen(f"{analysis}.json", timeout=HANG_S) as answer:
        return str(json.load(answer)["state"])


@pytest.fixture
def quiet(quiet: Page, analysis: str) -> Iterator[Page]:
    """The finished analysis in a page whose console must stay silent, with every token pending."""
    page = quiet
    know(status="pending", symbol=None, name=None, image_url=None, price_usd=None, last_updated=None, asked_at=None)
    forget_refreshes()
    page.goto(analysis)
    page.evaluate(WATCH_SHIFTS)
    yield page
    assert page.evaluate("window.shifts || []") == [], "nothing moves when data arrive"


def know(*mints: str, **facts: Any) -> None:
    """Write into the registry what is known of these mints, of all without any."""
    with database.session(), database.write():
        query = Token.update(**facts)
        (query.where(Token.mint.in_(mints)) if mints else query).execute()


def forget_refreshes() -> None:
    """Leave nothing asked for, and of the jobs only the one of the analysis, which still waits for its turn."""
    with database.session(), database.write():
        Token.update(priority=None, claim_token=None, lease=None).execute()
        JobMint.delete().execute()
        Job.delete().where(Job.kind == "refresh").execute()


def resolved(symbol: str = "NAPS", **more: Any) -> dict[str, Any]:
    with database.session():
        now = database.now_s()
    known = {"status": "resolved", "symbol": symbol, "name": "Nap Season", "price_usd": 0.0123, "last_updated": now}
    return known | {"priority": None} | more


def shown_mints(page: Page) -> list[str]:
    found = page.eval_on_selector_all("#tokens-card .token", "cells => cells.map(cell => cell.dataset.mint)")
    assert len(found) > 5
    return [str(mint) for mint in found]


def polls(page: Page) -> list[Any]:
    """Collect the answers to polls for cells from now on."""
    found: list[Any] = []
    page.on("response", lambda answer: found.append(answer) if "/tokens?" in answer.url else None)
    return found


def cell(page: Page, mint: str, kind: str = "token") -> Any:
    return page.locator(f"#tokens-card .{kind}-{mint}")


# Filling in


def test_tokens_fill_in_without_a_reload(quiet: Page) -> None:
    page, mints, answers = quiet, shown_mints(quiet), polls(quiet)
    page.evaluate("window.kept = true")
    expect(cell(page, mints[0])).to_contain_text("resolving…")
    know(mints[0], **resolved("FIRST"))
    expect(cell(page, mints[0])).to_contain_text("FIRST")
    expect(cell(page, mints[0], "price")).to_contain_text("$0.0123")
    expect(cell(page, mints[1])).to_contain_text("resolving…")
    know(mints[1], status="unlisted")
    know(*mints[2:], **resolved())
    expect(cell(page, mints[1])).to_contain_text("No market found")
    expect(page.locator("#tokens-card [data-awaited]")).to_have_count(0)
    page.wait_for_timeout(3_000)
    assert [answer.status for answer in answers][-1] == 286
    assert page.evaluate("window.kept"), "the page was never reloaded"
    asked = len(answers)
    page.wait_for_timeout(3_000)
    assert len(answers) == asked, "after 286 nothing more is asked"


def test_each_question_is_about_what_is_still_awaited(quiet: Page) -> None:
    page, mints, answers = quiet, shown_mints(quiet), polls(quiet)
    know(*mints[1:], **resolved())
    expect(page.locator("#tokens-card .token[data-awaited]")).to_have_count(1)
    answers.clear()
    with page.expect_response(lambda answer: "/tokens?" in answer.url) as found:
        pass
    assert found.value.url.endswith(f"?mints={mints[0]}")


def test_the_live_region_counts_the_tokens(quiet: Page) -> None:
    page, mints = quiet, shown_mints(quiet)
    know(*mints[:3], **resolved())
    expect(page.locator("#live")).to_have_text(f"3 of {len(mints)} tokens resolved")
    know(mints[3], status="unlisted")
    know(*mints[4:], **resolved())
    words = f"{len(mints) - 1} of {len(mints)} tokens resolved, 1 without a market"
    expect(page.locator("#live")).to_have_text(words)


def test_the_reader_is_not_disturbed(quiet: Page) -> None:
    page, mints = quiet, shown_mints(quiet)
    row = page.locator("#pairs-card li.pair").first
    row.locator("summary .chevron").first.click()
    expect(row.locator(".evidence .token-table")).to_be_visible()
    proof = row.locator("details.proof").first
    proof.locator("summary").click()
    link = cell(page, mints[0]).locator("xpath=following-sibling::a")
    link.focus()
    page.evaluate("scrollTo(0, 120)")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.page-head p'))")
    page.evaluate("window.shifts.length = 0")  # what the clicks themselves moved
    before = page.evaluate("[scrollY, String(getSelection())]")
    know(**resolved())
    expect(cell(page, mints[0])).to_contain_text("NAPS")
    expect(row.locator(".evidence .token").first).to_contain_text("NAPS")
    assert page.evaluate("[scrollY, String(getSelection())]") == before
    assert link.evaluate("element => element === document.activeElement")
    assert proof.evaluate("element => element.open")
    assert row.locator("details").first.evaluate("element => element.open")


def test_what_is_selected_in_a_cell_stays_selected(quiet: Page) -> None:
    page, mints = quiet, shown_mints(quiet)
    select = "cell => getSelection().selectAllChildren(cell.querySelector('.token-first'))"
    cell(page, mints[0]).evaluate(select)
    chosen = page.evaluate("String(getSelection())")
    assert chosen
    know(**resolved())
    expect(cell(page, mints[1])).to_contain_text("NAPS")
    assert page.evaluate("String(getSelection())") == chosen
    page.evaluate("getSelection().removeAllRanges()")
    expect(cell(page, mints[0])).to_contain_text("NAPS")


def test_retry_hands_its_focus_on(quiet: Page) -> None:
    page, mints = quiet, shown_mints(quiet)
    know(**resolved())
    know(mints[0], status="failed", last_error="The market answered 503.")
    retry = cell(page, mints[0], "price").get_by_role("button")
    expect(retry).to_be_visible()
    retry.focus()
    # What is known afterwards must not be overtaken by the request that asks for it.
    with page.expect_response(lambda response: response.url.endswith("/refresh")) as answered:
        page.keyboard.press("Enter")
    assert (answered.value.request.post_data or "").partition("mints=")[2].startswith(mints[0])
    know(**resolved("AGAIN"))
    expect(cell(page, mints[0])).to_contain_text("AGAIN")
    assert cell(page, mints[0], "price").evaluate("cell => cell === document.activeElement")


def test_content_that_comes_later_is_asked_for_too(quiet: Page) -> None:
    page, mints = quiet, shown_mints(quiet)
    know(*mints, **resolved())
    expect(page.locator("[data-awaited]")).to_have_count(0)
    page.wait_for_timeout(2_500)  # the poll has ended
    row = page.locator("#pairs-card li.pair").first
    row.locator("summary .chevron").first.click()
    waiting = row.locator(".evidence .token[data-awaited]")
    expect(waiting.first).to_be_visible()
    page.evaluate("window.shifts.length = 0")
    know(**resolved("LATER"))
    expect(waiting).to_have_count(0)
    assert "LATER" in row.locator(".evidence").inner_text()


def test_a_hidden_tab_asks_nothing_and_goes_on_when_it_is_seen(quiet: Page) -> None:
    page, mints, answers = quiet, shown_mints(quiet), polls(quiet)
    page.evaluate(HIDE, True)
    page.wait_for_timeout(500)
    answers.clear()
    know(**resolved())
    page.wait_for_timeout(5_000)
    assert answers == []
    assert page.evaluate(HIDE, False) == 1, "it asks at once, not at its next turn"
    expect(cell(page, mints[0])).to_contain_text("NAPS")


def test_asking_slows_down_while_nothing_comes(quiet: Page) -> None:
    page, answers = quiet, polls(quiet)
    page.wait_for_timeout(17_000)
    assert len(answers) <= 5, "after 2, 4, 8 and 14 seconds or so, not every two"
    while len(answers) < 2:
        page.wait_for_event("response")
    assert {answer.status for answer in answers} == {204}


# Logos


def test_logos_come_from_allowed_hosts_only(quiet: Page) -> None:
    page, mints = quiet, shown_mints(quiet)
    asked: list[str] = []

    def answer(route: Route, request: Request) -> None:
        asked.append(request.url)
        route.fulfill(body=PIXEL, content_type="image/png")

    page.route("**/logo.png", answer)
    know(**resolved())
    know(mints[0], image_url=ALLOWED)
    know(mints[1], image_url=FOREIGN)
    logo = cell(page, mints[0]).locator("img")
    expect(logo).to_be_visible()
    page.wait_for_function("document.querySelector('#tokens-card img.disc').naturalWidth > 0")
    assert logo.evaluate("image => [image.width, image.height, image.referrerPolicy]") == [24, 24, "no-referrer"]
    expect(cell(page, mints[1]).locator(".disc")).to_have_text("NA")
    assert set(asked) == {ALLOWED}


# Without JavaScript, and the refresh


def test_without_javascript_the_page_reloads_while_something_is_awaited(
    browser: Browser, quiet: Page, analysis: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(analysis)
    assert page.locator("noscript meta[http-equiv=refresh], meta[http-equiv=refresh]").count() == 1
    expect(page.locator(".page-actions").get_by_role("link", name="Refresh")).to_be_visible()
    page.get_by_role("button", name="Refresh prices").click()
    assert page.url == analysis
    with database.session():
        assert Token.select().where(Token.priority >= LOADING_PRIORITY).count() > 5
    context.close()


@pytest.fixture
def enriching(quiet: Page, reader: servers.Program) -> Iterator[None]:
    """The enrichment worker, for one test, once all is pending: in the others it would know more than they say."""
    reader.start("enrichment")
    yield
    reader.kill("enrichment")


@pytest.mark.usefixtures("enriching")
def test_refresh_prices_from_the_press_to_what_came_of_it(quiet: Page) -> None:
    page = quiet
    expect(page.locator("[data-awaited]")).to_have_count(0)
    assert page.locator("#tokens-card .token-is-resolved").count() > 5
    page.wait_for_timeout(500)
    know(price_usd=None, asked_at=None)
    page.goto(page.url)
    page.evaluate(WATCH_SHIFTS)
    expect(page.locator("#tokens-card .price").first).to_have_text("no price")
    button = page.get_by_role("button", name="Refresh prices")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#refresh-button")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#tokens-card .price").first).to_contain_text("$")
    expect(page.locator("#tokens-resolved")).to_contain_text("Tokens resolved")
    expect(button).to_be_enabled()
    assert button.evaluate("element => element === document.activeElement")
    expect(page.locator("#live")).to_contain_text("looked up")
