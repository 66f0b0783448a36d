"""The mints that enrichment jobs wait for: how far a job is, what it came to, and what is left when it has ended.

How mints are asked for, claimed and recorded is `wants.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from peewee import chunked, fn

from tasks.enrichment.token_queue import CHUNK, ENDS
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job, JobMint
from tasks.storage.models.tokens import Token


def count(job_id: str) -> tuple[int, int]:
    """Write how many mints a job asks for and how many of them are done, from its rows; return (done, total)."""
    query = JobMint.select(fn.COUNT(JobMint.outcome), fn.COUNT(JobMint.mint_id)).where(JobMint.job_id == job_id)
    done, total = next(iter(query.tuples()))
    Job.update(done=done, total=total).where(Job.id == job_id).execute()
    return int(done), int(total)


def outcomes(job_id: str) -> dict[str, int]:
    """Return what the mints of a job came to: {"asked", "resolved", "unlisted", "failed"}."""
    query = JobMint.select(JobMint.outcome, fn.COUNT(JobMint.mint_id)).where(JobMint.job_id == job_id)
    found = dict(query.group_by(JobMint.outcome).tuples())
    return {"asked": sum(found.values())} | {kind: int(found.get(kind, 0)) for kind in ENDS}


def sample_error(job_id: str) -> str | None:
    """Return why one of the mints of a job failed; None when none did."""
    query = Token.select(Token.last_error).join(JobMint, on=(JobMint.mint_id == Token.id))
    reason: str | None = query.where(JobMint.job_id == job_id, JobMint.outcome == "failed").limit(1).scalar()
    return reason


def delete_finished(live: Collection[str]) -> None:
    """Delete the mints of jobs that are not in one of the live states any more; their counts are with the job."""
    over = (
        JobMint.select(JobMint.job_id).join(Job, on=(Job.id == JobMint.job_id)).where(Job.state.not_in(live)).distinct()
    )
    for (job_id,) in list(over.tuples()):
        while True:
            part = list(JobMint.select(JobMint.mint_id).where(JobMint.job_id == job_id).limit(5000).tuples())
            if not part:
                break
            with database.write():
                ids = [row[0] for row in part]
                for some in chunked(ids, CHUNK):
                    JobMint.delete().where(JobMint.job_id == job_id, JobMint.mint_id.in_(some)).execute()


def unqueued_tokens(job_id: str) -> list[int]:
    """Return the mints that a job waits for though nobody will ask for them; normally none."""
    query = (
        JobMint.select(JobMint.mint_id)
        .join(Token, on=(Token.id == JobMint.mint_id))
        .where(JobMint.job_id == job_id, JobMint.outcome.is_null(), Token.priority.is_null())
    )
    return [row[0] for row in query.tuples()]


def drop_without_waiters(live: Sequence[str]) -> int:
    """Take out of the order what no live job (their states) waits for any more; return how many mints that were."""
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
