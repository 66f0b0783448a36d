"""Keeps the state of the switches while the simulator runs, and counts what was asked; decides no answer's content."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from random import Random
from threading import Event, Lock
from typing import Any

from tasks.simulator.faults import Faults


class Bucket:
    """A token bucket that holds one second's worth and may run into debt for a large batch."""

    def __init__(self) -> None:
        self.left = 0.0
        self.at_s: float | None = None

    def wait_s(self, rate: float, cost: int, now_s: float) -> float:
        """Take `cost` and return 0.0, or take nothing and return how long until it would do."""
        full = max(rate, 1.0)
        self.left = full if self.at_s is None else min(full, self.left + (now_s - self.at_s) * rate)
        self.at_s = now_s
        needed = min(float(cost), full)
        if self.left + 1e-9 >= needed:
            self.left -= cost
            return 0.0
        return (needed - self.left) / rate


class Switchboard:
    """The switches as they stand, and the counts. Safe to use from several threads."""

    def __init__(self, faults: Faults, seed: int, clock: Callable[[], float] = time.monotonic):
        self.faults = faults
        self._clock = clock
        self._rnd = Random(f"{seed}/faults")
        self._lock = Lock()
        self._over = Event()
        self._buckets: dict[str, Bucket] = {}
        self._nulls: Counter[str] = Counter()
        self.reset()

    # -- switches ----------------------------------------------------------------------------------

    def change(self, changes: Mapping[str, Any]) -> Faults:
        """Set some switches anew. Raises ValueError that names the first bad one."""
        with self._lock:
            self.faults = self.faults.changed(changes)
            self._nulls.clear()
            self._buckets.clear()
            return self.faults

    def wait_s(self, service: str, cost: int) -> int:
        """Return 0 when the rate limit lets the request pass, else the whole seconds until it would."""
        faults, group = self.faults, "rpc" if service == "rpc" else "market"
        rate = faults.rpc_requests_per_s if group == "rpc" else faults.market_requests_per_s
        if not rate:
            return 0
        with self._lock:
            bucket = self._buckets.setdefault(group if group == "rpc" else service, Bucket())
            return ceil(bucket.wait_s(rate, cost, self._clock()))

    def happens(self, fault: str, service: str) -> bool:
        """Say whether `fail`, `drop`, `garble` or `hang` hits this request."""
        with self._lock:
            faults = self.faults
            targets = ("all", service, "rpc" if service == "rpc" else "market")
            if faults.target not in targets:
                return False
            left = getattr(faults, f"{fault}_next")
            if left:
                self.faults = faults.changed({f"{fault}_next": left - 1})
                return True
            fraction: float = getattr(faults, f"{fault}_fraction")
            return fraction > 0 and self._rnd.random() < fraction

    def latency_s(self, service: str) -> float:
        """Return how long an answer of the service is to take at least."""
        faults = self.faults
        market_ms = faults.market_latency_ms if service in ("dexscreener", "jupiter") else 0.0
        return (faults.latency_ms + market_ms) / 1_000

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the simulator stops."""
        if seconds:
            self._over.wait(seconds)

    def end_pauses(self) -> None:
        """Let nothing wait any more, now and later."""
        self._over.set()

    def is_not_yet_visible(self, signature: str) -> bool:
        """Say whether this ask of a signature is among those that answer null."""
        if not self.faults.null_first:
            return False
        with self._lock:
            self._nulls[signature] += 1
            return self._nulls[signature] <= self.faults.null_first

    def shuffle(self, answers: list[bytes]) -> None:
        """Bring a batch's answers out of order if that is switched on."""
        if self.faults.shuffle_batches:
            with self._lock:
                self._rnd.shuffle(answers)

    # -- counts ------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget all counts."""
        with self._lock:
            self._http: Counter[str] = Counter()
            self._statuses: Counter[str] = Counter()
            self._methods: Counter[str] = Counter()
            self._batches: Counter[int] = Counter()
            self._signatures: Counter[str] = Counter()
            self._mints: defaultdict[str, Counter[str]] = defaultdict(Counter)
            self._seconds: defaultdict[str, Busiest] = defaultdict(lambda: Busiest(1.0))
            self._minutes: defaultdict[str, Busiest] = defaultdict(lambda: Busiest(60.0))

    def count_request(self, service: str) -> None:
        """Count one HTTP request to `rpc`, `dexscreener`, `jupiter` or `logos`."""
        with self._lock:
            now_s = self._clock()
            self._http[service] += 1
            self._seconds[service].add(now_s)
            self._minutes[service].add(now_s)

    def count_status(self, status: int) -> None:
        """Count one HTTP answer; a dropped connection counts as 0."""
        with self._lock:
            self._statuses[str(status)] += 1

    def count_batch(self, size: int) -> None:
        """Count one batch of so many calls."""
        with self._lock:
            self._batches[size] += 1

    def count_call(self, method: str) -> None:
        """Count one call, alone or in a batch."""
        with self._lock:
            self._methods[method] += 1

    def count_transaction(self, signature: str) -> None:
        """Count one transaction that was given out."""
        with self._lock:
            self._signatures[signature] += 1

    def count_mints(self, service: str, mints: Iterable[str]) -> None:
        """Count the mints of one market request that got past the rate limit and `fail_…`."""
        with self._lock:
            self._mints[service].update(mints)

    def stats(self) -> dict[str, Any]:
        """Return all counts since the start or the last reset.

        `largest_mint_count`: by service, how often it was asked for the mint that it was asked for most.
        `busiest_second`, `busiest_minute`: by service, the most HTTP requests in any such stretch, refused ones too.
        """
        with self._lock:
            return {
                "http": sum(self._http.values()),
                "services": dict(self._http),
                "statuses": dict(self._statuses),
                "methods": dict(self._methods),
                "calls": sum(self._methods.values()),
                "batches": self._batches.total(),
                "largest_batch": max(self._batches, default=0),
                "transactions": self._signatures.total(),
                "distinct_transactions": len(self._signatures),
                "mints": sum(mints.total() for mints in self._mints.values()),
                "distinct_mints": len(set().union(*self._mints.values())),
                "mints_by_service": {service: mints.total() for service, mints in self._mints.items()},
                "largest_mint_count": {s: max(mints.values(), default=0) for s, mints in self._mints.items()},
                "busiest_second": {service: busiest.most for service, busiest in self._seconds.items()},
                "busiest_minute": {service: busiest.most for service, busiest in self._minutes.items()},
            }


class Busiest:
    """The most moments that any stretch of `length_s` held, whichever moment it began at. Not thread-safe."""

    def __init__(self, length_s: float):
        self.most = 0
        self._length_s = length_s
        self._moments: deque[float] = deque()

    def add(self, at_s: float) -> None:
        """Take in the next moment; moments come in order."""
        while self._moments and self._moments[0] <= at_s - self._length_s:
            self._moments.popleft()
        self._moments.append(at_s)
        self.most = max(self.most, len(self._moments))
