"""Figures for the operator's page: queue depths, finished jobs, tokens, database size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.storage import database
from tasks.storage import sql as storage_sql

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The live jobs of a tier of a queue: running, waiting, and delayed (`put_off`).

    `oldest_s` is the longest wait of a job, None if none waits.
    """

    queue: str
    tier: int
    running: int
    waiting: int
    put_off: int
    oldest_s: float | None


# A requeued job waits since its last message, a delayed one since it was due.
SINCE = (
    "CASE WHEN started_at IS NOT NULL AND announced_at IS NOT NULL THEN announced_at "
    "WHEN run_after > enqueued_at THEN run_after ELSE enqueued_at END"
)
HELD = "claim_token IS NOT NULL AND lease_until >= ?"
PUT_OFF = "run_after IS NOT NULL AND run_after > ?"
DEPTHS = (
    f"SELECT queue, tier, SUM(CASE WHEN {HELD} THEN 1 ELSE 0 END), "
    f"SUM(CASE WHEN {HELD} THEN 0 WHEN {PUT_OFF} THEN 0 ELSE 1 END), "
    f"SUM(CASE WHEN {HELD} THEN 0 WHEN {PUT_OFF} THEN 1 ELSE 0 END), "
    f"MIN(CASE WHEN {HELD} THEN NULL WHEN {PUT_OFF} THEN NULL ELSE {SINCE} END) "
    "FROM job WHERE state IN ('queued', 'running') GROUP BY queue, tier"
)


def depths() -> list[QueueDepth]:
    """Return the live jobs by queue and tier; a tier without any is left out."""
    now = database.now_s()
    rows = storage_sql.rows(DEPTHS, *[now] * DEPTHS.count("?"))
    return [
        QueueDepth(
            queue, tier, int(running), int(waiting), int(put_off), None if since is None else max(0.0, now - since)
        )
        for queue, tier, running, waiting, put_off, since in rows
    ]


@dataclass(frozen=True, slots=True)
class FinishedJobs:
    """Jobs of a kind that ended in the same way in the same hour: how many, and of those that had begun how many
    `timed`, their `seconds` in all and the `longest_s`. `hours_ago` is whole, 0 for the last sixty minutes.
    """

    kind: str
    state: str
    hours_ago: int
    count: int
    timed: int
    seconds: float
    longest_s: float | None


def ended_jobs(hours: int = 24) -> list[FinishedJobs]:
    """Return the jobs that ended in the last hours, summed up by the database: there may be hundreds of thousands."""
    now = database.now_s()
    # SQLite cuts off where PostgreSQL rounds.
    ago = "(? - finished_at) / 3600" if database.is_sqlite() else "FLOOR((? - finished_at) / 3600)"
    sql = (
        f"SELECT kind, state, CAST({ago} AS INTEGER) AS ago, COUNT(*), COUNT(started_at), "
        "COALESCE(SUM(finished_at - started_at), 0), MAX(finished_at - started_at) "
        "FROM job WHERE finished_at > ? AND finished_at <= ? GROUP BY kind, state, ago"
    )
    return [FinishedJobs(*row) for row in storage_sql.rows(sql, now, now - hours * HOUR_S, now)]


def token_counts() -> dict[str, int]:
    """Return how many tokens of the registry have each status; a status that none has is left out."""
    return {status: count for status, count in storage_sql.rows("SELECT status, COUNT(*) FROM token GROUP BY status")}


def database_bytes() -> int:
    """Return the size of the database, without its log."""
    if database.is_sqlite():
        return _number("PRAGMA page_count") * _number("PRAGMA page_size")
    return _number("SELECT pg_database_size(current_database())")


def _number(sql: str) -> int:
    found: Any = storage_sql.rows(sql)[0][0]
    return int(found)
