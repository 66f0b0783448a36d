"""The progress of an analysis and the speed of its syncs, which every open page polls every two seconds.

Plain SQL, for the reason given at `sql.rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.storage import database, sql
from tasks.storage.models.jobs import LIVE_JOB

ENDED_WALLET = ("synced", "partial", "failed")
LIVE = ", ".join(f"'{state}'" for state in LIVE_JOB)
KEYS = ("address", "label", "line", "state", "reason", "truncated", "done", "total")
WALLETS_READ = (
    "SELECT a.address, w.label, w.line, w.state, w.reason, w.truncated, w.transactions, w.transactions "
    "FROM analysis_wallet w JOIN wallet a ON a.id = w.wallet_id WHERE w.analysis_id = ? "
    'ORDER BY w.line, w."position"'
)
# Not joined to the wallets: a join by target takes seconds for 10,000 of them.
SYNCS_READ = (
    "SELECT j.target, j.done, j.total FROM job_analysis ja JOIN job j ON j.id = ja.job_id WHERE ja.analysis_id = ? "
    f"AND j.kind = 'sync' AND j.state IN ({LIVE})"
)
# Done, elapsed, live and of known size, live and of unknown size, mean size where known.
PACE_READ = (
    f"SELECT COALESCE(SUM(j.done), 0), {{now}} - MIN(j.started_at), "
    f"COALESCE(SUM(CASE WHEN j.state IN ({LIVE}) AND j.total IS NOT NULL THEN j.total - j.done END), 0), "
    f"COALESCE(SUM(CASE WHEN j.state IN ({LIVE}) AND j.total IS NULL THEN 1 END), 0), "
    f"AVG(COALESCE(j.total, CASE WHEN j.state NOT IN ({LIVE}) THEN j.done END)) "
    "FROM job_analysis ja JOIN job j ON j.id = ja.job_id WHERE ja.analysis_id = ? AND j.kind = 'sync'"
)
STAGE_KEYS = ("kind", "state", "done", "total", "error")
STAGES_READ = (
    "SELECT j.kind, j.state, j.done, j.total, j.error FROM job_analysis ja JOIN job j ON j.id = ja.job_id "
    "WHERE ja.analysis_id = ? AND j.kind <> 'sync' ORDER BY j.enqueued_at, j.id"
)


@dataclass(frozen=True, slots=True)
class Pace:
    """The progress of the syncs made for an analysis, in transactions.

    `known` is the rest of the live jobs whose size is known, `unknown` the number of the other live jobs, `mean_size`
    the mean of the known sizes (None without any).
    """

    done: int
    elapsed_s: float
    known: int
    unknown: int
    mean_size: float | None

    @property
    def seconds_left(self) -> float | None:
        """Return the time left at the rate so far, None until a rate was measured."""
        if not self.done or self.elapsed_s <= 0 or (self.unknown and self.mean_size is None):
            return None
        return (self.known + self.unknown * (self.mean_size or 0)) * self.elapsed_s / self.done


def progress_rows(analysis_id: int) -> list[dict[str, Any]]:
    """Return the progress of each wallet's sync, in the order of the input.

    Keys: address, label, line, state, reason, truncated, done, total (None when unknown).
    """
    live = sql.rows(SYNCS_READ, analysis_id)
    syncs = {address: (done, total) for address, done, total in live}
    rows = [dict(zip(KEYS, row, strict=True)) for row in sql.rows(WALLETS_READ, analysis_id)]
    for row in rows:
        row["truncated"] = bool(row["truncated"])  # SQLite returns a number
        if row["state"] not in ENDED_WALLET:
            row["done"], row["total"] = syncs.get(row["address"], (0, None))
    return rows


def pace(analysis_id: int) -> Pace:
    """Return the progress of the syncs of an analysis; zeros without syncs."""
    ((done, elapsed_s, known, unknown, mean),) = sql.rows(PACE_READ.format(now=database.clock().sql), analysis_id)
    return Pace(int(done), elapsed_s or 0.0, max(0, int(known)), int(unknown), None if mean is None else float(mean))


def stage_jobs(analysis_id: int) -> dict[str, dict[str, Any]]:
    """Return kind → the newest job of an analysis of that kind (STAGE_KEYS), except syncs."""
    return {row[0]: dict(zip(STAGE_KEYS, row, strict=True)) for row in sql.rows(STAGES_READ, analysis_id)}
