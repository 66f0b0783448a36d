"""The queue of tokens (`tasks/enrichment/token_queue.py`): priorities, claims, recorded outcomes, counts of jobs."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tasks.enrichment import job_progress, refresh_policy, token_queue
from tasks.enrichment.token_queue import LookupOutcome
from tasks.jobs import announce, queues, states, submit, waiters
from tasks.jobs.priority import ANALYSIS, BACKGROUND, TIER_STEP, USER
from tasks.storage import database, tokens
from tasks.storage.models.jobs import Job, JobMint
from tasks.storage.models.tokens import Token
from tests.conftest import both_databases

pytestmark = [pytest.mark.usefixtures("records")]

HOUR = 3600.0


def mint(number: int) -> str:
    return f"mint{number:04d}"


def register(count: int) -> list[int]:
    ids = tokens.ensure_mints({mint(number): 6 for number in range(count)})
    return [ids[mint(number)] for number in range(count)]


def job_for(subject: str, tier: int = USER) -> str:
    with database.write():
        (job_id,) = submit.submit("refresh", [subject], tier, queue="enrichment").values()
    return job_id


def enqueue(job_id: str, priorities: list[tuple[int, int]]) -> None:
    with database.write():
        states.lock_job(job_id)
        token_queue.enqueue(job_id, priorities)
        job_progress.count(job_id)


def queued(ids: list[int], priority: int, subject: str = "x") -> str:
    job_id = job_for(subject)
    enqueue(job_id, [(mint_id, priority) for mint_id in ids])
    return job_id


def token(mint_id: int) -> Token:
    return Token.get_by_id(mint_id)


def resolved(mint_id: int, **facts: Any) -> LookupOutcome:
    return LookupOutcome(mint_id, "resolved", facts={"name": "N", "symbol": "S", "price_usd": 1.5} | facts)


def claimed(stage: int, most: int, claim: str = "me", **more: Any) -> list[int]:
    return [one.mint_id for one in token_queue.claim_tokens(stage, most, claim, **more)]


@both_databases
def test_the_highest_tier_goes_first_and_within_it_the_newest_request() -> None:
    ids = register(4)
    priorities = [BACKGROUND, USER, ANALYSIS, USER]
    enqueue(job_for("x"), [(ids[n], priorities[n] * TIER_STEP + 100 + n) for n in range(4)])
    assert claimed(0, 3) == [ids[3], ids[1], ids[2]]
    assert claimed(0, 3) == [ids[0]]
    assert claimed(0, 3) == []


@both_databases
def test_concurrent_claims_never_share_a_token() -> None:
    ids = register(90)
    queued(ids, USER * TIER_STEP)
    found: list[int] = []

    def work(name: str) -> None:
        with database.session():
            while part := token_queue.claim_tokens(0, 30, name):
                found.extend(one.mint_id for one in part)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ids


@both_databases
@pytest.mark.parametrize("lease_in_s", [-1.0, 2 * HOUR], ids=["ran out", "from before the clock was set back"])
def test_a_void_lease_is_taken_over_without_counting_as_an_attempt(lease_in_s: float) -> None:
    (mint_id,) = register(1)
    queued([mint_id], USER * TIER_STEP)
    assert claimed(0, 30, "first") == [mint_id]
    Token.update(lease=database.now_s() + lease_in_s).execute()
    assert claimed(0, 30, "second") == [mint_id]
    assert token(mint_id).attempts == 0
    assert token_queue.record("first", [resolved(mint_id)]) == []
    assert token(mint_id).status == "pending"


def test_a_dead_workers_claim_is_released_and_no_attempt() -> None:
    (mint_id,) = register(1)
    queued([mint_id], USER * TIER_STEP)
    claimed(0, 30, "dead 1")
    assert token_queue.active_claims() == {"dead 1"}
    token_queue.release("dead 1")
    assert (claimed(0, 30), token(mint_id).attempts) == ([mint_id], 0)


def test_two_jobs_share_a_lookup_and_both_count_it() -> None:
    ids = register(3)
    first, second = queued(ids[:2], USER * TIER_STEP + 1, "a"), queued(ids[1:], USER * TIER_STEP + 2, "b")
    assert sorted(claimed(0, 30)) == ids
    done = token_queue.record("me", [resolved(ids[0]), resolved(ids[1]), LookupOutcome(ids[2], "unlisted")])
    assert sorted(done) == sorted([first, second])
    assert job_progress.outcomes(first) == {"asked": 2, "resolved": 2, "unlisted": 0, "failed": 0}
    assert job_progress.outcomes(second) == {"asked": 2, "resolved": 1, "unlisted": 1, "failed": 0}
    assert [token(mint_id).priority for mint_id in ids] == [None, None, None]


def test_a_job_that_joins_during_a_lookup_gets_its_outcome() -> None:
    (mint_id,) = register(1)
    queued([mint_id], BACKGROUND * TIER_STEP, "a")
    claimed(0, 30)
    joined = queued([mint_id], USER * TIER_STEP, "b")
    assert claimed(0, 30, "other") == []
    assert joined in token_queue.record("me", [resolved(mint_id)])
    assert token(mint_id).priority is None


def test_enqueueing_raises_a_priority_and_never_lowers_it() -> None:
    (mint_id,) = register(1)
    queued([mint_id], ANALYSIS * TIER_STEP + 5, "a")
    queued([mint_id], BACKGROUND * TIER_STEP + 9, "b")
    assert token(mint_id).priority == ANALYSIS * TIER_STEP + 5
    queued([mint_id], USER * TIER_STEP, "c")
    assert token(mint_id).priority == USER * TIER_STEP


def test_a_later_job_resets_the_attempts_and_a_joining_one_does_not() -> None:
    (mint_id,) = register(1)
    queued([mint_id], ANALYSIS * TIER_STEP, "a")
    claimed(0, 30)
    token_queue.record("me", [LookupOutcome(mint_id, "retry", error="late", delay_s=60)])
    queued([mint_id], ANALYSIS * TIER_STEP + 1, "b")
    assert (token(mint_id).attempts, claimed(0, 30)) == (1, [])
    queued([mint_id], USER * TIER_STEP, "c")
    assert claimed(0, 30) == [mint_id]
    token_queue.record("me", [LookupOutcome(mint_id, "failed", error="late")])
    assert (token(mint_id).status, token(mint_id).attempts, token(mint_id).last_error) == ("failed", 2, "late")
    queued([mint_id], BACKGROUND * TIER_STEP, "d")
    assert (token(mint_id).status, token(mint_id).attempts, token(mint_id).last_error) == ("pending", 0, None)


def test_only_a_user_makes_an_unlisted_token_pending_again() -> None:
    (mint_id,) = register(1)
    for tier, status in ((BACKGROUND, "unlisted"), (USER, "pending")):
        Token.update(status="unlisted", priority=None).execute()
        queued([mint_id], tier * TIER_STEP, f"t{tier}")
        assert token(mint_id).status == status


def test_a_retry_waits_unless_the_clock_was_set_back() -> None:
    (mint_id,) = register(1)
    queued([mint_id], USER * TIER_STEP)
    claimed(0, 30)
    token_queue.record("me", [LookupOutcome(mint_id, "retry", error="503", delay_s=30)])
    assert (token_queue.next_priority(0, 30), claimed(0, 30)) == (None, [])
    assert 25 < (token_queue.next_due_s() or 0) <= 30
    Token.update(next_attempt_at=database.now_s() + 2 * HOUR).execute()
    assert claimed(0, 30) == [mint_id]


def test_tokens_for_the_second_source_form_new_batches() -> None:
    ids = register(250)
    queued(ids, ANALYSIS * TIER_STEP)
    first = claimed(0, 150)
    token_queue.record(
        "me",
        [
            LookupOutcome(mint_id, "next_source", stage=1, partial_answer={"error": "why"}, is_attempt=False)
            for mint_id in first
        ],
    )
    assert token_queue.next_priority(1, 100) == ANALYSIS * TIER_STEP  # a full batch
    batch = token_queue.claim_tokens(1, 100, "me")
    assert (len(batch), batch[0].partial_answer, batch[0].attempts) == (100, {"error": "why"}, 0)
    assert token_queue.next_priority(1, 100) is None  # fifty, and more may join
    rest = claimed(0, 150)
    assert token_queue.next_priority(1, 100) is None  # the claimed ones may still join
    token_queue.record("me", [resolved(mint_id) for mint_id in rest])
    assert token_queue.next_priority(1, 100) == ANALYSIS * TIER_STEP
    assert len(token_queue.claim_tokens(1, 100, "me")) == 50


def test_a_partial_batch_waits_neither_for_lower_tiers_nor_for_retries() -> None:
    ids = register(3)
    enqueue(job_for("x"), [(ids[0], USER * TIER_STEP), (ids[1], USER * TIER_STEP), (ids[2], BACKGROUND * TIER_STEP)])
    assert sorted(claimed(0, 2)) == ids[:2]
    token_queue.record(
        "me", [LookupOutcome(ids[0], "next_source", stage=1), LookupOutcome(ids[1], "retry", error="x", delay_s=50)]
    )
    assert token_queue.next_priority(1, 100) == USER * TIER_STEP


def test_a_partial_batch_waits_neither_for_other_jobs_nor_for_a_failing_source() -> None:
    ids = register(3)
    enqueue(job_for("a"), [(ids[0], USER * TIER_STEP + 9), (ids[1], USER * TIER_STEP + 8)])
    enqueue(job_for("b"), [(ids[2], USER * TIER_STEP)])
    claimed(0, 1)
    token_queue.record("me", [LookupOutcome(ids[0], "next_source", stage=1)])
    assert token_queue.next_priority(1, 100) is None
    assert token_queue.next_priority(1, 100, wait_for_full_batch=False) == USER * TIER_STEP + 9
    claimed(0, 1)
    token_queue.record("me", [resolved(ids[1])])
    assert (
        token_queue.next_priority(1, 100) == USER * TIER_STEP + 9
    )  # the other job's token is still at the first source


@both_databases
def test_concurrent_enqueue_record_and_announce_do_not_deadlock_or_lose_tokens() -> None:
    ids = register(60)
    made = [queued(ids, USER * TIER_STEP + number, f"job {number}") for number in range(4)]
    errors: list[Exception] = []

    def repeat(work: Callable[[int], object]) -> None:
        try:
            with database.session():
                for number in range(25):
                    work(number)
        except Exception as error:
            errors.append(error)

    def ask(number: int) -> None:
        job_id = made[number % 4]
        with database.write():
            states.lock_job(job_id)
            token_queue.enqueue(job_id, [(mint_id, USER * TIER_STEP + number) for mint_id in random.sample(ids, 20)])

    def answer(number: int) -> None:
        token = f"worker {number} {random.random()}"
        batch = token_queue.claim_tokens(0, 15, token)
        token_queue.renew(token, [one.mint_id for one in batch])
        token_queue.record(token, [resolved(one.mint_id) for one in batch])

    works = [ask, ask, answer, answer, lambda number: announce.announce(random.sample(made, 4))]
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [job_progress.unqueued_tokens(job_id) for job_id in made] == [[]] * 4


def test_the_longest_waiting_tokens_of_a_tier_can_be_claimed_first() -> None:
    ids = register(4)
    old = BACKGROUND * TIER_STEP
    priorities = [old + 10, old + 5, old + 100, USER * TIER_STEP]
    enqueue(job_for("x"), list(zip(ids, priorities, strict=True)))
    assert claimed(0, 30, older_than=old + 50) == [ids[1], ids[0]]


def test_a_resolved_token_is_stored_and_keeps_the_chains_decimals() -> None:
    (mint_id,) = register(1)
    queued([mint_id], USER * TIER_STEP)
    claimed(0, 30)
    token_queue.record("me", [resolved(mint_id, decimals=9, price_source="dexscreener")])
    found = token(mint_id)
    assert (found.status, found.name, found.price_usd, found.decimals, found.attempts) == ("resolved", "N", 1.5, 6, 1)
    assert abs(found.last_updated - database.now_s()) < 60
    assert found.is_active


def test_a_failure_keeps_name_and_price_and_counts_as_failed() -> None:
    (mint_id,) = register(1)
    Token.update(status="resolved", name="Old", price_usd=3.0, last_updated=5.0).execute()
    job_id = queued([mint_id], USER * TIER_STEP)
    claimed(0, 30)
    assert token_queue.record("me", [LookupOutcome(mint_id, "failed", error="down")]) == [job_id]
    found = token(mint_id)
    assert (found.status, found.name, found.price_usd, found.last_updated) == ("resolved", "Old", 3.0, 5.0)
    assert (found.last_error, job_progress.sample_error(job_id)) == ("down", "down")
    assert job_progress.outcomes(job_id)["failed"] == 1


def test_a_token_unknown_to_every_market_loses_its_price() -> None:
    (mint_id,) = register(1)
    Token.update(status="resolved", name="Old", price_usd=3.0, price_source="jupiter", last_updated=5.0).execute()
    queued([mint_id], USER * TIER_STEP)
    claimed(0, 30)
    token_queue.record("me", [LookupOutcome(mint_id, "unlisted")])
    found = token(mint_id)
    assert (found.status, found.name, found.price_usd, found.price_source) == ("unlisted", "Old", None, None)
    assert not found.is_active
    assert abs(found.next_attempt_at - database.now_s() - 6 * HOUR) < 60


def test_tokens_of_a_cancelled_job_leave_the_queue_and_those_of_another_stay() -> None:
    ids = register(2)
    gone, stays = queued(ids, ANALYSIS * TIER_STEP, "a"), queued(ids[:1], ANALYSIS * TIER_STEP, "b")
    waiters.cancel(gone)
    assert job_progress.drop_without_waiters(states.LIVE) == 1
    assert [token(mint_id).priority for mint_id in ids] == [ANALYSIS * TIER_STEP, None]
    job_progress.delete_finished(states.LIVE)
    assert {row.job_id for row in JobMint.select()} == {stays}


def test_a_job_finds_its_unqueued_tokens() -> None:
    ids = register(2)
    job_id = queued(ids, ANALYSIS * TIER_STEP)
    assert job_progress.unqueued_tokens(job_id) == []
    Token.update(priority=None).where(Token.id == ids[1]).execute()
    assert job_progress.unqueued_tokens(job_id) == [ids[1]]


def test_progress_resets_lost_leases() -> None:
    (mint_id,) = register(1)
    job_id = queued([mint_id], USER * TIER_STEP)
    Job.update(lost_leases=19).execute()
    claimed(0, 30)
    token_queue.record("me", [resolved(mint_id)])
    row = Job.get_by_id(job_id)
    assert (row.lost_leases, row.done, row.total) == (0, 1, 1)


def test_tokens_at_a_removed_source_start_again() -> None:
    (mint_id,) = register(1)
    queued([mint_id], USER * TIER_STEP)
    Token.update(stage=1, partial_answer=json.dumps({"error": "x"})).execute()
    token_queue.reset_stage(1)
    assert (claimed(0, 30), token(mint_id).partial_answer) == ([mint_id], None)


@both_databases
def test_what_is_due_for_a_refresh_an_analysis_and_the_clock() -> None:
    ids = register(9)
    now = database.now_s()
    rows: list[dict[str, Any]] = [
        {"status": "pending"},
        {"status": "resolved", "last_updated": now - 10, "asked_at": now - 10},
        {"status": "resolved", "last_updated": now - 700, "asked_at": now - 700, "wallets_seen": 5},
        {"status": "resolved", "last_updated": now - 1000, "asked_at": now - 1000, "wallets_seen": 9},
        {"status": "resolved", "last_updated": now + HOUR, "asked_at": now + HOUR},  # the clock was set back
        {"status": "unlisted", "asked_at": now - 60, "next_attempt_at": now + HOUR},
        {"status": "unlisted", "asked_at": now - 7 * HOUR, "next_attempt_at": now + 30 * 24 * HOUR},  # set back too
        {"status": "failed", "asked_at": now - 2, "next_attempt_at": now + HOUR},
        {"status": "pending", "priority": BACKGROUND * TIER_STEP, "asked_at": now - 1},
    ]
    for mint_id, values in zip(ids, rows, strict=True):
        Token.update(**values).where(Token.id == mint_id).execute()
    assert refresh_policy.for_refresh(ids) == [ids[n] for n in (0, 2, 3, 4, 5, 6, 7, 8)]
    assert refresh_policy.for_analysis(ids, 900) == [ids[n] for n in (0, 3, 4, 6, 7, 8)]
    assert refresh_policy.for_maintenance(10, 10, 600) == [ids[n] for n in (0, 3, 2, 4, 6)]
    assert refresh_policy.for_maintenance(10, 1, 600) == [ids[n] for n in (0, 3, 6)]
    assert refresh_policy.for_analysis([], 900) == refresh_policy.for_refresh([]) == []


def test_a_job_is_announced_later_if_the_queue_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object) -> None:
        raise queues.QueueUnavailable("gone")

    job_id = job_for("x")
    monkeypatch.setattr(queues, "send", away)
    assert announce.announce([job_id]) is False
    assert Job.get_by_id(job_id).announced_at is None
    announce.announce_rest("enrichment")  # returns
