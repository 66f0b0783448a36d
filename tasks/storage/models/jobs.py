"""Tables of background jobs."""

from __future__ import annotations

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    CompositeKey,
    DoubleField,
    IntegerField,
    SmallIntegerField,
    TextField,
)

from tasks.storage.models.base import BaseModel


class Job(BaseModel):
    """A background job. The row is the truth; a message in a queue is only a hint."""

    id = TextField(primary_key=True)
    queue = TextField()
    kind = TextField()
    target = TextField()
    tier = SmallIntegerField()
    priority = BigIntegerField()
    state = TextField(default="queued")
    done = IntegerField(default=0)
    total = IntegerField(null=True)
    attempts = IntegerField(default=0)
    lost_leases = IntegerField(default=0)
    error = TextField(null=True)
    claim_token = TextField(null=True)
    holder = TextField(null=True)
    lease_until = DoubleField(null=True)
    run_after = DoubleField(null=True)
    enqueued_at = DoubleField()
    announced_at = DoubleField(null=True)
    started_at = DoubleField(null=True)
    finished_at = DoubleField(null=True)
    counts = TextField(null=True)  # JSON {"asked", "resolved", "unlisted", "failed"} of an enrichment job

    class Meta:
        indexes = (
            (("state", "queue"), False),
            (("enqueued_at",), False),
            (("finished_at",), False),
        )


LIVE_JOB = ("queued", "running")  # states of a job that has not ended

# At most one live job per kind and target: two analyses of the same wallet wait for one sync.
Job.add_index(
    SQL("CREATE UNIQUE INDEX IF NOT EXISTS job_active ON job (kind, target) WHERE state IN ('queued', 'running')")
)


class JobEvent(BaseModel):
    """A change of a job's state; rows are never changed."""

    id = BigAutoField()
    job_id = TextField(index=True)
    at = DoubleField()
    state = TextField()
    detail = TextField(null=True)


class JobAnalysis(BaseModel):
    """An analysis that waits for a job. `state` is waiting, or cancelled when the analysis has left."""

    job_id = TextField()
    analysis_id = IntegerField(index=True)
    state = TextField(default="waiting")

    class Meta:
        primary_key = CompositeKey("job_id", "analysis_id")


class JobMint(BaseModel):
    """A mint of an enrichment job; `outcome` is None while unknown. Deleted when the job has ended."""

    job_id = TextField()
    mint_id = IntegerField(index=True)
    outcome = TextField(null=True)  # resolved | unlisted | failed

    class Meta:
        primary_key = CompositeKey("job_id", "mint_id")


class ScheduleTick(BaseModel):
    """A tick of the schedule that a process has claimed."""

    name = TextField()
    minute = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("name", "minute")
