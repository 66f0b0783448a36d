"""How far an analysis is, and how fast its syncs go: what each reader asks for every two seconds while it runs.

Plain SQL, for the reason that `database.rows` gives.
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
# Apart from the wallets, since a join by subject costs seconds for 10,000 of them.
SYNCS_READ = (
    "SELECT j.target, j.done, j.total FROM job_analysis ja JOIN job j ON j.id = ja.job_id WHERE ja.analysis_id = ? "
    f"AND j.kind = 'sync' AND j.state IN ({LIVE})"
)
# What is live and of known size; what is live and of unknown size; the size of those that tell it.
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
    """How far the syncs made for an analysis are, in transactions.

    `known` is what is still to come of the live jobs whose size is known, `unknown` the number of the others;
    `mean_size` is the mean over those known, None when none is.
    """

    done: int
    elapsed_s: float
    known: int
    unknown: int
    mean_size: float | None

    @property
    def seconds_left(self) -> float | None:
        """Return the time that the rest takes at the rate so far, None until something was measured."""
        if not self.done or self.elapsed_s <= 0 or (self.unknown and self.mean_size is None):
            return None
        return (self.known + self.unknown * (self.mean_size or 0)) * self.elapsed_s / self.done


def progress_rows(analysis_id: int) -> list[dict[str, Any]]:
    """Return, in the order of the input, how far the sync of each wallet is.

    Keys: address, label, line, state, reason, truncated, done, total (None when not known). No wallet, no rows.
    """
    live = sql.rows(SYNCS_READ, analysis_id)
    syncs = {address: (done, total) for address, done, total in live}
    rows = [dict(zip(KEYS, row, strict=True)) for row in sql.rows(WALLETS_READ, analysis_id)]
    for row in rows:
        row["truncated"] = bool(row["truncated"])  # SQLite's own answer is a number
        if row["state"] not in ENDED_WALLET:
            row["done"], row["total"] = syncs.get(row["address"], (0, None))
    return rows


def pace(analysis_id: int) -> Pace:
    """Measure the syncs of an analysis; one without syncs has done nothing in no time."""
    ((done, elapsed_s, known, unknown, mean),) = sql.rows(PACE_READ.format(now=database.clock().sql), analysis_id)
    return Pace(int(done), elapsed_s or 0.0, max(0, int(known)), int(unknown), None if mean is None else float(mean))


def stage_jobs(analysis_id: int) -> dict[str, dict[str, Any]]:
    """Return kind → the newest job of an analysis of that kind, syncs left out; with `state`, `done` and `total`."""
    return {row[0]: dict(zip(STAGE_KEYS, row, strict=True)) for row in sql.rows(STAGES_READ, analysis_id)}
