"""Fetches queued tokens from the market sources, several requests in flight per source.

Before: `handler.py` runs the fetchers during a job's slice. A worker thread takes a permission of the source's circuit
breaker and then claims a batch from `token_queue.py`, so that the next request always carries the tokens with the
highest priority, whichever job queued them. After: `outcomes.py` says what the answer means for each token,
`token_queue.py` records it, `cache.py` shows it.
"""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from tasks.enrichment import cache, outcomes, token_queue
from tasks.enrichment.token_queue import LookupOutcome, QueuedToken
from tasks.errors import SourceError
from tasks.jobs.priority import BACKGROUND, INTERACTIVE, TIER_STEP
from tasks.jobs.process import process_id
from tasks.sources.http import HttpError
from tasks.sources.market.sources import MarketSource
from tasks.storage import database

log = logging.getLogger("walletkin.enrichment")

# Requests in flight per source: about five at five a second and one second of latency. Later sources are needed less.
SLOTS_FIRST_SOURCE, SLOTS_LATER_SOURCE = 6, 3
PAUSE_S = 0.05
LONG_WAIT_S = 3600.0
SHARE = 8  # every eighth request carries tokens that have waited for more than an hour, unless a user waits
# Refusals that one bad mint can cause. They halve the batch, as often as isolates one bad mint: 12 requests for 30.
REFUSED_FOR_CONTENT = (400, 404, 413, 414, 422)

RECORD_ATTEMPTS = 3
JOIN_WITHIN_S = 45.0  # longer than any request takes; a stuck thread keeps its slot and nothing else
UNREADABLE = "Unexpected error while reading an answer of {}; details are in the operator’s log."
NOT_STORED = "An answer of {} could not be stored; details are in the operator’s log."

Done = Callable[[list[str]], None]
"""Called with the ids of the jobs whose last token a request has recorded."""

_request_numbers = itertools.count(1)


class SourceFetcher:
    """Fetches from one source at its stage. All jobs of a process share its slots: one slot per worker thread."""

    def __init__(self, source: MarketSource, stage: outcomes.Stage, previous: MarketSource | None):
        self.source = source
        self.slots = threading.BoundedSemaphore(SLOTS_LATER_SOURCE if stage.number else SLOTS_FIRST_SOURCE)
        self.in_flight = 0
        self._stage = stage
        self._previous = previous
        self._lock = threading.Lock()  # from the look at the queue to the claim
        self._next_priority: int | None = None
        self._looked_at = -math.inf

    def next_priority(self) -> int | None:
        """Return the highest priority that can be fetched now, None if nothing can; threads share one look."""
        if time.monotonic() - self._looked_at > PAUSE_S:
            # A failing source sends nothing on that would be worth waiting for.
            wait = self._previous is not None and not self._previous.circuit.is_failing
            size = self.source.mints_per_request
            self._next_priority = token_queue.next_priority(self._stage.number, size, wait_for_full_batch=wait)
            self._looked_at = time.monotonic()
        return self._next_priority

    def start_workers(self, stop: threading.Event, done: Done) -> list[threading.Thread]:
        """Start a worker thread in every free slot while something can be fetched."""
        threads: list[threading.Thread] = []
        while self.next_priority() is not None and self.slots.acquire(blocking=False):
            threads.append(threading.Thread(target=self._worker_loop, args=(stop, done), daemon=True))
            threads[-1].start()
        return threads

    def _worker_loop(self, stop: threading.Event, done: Done) -> None:
        """Send requests one after the other until nothing can be fetched or `stop` is set."""
        try:
            with database.session():
                while not stop.is_set() and self.next_priority() is not None:
                    if not self._fetch_once(done):
                        stop.wait(PAUSE_S)
        except Exception:
            log.exception("a worker thread of %s stopped; the next slice starts another", self.source.name)
        finally:
            self.slots.release()

    def _fetch_once(self, done: Done) -> bool:
        """Fetch and record one batch; False if there is no batch or no permission now."""
        claim_token = f"{process_id()} {secrets.token_hex(6)}"
        batch = self._claim(claim_token)
        if not batch:
            return False
        try:
            if done_jobs := self._record(claim_token, batch, self._look_up(claim_token, batch)):
                done(done_jobs)
        finally:
            with self._lock:
                self.in_flight -= 1
        return True

    def _claim(self, claim_token: str) -> list[QueuedToken]:
        """Take a permission and then the batch with the highest priority; empty if either is missing."""
        with self._lock:
            priority = self.next_priority()
            is_urgent = priority is not None and priority >= INTERACTIVE
            if priority is None or self.source.circuit.try_acquire(urgent=is_urgent) > 0:
                return []
            batch: list[QueuedToken] = []
            try:
                batch = self._claim_batch(claim_token, is_urgent)
            finally:
                self._looked_at = -math.inf
                if not batch:
                    self.source.circuit.unused()
            self.in_flight += bool(batch)
        return batch

    def _claim_batch(self, claim_token: str, is_urgent: bool) -> list[QueuedToken]:
        stage, size = self._stage.number, self.source.mints_per_request
        if not is_urgent and next(_request_numbers) % SHARE == 0:
            # Otherwise newer requests could keep old ones waiting forever.
            long_ago = int(BACKGROUND * TIER_STEP + (time.time() - LONG_WAIT_S) * 1000)
            if batch := token_queue.claim_tokens(stage, size, claim_token, older_than=long_ago):
                return batch
        return token_queue.claim_tokens(stage, size, claim_token)

    def _look_up(self, claim_token: str, batch: Sequence[QueuedToken]) -> list[LookupOutcome]:
        most_splits = math.ceil(math.log2(max(2, len(batch)))) + 1
        try:
            return self._request(claim_token, batch, iter(range(most_splits)))
        except Exception:
            log.exception("a request to %s failed unexpectedly", self.source.name)
            return self._all_failed(batch, UNREADABLE)

    def _request(self, claim_token: str, batch: Sequence[QueuedToken], splits: Iterator[int]) -> list[LookupOutcome]:
        """Request a batch; halve it while it is refused for its content and `splits` last."""
        try:
            found = self.source.listings([one.mint for one in batch])
        except SourceError as error:
            is_content = isinstance(error, HttpError) and error.status in REFUSED_FOR_CONTENT
            if is_content and len(batch) > 1 and next(splits, None) is not None:
                return self._request_halves(claim_token, batch, splits)
            delay_s = error.retry_after_s or 0.0
            return outcomes.all_failed(self._stage, batch, str(error), permanent=error.permanent, delay_s=delay_s)
        return [outcomes.answered(self._stage, one, found.get(one.mint)) for one in batch]

    def _request_halves(
        self, claim_token: str, batch: Sequence[QueuedToken], splits: Iterator[int]
    ) -> list[LookupOutcome]:
        """Request each half of a refused batch, so that one bad mint affects only itself."""
        results = []
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            self.source.circuit.acquire(urgent=half[0].priority >= INTERACTIVE)
            token_queue.renew(claim_token, [one.mint_id for one in batch])
            results += self._request(claim_token, half, splits)
        return results

    def _record(self, claim_token: str, batch: Sequence[QueuedToken], results: Sequence[LookupOutcome]) -> list[str]:
        """Record the outcomes and update the cache; return the jobs that are done."""
        done_jobs = self._store(claim_token, batch, results)
        self._looked_at = -math.inf
        cache.write_through([one.mint for one in batch])
        return done_jobs

    def _store(self, claim_token: str, batch: Sequence[QueuedToken], results: Sequence[LookupOutcome]) -> list[str]:
        """Record the outcomes; if the database refuses them three times, record failures without their facts."""
        for attempt in range(RECORD_ATTEMPTS):
            try:
                return token_queue.record(claim_token, results)
            except Exception:
                log.exception("an answer of %s could not be stored (attempt %s)", self.source.name, attempt + 1)
                time.sleep(PAUSE_S * 2**attempt)
        return token_queue.record(claim_token, self._all_failed(batch, NOT_STORED))

    def _all_failed(self, batch: Sequence[QueuedToken], reason: str) -> list[LookupOutcome]:
        return outcomes.all_failed(self._stage, batch, reason.format(self.source.label), permanent=False)


def fetchers_for(sources: Sequence[MarketSource]) -> list[SourceFetcher]:
    """Return a fetcher for each source, in their order."""
    stages = [outcomes.Stage(number, number == len(sources) - 1) for number in range(len(sources))]
    return [
        SourceFetcher(source, stage, previous)
        for source, stage, previous in zip(sources, stages, [None, *sources], strict=False)
    ]


def run(fetchers: Sequence[SourceFetcher], is_over: Callable[[], bool], done: Done) -> None:
    """Fetch queued tokens until `is_over` returns True or nothing can be fetched now; then wait for open requests.

    Where other jobs of this process use all slots of a source, their threads fetch this caller's tokens too.
    """
    threads: list[threading.Thread] = []
    stop = threading.Event()
    while not is_over() and any(one.in_flight or one.next_priority() is not None for one in fetchers):
        for fetcher in fetchers:
            threads += fetcher.start_workers(stop, done)
        time.sleep(PAUSE_S)
    stop.set()
    join_until = time.monotonic() + JOIN_WITHIN_S
    for thread in threads:
        thread.join(max(0.0, join_until - time.monotonic()))
