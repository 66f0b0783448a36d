"""The states of a job and what they allow: claimable, due; events, and the lock on a job's row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.errors import NotFound
from tasks.settings import timing
from tasks.storage import sql
from tasks.storage.models.jobs import LIVE_JOB, Job, JobEvent

DUE_SLACK_S = 1.0  # a delayed message is timed by another clock than the row
MOST_DELAY_S = 900.0  # no delay is longer
LIVE = LIVE_JOB
ENDED = ("succeeded", "failed", "cancelled")

CHUNK = 400


def is_claimable() -> Any:
    """A live job without a claim, or whose lease is void."""
    void = sql.is_past(Job.lease_until, timing().lease_s)
    return Job.state.in_(LIVE) & (Job.claim_token.is_null() | void)


def is_due(slack_s: float = 0.0) -> Any:
    """A job that is not delayed, or whose delay is over but for `slack_s` seconds."""
    return sql.is_past(Job.run_after, MOST_DELAY_S, ago_s=-slack_s)


def record_events(job_ids: Iterable[str], at: float, state: str, detail: str | None = None) -> None:
    """Add a change of state to the log of several jobs."""
    fields = (JobEvent.job_id, JobEvent.at, JobEvent.state, JobEvent.detail)
    sql.insert_rows(JobEvent, fields, [(job_id, at, state, detail) for job_id in job_ids])


def lock_job(job_id: str) -> Job:
    """Return a job's row, locked until the end of the write transaction. Raises NotFound."""
    found: Job | None = sql.for_update(Job.select().where(Job.id == job_id)).get_or_none()
    if found is None:
        raise NotFound("There is no such job.")
    return found
