"""What starts an enrichment: a finished analysis, a user's refresh, the clock."""

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

PLACES_PER_WRITE = 3_000
ON_SCREEN = 150
MINTS_PER_PLACE = 30  # mints of one request share a place in the order
NOT_ASKED = "The tokens could not be asked for. “Refresh prices” tries it again."

MADE_UP_WITHIN_S = 3600.0
MOST_UNKNOWN = 9_000  # what the first source can be asked for in a minute
MOST_STALE = 1_500  # a sixth of that: the background leaves room


# Triggers ---------------------------------------------------------------------------------------------------------


def after_analysis(analysis: Analysis) -> str | None:
    """Ask for every mint of a finished analysis; return the job's id, None when even that could not be recorded.

    Never raises: an analysis does not fail because its tokens have no names yet.
    """
    try:
        with database.write():
            made = submit.submit("enrich", [analysis.key], ANALYSIS, queue="enrichment", analysis_id=analysis.id)
    except Exception:
        log.exception("the tokens of an analysis could not be asked for; the schedule will ask for those unknown")
    else:
        with contextlib.suppress(Exception):  # the schedule announces what has no message
            announce.announce(made.values())
        return made[analysis.key]
    with contextlib.suppress(Exception), database.write():
        submit.record_failure("enrich", analysis.key, ANALYSIS, NOT_ASKED, analysis_id=analysis.id)
    return None


def refresh(analysis: Analysis, on_screen: Sequence[str] = ()) -> str:
    """Ask again for every mint of an analysis, those on screen first; return the job's id.

    What was asked less than `due.JUST_ASKED_S` ago is not asked again. Conflict when there is no result yet.
    """
    if analysis.result_id is None:
        raise Conflict("There is no result yet whose prices could be refreshed.")
    seen = refresh_policy.of_result(analysis.result_id, list(dict.fromkeys(on_screen))[:ON_SCREEN])
    with database.write():
        made = submit.submit("refresh", [analysis.key], USER, queue="enrichment", analysis_id=analysis.id)
        job = states.lock_job(made[analysis.key])
        token_queue.enqueue(job.id, prioritised(refresh_policy.for_refresh(seen), job.priority))
        Job.update(total=None, run_after=None).where(Job.id == job.id).execute()
    cache.mark_loading(on_screen)
    announce.announce([job.id])
    return str(job.id)


def maintain() -> str | None:
    """Ask for what nobody asks for: unknown mints, then the most-held whose price is old. None when nothing is due.

    One such job at a time; the next begins when it has ended.
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
    return refresh_policy.for_maintenance(MOST_UNKNOWN, MOST_STALE, current().refresh_every_s)


def backfill_enrichment() -> list[str | None]:
    """Ask for the tokens of analyses that were completed by a worker which died before it could; return the jobs."""
    with database.session():
        return [after_analysis(analysis) for analysis in analyses.without_job("enrich", MADE_UP_WITHIN_S)]


def tidy() -> None:
    """Forget what is waited for by nobody, and the mints of jobs that have ended."""
    with database.session():
        job_progress.drop_without_waiters(states.LIVE)
        job_progress.delete_finished(states.LIVE)


def prioritised(mint_ids: Sequence[int], priority: int) -> list[tuple[int, int]]:
    """Give mints their places from `priority` downwards, the first ones the highest."""
    return [(mint_id, priority - number // MINTS_PER_PLACE) for number, mint_id in enumerate(mint_ids)]


def enqueue_all(job_id: str, mint_ids: Sequence[int], priority: int) -> None:
    """Let a job wait for mints, in short transactions that begin with its row, and say how many they are."""
    for part in chunked(prioritised(mint_ids, priority), PLACES_PER_WRITE):
        with database.write():
            states.lock_job(job_id)
            token_queue.enqueue(job_id, part)
        if priority >= ANALYSIS * TIER_STEP:
            cache.mark_loading(tokens.mint_names(mint_id for mint_id, _ in part).values())
    with database.write():
        states.lock_job(job_id)
        job_progress.count(job_id)
