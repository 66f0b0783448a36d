"""Deletes old analyses with everything that only they use, old jobs with their events, and replaced results.

Wallets, trades and tokens stay. Deletion runs in short transactions. An analysis is hidden first and its row deleted
last, so that the next run completes what a killed one began.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, fn

from tasks.storage import database
from tasks.storage.models.analyses import Analysis, AnalysisIntake, AnalysisWallet
from tasks.storage.models.jobs import LIVE_JOB, Job, JobAnalysis, JobEvent, JobMint
from tasks.storage.models.results import Allocation, Pair, PairOrder, Result, ResultCluster, ResultMint, ResultWallet

DAY_S = 86_400.0
ENDED = ("complete", "failed", "cancelled")
WALLETS_PER_WRITE, JOBS_PER_WRITE = 2_000, 300
MINTS_PER_WRITE, POSITIONS_PER_WRITE, PAIRS_PER_WRITE = 2_000, 100, 5_000
ANALYSES_PER_READ = 20


@dataclass(frozen=True, slots=True)
class Removed:
    """How many analyses and jobs were deleted, and whether more are due."""

    analyses: int
    jobs: int
    more: bool


def expire(keep_days: float, budget_s: float = 20.0) -> Removed:
    """Delete what ended more than `keep_days` ago, by the database's clock, for about `budget_s`.

    An analysis that was begun is completed, even after that.
    """
    before, end = database.now_s() - keep_days * DAY_S, time.monotonic() + budget_s
    analyses = jobs = 0
    more = True
    while more and time.monotonic() < end:
        removed = _remove_analyses(before, end)
        analyses += removed
        more = removed > 0
    _remove_dropped_results()
    while not more and time.monotonic() < end:
        ids = _old_jobs(before)
        _remove_jobs(ids)
        jobs += len(ids)
        if len(ids) < JOBS_PER_WRITE:
            return Removed(analyses, jobs, False)
    return Removed(analyses, jobs, True)


def _remove_analyses(before: float, end: float) -> int:
    """Delete some analyses that ended before a time; return how many."""
    a = Analysis
    over = a.state.in_(ENDED) & (a.finished_at < before)
    removed = 0
    for (analysis_id,) in list(a.select(a.id).where(over).order_by(a.id).limit(ANALYSES_PER_READ).tuples()):
        _remove_analysis(analysis_id)
        removed += 1
        if time.monotonic() > end:
            break
    return removed


def _remove_analysis(analysis_id: int) -> None:
    """Hide an analysis, delete its rows elsewhere, and last its own row, by which a later run finds it."""
    is_it = Analysis.id == analysis_id
    with database.write():
        Analysis.update(key=f"expired {secrets.token_hex(16)}", owner=None, idempotency_key=None).where(is_it).execute()
    complete = Result.select(Result.id).where(Result.analysis_id == analysis_id, ~Result.dropped)
    for (result_id,) in list(complete.tuples()):
        drop_result(result_id)
    _remove_wallets(analysis_id)
    _detach_jobs(analysis_id)
    with database.write():
        AnalysisIntake.delete().where(AnalysisIntake.analysis_id == analysis_id).execute()
        # SQLite may reuse the id: no row may refer to it any more.
        Analysis.update(parent_id=None).where(Analysis.parent_id == analysis_id).execute()
        Result.delete().where(Result.analysis_id == analysis_id, Result.id < _newest_result()).execute()
        Result.update(analysis_id=0, summary="{}", insights="[]").where(Result.analysis_id == analysis_id).execute()
        Analysis.delete().where(is_it).execute()


def _newest_result() -> int:
    """Return the number of the newest result. Its row stays until there is a newer one: SQLite would reuse the number,
    by which pages cache results.
    """
    return int(Result.select(fn.MAX(Result.id)).scalar() or 0)


def _remove_dropped_results() -> None:
    """Delete the rows of results that were the newest when their analysis expired."""
    over = (Result.analysis_id == 0) & (Result.id < _newest_result())
    if Result.select(Result.id).where(over).count():
        with database.write():
            Result.delete().where(over).execute()


def _remove_wallets(analysis_id: int) -> None:
    w = AnalysisWallet
    last = w.select(fn.MAX(w.position)).where(w.analysis_id == analysis_id).scalar()
    for low in range(0, -1 if last is None else last + 1, WALLETS_PER_WRITE):
        with database.write():
            part = (w.position >= low) & (w.position < low + WALLETS_PER_WRITE)
            w.delete().where(w.analysis_id == analysis_id, part).execute()


def _detach_jobs(analysis_id: int) -> None:
    """Delete the links of an analysis to jobs; jobs without another link expire later."""
    mine = JobAnalysis.analysis_id == analysis_id
    part = JobAnalysis.select(JobAnalysis.job_id).where(mine).order_by(JobAnalysis.job_id).limit(WALLETS_PER_WRITE)
    while ids := [job_id for (job_id,) in part.tuples()]:
        with database.write():
            JobAnalysis.delete().where(mine, JobAnalysis.job_id <= ids[-1]).execute()


def _old_jobs(before: float) -> list[str]:
    """Return the ids of some jobs that ended before a time and belong to no analysis, oldest first."""
    query = (
        Job.select(Job.id)
        .join(JobAnalysis, JOIN.LEFT_OUTER, on=(JobAnalysis.job_id == Job.id))
        .where(Job.finished_at < before, Job.state.not_in(LIVE_JOB), JobAnalysis.job_id.is_null())
        .order_by(Job.finished_at, Job.id)
        .limit(JOBS_PER_WRITE)
    )
    return [job_id for (job_id,) in query.tuples()]


def _remove_jobs(ids: list[str]) -> None:
    tables: tuple[Any, ...] = (JobEvent.job_id, JobMint.job_id, Job.id)
    with database.write():
        for key in tables:
            key.model.delete().where(key.in_(ids)).execute()


def delete_unreferenced(older_than_s: float = 120.0) -> list[int]:
    """Delete the rows of replaced results after `older_than_s`; return the ids of the results.

    The delay is for readers that are in the middle of one. The row of the result stays, so that its number is never
    reused.
    """
    now = database.now_s()
    replaced = {row[0]: row[1] for row in _replaced().tuples()}
    if fresh := [result_id for result_id, since in replaced.items() if since is None]:
        with database.write():
            Result.update(unseen_at=now).where(Result.id.in_(fresh)).execute()
    due = now - older_than_s
    over = [result_id for result_id, since in replaced.items() if (now if since is None else since) <= due]
    for result_id in over:
        drop_result(result_id)
    return over


def _replaced() -> Any:
    """Return the query of (id, unseen_at) of results with rows that are neither shown nor being built."""
    busy = Job.select(Job.target).where(Job.kind.in_(("provisional", "similarity")), Job.state.in_(LIVE_JOB))
    return (
        Result.select(Result.id, Result.unseen_at)
        .join(Analysis, JOIN.INNER, on=(Analysis.id == Result.analysis_id))
        .where(
            ~Result.dropped,
            Analysis.result_id.is_null() | (Analysis.result_id != Result.id),
            Analysis.key.not_in(busy),
        )
        .order_by(Result.id)
    )


def drop_result(result_id: int) -> None:
    """Delete the rows of a result that is not shown, in short transactions."""
    for key, step in (
        (Pair.number, PAIRS_PER_WRITE),
        (PairOrder.chunk, POSITIONS_PER_WRITE),
        (ResultCluster.number, POSITIONS_PER_WRITE),
        (ResultWallet.position, POSITIONS_PER_WRITE),
        (Allocation.position, POSITIONS_PER_WRITE),
    ):
        _drop_rows(key, step, result_id)
    _drop_mints(result_id)
    with database.write():
        Result.update(dropped=True).where(Result.id == result_id).execute()


def _drop_rows(key: Any, step: int, result_id: int) -> None:
    """Delete by ranges of a key, so that no single transaction holds the lock for long."""
    model = key.model
    last = model.select(fn.max(key)).where(model.result_id == result_id).scalar()
    for low in range(0, -1 if last is None else last + 1, step):
        with database.write():
            model.delete().where(model.result_id == result_id, key >= low, key < low + step).execute()


def _drop_mints(result_id: int) -> None:
    m = ResultMint
    first = m.select(m.mint_id).where(m.result_id == result_id).order_by(m.mint_id).limit(MINTS_PER_WRITE)
    while part := [mint_id for (mint_id,) in first.tuples()]:
        with database.write():
            m.delete().where(m.result_id == result_id, m.mint_id <= part[-1]).execute()
