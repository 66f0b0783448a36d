"""Which analyses wait for a job; a job without waiters is cancelled."""

from __future__ import annotations

from peewee import JOIN, chunked

from tasks.errors import WalletkinError
from tasks.jobs import claims, states
from tasks.jobs.claims import Claim
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job, JobAnalysis

OVER = ("complete", "failed", "cancelled")  # states of an analysis that no longer waits for anything
WAITERS_READ = (
    "SELECT j.queue, ja.state, a.state FROM job j LEFT JOIN job_analysis ja ON ja.job_id = j.id "
    "LEFT JOIN analysis a ON a.id = ja.analysis_id WHERE j.id = ?"
)


class NoWaiters(WalletkinError):
    """No analysis waits for this job any more; it ends as cancelled."""


def has_waiters(job_id: str) -> bool:
    """Whether the job is still needed: it never had waiters, or a live analysis waits for it.

    Enrichment starts when an analysis is complete, so there only cancelling ends the wait.
    """
    waiters = [row for row in sql.rows(WAITERS_READ, job_id) if row[1] is not None]
    return not waiters or any(
        state == "waiting" and at not in (("cancelled",) if queue == "enrichment" else OVER)
        for queue, state, at in waiters
    )


def check_waiters(claim: Claim) -> None:
    """Raise NoWaiters when no analysis waits for the job any more."""
    if not has_waiters(claim.job_id):
        raise NoWaiters(f"No analysis waits for job {claim.job_id} any more.")


def cancel(job_id: str) -> bool:
    """Cancel a job for all its waiters. False if it had ended already; NotFound if there is none.

    A running job stops at its next write, because its claim is gone.
    """
    with database.write():
        states.lock_job(job_id)
        JobAnalysis.update(state="cancelled").where(JobAnalysis.job_id == job_id).execute()
        return claims.end(job_id, "cancelled")


def drop_all_waiters(analysis_id: int) -> None:
    """Stop an analysis waiting for any job, and cancel the jobs without other waiters.

    In short transactions of its own; the analysis must have ended before, so that `has_waiters` is right meanwhile.
    """
    mine = (JobAnalysis.analysis_id == analysis_id) & (JobAnalysis.state == "waiting")
    ids = sorted(row[0] for row in JobAnalysis.select(JobAnalysis.job_id).where(mine).tuples())
    for part in chunked(ids, states.CHUNK):
        with database.write():
            JobAnalysis.update(state="cancelled").where(mine, JobAnalysis.job_id.in_(part)).execute()
            live = Job.select(Job.id).where(Job.id.in_(part), Job.state.in_(states.LIVE)).order_by(Job.id)
            held = {row[0] for row in sql.for_update(live).tuples()}
            wanted = JobAnalysis.select(JobAnalysis.job_id).where(
                JobAnalysis.job_id.in_(part), JobAnalysis.state == "waiting"
            )
            over = sorted(held - {row[0] for row in wanted.tuples()})
            now = database.now_s()
            Job.update(
                state="cancelled", claim_token=None, holder=None, lease_until=None, run_after=None, finished_at=now
            ).where(Job.id.in_(over)).execute()
            states.record_events(over, now, "cancelled")


def drop_waiters(analysis_id: int, kind: str) -> None:
    """Stop an analysis waiting for its own jobs of a kind; jobs that have not started are cancelled.

    A running job stops by itself (`check_waiters`): its row may be locked by a worker that waits for the analysis.
    """
    mine = (JobAnalysis.analysis_id == analysis_id) & (JobAnalysis.state == "waiting")
    query = (
        Job.select(Job.id, Job.claim_token)
        .join(JobAnalysis, JOIN.INNER, on=(JobAnalysis.job_id == Job.id))
        .where(mine, Job.kind == kind, Job.state.in_(states.LIVE))
    )
    for job_id, claim_token in list(query.tuples()):
        JobAnalysis.update(state="cancelled").where(mine, JobAnalysis.job_id == job_id).execute()
        if claim_token is None:
            claims.end(job_id, "cancelled", unclaimed=True)


def waiting_analyses(job_id: str) -> list[int]:
    """Return the ids of the analyses that wait for a job, in order."""
    query = JobAnalysis.select(JobAnalysis.analysis_id).where(
        JobAnalysis.job_id == job_id, JobAnalysis.state == "waiting"
    )
    return sorted(row[0] for row in query.tuples())
