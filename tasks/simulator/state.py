"""The current faults of a running simulator, and counts of its requests; decides no response's content."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from math import ceil
from random import Random
from threading import Event, Lock
from typing import Any

from tasks.simulator.faults import Faults

MARKETS = ("dexscreener", "jupiter")


class Bucket:
    """A token bucket that holds one second's worth."""

    def __init__(self) -> None:
        self.left = 0.0
        self.at_s: float | None = None

    def wait_s(self, rate: float, now_s: float) -> float:
        """Take one and return 0.0, or take nothing and return the seconds until one is there."""
        full = max(rate, 1.0)
        self.left = full if self.at_s is None else min(full, self.left + (now_s - self.at_s) * rate)
        self.at_s = now_s
        if self.left + 1e-9 >= 1.0:
            self.left -= 1.0
            return 0.0
        return (1.0 - self.left) / rate


class SimulatorState:
    """The current faults, and the counts. Safe to use from several threads."""

    def __init__(self, faults: Faults, seed: int):
        self.faults = faults
        self._rnd = Random(f"{seed}/faults")
        self._lock = Lock()
        self._stopped = Event()
        self._buckets: dict[str, Bucket] = {}
        self._nulls: Counter[str] = Counter()
        self.reset_stats()

    # -- faults ------------------------------------------------------------------------------------

    def set_faults(self, **changes: Any) -> None:
        """Set some faults, and start rate limits and `null_first` anew. Raises TypeError for an unknown fault."""
        with self._lock:
            self.faults = replace(self.faults, **changes)
            self._nulls.clear()
            self._buckets.clear()

    def wait_s(self, service: str) -> int:
        """Return 0 when the rate limit lets the request pass, otherwise the whole seconds until it would."""
        rate = self.faults.market_requests_per_s
        if not rate or service not in MARKETS:
            return 0
        with self._lock:
            return ceil(self._buckets.setdefault(service, Bucket()).wait_s(rate, time.monotonic()))

    def happens(self, fault: str, service: str) -> bool:
        """Say whether `fail`, `drop`, `garble` or `hang` hits this request."""
        with self._lock:
            faults = self.faults
            targets = ("all", service, "rpc" if service == "rpc" else "market")
            if faults.target not in targets:
                return False
            left: Any = getattr(faults, f"{fault}_next", 0)
            if left:
                self.faults = replace(faults, **{f"{fault}_next": left - 1})
                return True
            fraction: float = getattr(faults, f"{fault}_fraction")
            return fraction > 0 and self._rnd.random() < fraction

    def latency_s(self, service: str) -> float:
        """Return the least time that a response of the service takes."""
        faults = self.faults
        market_ms = faults.market_latency_ms if service in MARKETS else 0.0
        return (faults.latency_ms + market_ms) / 1_000

    def pause(self, seconds: float) -> None:
        """Wait, at most until the simulator stops."""
        if seconds:
            self._stopped.wait(seconds)

    def end_pauses(self) -> None:
        """End all pauses, now and later."""
        self._stopped.set()

    def is_not_yet_visible(self, signature: str) -> bool:
        """Say whether this request for a signature is among those that get null."""
        if not self.faults.null_first:
            return False
        with self._lock:
            self._nulls[signature] += 1
            return self._nulls[signature] <= self.faults.null_first

    def shuffle(self, responses: list[bytes]) -> None:
        """Shuffle the responses of a batch if `shuffle_batches` is on."""
        if self.faults.shuffle_batches:
            with self._lock:
                self._rnd.shuffle(responses)

    # -- counts ------------------------------------------------------------------------------------

    def reset_stats(self) -> None:
        """Set all counts to 0."""
        with self._lock:
            self._services: Counter[str] = Counter()
            self._statuses: Counter[str] = Counter()
            self._methods: Counter[str] = Counter()
            self._signatures: Counter[str] = Counter()
            self._mints: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def count_request(self, service: str) -> None:
        """Count one HTTP request to `rpc`, `dexscreener`, `jupiter` or `logos`."""
        with self._lock:
            self._services[service] += 1

    def count_status(self, status: int) -> None:
        """Count one HTTP response; a dropped connection counts as 0."""
        with self._lock:
            self._statuses[str(status)] += 1

    def count_call(self, method: str) -> None:
        """Count one JSON-RPC call, alone or in a batch."""
        with self._lock:
            self._methods[method] += 1

    def count_transaction(self, signature: str) -> None:
        """Count one transaction that was sent."""
        with self._lock:
            self._signatures[signature] += 1

    def count_mints(self, service: str, mints: Iterable[str]) -> None:
        """Count the mints of one market request that got past the rate limit and `fail_…`."""
        with self._lock:
            self._mints[service].update(mints)

    def stats(self) -> dict[str, Any]:
        """Return all counts since the start or the last reset.

        `largest_mint_count`: by service, the number of requests for the mint that was requested most.
        """
        with self._lock:
            return {
                "http": self._services.total(),
                "services": dict(self._services),
                "statuses": dict(self._statuses),
                "methods": dict(self._methods),
                "transactions": self._signatures.total(),
                "distinct_transactions": len(self._signatures),
                "mints_by_service": {service: mints.total() for service, mints in self._mints.items()},
                "largest_mint_count": {s: max(mints.values(), default=0) for s, mints in self._mints.items()},
            }
