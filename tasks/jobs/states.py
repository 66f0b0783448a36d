"""The states of a job and what they allow: claimable, due; events, and the lock on a job's row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.errors import NotFound
from tasks.settings import timing
from tasks.storage import database, sql
from tasks.storage.models.jobs import LIVE_JOB, Job, JobEvent

DUE_SLACK_S = 1.0  # a delayed message goes by another clock than the row
MOST_DELAY_S = 900.0  # nothing is put off for longer: what seems to be was dated before the clock was set back
LIVE = LIVE_JOB
ENDED = ("succeeded", "failed", "cancelled")

CHUNK = 400


def is_claimable() -> Any:
    """Nobody holds it, or the lease is void: past, or more than a whole lease ahead (a clock was set back)."""
    now = database.clock()
    void = (Job.lease_until < now) | (Job.lease_until > now + timing().lease_s)
    return Job.state.in_(LIVE) & (Job.claim_token.is_null() | Job.lease_until.is_null() | void)


def is_due(slack_s: float = 0.0) -> Any:
    """It is not put off, or the time that it was put off to has come."""
    now = database.clock()
    return Job.run_after.is_null() | (Job.run_after <= now + slack_s) | (Job.run_after > now + MOST_DELAY_S)


def record_events(job_ids: Iterable[str], at: float, state: str, detail: str | None = None) -> None:
    """Add a change of state to the log of several jobs."""
    fields = (JobEvent.job_id, JobEvent.at, JobEvent.state, JobEvent.detail)
    sql.insert_rows(JobEvent, fields, [(job_id, at, state, detail) for job_id in job_ids])


def lock_job(job_id: str) -> Job:
    """Return a job's row, held until the end of the write transaction around. Raises NotFound."""
    found: Job | None = sql.for_update(Job.select().where(Job.id == job_id)).get_or_none()
    if found is None:
        raise NotFound("There is no such job.")
    return found
