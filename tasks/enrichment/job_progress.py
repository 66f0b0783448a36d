"""The tokens that each enrichment job waits for: progress, outcomes, and clean-up after its end.

`token_queue.py` enqueues, claims and records tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from peewee import chunked, fn

from tasks.enrichment.token_queue import CHUNK, FINAL
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job, JobMint
from tasks.storage.models.tokens import Token


def count(job_id: str) -> tuple[int, int]:
    """Count a job's tokens from its rows and store the numbers on the job; return (done, total)."""
    query = JobMint.select(fn.COUNT(JobMint.outcome), fn.COUNT(JobMint.mint_id)).where(JobMint.job_id == job_id)
    done, total = next(iter(query.tuples()))
    Job.update(done=done, total=total).where(Job.id == job_id).execute()
    return int(done), int(total)


def outcomes(job_id: str) -> dict[str, int]:
    """Return the number of tokens of a job by outcome: {"asked", "resolved", "unlisted", "failed"}."""
    query = JobMint.select(JobMint.outcome, fn.COUNT(JobMint.mint_id)).where(JobMint.job_id == job_id)
    found = dict(query.group_by(JobMint.outcome).tuples())
    return {"asked": sum(found.values())} | {kind: int(found.get(kind, 0)) for kind in FINAL}


def sample_error(job_id: str) -> str | None:
    """Return the error of one failed token of a job; None if none failed."""
    query = Token.select(Token.last_error).join(JobMint, on=(JobMint.mint_id == Token.id))
    reason: str | None = query.where(JobMint.job_id == job_id, JobMint.outcome == "failed").limit(1).scalar()
    return reason


def delete_finished(live: Collection[str]) -> None:
    """Delete the token rows of jobs that are in none of the live states; the jobs keep their counts."""
    ended = (
        JobMint.select(JobMint.job_id).join(Job, on=(Job.id == JobMint.job_id)).where(Job.state.not_in(live)).distinct()
    )
    for (job_id,) in list(ended.tuples()):
        while True:
            part = list(JobMint.select(JobMint.mint_id).where(JobMint.job_id == job_id).limit(5000).tuples())
            if not part:
                break
            with database.write():
                ids = [row[0] for row in part]
                for some in chunked(ids, CHUNK):
                    JobMint.delete().where(JobMint.job_id == job_id, JobMint.mint_id.in_(some)).execute()


def unqueued_tokens(job_id: str) -> list[int]:
    """Return the tokens that a job waits for although they are not queued; normally none."""
    query = (
        JobMint.select(JobMint.mint_id)
        .join(Token, on=(Token.id == JobMint.mint_id))
        .where(JobMint.job_id == job_id, JobMint.outcome.is_null(), Token.priority.is_null())
    )
    return [row[0] for row in query.tuples()]


def drop_without_waiters(live: Sequence[str]) -> int:
    """Remove from the queue the tokens that no job in a live state waits for; return their number."""
    waiting = (
        JobMint.select(JobMint.mint_id)
        .join(Job, on=(Job.id == JobMint.job_id))
        .where(JobMint.outcome.is_null(), Job.state.in_(live))
    )
    query = Token.select(Token.id).where(Token.priority.is_null(False), Token.id.not_in(waiting)).order_by(Token.id)
    idle = [row[0] for row in query.tuples()]
    for part in chunked(idle, CHUNK):
        with database.write():
            sql.lock_rows(Token.id, part)
            still = Token.id.in_(part) & Token.id.not_in(waiting)
            Token.update(priority=None, claim_token=None, lease=None).where(still).execute()
    return len(idle)
