"""Asks the market sources for wanted mints: one lane a source, several requests under way in each.

A lane takes its permission first and only then the pack, so that what is wanted most goes with the very next request,
whichever job's turn it is. What a source does not know goes on to the next lane and is packed again there. Jobs,
triggers and counts are `enrich.py`'s.
"""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence

from tasks.enrichment import cache, outcomes, token_queue
from tasks.enrichment.token_queue import LookupOutcome, QueuedToken
from tasks.errors import SourceError
from tasks.jobs.priority import BACKGROUND, INTERACTIVE, TIER_STEP
from tasks.jobs.process import process_id
from tasks.sources.http import HttpError
from tasks.sources.market.sources import MarketSource
from tasks.storage import database

log = logging.getLogger("walletkin.enrichment")

# Of one source: at five a second and a second's latency five are under way. Later sources are slower, and asked less.
REQUESTS_AT_ONCE, REQUESTS_AT_ONCE_LATER = 6, 3
PAUSE_S = 0.05
LONG_WAIT_S = 3600.0
SHARE = 8  # every eighth request is for what has waited for more than an hour, unless a user waits
ABOUT_ITEMS = (400, 404, 413, 414, 422)  # refusals that one bad mint in a request can cause

RECORD_ATTEMPTS = 3
JOIN_WITHIN_S = 45.0  # no request takes longer; a thread that does keeps its seat and nothing else
UNREADABLE = "An unexpected error while reading an answer of {}; the operator’s log has it."
UNKEEPABLE = "An answer of {} could not be kept; the operator’s log has it."

_requests = itertools.count(1)


class SourceFetcher:
    """One source at its place in the order. All jobs of a process share its lanes."""

    def __init__(self, source: MarketSource, stage: int, before: MarketSource | None, *, is_last: bool):
        self.source = source
        self.stage = stage
        self.before = before
        self.step = outcomes.Step(stage, is_last)
        self.seats = threading.BoundedSemaphore(REQUESTS_AT_ONCE_LATER if stage else REQUESTS_AT_ONCE)
        self.turn = threading.Lock()  # held from the look at what is wanted to the claim
        self.under_way = 0
        self._best: int | None = None
        self._looked_at = -math.inf

    def best(self) -> int | None:
        """Return the highest place that can be asked for now; several threads looking at once look once."""
        if time.monotonic() - self._looked_at > PAUSE_S:
            # A source that fails brings nothing that would be worth waiting for.
            patient = self.before is None or not self.before.circuit.is_failing
            self._best = token_queue.next_priority(self.stage, self.source.mints_per_request, patient=patient)
            self._looked_at = time.monotonic()
        return self._best

    def look_again(self) -> None:
        """What is wanted has changed."""
        self._looked_at = -math.inf


def fetchers_for(sources: Sequence[MarketSource]) -> list[SourceFetcher]:
    """Return a lane for each source, in their order."""
    before = [None, *sources]
    return [
        SourceFetcher(source, stage, before[stage], is_last=stage == len(sources) - 1)
        for stage, source in enumerate(sources)
    ]


def run(lanes: Sequence[SourceFetcher], over: Callable[[], bool], on_through: Callable[[list[str]], None]) -> None:
    """Ask for what is wanted until `over` says so or nothing is left that can be asked for now.

    `on_through` is called with the ids of the jobs that a request brought to their end. Requests under way are waited
    for. Where other threads of this process have all seats of a lane, they ask for this caller's mints too.
    """
    threads: list[threading.Thread] = []
    stop = threading.Event()
    while not over() and (any(lane.under_way for lane in lanes) or any(lane.best() is not None for lane in lanes)):
        for lane in lanes:
            while lane.best() is not None and lane.seats.acquire(blocking=False):
                threads.append(threading.Thread(target=_worker_loop, args=(lane, stop, on_through), daemon=True))
                threads[-1].start()
        time.sleep(PAUSE_S)
    stop.set()
    end_at = time.monotonic() + JOIN_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, end_at - time.monotonic()))


def _worker_loop(lane: SourceFetcher, stop: threading.Event, on_through: Callable[[list[str]], None]) -> None:
    """Send one request after the other, as long as there is something to ask for."""
    try:
        with database.session():
            while not stop.is_set() and lane.best() is not None:
                if not _fetch_once(lane, on_through):
                    stop.wait(PAUSE_S)
    except Exception:
        log.exception("the lane of %s stopped; the next slice starts it again", lane.source.name)
    finally:
        lane.seats.release()


def _fetch_once(lane: SourceFetcher, on_through: Callable[[list[str]], None]) -> bool:
    """Send one request if there is something to ask for and the permission to; False when not."""
    token, pack = _claim(lane)
    if not pack:
        return False
    try:
        if through := _settle(lane, token, pack):
            on_through(through)
    finally:
        with lane.turn:
            lane.under_way -= 1
    return True


def _claim(lane: SourceFetcher) -> tuple[str, list[QueuedToken]]:
    """Take a permission and then the mints that are wanted most; nothing when either is not to be had now."""
    token = f"{process_id()} {secrets.token_hex(6)}"
    with lane.turn:
        best = lane.best()
        is_urgent = best is not None and best >= INTERACTIVE
        if best is None or lane.source.circuit.try_acquire(urgent=is_urgent) > 0:
            return token, []
        pack: list[QueuedToken] = []
        try:
            pack = [] if is_urgent else _long_waiting(lane, token)
            pack = pack or token_queue.claim_tokens(lane.stage, lane.source.mints_per_request, token)
        finally:
            lane.look_again()
            if not pack:
                lane.source.circuit.unused()
        lane.under_way += bool(pack)
    return token, pack


def _long_waiting(lane: SourceFetcher, token: str) -> list[QueuedToken]:
    """Take now and then what has waited for more than an hour, so that newer requests do not keep it for ever."""
    if next(_requests) % SHARE:
        return []
    long_ago = int(BACKGROUND * TIER_STEP + (time.time() - LONG_WAIT_S) * 1000)
    return token_queue.claim_tokens(lane.stage, lane.source.mints_per_request, token, older_than=long_ago)


def _settle(lane: SourceFetcher, token: str, pack: Sequence[QueuedToken]) -> list[str]:
    """Ask for a pack and keep what was heard. Return the jobs that are through."""
    try:
        news = _request(lane, token, pack, _Splits(len(pack)))
    except Exception:
        log.exception("asking %s failed unexpectedly", lane.source.name)
        news = outcomes.all_failed(lane.step, pack, UNREADABLE.format(lane.source.label), permanent=False)
    through = _record(lane, token, pack, news)
    lane.look_again()
    cache.write_through([one.mint for one in pack])
    return through


def _record(lane: SourceFetcher, token: str, pack: Sequence[QueuedToken], news: Sequence[LookupOutcome]) -> list[str]:
    """Record what was heard; again when the database was in the way, and without the facts when they are."""
    for attempt in range(RECORD_ATTEMPTS):
        try:
            return token_queue.record(token, news)
        except Exception:
            log.exception("an answer of %s could not be kept (attempt %s)", lane.source.name, attempt + 1)
            time.sleep(PAUSE_S * 2**attempt)
    return token_queue.record(
        token, outcomes.all_failed(lane.step, pack, UNKEEPABLE.format(lane.source.label), permanent=False)
    )


class _Splits:
    """How often a pack may still be split: enough to find one mint that spoils it, not to ask for each singly."""

    def __init__(self, mints: int):
        self.left = 2 * math.ceil(math.log2(max(2, mints))) + 2


def _request(lane: SourceFetcher, token: str, pack: Sequence[QueuedToken], splits: _Splits) -> list[LookupOutcome]:
    try:
        found = lane.source.listings([one.mint for one in pack])
    except SourceError as error:
        about_items = isinstance(error, HttpError) and error.status in ABOUT_ITEMS
        if len(pack) > 1 and about_items and splits.left >= 2:
            splits.left -= 2
            return _request_halves(lane, token, pack, splits)
        return outcomes.all_failed(
            lane.step, pack, str(error), permanent=error.permanent, delay_s=error.retry_after_s or 0.0
        )
    return [outcomes.answered(lane.step, one, found.get(one.mint)) for one in pack]


def _request_halves(
    lane: SourceFetcher, token: str, pack: Sequence[QueuedToken], splits: _Splits
) -> list[LookupOutcome]:
    """Ask again for each half of a pack that was refused as a whole: what is wrong with one mint harms only that."""
    news = []
    for half in (pack[: len(pack) // 2], pack[len(pack) // 2 :]):
        while (wait_s := lane.source.circuit.try_acquire(urgent=half[0].priority >= INTERACTIVE)) > 0:
            time.sleep(wait_s)
        token_queue.renew(token, [one.mint_id for one in pack])
        news += _request(lane, token, half, splits)
    return news
