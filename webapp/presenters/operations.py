"""What an operator watches, put in the form that the page of it shows: tables, and the numbers of its small charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.jobs import queues
from tasks.metrics import BEYOND, REQUEST_BOUNDS_S
from tasks.operations import health, heartbeat, metric_store, queue_stats
from tasks.operations.metric_store import Totals
from webapp.exports.prometheus import STATUSES, TIER_NAMES
from webapp.presenters import charts

HOURS = 24
MOST_ENDPOINTS = 20
OUTCOMES = ("succeeded", "failed", "cancelled")
SLOW_SHARE = 0.95
MEGABYTE = 1_000_000


def view() -> dict[str, Any]:
    """Return everything that the page shows; counts are of all processes, since the database was made."""
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


def _process(one: heartbeat.Process) -> dict[str, Any]:
    machine, pid, _ = one.name.rsplit("/", 2)
    return {
        "role": one.role, "machine": machine, "pid": pid, "version": one.version, "is_alive": one.is_alive,
        "up_s": one.up_s, "silent_s": max(0.0, one.silent_s), "worked_s": one.worked_s, "busy": one.busy,
    }  # fmt: skip


def _queues(depths: Sequence[queue_stats.QueueDepth]) -> list[dict[str, Any]]:
    """Return a row for each tier of each queue, also where it is empty."""
    found = {(one.queue, one.tier): one for one in depths}
    empty = {"running": 0, "waiting": 0, "put_off": 0, "oldest_s": None}
    rows = []
    for queue in queues.QUEUES:
        for tier, name in TIER_NAMES.items():
            one = found.get((queue, tier))
            numbers = {key: getattr(one, key) for key in empty} if one else empty
            rows.append({"queue": queue, "tier": name, **numbers})
    return rows


def _jobs(ended: Sequence[queue_stats.FinishedJobs]) -> dict[str, Any]:
    """Return a row for each kind of job, and a chart of how many ended in each hour, the oldest first."""
    kinds: dict[str, dict[str, Any]] = {}
    hours = [0] * HOURS
    for one in ended:
        empty = {"kind": one.kind, "timed": 0, "seconds": 0.0, "longest_s": None, **dict.fromkeys(OUTCOMES, 0)}
        row = kinds.setdefault(one.kind, empty)
        row[one.state] += one.count
        row["timed"] += one.timed
        row["seconds"] += one.seconds
        row["longest_s"] = max(filter(None, (row["longest_s"], one.longest_s)), default=None)
        hours[HOURS - 1 - min(one.hours_ago, HOURS - 1)] += one.count
    rows = [
        {**row, "mean_s": row["seconds"] / row["timed"] if row["timed"] else None} for _, row in sorted(kinds.items())
    ]
    return {"rows": rows, "total": sum(hours), "chart": charts.histogram(hours, height=48, unit="jobs")}


def _requests(totals: Totals) -> dict[str, Any]:
    """Return a row for each endpoint, those asked most first, and a chart of how long all requests took."""
    rows: dict[str, dict[str, Any]] = {}
    durations = dict.fromkeys((*map(repr, REQUEST_BOUNDS_S), BEYOND), 0.0)
    for (_, endpoint, status, bound), number in totals.get("requests", {}).items():
        row = rows.setdefault(endpoint, {"endpoint": endpoint, "count": 0, "refused": 0, "failed": 0, "bounds": {}})
        row["count"] += int(number)
        row["refused"] += int(number) if status == "4xx" else 0
        row["failed"] += int(number) if status == "5xx" else 0
        row["bounds"][bound] = row["bounds"].get(bound, 0.0) + number
        durations[bound] = durations.get(bound, 0.0) + number
    seconds: dict[str, float] = {}
    for (_, endpoint, _), value in totals.get("requests_sum", {}).items():
        seconds[endpoint] = seconds.get(endpoint, 0.0) + value
    asked = sorted(rows.values(), key=lambda row: (-row["count"], row["endpoint"]))
    for row in asked:
        row["mean_ms"] = 1000 * seconds.get(row["endpoint"], 0.0) / row["count"]
        row["most_ms"] = _bound_ms(row["bounds"], row["count"])
    return {
        "rows": asked[:MOST_ENDPOINTS],
        "total": sum(row["count"] for row in asked),
        "refused": int(totals.get("refused", {}).get((), 0.0)),
        "chart": charts.histogram([int(one) for one in durations.values()], height=48, unit="requests"),
    }


def _bound_ms(bounds: Mapping[str, float], count: int) -> float | None:
    """Return the bound, in milliseconds, that 95 % of the requests kept; None when it is above the last one."""
    so_far = 0.0
    for bound in REQUEST_BOUNDS_S:
        so_far += bounds.get(repr(bound), 0.0)
        if so_far >= SLOW_SHARE * count:
            return bound * 1000
    return None


def _sources(calls: Mapping[tuple[str, ...], float]) -> list[dict[str, Any]]:
    """Return a row for each outside service: requests in all, and how many ended in which way."""
    rows: dict[str, dict[str, Any]] = {}
    for (source, outcome), number in calls.items():
        row = rows.setdefault(source, {"source": source, "calls": 0})
        row["calls"] += int(number)
        row[outcome] = int(number)
    outcomes = ("answered", "429", "refused", "no answer")
    return [{"source": name, "calls": row["calls"], "ended": [row.get(one, 0) for one in outcomes]}
            for name, row in sorted(rows.items())]  # fmt: skip


def _tokens(found: Mapping[str, int]) -> dict[str, Any]:
    """Return the counts by status, 0 where there is none, and the total: what the bar of tokens takes."""
    counts = {status: found.get(status, 0) for status in STATUSES}
    return {**counts, "total": sum(counts.values())}
