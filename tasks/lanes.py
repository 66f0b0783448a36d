"""Asks the market sources for wanted mints: one lane a source, several requests under way in each.

A lane takes its permission first and only then the pack, so that what is wanted most goes with the very next request,
whichever job's turn it is. What a source does not know goes on to the next lane and is packed again there. Jobs,
triggers and counts are `enrich.py`'s.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tasks.errors import SourceError
from tasks.holders import this_process
from tasks.jobs import MOST_ATTEMPTS
from tasks.records import database, prices, wants
from tasks.records.wants import News, Wanted
from tasks.sources.http import HttpError
from tasks.sources.listing import Listing
from tasks.sources.market import MarketSource
from tasks.tiers import AT_ONCE, BACKGROUND, TIER_STEP

log = logging.getLogger("walletkin.enrichment")

# Of one source: at five a second and a second's latency five are under way. Later sources are slower, and asked less.
REQUESTS_AT_ONCE, REQUESTS_AT_ONCE_LATER = 6, 3
PAUSE_S = 0.05
LONG_WAIT_S = 3600.0
SHARE = 8  # every eighth request is for what has waited for more than an hour, unless a user waits
ABOUT_ITEMS = (400, 404, 413, 414, 422)  # refusals that one bad mint in a request can cause
BACKOFF_S, BACKOFF_BASE = 2.0, 3.0
GROUPS = 6
RECORD_ATTEMPTS = 3
JOIN_WITHIN_S = 45.0  # no request takes longer; a thread that does keeps its seat and nothing else
UNREADABLE = "An unexpected error while reading an answer of {}; the operator’s log has it."
UNKEEPABLE = "An answer of {} could not be kept; the operator’s log has it."

_requests = itertools.count(1)


class Lane:
    """One source at its place in the order. All jobs of a process share its lanes."""

    def __init__(self, source: MarketSource, stage: int, before: MarketSource | None, *, is_last: bool):
        self.source = source
        self.stage = stage
        self.before = before
        self.is_last = is_last
        self.seats = threading.BoundedSemaphore(REQUESTS_AT_ONCE_LATER if stage else REQUESTS_AT_ONCE)
        self.turn = threading.Lock()  # held from the look at what is wanted to the claim
        self.under_way = 0
        self._best: int | None = None
        self._looked_at = -math.inf

    def best(self) -> int | None:
        """Return the highest place that can be asked for now; several threads looking at once look once."""
        if time.monotonic() - self._looked_at > PAUSE_S:
            # A source that fails brings nothing that would be worth waiting for.
            patient = self.before is None or not self.before.gate.is_failing
            self._best = wants.ready(self.stage, self.source.mints_per_request, patient=patient)
            self._looked_at = time.monotonic()
        return self._best

    def look_again(self) -> None:
        """What is wanted has changed."""
        self._looked_at = -math.inf


def lanes_of(sources: Sequence[MarketSource]) -> list[Lane]:
    """Return a lane for each source, in their order."""
    before = [None, *sources]
    return [
        Lane(source, stage, before[stage], is_last=stage == len(sources) - 1) for stage, source in enumerate(sources)
    ]


def run(lanes: Sequence[Lane], over: Callable[[], bool], on_through: Callable[[list[str]], None]) -> None:
    """Ask for what is wanted until `over` says so or nothing is left that can be asked for now.

    `on_through` is called with the ids of the jobs that a request brought to their end. Requests under way are waited
    for. Where other threads of this process have all seats of a lane, they ask for this caller's mints too.
    """
    threads: list[threading.Thread] = []
    stop = threading.Event()
    while not over() and (any(lane.under_way for lane in lanes) or any(lane.best() is not None for lane in lanes)):
        for lane in lanes:
            while lane.best() is not None and lane.seats.acquire(blocking=False):
                threads.append(threading.Thread(target=_drive, args=(lane, stop, on_through), daemon=True))
                threads[-1].start()
        time.sleep(PAUSE_S)
    stop.set()
    end_at = time.monotonic() + JOIN_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, end_at - time.monotonic()))


def _drive(lane: Lane, stop: threading.Event, on_through: Callable[[list[str]], None]) -> None:
    """Send one request after the other, as long as there is something to ask for."""
    try:
        with database.session():
            while not stop.is_set() and lane.best() is not None:
                if not _step(lane, on_through):
                    stop.wait(PAUSE_S)
    except Exception:
        log.exception("the lane of %s stopped; the next slice starts it again", lane.source.name)
    finally:
        lane.seats.release()


def _step(lane: Lane, on_through: Callable[[list[str]], None]) -> bool:
    """Send one request if there is something to ask for and the permission to; False when not."""
    token, pack = _take(lane)
    if not pack:
        return False
    try:
        if through := _settle(lane, token, pack):
            on_through(through)
    finally:
        with lane.turn:
            lane.under_way -= 1
    return True


def _take(lane: Lane) -> tuple[str, list[Wanted]]:
    """Take a permission and then the mints that are wanted most; nothing when either is not to be had now."""
    token = f"{this_process()} {secrets.token_hex(6)}"
    with lane.turn:
        best = lane.best()
        is_urgent = best is not None and best >= AT_ONCE
        if best is None or lane.source.gate.take(urgent=is_urgent) > 0:
            return token, []
        pack: list[Wanted] = []
        try:
            pack = [] if is_urgent else _long_waiting(lane, token)
            pack = pack or wants.claim(lane.stage, lane.source.mints_per_request, token)
        finally:
            lane.look_again()
            if not pack:
                lane.source.gate.unused()
        lane.under_way += bool(pack)
    return token, pack


def _long_waiting(lane: Lane, token: str) -> list[Wanted]:
    """Take now and then what has waited for more than an hour, so that newer requests do not keep it for ever."""
    if next(_requests) % SHARE:
        return []
    long_ago = int(BACKGROUND * TIER_STEP + (time.time() - LONG_WAIT_S) * 1000)
    return wants.claim(lane.stage, lane.source.mints_per_request, token, older_than=long_ago)


def _settle(lane: Lane, token: str, pack: Sequence[Wanted]) -> list[str]:
    """Ask for a pack and keep what was heard. Return the jobs that are through."""
    try:
        news = _ask(lane, token, pack, _Splits(len(pack)))
    except Exception:
        log.exception("asking %s failed unexpectedly", lane.source.name)
        news = _all_failed(lane, pack, UNREADABLE.format(lane.source.label), permanent=False)
    through = _record(lane, token, pack, news)
    lane.look_again()
    prices.put([one.mint for one in pack])
    return through


def _record(lane: Lane, token: str, pack: Sequence[Wanted], news: Sequence[News]) -> list[str]:
    """Record what was heard; again when the database was in the way, and without the facts when they are."""
    for attempt in range(RECORD_ATTEMPTS):
        try:
            return wants.record(token, news)
        except Exception:
            log.exception("an answer of %s could not be kept (attempt %s)", lane.source.name, attempt + 1)
            time.sleep(PAUSE_S * 2**attempt)
    return wants.record(token, _all_failed(lane, pack, UNKEEPABLE.format(lane.source.label), permanent=False))


class _Splits:
    """How often a pack may still be split: enough to find one mint that spoils it, not to ask for each singly."""

    def __init__(self, mints: int):
        self.left = 2 * math.ceil(math.log2(max(2, mints))) + 2


def _ask(lane: Lane, token: str, pack: Sequence[Wanted], splits: _Splits) -> list[News]:
    try:
        found = lane.source.listings([one.mint for one in pack])
    except SourceError as error:
        about_items = isinstance(error, HttpError) and error.status in ABOUT_ITEMS
        if len(pack) > 1 and about_items and splits.left >= 2:
            splits.left -= 2
            return _ask_halves(lane, token, pack, splits)
        return _all_failed(lane, pack, str(error), permanent=error.permanent, delay_s=error.retry_after_s or 0.0)
    return [_heard(lane, one, found.get(one.mint)) for one in pack]


def _ask_halves(lane: Lane, token: str, pack: Sequence[Wanted], splits: _Splits) -> list[News]:
    """Ask again for each half of a pack that was refused as a whole: what is wrong with one mint harms only that."""
    news = []
    for half in (pack[: len(pack) // 2], pack[len(pack) // 2 :]):
        while (wait_s := lane.source.gate.take(urgent=half[0].priority >= AT_ONCE)) > 0:
            time.sleep(wait_s)
        wants.renew(token, [one.mint_id for one in pack])
        news += _ask(lane, token, half, splits)
    return news


def _all_failed(
    lane: Lane, pack: Sequence[Wanted], reason: str, *, permanent: bool, delay_s: float = 0.0
) -> list[News]:
    """Judge a pack without an answer. One stroke of chance for all, so that it comes back as a pack.

    From the second time on it comes back in groups, so that a mint at which the source fails is not among the others
    every time.
    """
    chance = random.uniform(0.75, 1.25)
    news = []
    for place, one in enumerate(pack):
        group = place % GROUPS if one.attempts else 0
        wait_s = chance * backoff_s(one.attempts + 1) * (1 + group / GROUPS)
        news.append(_failed(lane, one, reason, permanent=permanent, delay_s=max(delay_s, wait_s)))
    return news


def _heard(lane: Lane, one: Wanted, listing: Listing | None) -> News:
    """Judge an answer. What is not known, or has no price, is asked of the next source, if there is one.

    When none is left, a source that was passed over for a while is asked once more before its silence counts.
    """
    known = _merged(_earlier(one), listing)
    passed_over, returned = one.heard.get("error"), one.heard.get("returned", False)
    is_end = lane.is_last or returned
    if known is not None and known.price_usd is not None:
        return _end(one, known, None)
    carried = {"listing": known and dataclasses.asdict(known), "error": passed_over}
    if not is_end:
        return News(one.mint_id, "next", stage=lane.stage + 1, heard=carried, is_attempt=False)
    if passed_over and one.heard.get("for_a_time") and not returned:
        return News(one.mint_id, "next", stage=0, heard=carried | {"returned": True}, is_attempt=False)
    return _end(one, known, None if returned else passed_over)


def _failed(lane: Lane, one: Wanted, reason: str, *, permanent: bool, delay_s: float) -> News:
    """Judge a call without an answer: again after a growing wait, five times in all, the last time of the last source.

    A source that refuses for good is passed over.
    """
    tries = one.attempts + 1
    is_end = lane.is_last or one.heard.get("returned", False)
    if tries >= MOST_ATTEMPTS or (permanent and is_end):
        return _end(one, _earlier(one), reason)
    carried = {"listing": one.heard.get("listing"), "error": reason}
    if permanent:
        return News(one.mint_id, "next", error=reason, stage=lane.stage + 1, heard=carried)
    if tries == MOST_ATTEMPTS - 1 and not is_end:
        carried["for_a_time"] = True
        return News(one.mint_id, "again", error=reason, stage=lane.stage + 1, delay_s=backoff_s(1), heard=carried)
    return News(one.mint_id, "again", error=reason, stage=lane.stage, delay_s=delay_s)


def _earlier(one: Wanted) -> Listing | None:
    """What an earlier source said of a mint."""
    return Listing(**one.heard["listing"]) if one.heard.get("listing") else None


def _end(one: Wanted, known: Listing | None, error: str | None) -> News:
    """Say how the asking for a mint ended. While a source did not answer, nobody can say that there is no market."""
    if known is not None:
        return News(one.mint_id, "resolved", facts=_facts(known), error=error)
    return News(one.mint_id, "failed", error=error) if error else News(one.mint_id, "unlisted")


def backoff_s(tries: int) -> float:
    """Return the wait after so many failed attempts, before chance has its part in it: 2, 6, 18, 54 s."""
    return BACKOFF_S * BACKOFF_BASE ** (tries - 1)


def _merged(earlier: Listing | None, later: Listing | None) -> Listing | None:
    """What two sources say together: the earlier's word, and the later's where the earlier had none.

    The price and what goes with it come from one source.
    """
    if earlier is None or later is None:
        return earlier or later
    first, second = (earlier, later) if earlier.price_usd is not None else (later, earlier)
    priced = {name: getattr(first, name) for name in ("price_usd", "liquidity_usd", "volume_24h_usd", "source")}
    named = {
        name: getattr(earlier, name) if getattr(earlier, name) is not None else getattr(later, name)
        for name in ("name", "symbol", "decimals", "image_url")
    }
    cap = first.market_cap_usd if first.market_cap_usd is not None else second.market_cap_usd
    return Listing(mint=earlier.mint, market_cap_usd=cap, **priced, **named)


def _facts(listing: Listing) -> dict[str, Any]:
    """The registry's columns of a listing. A name that is not given this time is kept; a price that is not is gone."""
    named = {name: getattr(listing, name) for name in ("name", "symbol", "decimals", "image_url")}
    facts = {name: value for name, value in named.items() if value is not None}
    for name in ("price_usd", "liquidity_usd", "volume_24h_usd", "market_cap_usd"):
        facts[name] = getattr(listing, name)
    return facts | {"price_source": listing.source if listing.price_usd is not None else None}
