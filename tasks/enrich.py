"""Enrichment: what starts it (a finished analysis, a user, the clock), and the jobs that say what came of it.

A job waits for mints; the lanes ask for whatever is wanted most, whoever wants it. So a job's slice may bring another
job to its end, and a job whose mints others asked for only counts them. Asks no market itself.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence

from peewee import chunked

from tasks import jobs, lanes, queues, runner, submission
from tasks.errors import Conflict
from tasks.queues import SETTINGS
from tasks.records import analyses, database, due, job_mints, prices, results, tokens, wants
from tasks.records.models import Analysis, Job
from tasks.sources.market import market_sources
from tasks.tiers import LATER

log = logging.getLogger("walletkin.enrichment")

SLICE_S = 3.0
PLACES_PER_WRITE = 3_000
ON_SCREEN = 150
MINTS_PER_PLACE = 30  # mints of one request share a place in the order
NOT_ASKED = "The tokens could not be asked for. “Refresh prices” tries it again."
LEAST_REST_S, MOST_REST_S = 0.5, 30.0
MADE_UP_WITHIN_S = 3600.0
MOST_UNKNOWN = 9_000  # what the first source can be asked for in a minute
MOST_STALE = 1_500  # a sixth of that: the background leaves room

_lanes: list[lanes.Lane] = []
_lanes_lock = threading.Lock()


# Triggers ---------------------------------------------------------------------------------------------------------


def after_analysis(analysis: Analysis) -> str | None:
    """Ask for every mint of a finished analysis; return the job's id, None when even that could not be recorded.

    Never raises: an analysis does not fail because its tokens have no names yet.
    """
    try:
        with database.write():
            made = submission.submit(
                "enrich", [analysis.key], queues.ANALYSIS, queue="enrichment", analysis_id=analysis.id
            )
    except Exception:
        log.exception("the tokens of an analysis could not be asked for; the schedule will ask for those unknown")
    else:
        with contextlib.suppress(Exception):  # the schedule announces what has no message
            jobs.announce(made.values())
        return made[analysis.key]
    with contextlib.suppress(Exception), database.write():
        submission.record_failure("enrich", analysis.key, queues.ANALYSIS, NOT_ASKED, analysis_id=analysis.id)
    return None


def refresh(analysis: Analysis, on_screen: Sequence[str] = ()) -> str:
    """Ask again for every mint of an analysis, those on screen first; return the job's id.

    What was asked less than `due.JUST_ASKED_S` ago is not asked again. Conflict when there is no result yet.
    """
    if analysis.result_id is None:
        raise Conflict("There is no result yet whose prices could be refreshed.")
    seen = due.of_result(analysis.result_id, list(dict.fromkeys(on_screen))[:ON_SCREEN])
    with database.write():
        made = submission.submit("refresh", [analysis.key], queues.USER, queue="enrichment", analysis_id=analysis.id)
        job = jobs.hold(made[analysis.key])
        wants.want(job.id, _places(due.for_refresh(seen), job.priority))
        Job.update(total=None, due_at=None).where(Job.id == job.id).execute()
    prices.awaiting(on_screen)
    jobs.announce([job.id])
    return str(job.id)


def maintain() -> str | None:
    """Ask for what nobody asks for: unknown mints, then the most-held whose price is old. None when nothing is due.

    One such job at a time; the next begins when it has ended.
    """
    with database.session():
        busy = Job.select(Job.id).where(Job.kind == "maintain", Job.state.in_(jobs.LIVE)).limit(1)
        ids = [] if busy.count() else _due_for_maintenance()
        if not ids:
            return None
        with database.write():
            made = submission.submit("maintain", ["tokens"], queues.BACKGROUND, queue="enrichment")
        job = Job.get_by_id(made["tokens"])
        _want_all(job.id, ids, job.priority)
        jobs.announce([job.id])
        return str(job.id)


def _due_for_maintenance() -> list[int]:
    return due.for_maintenance(MOST_UNKNOWN, MOST_STALE, SETTINGS.refresh_every_s)


def make_up() -> list[str | None]:
    """Ask for the tokens of analyses that were completed by a worker which died before it could; return the jobs."""
    with database.session():
        return [after_analysis(analysis) for analysis in analyses.without_job("enrich", MADE_UP_WITHIN_S)]


def tidy() -> None:
    """Forget what is waited for by nobody, and the mints of jobs that have ended."""
    with database.session():
        job_mints.drop_unwanted(jobs.LIVE)
        job_mints.forget(jobs.LIVE)


def _places(mint_ids: Sequence[int], priority: int) -> list[tuple[int, int]]:
    """Give mints their places from `priority` downwards, the first ones the highest."""
    return [(mint_id, priority - number // MINTS_PER_PLACE) for number, mint_id in enumerate(mint_ids)]


def _want_all(job_id: str, mint_ids: Sequence[int], priority: int) -> None:
    """Let a job wait for mints, in short transactions that begin with its row, and say how many they are."""
    for part in chunked(_places(mint_ids, priority), PLACES_PER_WRITE):
        with database.write():
            jobs.hold(job_id)
            wants.want(job_id, part)
        if priority >= queues.ANALYSIS * queues.TIER_STEP:
            prices.awaiting(tokens.mint_names(mint_id for mint_id, _ in part).values())
    with database.write():
        jobs.hold(job_id)
        job_mints.recount(job_id)


# Jobs -------------------------------------------------------------------------------------------------------------


def give_up(claim: jobs.Claim, reason: str) -> None:
    """End a job that cannot go on. What it waited for is taken out of the order by `tidy`."""
    with database.write():
        jobs.finish(claim, "failed", error=reason)
        jobs.set_counts(claim.job_id, job_mints.outcomes(claim.job_id))


@runner.handles("enrich", give_up)
@runner.handles("refresh", give_up)
@runner.handles("maintain", give_up)
def enrich(claim: jobs.Claim) -> None:
    """Do a slice of an enrichment job: about three seconds of requests, or until its mints are all known."""
    if Job.get_by_id(claim.job_id).total is None:
        _begin(claim)
    _take_up(claim)
    end_at = time.monotonic() + SLICE_S
    lanes.run(_lanes_here(), lambda: time.monotonic() > end_at or _is_through(claim.job_id), end_all)
    if _is_through(claim.job_id):
        _finish(claim)
        return
    rest_s = wants.next_due_s()
    hurry = rest_s is not None and time.monotonic() > end_at
    jobs.hand_back(claim, delay_s=None if hurry else min(MOST_REST_S, max(LEAST_REST_S, rest_s or 0.0)))


def _lanes_here() -> list[lanes.Lane]:
    """Return the lanes that all jobs of this process share."""
    with _lanes_lock:
        if not _lanes:
            s = SETTINGS
            urls = (s.dexscreener_url, s.jupiter_url, s.jupiter_api_key, s.redis_url)
            _lanes[:] = lanes.lanes_of(market_sources(s.source_order, *urls))
        return _lanes


def close_lanes() -> None:
    """Forget the lanes: at the end of a process, and when the settings change."""
    with _lanes_lock:
        _lanes.clear()


def _begin(claim: jobs.Claim) -> None:
    """Find out which mints the job is for. A user's refresh has asked for those on screen already."""
    if claim.kind == "maintain":
        wanted = _due_for_maintenance()
    else:
        analysis = analyses.by_key(claim.subject)
        ids = results.mint_ids(analysis.result_id) if analysis.result_id is not None else []
        wanted = due.for_refresh(ids) if claim.kind == "refresh" else due.for_analysis(ids, SETTINGS.price_ttl_s)
    mine = due.of_job(claim.job_id)
    rest = [mint_id for mint_id in wanted if mint_id not in mine]
    with database.write():
        jobs.fence(claim)
    later = LATER if claim.kind == "refresh" else 0
    _want_all(claim.job_id, rest, claim.priority - later)


def _take_up(claim: jobs.Claim) -> None:
    """Ask again for what somebody took out of the order though this job waits for it."""
    if lost := job_mints.left_behind(claim.job_id):
        with database.write():
            jobs.fence(claim)
            wants.want(claim.job_id, _places(lost, claim.priority))


def _is_through(job_id: str) -> bool:
    row = Job.select(Job.done, Job.total).where(Job.id == job_id).tuples().get()
    return row[1] is not None and row[0] >= row[1]


def end_all(job_ids: Sequence[str]) -> None:
    """End jobs that wait for nothing more and that nobody holds; who holds one ends it himself."""
    for job_id in job_ids:
        with database.write():
            job = jobs.hold(job_id)
            if job.claim is None and _is_through(job_id):
                state, error, detail = _outcome(job_id)
                jobs.end_idle(job_id, state, error, detail)


def _finish(claim: jobs.Claim) -> None:
    with database.write():
        jobs.fence(claim)
        more = not _is_through(claim.job_id)  # a user has just asked for more
        if not more:
            jobs.finish(claim, *_outcome(claim.job_id))
    if more:
        jobs.hand_back(claim)


def _outcome(job_id: str) -> tuple[str, str | None, str | None]:
    """Write what a job came to in numbers; return its state, its error and the same in words."""
    counts = job_mints.outcomes(job_id)
    jobs.set_counts(job_id, counts)
    if not counts["asked"]:
        return "succeeded", None, "Nothing to ask for: every token was asked for a short while ago."
    words = f"{counts['asked']:,} asked: {counts['resolved']:,} resolved, {counts['unlisted']:,} without a market"
    words += f", {counts['failed']:,} failed"
    if counts["failed"] == counts["asked"]:
        return "failed", f"{words}. {job_mints.a_reason(job_id) or ''}".strip(), None
    return "succeeded", None, words
