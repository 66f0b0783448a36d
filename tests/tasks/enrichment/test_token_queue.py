"""Who waits for which token: places in the order, claims, what is kept of an answer, and the counts of the jobs."""

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

pytestmark = [both_databases, pytest.mark.usefixtures("records")]

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


def want(job_id: str, places: list[tuple[int, int]]) -> None:
    with database.write():
        states.lock_job(job_id)
        token_queue.enqueue(job_id, places)
        job_progress.count(job_id)


def wanted(ids: list[int], place: int, subject: str = "x") -> str:
    job_id = job_for(subject)
    want(job_id, [(mint_id, place) for mint_id in ids])
    return job_id


def token(mint_id: int) -> Token:
    return Token.get_by_id(mint_id)


def resolved(mint_id: int, **facts: Any) -> LookupOutcome:
    return LookupOutcome(mint_id, "resolved", facts={"name": "N", "symbol": "S", "price_usd": 1.5} | facts)


def taken(stage: int, most: int, claim: str = "me", **more: Any) -> list[int]:
    return [one.mint_id for one in token_queue.claim_tokens(stage, most, claim, **more)]


def test_the_highest_tier_goes_first_and_within_it_the_newest_request() -> None:
    ids = register(4)
    places = [BACKGROUND, USER, ANALYSIS, USER]
    want(job_for("x"), [(ids[n], places[n] * TIER_STEP + 100 + n) for n in range(4)])
    assert taken(0, 3) == [ids[3], ids[1], ids[2]]
    assert taken(0, 3) == [ids[0]]
    assert taken(0, 3) == []


def test_a_mint_that_is_being_asked_for_is_not_taken_again_by_several_at_once() -> None:
    ids = register(90)
    wanted(ids, USER * TIER_STEP)
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


@pytest.mark.parametrize("lease_in_s", [-1.0, 2 * HOUR], ids=["ran out", "from before the clock was set back"])
def test_a_void_lease_is_taken_over_without_counting_as_an_attempt(lease_in_s: float) -> None:
    (mint_id,) = register(1)
    wanted([mint_id], USER * TIER_STEP)
    assert taken(0, 30, "first") == [mint_id]
    Token.update(lease=database.now_s() + lease_in_s).execute()
    assert taken(0, 30, "second") == [mint_id]
    assert token(mint_id).attempts == 0
    assert token_queue.record("first", [resolved(mint_id)]) == []
    assert token(mint_id).status == "pending"


def test_what_a_dead_worker_had_taken_is_free_at_once_and_no_attempt() -> None:
    (mint_id,) = register(1)
    wanted([mint_id], USER * TIER_STEP)
    taken(0, 30, "dead 1")
    assert token_queue.active_claims() == {"dead 1"}
    token_queue.release("dead 1")
    assert (taken(0, 30), token(mint_id).attempts) == ([mint_id], 0)


def test_two_jobs_that_want_a_mint_share_one_request_and_both_count_it() -> None:
    ids = register(3)
    first, second = wanted(ids[:2], USER * TIER_STEP + 1, "a"), wanted(ids[1:], USER * TIER_STEP + 2, "b")
    assert sorted(taken(0, 30)) == ids
    through = token_queue.record("me", [resolved(ids[0]), resolved(ids[1]), LookupOutcome(ids[2], "unlisted")])
    assert sorted(through) == sorted([first, second])
    assert job_progress.outcomes(first) == {"asked": 2, "resolved": 2, "unlisted": 0, "failed": 0}
    assert job_progress.outcomes(second) == {"asked": 2, "resolved": 1, "unlisted": 1, "failed": 0}
    assert [token(mint_id).priority for mint_id in ids] == [None, None, None]


def test_who_joins_while_a_mint_is_being_asked_for_is_served_by_that_request() -> None:
    (mint_id,) = register(1)
    wanted([mint_id], BACKGROUND * TIER_STEP, "a")
    taken(0, 30)
    joined = wanted([mint_id], USER * TIER_STEP, "b")
    assert taken(0, 30, "other") == []
    assert joined in token_queue.record("me", [resolved(mint_id)])
    assert token(mint_id).priority is None


def test_a_request_raises_a_place_and_never_lowers_it() -> None:
    (mint_id,) = register(1)
    wanted([mint_id], ANALYSIS * TIER_STEP + 5, "a")
    wanted([mint_id], BACKGROUND * TIER_STEP + 9, "b")
    assert token(mint_id).priority == ANALYSIS * TIER_STEP + 5
    wanted([mint_id], USER * TIER_STEP, "c")
    assert token(mint_id).priority == USER * TIER_STEP


def test_a_later_request_starts_afresh_and_one_that_joins_does_not() -> None:
    (mint_id,) = register(1)
    wanted([mint_id], ANALYSIS * TIER_STEP, "a")
    taken(0, 30)
    token_queue.record("me", [LookupOutcome(mint_id, "retry", error="late", delay_s=60)])
    wanted([mint_id], ANALYSIS * TIER_STEP + 1, "b")
    assert (token(mint_id).attempts, taken(0, 30)) == (1, [])
    wanted([mint_id], USER * TIER_STEP, "c")
    assert taken(0, 30) == [mint_id]
    token_queue.record("me", [LookupOutcome(mint_id, "failed", error="late")])
    assert (token(mint_id).status, token(mint_id).attempts, token(mint_id).last_error) == ("failed", 2, "late")
    wanted([mint_id], BACKGROUND * TIER_STEP, "d")
    assert (token(mint_id).status, token(mint_id).attempts, token(mint_id).last_error) == ("pending", 0, None)


def test_only_a_user_makes_an_unlisted_token_pending_again() -> None:
    (mint_id,) = register(1)
    for tier, status in ((BACKGROUND, "unlisted"), (USER, "pending")):
        Token.update(status="unlisted", priority=None).execute()
        wanted([mint_id], tier * TIER_STEP, f"t{tier}")
        assert token(mint_id).status == status


def test_a_failed_call_is_made_again_after_its_wait_unless_the_clock_was_set_back() -> None:
    (mint_id,) = register(1)
    wanted([mint_id], USER * TIER_STEP)
    taken(0, 30)
    token_queue.record("me", [LookupOutcome(mint_id, "retry", error="503", delay_s=30)])
    assert (token_queue.next_priority(0, 30), taken(0, 30)) == (None, [])
    assert 25 < (token_queue.next_due_s() or 0) <= 30
    Token.update(next_attempt_at=database.now_s() + 2 * HOUR).execute()
    assert taken(0, 30) == [mint_id]


def test_what_the_first_source_does_not_know_is_packed_again_for_the_second() -> None:
    ids = register(250)
    wanted(ids, ANALYSIS * TIER_STEP)
    first = taken(0, 150)
    token_queue.record(
        "me",
        [
            LookupOutcome(mint_id, "next_source", stage=1, partial_answer={"error": "why"}, is_attempt=False)
            for mint_id in first
        ],
    )
    assert token_queue.next_priority(1, 100) == ANALYSIS * TIER_STEP  # a whole pack is there
    pack = token_queue.claim_tokens(1, 100, "me")
    assert (len(pack), pack[0].partial_answer, pack[0].attempts) == (100, {"error": "why"}, 0)
    assert token_queue.next_priority(1, 100) is None  # fifty, and more may join them
    rest = taken(0, 150)
    assert token_queue.next_priority(1, 100) is None  # those may still come
    token_queue.record("me", [resolved(mint_id) for mint_id in rest])
    assert token_queue.next_priority(1, 100) == ANALYSIS * TIER_STEP
    assert len(token_queue.claim_tokens(1, 100, "me")) == 50


def test_a_part_of_a_pack_waits_neither_for_lower_tiers_nor_for_what_is_put_off() -> None:
    ids = register(3)
    want(job_for("x"), [(ids[0], USER * TIER_STEP), (ids[1], USER * TIER_STEP), (ids[2], BACKGROUND * TIER_STEP)])
    assert sorted(taken(0, 2)) == ids[:2]
    token_queue.record(
        "me", [LookupOutcome(ids[0], "next_source", stage=1), LookupOutcome(ids[1], "retry", error="x", delay_s=50)]
    )
    assert token_queue.next_priority(1, 100) == USER * TIER_STEP


def test_a_part_of_a_pack_is_not_kept_back_for_other_jobs_nor_while_the_source_before_fails() -> None:
    ids = register(3)
    want(job_for("a"), [(ids[0], USER * TIER_STEP + 9), (ids[1], USER * TIER_STEP + 8)])
    want(job_for("b"), [(ids[2], USER * TIER_STEP)])
    taken(0, 1)
    token_queue.record("me", [LookupOutcome(ids[0], "next_source", stage=1)])
    assert token_queue.next_priority(1, 100) is None
    assert token_queue.next_priority(1, 100, wait_for_full_batch=False) == USER * TIER_STEP + 9
    taken(0, 1)
    token_queue.record("me", [resolved(ids[1])])
    assert token_queue.next_priority(1, 100) == USER * TIER_STEP + 9  # though the other job's mint is still to come


def test_several_who_join_record_and_announce_at_once_neither_block_each_other_nor_leave_one_behind() -> None:
    ids = register(60)
    made = [wanted(ids, USER * TIER_STEP + number, f"job {number}") for number in range(4)]
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
        pack = token_queue.claim_tokens(0, 15, token)
        token_queue.renew(token, [one.mint_id for one in pack])
        token_queue.record(token, [resolved(one.mint_id) for one in pack])

    works = [ask, ask, answer, answer, lambda number: announce.announce(random.sample(made, 4))]
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [job_progress.unqueued_tokens(job_id) for job_id in made] == [[]] * 4


def test_what_has_waited_longest_can_be_taken_first_within_its_tier() -> None:
    ids = register(4)
    old = BACKGROUND * TIER_STEP
    places = [old + 10, old + 5, old + 100, USER * TIER_STEP]
    want(job_for("x"), list(zip(ids, places, strict=True)))
    assert taken(0, 30, older_than=old + 50) == [ids[1], ids[0]]


def test_the_facts_of_a_token_are_kept_and_the_decimals_of_the_chain_stand() -> None:
    (mint_id,) = register(1)
    wanted([mint_id], USER * TIER_STEP)
    taken(0, 30)
    token_queue.record("me", [resolved(mint_id, decimals=9, price_source="dexscreener")])
    found = token(mint_id)
    assert (found.status, found.name, found.price_usd, found.decimals, found.attempts) == ("resolved", "N", 1.5, 6, 1)
    assert abs(found.last_updated - database.now_s()) < 60
    assert found.is_active


def test_a_failure_leaves_what_was_known_and_is_counted_as_failed() -> None:
    (mint_id,) = register(1)
    Token.update(status="resolved", name="Old", price_usd=3.0, last_updated=5.0).execute()
    job_id = wanted([mint_id], USER * TIER_STEP)
    taken(0, 30)
    assert token_queue.record("me", [LookupOutcome(mint_id, "failed", error="down")]) == [job_id]
    found = token(mint_id)
    assert (found.status, found.name, found.price_usd, found.last_updated) == ("resolved", "Old", 3.0, 5.0)
    assert (found.last_error, job_progress.sample_error(job_id)) == ("down", "down")
    assert job_progress.outcomes(job_id)["failed"] == 1


def test_a_token_that_no_market_knows_any_more_loses_its_price() -> None:
    (mint_id,) = register(1)
    Token.update(status="resolved", name="Old", price_usd=3.0, price_source="jupiter", last_updated=5.0).execute()
    wanted([mint_id], USER * TIER_STEP)
    taken(0, 30)
    token_queue.record("me", [LookupOutcome(mint_id, "unlisted")])
    found = token(mint_id)
    assert (found.status, found.name, found.price_usd, found.price_source) == ("unlisted", "Old", None, None)
    assert not found.is_active
    assert abs(found.next_attempt_at - database.now_s() - 6 * HOUR) < 60


def test_mints_of_a_job_that_was_cancelled_leave_the_order_and_those_of_another_stay() -> None:
    ids = register(2)
    gone, stays = wanted(ids, ANALYSIS * TIER_STEP, "a"), wanted(ids[:1], ANALYSIS * TIER_STEP, "b")
    waiters.cancel(gone)
    assert job_progress.drop_without_waiters(states.LIVE) == 1
    assert [token(mint_id).priority for mint_id in ids] == [ANALYSIS * TIER_STEP, None]
    job_progress.delete_finished(states.LIVE)
    assert {row.job_id for row in JobMint.select()} == {stays}


def test_a_job_finds_the_mints_that_nobody_will_ask_for() -> None:
    ids = register(2)
    job_id = wanted(ids, ANALYSIS * TIER_STEP)
    assert job_progress.unqueued_tokens(job_id) == []
    Token.update(priority=None).where(Token.id == ids[1]).execute()
    assert job_progress.unqueued_tokens(job_id) == [ids[1]]


def test_progress_forgives_lost_leases() -> None:
    (mint_id,) = register(1)
    job_id = wanted([mint_id], USER * TIER_STEP)
    Job.update(lost_leases=19).execute()
    taken(0, 30)
    token_queue.record("me", [resolved(mint_id)])
    row = Job.get_by_id(job_id)
    assert (row.lost_leases, row.done, row.total) == (0, 1, 1)


def test_a_source_that_the_settings_no_longer_name_is_not_waited_for() -> None:
    (mint_id,) = register(1)
    wanted([mint_id], USER * TIER_STEP)
    Token.update(stage=1, partial_answer=json.dumps({"error": "x"})).execute()
    token_queue.reset_stage(1)
    assert (taken(0, 30), token(mint_id).partial_answer) == ([mint_id], None)


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


def test_a_job_whose_queue_is_away_is_announced_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object) -> None:
        raise queues.QueueUnavailable("gone")

    job_id = job_for("x")
    monkeypatch.setattr(queues, "send", away)
    assert announce.announce([job_id]) is False
    assert Job.get_by_id(job_id).announced_at is None
    announce.announce_rest("enrichment")  # does not turn for ever
