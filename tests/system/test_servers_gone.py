"""When the database or the queue goes away in the middle of work, the job goes on later, and is not blamed for it."""

from __future__ import annotations

import pytest
from peewee import InterfaceError, OperationalError

from tasks.jobs import announce, claims, executor, priority, queues, recovery
from tasks.jobs import submit as jobs_submit
from tasks.storage import database
from tasks.storage.models.jobs import Job

pytestmark = [pytest.mark.usefixtures("records")]


def submit(subject: str, kind: str = "sync") -> str:
    with database.write():
        return jobs_submit.submit(kind, [subject], priority.USER)[subject]


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """The faults that the next runs of a job meet, the first first; without one left it succeeds."""
    faults: list[Exception] = []

    def handle(claim: claims.Claim) -> None:
        if faults:
            raise faults.pop(0)
        with database.write():
            claims.finish(claim, "succeeded")

    def give_up(claim: claims.Claim, reason: str) -> None:
        with database.write():
            claims.finish(claim, "failed", error=reason)

    monkeypatch.setitem(executor._handlers, "sync", handle)
    monkeypatch.setitem(executor._give_ups, "sync", give_up)
    return faults


def run_when_due(job_id: str) -> Job:
    Job.update(run_after=None).execute()
    executor.run(job_id)
    return Job.get_by_id(job_id)


def test_a_database_that_goes_away_is_no_attempt(handler: list[Exception]) -> None:
    job_id = submit("w")
    handler += [OperationalError("gone"), InterfaceError("gone")] * 4
    for lost in range(8):
        job = run_when_due(job_id)
        assert (job.state, job.attempts, job.lost_leases) == ("running", 0, lost)
        assert job.run_after > database.now_s()
        assert job_id in queues.waiting_ids("pipeline") | queues.scheduled_ids("pipeline")
    job = run_when_due(job_id)
    assert (job.state, job.attempts) == ("succeeded", 1)


def test_what_always_meets_a_database_that_refuses_ends_all_the_same(handler: list[Exception]) -> None:
    job_id = submit("w")
    handler += [OperationalError("no such table")] * 100
    for _ in range(claims.MOST_LOST_LEASES + 1):
        job = run_when_due(job_id)
    assert job.state == "failed"
    assert f"{claims.MOST_LOST_LEASES} times" in job.error


def test_a_job_that_somebody_else_has_meanwhile_is_left_to_them(handler: list[Exception]) -> None:
    job_id = submit("w")
    claim = claims.claim_job(job_id)
    Job.update(lease_until=0).execute()
    assert claims.claim_job(job_id) is not None
    with pytest.raises(claims.LostClaim):
        claims.abandon(claim, 1.0)


def test_an_abandoned_lease_is_not_renewed() -> None:
    """The renewal thread may have the claim in hand at that moment; the job then waited for a whole lease."""
    job_id = submit("w")
    claim = claims.claim_job(job_id)
    claims.abandon(claim, 0.0)
    assert claims.renew([claim]) == [claim]
    assert claims.claim_job(job_id).lost_leases == 1


def test_what_could_not_be_announced_is_announced_at_the_next_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise queues.QueueUnavailable("away")

    job_id, young = submit("w"), submit("young")
    Job.update(enqueued_at=Job.enqueued_at - 60).where(Job.id == job_id).execute()
    with monkeypatch.context() as context:
        context.setattr(queues, "send", away)
        assert not announce.announce([job_id, young])
        recovery.announce_silent("pipeline")
    assert Job.get_by_id(job_id).announced_at is None
    recovery.announce_silent("enrichment")
    assert job_id not in queues.waiting_ids("pipeline")
    recovery.announce_silent("pipeline")
    assert job_id in queues.waiting_ids("pipeline")
    assert Job.get_by_id(job_id).announced_at is not None


def test_what_is_being_announced_just_now_is_left_alone() -> None:
    job_id = submit("w")
    recovery.announce_silent("pipeline")
    assert job_id not in queues.waiting_ids("pipeline")
