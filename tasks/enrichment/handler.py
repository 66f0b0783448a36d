"""Enrichment: what starts it (a finished analysis, a user, the clock), and the jobs that say what came of it.

A job waits for mints; the lanes ask for whatever is wanted most, whoever wants it. So a job's slice may bring another
job to its end, and a job whose mints others asked for only counts them. Asks no market itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from tasks.enrichment import fetcher, job_progress, refresh_policy, token_queue, triggers
from tasks.jobs import claims, executor, states
from tasks.jobs.priority import OFF_SCREEN_OFFSET
from tasks.settings import current
from tasks.sources.market.sources import market_sources
from tasks.storage import analyses, database, results
from tasks.storage.models.jobs import Job

SLICE_S = 3.0

LEAST_REST_S, MOST_REST_S = 0.5, 30.0

_fetchers: list[fetcher.SourceFetcher] = []
_fetchers_lock = threading.Lock()


# Jobs -------------------------------------------------------------------------------------------------------------


def give_up(claim: claims.Claim, reason: str) -> None:
    """End a job that cannot go on. What it waited for is taken out of the order by `tidy`."""
    with database.write():
        claims.finish(claim, "failed", error=reason)
        claims.set_counts(claim.job_id, job_progress.outcomes(claim.job_id))


@executor.handles("enrich", give_up)
@executor.handles("refresh", give_up)
@executor.handles("maintain", give_up)
def enrich(claim: claims.Claim) -> None:
    """Do a slice of an enrichment job: about three seconds of requests, or until its mints are all known."""
    if Job.get_by_id(claim.job_id).total is None:
        _begin(claim)
    _take_up(claim)
    end_at = time.monotonic() + SLICE_S
    fetcher.run(_fetchers_here(), lambda: time.monotonic() > end_at or _is_done(claim.job_id), end_all)
    if _is_done(claim.job_id):
        _finish(claim)
        return
    rest_s = token_queue.next_due_s()
    hurry = rest_s is not None and time.monotonic() > end_at
    claims.requeue(claim, delay_s=None if hurry else min(MOST_REST_S, max(LEAST_REST_S, rest_s or 0.0)))


def _fetchers_here() -> list[fetcher.SourceFetcher]:
    """Return the lanes that all jobs of this process share."""
    with _fetchers_lock:
        if not _fetchers:
            s = current()
            urls = (s.dexscreener_url, s.jupiter_url, s.jupiter_api_key, s.redis_url)
            _fetchers[:] = fetcher.fetchers_for(market_sources(s.source_order, *urls))
        return _fetchers


def close_fetchers() -> None:
    """Forget the lanes: at the end of a process, and when the settings change."""
    with _fetchers_lock:
        _fetchers.clear()


def _begin(claim: claims.Claim) -> None:
    """Find out which mints the job is for. A user's refresh has asked for those on screen already."""
    if claim.kind == "maintain":
        wanted = triggers.due_for_maintenance()
    else:
        analysis = analyses.by_key(claim.target)
        ids = results.mint_ids(analysis.result_id) if analysis.result_id is not None else []
        wanted = (
            refresh_policy.for_refresh(ids)
            if claim.kind == "refresh"
            else refresh_policy.for_analysis(ids, current().price_ttl_s)
        )
    mine = refresh_policy.of_job(claim.job_id)
    rest = [mint_id for mint_id in wanted if mint_id not in mine]
    with database.write():
        claims.renew_or_raise(claim)
    later = OFF_SCREEN_OFFSET if claim.kind == "refresh" else 0
    triggers.enqueue_all(claim.job_id, rest, claim.priority - later)


def _take_up(claim: claims.Claim) -> None:
    """Ask again for what somebody took out of the order though this job waits for it."""
    if lost := job_progress.unqueued_tokens(claim.job_id):
        with database.write():
            claims.renew_or_raise(claim)
            token_queue.enqueue(claim.job_id, triggers.prioritised(lost, claim.priority))


def _is_done(job_id: str) -> bool:
    row = Job.select(Job.done, Job.total).where(Job.id == job_id).tuples().get()
    return row[1] is not None and row[0] >= row[1]


def end_all(job_ids: Sequence[str]) -> None:
    """End jobs that wait for nothing more and that nobody holds; who holds one ends it himself."""
    for job_id in job_ids:
        with database.write():
            job = states.lock_job(job_id)
            if job.claim_token is None and _is_done(job_id):
                state, error, detail = _outcome(job_id)
                claims.end_idle(job_id, state, error, detail)


def _finish(claim: claims.Claim) -> None:
    with database.write():
        claims.renew_or_raise(claim)
        more = not _is_done(claim.job_id)  # a user has just asked for more
        if not more:
            claims.finish(claim, *_outcome(claim.job_id))
    if more:
        claims.requeue(claim)


def _outcome(job_id: str) -> tuple[str, str | None, str | None]:
    """Write what a job came to in numbers; return its state, its error and the same in words."""
    counts = job_progress.outcomes(job_id)
    claims.set_counts(job_id, counts)
    if not counts["asked"]:
        return "succeeded", None, "Nothing to ask for: every token was asked for a short while ago."
    words = f"{counts['asked']:,} asked: {counts['resolved']:,} resolved, {counts['unlisted']:,} without a market"
    words += f", {counts['failed']:,} failed"
    if counts["failed"] == counts["asked"]:
        return "failed", f"{words}. {job_progress.sample_error(job_id) or ''}".strip(), None
    return "succeeded", None, words
