"""Every page in every state that it can be in, from two running programs: what all tests that judge pages go through.

`live` runs as the demo does. `frozen` is stopped in the middle of its work, so that what waits or grows stands still:
its pipeline was killed while an analysis was provisional, and nothing in it ever looks a token up.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import base58
from playwright.sync_api import Error, Locator, Page, expect

from tasks.simulator.server import Simulator
from tasks.simulator.world.sample_lists import sample_lists
from tests.support import servers
from tests.support.waiting import HANG_S, until

SLOW_MS = 400
REPLACED_AT_MOST = 5
ENOUGH = 6
"""Pairs that a provisional result must have before it is frozen."""


@dataclass(slots=True)
class Site:
    """Addresses of everything that was made, by the names that `PLACES` ask for."""

    live: str
    frozen: str
    chain: Simulator
    paths: dict[str, str] = field(default_factory=dict)

    def sample(self, name: str) -> str:
        return next(one.text for one in sample_lists(self.chain.world.scenario) if one.name == name)


@dataclass(frozen=True, slots=True)
class Place:
    """A page in a state: the name of its address, what to add to it, and what a reader does to bring it about."""

    name: str
    path: str
    query: str = ""
    act: Callable[[Page, Site], None] | None = None
    status: int = 200

    def address(self, site: Site) -> str:
        return site.paths[self.path] + self.query


# Talking to a program


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data is not None else {})
    with urllib.request.urlopen(request, timeout=HANG_S) as answer:
        return json.load(answer)


def send(url: str) -> None:
    """Press a button that needs no field."""
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=HANG_S).close()


def post(url: str, text: str, label: str) -> str:
    """Start an analysis of a list as the samples write it; return the address of its page."""
    lines = [line.partition(",") for line in text.splitlines()]
    wallets = [{"address": address, "label": name or None} for address, _, name in lines]
    return f"{url}/analyses/{ask(f'{url}/analyses', {'wallets': wallets, 'label': label})['id']}"


def wait_for(page: str, *states: str) -> None:
    until(lambda: ask(f"{page}.json")["state"] in states, f"{page} to be {states}")


def wait_for_tokens(page: str) -> None:
    until(lambda: not ask(f"{page}/enrichment.json")["pending"], f"the tokens of {page}")


# Making the site


@contextlib.contextmanager
def build_site(
    running: servers.Program, chain: Simulator, folder: pathlib.Path, environ: dict[str, str]
) -> Iterator[Site]:
    """Make everything that the catalogue shows; `running` has all workers, `folder` is for the one that is frozen."""
    with servers.program(folder, environ) as frozen:
        site = Site(running.url, frozen.url, chain)
        _make_live(site)
        _make_frozen(site, frozen)
        yield site


def _make_live(site: Site) -> None:
    paths, url = site.paths, site.live
    result = post(url, site.sample("Launch cohort"), "Launch cohort")
    desks = post(url, site.sample("Two desks"), "Two desks")
    empty = post(url, "".join(f"{base58.b58encode(bytes([one]) * 32).decode()},unused {one}\n" for one in (11, 12)), "")
    for page in (result, desks, empty):
        wait_for(page, "complete", "failed")
        wait_for_tokens(page)
    paths |= {"front": f"{url}/", "activity": f"{url}/activity", "missing": f"{url}/analyses/{'0' * 32}"}
    paths["operations"] = f"{url}/operations"
    paths |= {"partial": result, "result": desks, "empty": empty, "unknown": f"{url}/none"}
    paths |= _inside(url, result, "")
    paths["job"] = f"{url}/jobs/{_job(url, desks)}"


def _inside(url: str, page: str, prefix: str) -> dict[str, str]:
    """Return the addresses of the pages below an analysis."""
    led = ask(f"{page}/pairs.json?sort=matched&limit=1")["pairs"][0]
    far = ask(f"{page}/pairs.json?limit=200")["pairs"][-1]
    mints = ",".join(one["mint"] for one in ask(f"{page}.json")["summary"]["top_tokens"])
    return {
        f"{prefix}pairs": f"{page}/pairs",
        f"{prefix}pair": f"{page}/pairs/{led['wallet_a']}/{led['wallet_b']}",
        f"{prefix}pair-far": f"{page}/pairs/{far['wallet_a']}/{far['wallet_b']}",
        f"{prefix}wallets": f"{page}/wallets",
        f"{prefix}map": f"{page}/map",
        f"{prefix}heat": f"{page}/heat",
        f"{prefix}wallet": f"{page}/wallets/{led['wallet_a']}",
        f"{prefix}trades": f"{page}/wallets/{led['wallet_a']}/trades",
        f"{prefix}capital": f"{page}/wallets/{led['wallet_a']}/capital",
        f"{prefix}enrichment": f"{page}/enrichment",
        f"{prefix}tokens": f"{url}/tokens?mints={mints}",
    }


def _make_frozen(site: Site, frozen: servers.Program) -> None:
    paths, url, chain = site.paths, site.frozen, site.chain
    lines = site.sample("Launch cohort").splitlines()
    filling = post(url, "\n".join(lines[:8]), "Tokens still coming")
    wait_for(filling, "complete")
    _vary_tokens(frozen)
    chain.set_faults(failing_addresses=dict.fromkeys((line.partition(",")[0] for line in lines[-4:-1]), "invalid"))
    failed = post(url, "\n".join(lines[-4:-1]), "Nothing could be read")
    wait_for(failed, "failed", "complete")
    chain.set_faults(failing_addresses={}, latency_ms=SLOW_MS)
    cancelled = post(url, "\n".join(site.sample("Whole village").splitlines()[-30:]), "Given up")
    send(f"{cancelled}/cancel")
    running = post(url, "\n".join(lines), "Launch cohort")
    wait_for(running, "provisional")
    until(lambda: ask(f"{running}/pairs.json")["total"] >= ENOUGH, "a provisional result")
    frozen.kill("pipeline")
    chain.set_faults(latency_ms=0)
    assert ask(f"{running}.json")["state"] == "provisional", "it was frozen too late"
    waiting = post(url, "\n".join(site.sample("Copy traders").splitlines()[-20:]), "Just begun")
    paths |= {"filling": filling, "failed": failed, "cancelled": cancelled, "provisional": running, "waiting": waiting}
    paths |= _inside(url, filling, "filling-") | {
        "waiting-pairs": f"{waiting}/pairs",
        "progress": f"{running}/progress",
    }
    paths["operations-unwell"] = f"{url}/operations"
    paths["waiting-job"] = f"{url}/jobs/{_job(url, waiting)}"


def _job(url: str, analysis: str) -> str:
    return str(ask(f"{url}/activity.json?analysis={analysis.rpartition('/')[2]}")["jobs"][0]["id"])


def _vary_tokens(frozen: servers.Program) -> None:
    """Have tokens of every status beside those that are awaited; nothing but the enrichment could write them."""
    with contextlib.closing(sqlite3.connect(frozen.folder / "walletkin.db", timeout=HANG_S)) as connection:
        mints = [
            mint for (mint,) in connection.execute("SELECT mint FROM token ORDER BY wallets_seen DESC, mint LIMIT 8")
        ]
        now = time.time()
        known = "status = 'resolved', symbol = ?, name = ?, decimals = 6, price_usd = ?, last_updated = ?, asked_at = ?"
        with connection:
            for mint, price in zip(mints[:3], (0.00006741, 1.25, None), strict=True):
                connection.execute(
                    f"UPDATE token SET {known} WHERE mint = ?", ("NAPS", "<b>Nap</b> & Season", price, now, now, mint)
                )
            connection.execute("UPDATE token SET status = 'unlisted', asked_at = ? WHERE mint = ?", (now, mints[3]))
            failed = "status = 'failed', last_error = 'The market answered 503.', asked_at = ?"
            connection.execute(f"UPDATE token SET {failed} WHERE mint = ?", (now, mints[4]))


# What a reader does


def judge(page: Page, site: Site) -> None:
    """Paste the sample with mistakes, and wait until each line is judged."""
    page.locator("#addresses").fill(site.sample("Launch cohort"))
    expect(page.locator("#preview .preview-table")).to_be_visible()


def refuse(page: Page, site: Site) -> None:
    """Send a list that has one good wallet only."""
    page.locator("#addresses").fill(site.sample("Two desks").splitlines()[0] + "\nnonsense")
    expect(page.locator("#preview .preview-table")).to_be_visible()
    with page.expect_navigation():
        page.locator("#preview").get_by_role("button", name="Analyse").click()


def remember(page: Page, site: Site) -> None:
    """Start an analysis from here and come back: the front page lists it."""
    page.locator("form", has_text="Two desks").filter(has_text="Analyse").last.get_by_role(
        "button", name="Analyse Two desks"
    ).click()
    page.wait_for_url("**/analyses/*")
    page.goto(site.paths["front"])


def open_pair(page: Page, site: Site) -> None:
    """Open the first pair of the list in place."""
    row = page.locator("li.pair").first
    row.locator("summary .chevron").first.click()
    expect(row.locator(".evidence").first).to_be_visible()
    page.wait_for_timeout(250)


def open_menus(page: Page, site: Site) -> None:
    """Open every menu that is to be seen, one over the other: each is judged open."""
    for menu in page.locator("details.menu:not([open]) > summary, details.toolbar-menu:not([open]) > summary").all():
        if menu.is_visible():
            menu.evaluate("summary => { summary.parentElement.open = true; }")


def open_everything(page: Page, site: Site) -> None:
    """Open all that folds: proofs, tables, rows that were left out."""
    page.evaluate(
        "for (const one of document.querySelectorAll('main details:not(.menu, .pair-details)')) one.open = true"
    )
    page.wait_for_timeout(400)


def show_tables(page: Page, site: Site) -> None:
    """Turn each drawing into the table that says the same."""
    for name in ("Table", "As a table", "Show as a table"):
        for switch in page.locator("main").get_by_text(name, exact=True).all():
            if switch.is_visible():
                switch.click()
    for name in ("places-table", "heat-table"):
        bring_into_view(page.locator(f"#{name}"))  # the table comes when it is to be seen
        expect(page.locator(f"#{name} tbody tr").first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(200)


def bring_into_view(found: Locator) -> None:
    """Scroll to an element; one that an answer of the server replaces meanwhile is looked for anew."""
    for left in reversed(range(REPLACED_AT_MOST)):
        try:
            return found.scroll_into_view_if_needed()
        except Error as problem:
            if "not attached" not in str(problem) or not left:
                raise


def read_cell(page: Page, site: Site) -> None:
    """Point at a cell of the heat map."""
    cells = page.locator(".heat-cells")
    cells.scroll_into_view_if_needed()
    box = cells.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.1 * box["height"])
    expect(page.locator(".heat-tip")).to_be_visible()


def show_score(page: Page, site: Site) -> None:
    """Open the popover of the first score."""
    page.locator("li.pair").first.locator("button[popovertarget], button[aria-expanded], .score-button").first.click()
    page.wait_for_timeout(400)


PLACES = (
    Place("front", "front"),
    Place("front-judged", "front", act=judge),
    Place("front-refused", "front", act=refuse),
    Place("front-recent", "front", act=remember),
    Place("front-menus", "front", act=open_menus),
    Place("waiting", "waiting"),
    Place("provisional", "provisional"),
    Place("provisional-open", "provisional", act=open_pair),
    Place("progress", "progress"),
    Place("result", "result"),
    Place("partial", "partial"),
    Place("partial-open", "partial", act=open_pair),
    Place("partial-menus", "partial", act=open_menus),
    Place("partial-tables", "partial", act=show_tables),
    Place("partial-all", "partial", act=open_everything),
    Place("failed", "failed"),
    Place("cancelled", "cancelled"),
    Place("empty", "empty"),
    Place("filling", "filling"),
    Place("filling-open", "filling", act=open_pair),
    Place("pairs", "pairs"),
    Place("pairs-open", "pairs", act=open_pair),
    Place("pairs-narrowed", "pairs", "?sort=lift&insight=leader_and_follower"),
    Place("pairs-cluster", "pairs", "?cluster=1&edges=yes"),
    Place("pairs-wallet", "pairs", "?wallet=avh&sort=matched"),
    Place("pairs-empty", "pairs", "?min=0.99&insight=capital_divergence"),
    Place("pairs-waiting", "waiting-pairs"),
    Place("pair", "pair"),
    Place("pair-all", "pair", act=open_everything),
    Place("pair-far", "pair-far"),
    Place("pair-filling", "filling-pair"),
    Place("wallets", "wallets"),
    Place("wallets-incomplete", "wallets", "?state=incomplete"),
    Place("wallets-filling", "filling-wallets"),
    Place("map", "map"),
    Place("heat", "heat"),
    Place("heat-read", "heat", act=read_cell),
    Place("wallet", "wallet"),
    Place("wallet-all", "wallet", act=open_everything),
    Place("trades", "trades"),
    Place("capital", "capital"),
    Place("enrichment", "enrichment"),
    Place("enrichment-filling", "filling-enrichment"),
    Place("tokens", "tokens"),
    Place("tokens-filling", "filling-tokens"),
    Place("activity", "activity"),
    Place("activity-failed", "activity", "?state=failed"),
    Place("activity-none", "activity", "?state=cancelled&kind=refresh"),
    Place("job", "job"),
    Place("job-waiting", "waiting-job"),
    Place("operations", "operations"),
    Place("operations-unwell", "operations-unwell"),
    Place("error-404", "missing", status=404),
    Place("error-400", "pairs", "?sort=nonsense", status=400),
)


def visit(page: Page, site: Site, place: Place) -> str:
    """Go there and bring the state about; return the HTML that the server sent for it."""
    answer = page.goto(place.address(site), wait_until="load")
    assert answer is not None
    assert answer.status == place.status, f"{place.name} answered {answer.status}"
    text = answer.text()
    if place.act is not None:
        place.act(page, site)
    page.wait_for_timeout(80)
    return text
