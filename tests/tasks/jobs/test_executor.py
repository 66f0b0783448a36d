"""The life of a job on real databases: one claimant at a time, nothing lost, every end recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from tasks.errors import NotFound
from tasks.jobs import announce, claims, executor, priority, process, queues, recovery, waiters
from tasks.jobs import states as jobs_states
from tasks.jobs import submit as jobs_submit
from tasks.settings import timing
from tasks.storage import database
from tasks.storage.models.jobs import Job, JobAnalysis, JobEvent
from tests.conftest import both_databases, set_timing

pytestmark = [pytest.mark.usefixtures("records")]


def announced() -> set[str]:
    return queues.waiting_ids("pipeline") | queues.scheduled_ids("pipeline")


def submit(*subjects: str, tier: int = priority.USER, analysis_id: int | None = None, kind: str = "sync") -> list[str]:
    with database.write():
        made = jobs_submit.submit(kind, subjects, tier, analysis_id=analysis_id)
    return [made[subject] for subject in subjects]


def events(job_id: str) -> list[tuple[str, str | None]]:
    query = JobEvent.select(JobEvent.state, JobEvent.detail).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
    return list(query.tuples())


def job(job_id: str) -> Job:
    return Job.get_by_id(job_id)


def test_two_analyses_of_one_wallet_share_a_job() -> None:
    first, second = submit("w", analysis_id=1), submit("w", analysis_id=2)
    assert first == second
    assert waiters.waiting_analyses(first[0]) == [1, 2]
    assert Job.select().count() == 1


def test_a_job_that_has_ended_is_not_joined() -> None:
    (first,) = submit("w")
    claim = claims.claim_job(first)
    with database.write():
        claims.finish(claim, "succeeded")
    assert submit("w") != [first]


def test_joining_with_a_higher_tier_raises_the_job() -> None:
    (job_id,) = submit("w", tier=priority.BACKGROUND)
    before = job(job_id).priority
    submit("w", tier=priority.USER)
    assert job(job_id).tier == priority.USER
    assert job(job_id).priority > before + priority.TIER_STEP


def test_joining_with_a_lower_tier_lowers_nothing() -> None:
    (job_id,) = submit("w", tier=priority.USER)
    submit("w", tier=priority.BACKGROUND)
    assert job(job_id).tier == priority.USER


def test_a_job_is_claimed_once() -> None:
    (job_id,) = submit("w")
    assert claims.claim_job(job_id) is not None
    assert claims.claim_job(job_id) is None


@both_databases
def test_of_many_threads_one_gets_the_job() -> None:
    (job_id,) = submit("w")
    barrier, got = threading.Barrier(8), []

    def take() -> None:
        with database.session():
            barrier.wait()
            got.append(claims.claim_job(job_id))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in got) == 1


def test_claiming_an_unknown_job_gives_none() -> None:
    assert claims.claim_job("no such job") is None


@both_databases
def test_a_void_lease_can_be_taken_over_and_the_first_claimant_must_stop() -> None:
    (job_id,) = submit("w")
    lost = claims.claim_job(job_id)
    Job.update(lease_until=database.now_s() - 1).execute()
    taken = claims.claim_job(job_id)
    assert taken is not None
    assert claims.attempts(job_id) == 0, "a lost lease is not an attempt"
    with pytest.raises(claims.LostClaim), database.write():
        claims.renew_or_raise(lost)
    with pytest.raises(claims.LostClaim), database.write():
        claims.finish(lost, "succeeded")
    assert job(job_id).state == "running"


def test_a_lease_far_ahead_is_void_too() -> None:
    (job_id,) = submit("w")
    claims.claim_job(job_id)
    Job.update(lease_until=database.now_s() + 10 * timing().lease_s).execute()
    assert claims.claim_job(job_id) is not None


def test_a_renewed_lease_is_not_taken() -> None:
    (job_id,) = submit("w")
    claim = claims.claim_job(job_id)
    Job.update(lease_until=database.now_s() + 0.2).execute()
    assert claims.renew([claim]) == []
    time.sleep(0.25)
    assert claims.claim_job(job_id) is None


def test_the_twentieth_lost_lease_marks_a_job_as_poison() -> None:
    (job_id,) = submit("w")
    for _ in range(claims.MOST_LOST_LEASES):
        assert not claims.claim_job(job_id).is_poison
        Job.update(lease_until=0).execute()
    assert claims.claim_job(job_id).is_poison


def test_progress_forgives_lost_leases() -> None:
    (job_id,) = submit("w")
    for _ in range(claims.MOST_LOST_LEASES * 2):
        claim = claims.claim_job(job_id)
        assert not claim.is_poison
        with database.write():
            claims.renew_or_raise(claim, done=1, lost_leases=0)
        Job.update(lease_until=0).execute()


def test_jobs_of_a_request_run_in_its_order() -> None:
    ids = submit("c", "a", "b")
    numbers = [job(job_id).priority for job_id in ids]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 3
    later = submit("d")
    assert job(later[0]).priority > numbers[0], "the newer request comes first"


def test_a_job_that_is_not_due_is_announced_for_later() -> None:
    forget_messages()
    with database.write():
        made = jobs_submit.submit("provisional", ["x"], priority.USER, delay_s=30)
    announce.announce(made.values())
    assert claims.claim_job(made["x"]) is None
    assert announced() == set(made.values())
    assert queues.QUEUES["pipeline"].dequeue().eta is not None


def test_cancelling_what_has_just_ended_changes_nothing() -> None:
    (job_id,) = submit("w")
    claim = claims.claim_job(job_id)
    with database.write():
        claims.finish(claim, "succeeded")
    assert not waiters.cancel(job_id)
    assert job(job_id).state == "succeeded"
    assert [state for state, _ in events(job_id)] == ["queued", "running", "succeeded"]


@both_databases
def test_a_job_that_is_being_joined_does_not_end_before_the_commit() -> None:
    """Of a submitter and a worker at once, the submitter gets a job that is still to be done, whoever comes first."""
    for _ in range(15):
        (job_id,) = submit("w", analysis_id=1)
        claim = claims.claim_job(job_id)
        barrier, joined = threading.Barrier(2), []

        def end(held: claims.Claim = claim, together: threading.Barrier = barrier) -> None:
            with database.session():
                together.wait()
                with database.write():
                    claims.finish(held, "succeeded")

        worker = threading.Thread(target=end)
        worker.start()
        barrier.wait()
        with database.write():
            joined += jobs_submit.submit("sync", ["w"], priority.USER, analysis_id=2).values()
            assert job(joined[0]).state in jobs_states.LIVE
        worker.join()
        if job(joined[0]).state not in jobs_states.LIVE:
            assert joined[0] == job_id, "it ended after the commit, for both"
        Job.delete().execute()
        JobAnalysis.delete().execute()


def test_requeueing_keeps_the_priority_and_adds_no_event() -> None:
    (job_id,) = submit("w")
    place = job(job_id).priority
    claims.requeue(claims.claim_job(job_id))
    assert job(job_id).priority == place
    assert events(job_id) == [("queued", None), ("running", None)]
    assert claims.claim_job(job_id) is not None


def test_a_failed_attempt_waits_and_says_why() -> None:
    (job_id,) = submit("w")
    claims.requeue(claims.claim_job(job_id), delay_s=30, error="the service was away")
    assert claims.claim_job(job_id) is None, "not due yet"
    assert job(job_id).attempts == 1
    assert events(job_id)[-1] == ("queued", "the service was away")
    Job.update(run_after=database.now_s()).execute()
    assert claims.claim_job(job_id) is not None
    assert claims.attempts(job_id) == 1


def test_every_change_of_state_is_an_event() -> None:
    (job_id,) = submit("w")
    claim = claims.claim_job(job_id)
    with database.write():
        claims.finish(claim, "failed", error="no such wallet")
    assert events(job_id) == [("queued", None), ("running", None), ("failed", "no such wallet")]
    ended = job(job_id)
    assert ended.started_at <= ended.finished_at
    assert ended.claim_token is None


def test_a_claim_stores_progress() -> None:
    (job_id,) = submit("w")
    claim = claims.claim_job(job_id)
    with database.write():
        claims.renew_or_raise(claim, done=3, total=9)
    assert (job(job_id).done, job(job_id).total) == (3, 9)


def test_cancelling_takes_the_claim_away() -> None:
    (job_id,) = submit("w", analysis_id=1)
    claim = claims.claim_job(job_id)
    assert waiters.cancel(job_id)
    with pytest.raises(claims.LostClaim), database.write():
        claims.renew_or_raise(claim)
    assert job(job_id).state == "cancelled"
    assert not waiters.cancel(job_id)
    with pytest.raises(NotFound):
        waiters.cancel("no such job")


def test_dropping_waiters_cancels_only_jobs_without_others() -> None:
    shared, alone = submit("shared", "alone", analysis_id=1)
    submit("shared", analysis_id=2)
    with database.write():
        waiters.drop_all_waiters(1)
    assert job(shared).state == "queued"
    assert job(alone).state == "cancelled"
    assert waiters.has_waiters(shared)
    assert not waiters.has_waiters(alone)
    states = dict(
        JobAnalysis.select(JobAnalysis.job_id, JobAnalysis.state).where(JobAnalysis.analysis_id == 1).tuples()
    )
    assert set(states.values()) == {"cancelled"}


def test_a_job_that_never_had_waiters_is_still_needed() -> None:
    assert waiters.has_waiters(submit("w")[0])


def age(job_ids: Sequence[str], seconds: float) -> None:
    Job.update(enqueued_at=Job.enqueued_at - seconds, announced_at=Job.announced_at - seconds).where(
        Job.id.in_(job_ids)
    ).execute()


def forget_messages() -> None:
    queues.QUEUES["pipeline"].storage.flush_all()


def test_recovery_announces_what_was_never_announced() -> None:
    forget_messages()
    ids = submit("a", "b")
    assert recovery.recover("pipeline") == [], "the one who submitted may be about to announce them"
    age(ids, 61)
    assert sorted(recovery.recover("pipeline")) == sorted(ids)
    assert announced() == set(ids)


def test_recovery_announces_what_a_killed_worker_had_taken_from_the_queue() -> None:
    forget_messages()
    lost, waiting = submit("lost", "waiting")
    announce.announce([lost, waiting])
    forget_messages()
    queues.send("pipeline", waiting, 1)
    age([lost, waiting], 61)
    assert recovery.recover("pipeline") == [lost]


def test_a_worker_that_starts_waits_for_no_message_that_is_not_there() -> None:
    forget_messages()
    lost, waiting = submit("lost", "waiting")
    with database.write():
        later = jobs_submit.submit("provisional", ["x"], priority.USER, delay_s=30)["x"]
    announce.announce([lost, waiting, later])
    forget_messages()
    queues.send("pipeline", waiting, 1)
    assert recovery.recover("pipeline") == []
    assert sorted(recovery.recover("pipeline", grace_s=0.0)) == sorted([lost, later])
    assert announced() == {lost, waiting, later}


@both_databases
def test_recovery_puts_back_a_job_whose_lease_is_void() -> None:
    forget_messages()
    (job_id,) = submit("w")
    announce.announce([job_id])
    claims.claim_job(job_id)
    forget_messages()
    assert recovery.recover("pipeline") == []
    Job.update(lease_until=database.now_s() - 1).execute()
    assert recovery.recover("pipeline") == [job_id]


def test_recovery_does_not_wait_for_the_lease_of_a_process_that_is_gone() -> None:
    forget_messages()
    (job_id,) = submit("w")
    claims.claim_job(job_id)
    host, _, started = process.process_id().rsplit("/", 2)
    Job.update(holder=f"{host}/{2**22 + 1}/{started}").execute()
    assert recovery.recover("pipeline") == [job_id]


def test_the_lease_of_another_machine_is_left_alone() -> None:
    forget_messages()
    (job_id,) = submit("w")
    claims.claim_job(job_id)
    Job.update(holder="another/1/1").execute()
    assert recovery.recover("pipeline") == []


def test_recovery_of_one_queue_leaves_the_other_alone() -> None:
    forget_messages()
    age(submit("w"), 61)
    assert recovery.recover("enrichment") == []


@both_databases
def test_what_has_waited_an_hour_goes_a_tier_higher_once() -> None:
    forget_messages()
    (job_id,) = submit("w", tier=priority.BACKGROUND)
    announce.announce([job_id])
    before = job(job_id).priority
    age([job_id], 3700)
    assert recovery.recover("pipeline") == [job_id]
    assert job(job_id).priority == before + priority.TIER_STEP
    age([job_id], 3700)
    recovery.recover("pipeline")
    assert job(job_id).priority == before + priority.TIER_STEP


def test_of_very_many_jobs_the_rest_is_announced_by_a_worker() -> None:
    forget_messages()
    ids = submit(*(f"w{number}" for number in range(announce.MOST_SENT_NOW + 150)))
    announce.announce(ids)
    assert len(announced() - {queues.ANNOUNCE}) == announce.MOST_SENT_NOW
    first = queues.QUEUES["pipeline"].dequeue()
    assert first.args == (queues.ANNOUNCE,), "before everything else"
    queues.QUEUES["pipeline"].execute(first)
    assert announced() == set(ids)


def test_submitting_nothing_makes_nothing() -> None:
    assert submit() == []
    assert Job.select().count() == 0


def test_a_process_that_holds_no_job_renews_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker once opened a connection every few seconds for nothing."""
    renewed = []
    set_timing(monkeypatch, renew_every_s=0.01)
    monkeypatch.setattr(executor, "_renewer", None)
    monkeypatch.setattr(claims, "renew", lambda held: renewed.append(list(held)))
    (job_id,) = submit("w")
    executor.run(job_id)
    renewed.clear()
    time.sleep(0.2)
    assert renewed == []
