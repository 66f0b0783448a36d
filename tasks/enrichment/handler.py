"""The handler of enrichment jobs (kinds `enrich`, `refresh`, `maintain`): one slice of about three seconds per call.

Before: `triggers.py` submits the job; `jobs/executor.py` claims it and calls `enrich`. A slice queues the job's tokens,
then runs the fetchers of this process on whatever is queued, for any job. After: `fetcher.py`. A job ends here when its
last token is recorded, in whichever job's slice; an unfinished job is requeued.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from tasks.enrichment import fetcher, job_progress, refresh_policy, token_queue, triggers
from tasks.jobs import claims, executor, states
from tasks.jobs.priority import OFF_SCREEN_OFFSET
from tasks.settings import current, timing
from tasks.sources.market.sources import market_sources
from tasks.storage import analyses, database, results
from tasks.storage.models.jobs import Job

MIN_DELAY_S, MAX_DELAY_S = 0.5, 30.0

_fetchers: list[fetcher.SourceFetcher] = []
_fetchers_lock = threading.Lock()


def give_up(claim: claims.Claim, reason: str) -> None:
    """End a job that cannot go on. `triggers.clean_up` takes its tokens out of the queue."""
    with database.write():
        claims.finish(claim, "failed", error=reason)
        claims.set_counts(claim.job_id, job_progress.outcomes(claim.job_id))


@executor.handles("enrich", give_up)
@executor.handles("refresh", give_up)
@executor.handles("maintain", give_up)
def enrich(claim: claims.Claim) -> None:
    """Run one slice of a job: until its tokens are done, nothing can be fetched now, or the slice is over."""
    if Job.get_by_id(claim.job_id).total is None:
        _enqueue_tokens(claim)
    _requeue_dropped_tokens(claim)
    end_at = time.monotonic() + timing().slice_s
    fetcher.run(_shared_fetchers(), lambda: time.monotonic() > end_at or _is_done(claim.job_id), finish_idle_jobs)
    if _is_done(claim.job_id):
        _finish(claim)
    else:
        claims.requeue(claim, delay_s=_delay_s(slice_is_over=time.monotonic() > end_at))


def finish_idle_jobs(job_ids: Sequence[str]) -> None:
    """End jobs that are done and that no worker has claimed; a worker ends its own job at the end of its slice."""
    for job_id in job_ids:
        with database.write():
            job = states.lock_job(job_id)
            if job.claim_token is None and _is_done(job_id):
                claims.end_idle(job_id, *_store_counts(job_id))


def close_fetchers() -> None:
    """Drop the fetchers: at the end of a process, and when the settings change."""
    with _fetchers_lock:
        _fetchers.clear()


def _shared_fetchers() -> list[fetcher.SourceFetcher]:
    """Return the fetchers that all jobs of this process share."""
    with _fetchers_lock:
        if not _fetchers:
            s = current()
            urls = (s.dexscreener_url, s.jupiter_url, s.jupiter_api_key, s.redis_url)
            _fetchers[:] = fetcher.fetchers_for(market_sources(s.source_order, *urls))
        return _fetchers


def _enqueue_tokens(claim: claims.Claim) -> None:
    """Queue the tokens of a new job; `triggers.refresh` has queued those on the user's screen already."""
    queued = refresh_policy.of_job(claim.job_id)
    rest = [mint_id for mint_id in _due_tokens(claim) if mint_id not in queued]
    with database.write():
        claims.renew_or_raise(claim)
    offset = OFF_SCREEN_OFFSET if claim.kind == "refresh" else 0
    triggers.enqueue_all(claim.job_id, rest, claim.priority - offset)


def _due_tokens(claim: claims.Claim) -> list[int]:
    if claim.kind == "maintain":
        return triggers.due_for_maintenance()
    analysis = analyses.by_key(claim.target)
    ids = results.mint_ids(analysis.result_id) if analysis.result_id is not None else []
    if claim.kind == "refresh":
        return refresh_policy.for_refresh(ids)
    return refresh_policy.for_analysis(ids, current().price_ttl_s)


def _requeue_dropped_tokens(claim: claims.Claim) -> None:
    """Queue tokens again that another job's cancellation took out of the queue while this job waits for them."""
    if dropped := job_progress.unqueued_tokens(claim.job_id):
        with database.write():
            claims.renew_or_raise(claim)
            token_queue.enqueue(claim.job_id, triggers.prioritised(dropped, claim.priority))


def _delay_s(*, slice_is_over: bool) -> float | None:
    """Return the delay of the next slice: None (at once) if the time ran out, otherwise until a token is due."""
    due_s = token_queue.next_due_s()
    if due_s is not None and slice_is_over:
        return None
    return min(MAX_DELAY_S, max(MIN_DELAY_S, due_s or 0.0))


def _is_done(job_id: str) -> bool:
    done, total = Job.select(Job.done, Job.total).where(Job.id == job_id).tuples().get()
    return total is not None and done >= total


def _finish(claim: claims.Claim) -> None:
    with database.write():
        claims.renew_or_raise(claim)
        is_done = _is_done(claim.job_id)  # no longer if the user has just refreshed again
        if is_done:
            claims.finish(claim, *_store_counts(claim.job_id))
    if not is_done:
        claims.requeue(claim)


def _store_counts(job_id: str) -> tuple[str, str | None, str | None]:
    """Store a job's counts by outcome; return its final state, its error and a summary of the counts."""
    counts = job_progress.outcomes(job_id)
    claims.set_counts(job_id, counts)
    if not counts["asked"]:
        return "succeeded", None, "Nothing to look up: every token was looked up a short while ago."
    summary = f"{counts['asked']:,} looked up: {counts['resolved']:,} found, {counts['unlisted']:,} without a market"
    summary += f", {counts['failed']:,} failed"
    if counts["failed"] == counts["asked"]:
        return "failed", f"{summary}. {job_progress.sample_error(job_id) or ''}".strip(), None
    return "succeeded", None, summary
