"""The operator's page: tables, and the numbers of its small charts; and the answer of /readyz."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from tasks.jobs import queues
from tasks.metrics import BEYOND, REQUEST_BOUNDS_S
from tasks.operations import health, heartbeat, metric_store, queue_stats
from tasks.operations.metric_store import Totals
from webapp.exports.prometheus import STATUSES, TIER_NAMES
from webapp.fields import Positive
from webapp.presenters import charts

HOURS = 24
MOST_ENDPOINTS = 20
OUTCOMES = ("succeeded", "failed", "cancelled")
SOURCE_OUTCOMES = ("answered", "429", "refused", "no answer")
SLOW_SHARE = 0.95
MEGABYTE = 1_000_000


Table = list[Mapping[str, Any]]
"""Rows of a table of the page; each function names the columns."""


class Health(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class Readiness(TypedDict):
    """Whether the parts work; null is what cannot be determined."""

    status: Literal["ok", "unavailable"]
    checks: Mapping[str, bool | None]
    oldest_waiting_s: Mapping[str, Positive | None]
    reasons: list[str]


class View(TypedDict):
    """All that the operator's page shows; counts are of all processes, since the database was created."""

    reasons: list[str]
    processes: Table
    queues: Table
    jobs: Mapping[str, Any]
    requests: Mapping[str, Any]
    sources: Table
    tokens: Mapping[str, int]
    size_mb: float


def readiness() -> Readiness:
    """Return whether database, queues and workers do their work."""
    found = health.check()
    return {
        "status": "ok" if found.is_well else "unavailable",
        "checks": found.checks,
        "oldest_waiting_s": found.oldest_waiting_s,
        "reasons": found.reasons,
    }


def view() -> View:
    """Return what the page shows."""
    found, totals = health.check(), metric_store.totals()
    return {
        "reasons": found.reasons,
        "processes": [_process(one) for one in heartbeat.processes()],
        "queues": _queues(queue_stats.depths()),
        "jobs": _jobs(queue_stats.ended_jobs(HOURS)),
        "requests": _requests(totals),
        "sources": _sources(totals.get("source_calls", {})),
        "tokens": _tokens(queue_stats.token_counts()),
        "size_mb": queue_stats.database_bytes() / MEGABYTE,
    }


def _process(one: heartbeat.Process) -> Mapping[str, Any]:
    machine, pid, _ = one.name.rsplit("/", 2)
    return {
        "role": one.role, "machine": machine, "pid": pid, "version": one.version, "is_alive": one.is_alive,
        "up_s": one.up_s, "silent_s": max(0.0, one.silent_s), "worked_s": one.worked_s, "busy": one.busy,
    }  # fmt: skip


def _queues(depths: Sequence[queue_stats.QueueDepth]) -> Table:
    """Return a row for each tier of each queue, also where it is empty."""
    found = {(one.queue, one.tier): one for one in depths}
    empty = {"running": 0, "waiting": 0, "put_off": 0, "oldest_s": None}
    rows: Table = []
    for queue in queues.QUEUES:
        for tier, name in TIER_NAMES.items():
            one = found.get((queue, tier))
            numbers = {key: getattr(one, key) for key in empty} if one else empty
            rows.append({"queue": queue, "tier": name, **numbers})
    return rows


@dataclass(slots=True)
class _Ended:
    """Jobs of a kind that ended."""

    kind: str
    counts: Counter[str] = field(default_factory=Counter)
    timed: int = 0
    seconds: float = 0.0
    longest_s: float | None = None

    def add(self, one: queue_stats.FinishedJobs) -> None:
        self.counts[one.state] += one.count
        self.timed += one.timed
        self.seconds += one.seconds
        self.longest_s = max(filter(None, (self.longest_s, one.longest_s)), default=None)

    def row(self) -> Mapping[str, Any]:
        mean_s = self.seconds / self.timed if self.timed else None
        outcomes = {outcome: self.counts[outcome] for outcome in OUTCOMES}
        return {"kind": self.kind, "mean_s": mean_s, "longest_s": self.longest_s, **outcomes}


def _jobs(ended: Sequence[queue_stats.FinishedJobs]) -> Mapping[str, Any]:
    """Return a row for each kind of job, and a chart of how many ended in each hour, the oldest first."""
    kinds: dict[str, _Ended] = {}
    hours = [0] * HOURS
    for one in ended:
        kinds.setdefault(one.kind, _Ended(one.kind)).add(one)
        hours[HOURS - 1 - min(one.hours_ago, HOURS - 1)] += one.count
    rows = [row.row() for _, row in sorted(kinds.items())]
    return {"rows": rows, "total": sum(hours), "chart": charts.histogram(hours, height=48, unit="jobs")}


def _requests(totals: Totals) -> Mapping[str, Any]:
    """Return a row for each endpoint, the busiest first, and a chart of how long all requests took."""
    bounds: dict[str, Counter[str]] = {}
    statuses: dict[str, Counter[str]] = {}
    durations = dict.fromkeys((*map(repr, REQUEST_BOUNDS_S), BEYOND), 0)
    for (_, endpoint, status, bound), number in totals.get("requests", {}).items():
        bounds.setdefault(endpoint, Counter())[bound] += int(number)
        statuses.setdefault(endpoint, Counter())[status] += int(number)
        durations[bound] = durations.get(bound, 0) + int(number)
    seconds: Counter[str] = Counter()
    for (_, endpoint, _), value in totals.get("requests_sum", {}).items():
        seconds[endpoint] += value  # type: ignore[assignment]  # a Counter adds up floats as well
    rows = [_endpoint(name, statuses[name], bounds[name], seconds[name]) for name in statuses]
    rows.sort(key=lambda row: (-row["count"], row["endpoint"]))
    return {
        "rows": rows[:MOST_ENDPOINTS],
        "total": sum(durations.values()),
        "refused": int(totals.get("refused", {}).get((), 0.0)),
        "chart": charts.histogram(list(durations.values()), height=48, unit="requests"),
    }


def _endpoint(name: str, statuses: Counter[str], bounds: Counter[str], seconds: float) -> Mapping[str, Any]:
    count = statuses.total()
    return {
        "endpoint": name,
        "count": count,
        "refused": statuses["4xx"],
        "failed": statuses["5xx"],
        "mean_ms": 1000 * seconds / count,
        "most_ms": _bound_ms(bounds, count),
    }


def _bound_ms(bounds: Mapping[str, float], count: int) -> float | None:
    """Return the bound, in milliseconds, that 95 % of the requests stayed below; None above the last one."""
    so_far = 0.0
    for bound in REQUEST_BOUNDS_S:
        so_far += bounds.get(repr(bound), 0.0)
        if so_far >= SLOW_SHARE * count:
            return bound * 1000
    return None


def _sources(calls: Mapping[tuple[str, ...], float]) -> Table:
    """Return a row for each outside service: requests in all, and how many ended in which way."""
    ended: dict[str, Counter[str]] = {}
    for (source, outcome), number in calls.items():
        ended.setdefault(source, Counter())[outcome] = int(number)
    return [
        {"source": source, "calls": counts.total(), "ended": [counts[outcome] for outcome in SOURCE_OUTCOMES]}
        for source, counts in sorted(ended.items())
    ]


def _tokens(found: Mapping[str, int]) -> Mapping[str, int]:
    """Return the counts by status, 0 where there is none, and the total: what the bar of tokens takes."""
    counts = {status: found.get(status, 0) for status in STATUSES}
    return {**counts, "total": sum(counts.values())}
