"""Starts enrichment jobs: after an analysis, on a user's refresh, and by the schedule.

The path of a mint from a sync to the live price cell: `pipeline/sync.py` stores trades and mints, `pipeline/compare.py`
completes the analysis and calls `after_analysis`, `webapp` calls `refresh`, `worker.py` calls `maintain`. After:
`handler.py` runs the job → `fetcher.py` → `outcomes.py` → `token_queue.py` → `cache.py`, which the page's polls read.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from peewee import chunked

from tasks.enrichment import cache, job_progress, refresh_policy, token_queue
from tasks.errors import Conflict
from tasks.jobs import announce, states, submit
from tasks.jobs.priority import ANALYSIS, BACKGROUND, TIER_STEP, USER
from tasks.settings import current
from tasks.storage import analyses, database, tokens
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job

log = logging.getLogger("walletkin.enrichment")

ROWS_PER_WRITE = 3_000
ON_SCREEN = 150
MINTS_PER_PRIORITY = 30  # mints of one request share a priority
NOT_QUEUED = "The tokens could not be looked up. “Refresh prices” tries again."

BACKFILL_WITHIN_S = 3600.0
MOST_UNKNOWN = 9_000  # what the first source can look up in a minute
MOST_STALE = 1_500  # a sixth of that: background work leaves capacity to others


def after_analysis(analysis: Analysis) -> str | None:
    """Submit a job for the tokens of a complete analysis; return its id, None if that failed.

    Never raises: an analysis does not fail because its tokens have no names yet.
    """
    try:
        with database.write():
            made = submit.submit("enrich", [analysis.key], ANALYSIS, queue="enrichment", analysis_id=analysis.id)
    except Exception:
        log.exception("no enrichment job for an analysis; the schedule looks its unknown tokens up")
    else:
        with contextlib.suppress(Exception):  # recovery announces jobs without a message
            announce.announce(made.values())
        return made[analysis.key]
    with contextlib.suppress(Exception), database.write():
        submit.record_failure("enrich", analysis.key, ANALYSIS, NOT_QUEUED, analysis_id=analysis.id)
    return None


def refresh(analysis: Analysis, on_screen: Sequence[str] = ()) -> str:
    """Submit a job that refreshes every token of an analysis, those on screen first; return its id.

    Tokens looked up less than `refresh_policy.JUST_ASKED_S` ago are skipped. Conflict if there is no result yet.
    """
    if analysis.result_id is None:
        raise Conflict("There is no result yet whose prices could be refreshed.")
    visible = refresh_policy.of_result(analysis.result_id, list(dict.fromkeys(on_screen))[:ON_SCREEN])
    with database.write():
        made = submit.submit("refresh", [analysis.key], USER, queue="enrichment", analysis_id=analysis.id)
        job = states.lock_job(made[analysis.key])
        token_queue.enqueue(job.id, prioritised(refresh_policy.for_refresh(visible), job.priority))
        Job.update(total=None, run_after=None).where(Job.id == job.id).execute()
    cache.mark_loading(on_screen)
    announce.announce([job.id])
    return str(job.id)


def maintain() -> str | None:
    """Submit a job for unknown tokens and old prices (`refresh_policy.for_maintenance`); return its id.

    None if nothing is due or the previous such job is still live.
    """
    with database.session():
        busy = Job.select(Job.id).where(Job.kind == "maintain", Job.state.in_(states.LIVE)).limit(1)
        ids = [] if busy.count() else due_for_maintenance()
        if not ids:
            return None
        with database.write():
            made = submit.submit("maintain", ["tokens"], BACKGROUND, queue="enrichment")
        job = Job.get_by_id(made["tokens"])
        enqueue_all(job.id, ids, job.priority)
        announce.announce([job.id])
        return str(job.id)


def due_for_maintenance() -> list[int]:
    """Return the mint ids of the next maintenance job."""
    return refresh_policy.for_maintenance(MOST_UNKNOWN, MOST_STALE, current().refresh_every_s)


def backfill_enrichment() -> list[str | None]:
    """Submit the jobs that a worker could not because it died just after completing an analysis; return their ids."""
    with database.session():
        return [after_analysis(analysis) for analysis in analyses.without_job("enrich", BACKFILL_WITHIN_S)]


def clean_up() -> None:
    """Take tokens out of the queue that no job waits for, and delete the token rows of ended jobs."""
    with database.session():
        job_progress.drop_without_waiters(states.LIVE)
        job_progress.delete_finished(states.LIVE)


def prioritised(mint_ids: Sequence[int], priority: int) -> list[tuple[int, int]]:
    """Return (mint id, priority) for each mint, from `priority` downwards in the order given."""
    return [(mint_id, priority - number // MINTS_PER_PRIORITY) for number, mint_id in enumerate(mint_ids)]


def enqueue_all(job_id: str, mint_ids: Sequence[int], priority: int) -> None:
    """Queue tokens for a job in short transactions that lock its row first, then store the job's counts."""
    for part in chunked(prioritised(mint_ids, priority), ROWS_PER_WRITE):
        with database.write():
            states.lock_job(job_id)
            token_queue.enqueue(job_id, part)
        if priority >= ANALYSIS * TIER_STEP:
            cache.mark_loading(tokens.mint_names(mint_id for mint_id, _ in part).values())
    with database.write():
        states.lock_job(job_id)
        job_progress.count(job_id)
