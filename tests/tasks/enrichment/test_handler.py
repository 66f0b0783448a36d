"""Enrichment end to end in this process: triggers, batches, shared lookups, retries, outcomes of jobs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tasks.enrichment import fetcher, handler, triggers
from tasks.errors import Conflict
from tasks.jobs import priority, states, submit, waiters
from tasks.jobs.priority import ANALYSIS, BACKGROUND, USER
from tasks.settings import configure, current
from tasks.sources.rate_limit.limiter import close_limiters
from tasks.storage import database, job_log, sql, tokens
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job, JobAnalysis, JobMint
from tasks.storage.models.results import ResultMint
from tasks.storage.models.tokens import Token
from tests.conftest import both_databases
from tests.support.stub_market import Reply, StubMarket, dex_pair, jupiter_entry
from tests.tasks.conftest import make_due, work

pytestmark = [pytest.mark.usefixtures("records")]

KEYS = iter(range(10**6))
Script = Callable[[str, tuple[str, ...]], Reply]


def mint(number: int) -> str:
    return f"mint{number:05d}"


class FakeMarket:
    """Answers for both markets: every mint is known, except `only_second` to DexScreener and `unknown` to either."""

    def __init__(self) -> None:
        self.only_second: set[str] = set()
        self.unknown: set[str] = set()
        self.override: Script | None = None  # answers first, unless it returns None

    def __call__(self, service: str, mints: tuple[str, ...]) -> Reply:
        if self.override is not None and (reply := self.override(service, mints)):
            return reply
        known = [m for m in mints if m not in self.unknown]
        if service == "dexscreener":
            return json.dumps([dex_pair(m, symbol=m[-3:]) for m in known if m not in self.only_second]).encode()
        return json.dumps([jupiter_entry(m, symbol=m[-3:], price=2.5) for m in known]).encode()


@pytest.fixture
def answers() -> FakeMarket:
    return FakeMarket()


@pytest.fixture
def market(answers: FakeMarket, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubMarket]:
    """A market for the handlers, at a rate that never waits."""
    with StubMarket(answers) as stub:
        monkeypatch.setattr("tasks.sources.market.dexscreener.REQUESTS_PER_S", 500.0)
        monkeypatch.setattr("tasks.sources.market.jupiter.REQUESTS_PER_S_KEYLESS", 500.0)
        changed = dataclasses.replace(current(), dexscreener_url=stub.url, jupiter_url=stub.url)
        configure(changed)
        handler.close_fetchers()
        yield stub
        handler.close_fetchers()
        close_limiters()


def an_analysis(numbers: Sequence[int], **values: Any) -> Analysis:
    """A complete analysis whose result has these mints, the first held most."""
    ids = tokens.ensure_mints({mint(number): 6 for number in numbers})
    key = f"{next(KEYS):032x}"
    analysis = Analysis.create(
        key=key, state="complete", created_at=database.now_s(), timing_window_s=60, tau=0.5, exclude="[]",
        history_limit=1000, version="test", wallets=2, result_id=next(KEYS) + 1, **values,
    )  # fmt: skip
    rows = [(analysis.result_id, ids[mint(n)], len(numbers) - place, 1.0) for place, n in enumerate(numbers)]
    fields = (ResultMint.result_id, ResultMint.mint_id, ResultMint.wallets, ResultMint.spent_sol)
    sql.insert_rows(ResultMint, fields, rows)
    return analysis


def token(number: int) -> Token:
    return Token.get(Token.mint == mint(number))


def settle(rounds: int = 12) -> None:
    """Run all jobs to their end, without waiting for retries."""
    for _ in range(rounds):
        work(3, "enrichment")
        make_due()
        Token.update(next_attempt_at=None).where(Token.priority.is_null(False)).execute()
        if not Job.select().where(Job.state.in_(states.LIVE)).count():
            return


def outcome(job_id: str | None) -> dict[str, Any]:
    row = job_log.job(str(job_id))
    return {"state": row["state"], **(row["counts"] or {})}


def mints_sent_to(market: StubMarket, service: str) -> list[str]:
    return [m for mints in market.mints(service) for m in mints]


@both_databases
def test_after_an_analysis_every_token_is_looked_up_in_batches(market: StubMarket, answers: FakeMarket) -> None:
    answers.only_second = {mint(n) for n in range(0, 200, 10)}
    answers.unknown = {mint(n) for n in range(5, 200, 40)}
    job_id = triggers.after_analysis(an_analysis(range(200)))
    settle()
    assert outcome(job_id) == {"state": "succeeded", "asked": 200, "resolved": 195, "unlisted": 5, "failed": 0}
    missing = 20 + 5
    assert len(market.requests) <= math.ceil(200 / 30) + math.ceil(missing / 100) + 2
    assert max(len(mints) for mints in market.mints("dexscreener")) == 30
    assert sorted(mints_sent_to(market, "dexscreener")) == [mint(n) for n in range(200)]
    assert sorted(mints_sent_to(market, "jupiter")) == sorted(answers.only_second | answers.unknown)
    first, second, unlisted = token(1), token(10), token(5)
    assert (first.status, first.symbol, first.price_usd, first.price_source) == ("resolved", "001", 1.5, "dexscreener")
    assert (second.status, second.price_usd, second.price_source) == ("resolved", 2.5, "jupiter")
    assert (unlisted.status, unlisted.price_usd) == ("unlisted", None)
    assert [event["state"] for event in job_log.events([str(job_id)])[str(job_id)]] == [
        "queued",
        "running",
        "succeeded",
    ]


def test_two_analyses_share_the_request_for_a_token(market: StubMarket) -> None:
    ids = [triggers.after_analysis(an_analysis(range(40))), triggers.after_analysis(an_analysis(range(20, 60)))]
    settle()
    assert sorted(mints_sent_to(market, "dexscreener")) == [mint(n) for n in range(60)]
    assert [outcome(job_id)["resolved"] for job_id in ids if outcome(job_id)["asked"]]
    assert all(outcome(job_id)["state"] == "succeeded" for job_id in ids)


def test_a_fresh_token_is_looked_up_again_only_for_a_user(market: StubMarket) -> None:
    analysis = an_analysis(range(3))
    triggers.after_analysis(analysis)
    settle()
    again = triggers.after_analysis(an_analysis(range(3)))
    settle()
    assert outcome(again) == {"state": "succeeded", "asked": 0, "resolved": 0, "unlisted": 0, "failed": 0}
    at_once = triggers.refresh(analysis)
    settle()
    assert outcome(at_once)["asked"] == 0  # looked up less than 15 s ago
    assert len(market.requests) == 1
    Token.update(asked_at=database.now_s() - 16).execute()
    later = triggers.refresh(analysis)
    settle()
    assert outcome(later) == {"state": "succeeded", "asked": 3, "resolved": 3, "unlisted": 0, "failed": 0}
    assert len(market.requests) == 2


def test_a_refresh_looks_up_the_tokens_on_screen_first(market: StubMarket) -> None:
    analysis = an_analysis(range(100))
    triggers.refresh(analysis, [mint(n) for n in range(70, 100)] + ["no such mint", mint(70)])
    assert Token.select().where(Token.priority.is_null(False)).count() == 30  # before a worker runs
    settle()
    batches = [sorted(mints) for mints in market.mints("dexscreener")]
    on_screen, held_most, next_most = ([mint(n) for n in range(at, at + 30)] for at in (70, 0, 30))
    assert {tuple(batch) for batch in (on_screen, held_most, next_most)} < {tuple(batch) for batch in batches}
    # Requests run in parallel: one may overtake the one sent just before it.
    assert batches.index(on_screen) < 3
    assert batches[-1] != on_screen
    assert len(mints_sent_to(market, "dexscreener")) == 100


def test_a_refresh_goes_before_maintenance(market: StubMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "SLOTS_FIRST_SOURCE", 1)  # no batch overtakes the one before it
    tokens.ensure_mints({mint(n): 6 for n in range(2000, 2600)})
    background = triggers.maintain()
    user = triggers.refresh(an_analysis(range(70)), [mint(n) for n in range(70)])
    settle()
    assert {mint(n) for n in range(70)} == set(mints_sent_to(market, "dexscreener")[:70])
    assert (outcome(user)["resolved"], outcome(background)["resolved"]) == (70, 600)


def test_a_newer_analysis_goes_before_an_older_one(market: StubMarket) -> None:
    triggers.after_analysis(an_analysis(range(60)))
    triggers.after_analysis(an_analysis(range(60, 120)))
    settle()
    asked = mints_sent_to(market, "dexscreener")
    assert len(asked) == 120
    newest, oldest = [asked.index(mint(n)) for n in range(60, 120)], [asked.index(mint(n)) for n in range(60)]
    # Batches of the older job may run beside the newer one's, but not before them.
    assert sum(newest) < sum(oldest)


def test_maintenance_looks_up_unknown_tokens_and_old_prices(market: StubMarket) -> None:
    tokens.ensure_mints({mint(n): 6 for n in range(5)})
    old = database.now_s() - 601
    Token.update(status="resolved", last_updated=old, wallets_seen=Token.id).where(Token.id <= 3).execute()
    Token.update(status="resolved", last_updated=database.now_s()).where(Token.id == 4).execute()
    job_id = triggers.maintain()
    assert triggers.maintain() is None  # one at a time
    settle()
    assert outcome(job_id) == {"state": "succeeded", "asked": 4, "resolved": 4, "unlisted": 0, "failed": 0}
    assert Job.get_by_id(job_id).tier == BACKGROUND
    assert triggers.maintain() is None


def test_tokens_that_waited_for_an_hour_get_a_share_of_requests(
    market: StubMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "SHARE", 2)
    tokens.ensure_mints({mint(n): 6 for n in range(900, 960)})
    triggers.maintain()
    Token.update(priority=Token.priority - 2 * 3600 * 1000).execute()
    triggers.after_analysis(an_analysis(range(300)))
    settle()
    batches = market.mints("dexscreener")
    places = [number for number, mints in enumerate(batches) if mints[0] >= mint(900)]
    assert len(places) == 2
    assert places[-1] < len(batches) - 3


def test_a_temporary_failure_is_tried_five_times_and_its_reason_stored(market: StubMarket, answers: FakeMarket) -> None:
    answers.override = lambda service, mints: (503, b"", {})
    job_id = triggers.after_analysis(an_analysis(range(2)))
    settle_without_pauses(market)
    assert outcome(job_id) == {"state": "failed", "asked": 2, "resolved": 0, "unlisted": 0, "failed": 2}
    assert "503" in job_log.job(str(job_id))["error"]
    assert [service for _, service, _ in market.requests] == ["dexscreener"] * 4 + ["jupiter"]
    found = token(0)
    assert (found.status, found.attempts) == ("failed", 5)
    assert found.last_error == "Jupiter answered 503"
    answers.override = None
    later = triggers.after_analysis(an_analysis(range(2)))
    settle_without_pauses(market)
    assert (outcome(later)["resolved"], token(0).attempts, token(0).last_error) == (2, 1, None)


def settle_without_pauses(market: StubMarket) -> None:
    """Settle with fresh circuit breakers: their pauses are tested in test_circuit.py."""
    for _ in range(12):
        handler.close_fetchers()
        close_limiters()
        settle(1)


def test_a_source_skipped_for_temporary_failures_is_tried_once_more(market: StubMarket, answers: FakeMarket) -> None:
    def reply(service: str, mints: tuple[str, ...]) -> Reply | None:
        if service == "jupiter":  # does not know the second, has no price of the third
            return json.dumps([jupiter_entry(mint(0)), jupiter_entry(mint(2), price=None, symbol="jup")]).encode()
        return (503, b"", {}) if len(market.requests) < 5 else None

    answers.override = reply
    job_id = triggers.after_analysis(an_analysis(range(3)))
    settle_without_pauses(market)
    assert [service for _, service, _ in market.requests] == ["dexscreener"] * 4 + ["jupiter", "dexscreener"]
    assert outcome(job_id)["resolved"] == 3
    assert [token(n).price_source for n in range(3)] == ["jupiter", "dexscreener", "dexscreener"]


def test_a_permanent_refusal_goes_to_the_other_source(market: StubMarket, answers: FakeMarket) -> None:
    answers.override = lambda service, mints: (403, b"", {}) if service == "dexscreener" else None
    answers.unknown = {mint(1)}
    job_id = triggers.after_analysis(an_analysis(range(3)))
    settle()
    assert outcome(job_id) == {"state": "succeeded", "asked": 3, "resolved": 2, "unlisted": 0, "failed": 1}
    assert [service for _, service, _ in market.requests] == ["dexscreener", "jupiter"]
    assert "403" in token(1).last_error  # it may have a market there


def test_a_refused_mint_affects_only_itself(market: StubMarket, answers: FakeMarket) -> None:
    bad = mint(17)
    answers.override = lambda service, mints: (400, b"{}", {}) if bad in mints else None
    job_id = triggers.after_analysis(an_analysis(range(60)))
    settle()
    assert outcome(job_id) == {"state": "succeeded", "asked": 60, "resolved": 59, "unlisted": 0, "failed": 1}
    assert token(17).status == "failed"
    assert len(market.requests) < 25


def test_a_missing_price_comes_from_the_other_source(market: StubMarket, answers: FakeMarket) -> None:
    bad = ["-1", "NaN", "1" + "0" * 400, None]

    def reply(service: str, mints: tuple[str, ...]) -> Reply | None:
        if service == "jupiter":
            return json.dumps([jupiter_entry(mints[0], symbol="other", price=2.0)]).encode()
        return json.dumps(
            [dex_pair(m, symbol="dex", price=price) for m, price in zip(mints, bad, strict=True)]
        ).encode()

    answers.override = reply
    triggers.after_analysis(an_analysis(range(4)))
    settle()
    found = [token(number) for number in range(4)]
    assert [one.status for one in found] == ["resolved"] * 4
    assert {one.symbol for one in found} == {"dex"}
    assert sorted((one.price_usd, one.price_source) for one in found if one.price_usd) == [(2.0, "jupiter")]
    assert len(market.requests) == 2


def test_a_market_that_refuses_everything_gets_a_bounded_number_of_requests(
    market: StubMarket, answers: FakeMarket
) -> None:
    answers.override = lambda service, mints: (404, b"", {})
    job_id = triggers.after_analysis(an_analysis(range(30)))
    settle()
    assert outcome(job_id) == {"state": "failed", "asked": 30, "resolved": 0, "unlisted": 0, "failed": 30}
    assert len(market.requests) <= 2 * 13


def test_an_unprintable_content_type_is_a_failed_attempt(market: StubMarket, answers: FakeMarket) -> None:
    answers.override = lambda service, mints: (200, b"<p>", {"Content-Type": "text/\x00html"})
    job_id = triggers.after_analysis(an_analysis(range(2)))
    settle_without_pauses(market)
    assert outcome(job_id)["failed"] == 2
    assert token(0).attempts == 5


@pytest.mark.parametrize("refusal", [403, 503])
def test_a_price_stays_if_the_source_of_a_newer_one_fails(
    market: StubMarket, answers: FakeMarket, refusal: int
) -> None:
    def reply(service: str, mints: tuple[str, ...]) -> Reply:
        return (refusal, b"", {}) if service == "jupiter" else json.dumps([dex_pair(mints[0], price=None)]).encode()

    analysis = an_analysis([0])
    Token.update(status="resolved", name="Old", price_usd=3.0, last_updated=5.0).execute()
    answers.override = reply
    job_id = triggers.refresh(analysis)
    settle_without_pauses(market)
    found = token(0)
    assert (found.status, found.price_usd, found.last_updated) == ("resolved", 3.0, 5.0)
    assert str(refusal) in found.last_error
    assert outcome(job_id)["failed"] == 1


def test_a_new_token_gets_its_name_if_the_source_of_its_price_fails(market: StubMarket, answers: FakeMarket) -> None:
    def reply(service: str, mints: tuple[str, ...]) -> Reply:
        return (403, b"", {}) if service == "jupiter" else json.dumps([dex_pair(mints[0], price=None)]).encode()

    answers.override = reply
    job_id = triggers.after_analysis(an_analysis([0]))
    settle()
    found = token(0)
    assert (found.status, found.symbol, found.price_usd, outcome(job_id)["resolved"]) == ("resolved", "X", None, 1)
    assert "403" in found.last_error


def test_a_second_refresh_wakes_a_waiting_one(market: StubMarket) -> None:
    analysis = an_analysis(range(2))
    first = triggers.refresh(analysis)
    Job.update(run_after=database.now_s() + 60).execute()
    assert triggers.refresh(analysis) == first
    assert Job.get_by_id(first).run_after is None


def test_analyses_whose_worker_died_before_the_trigger_are_backfilled(market: StubMarket) -> None:
    recent = an_analysis([1], finished_at=database.now_s() - 60)
    an_analysis([2], finished_at=database.now_s() - 2 * 3600)
    (job_id,) = triggers.backfill_enrichment()
    assert job_log.job(str(job_id))["target"] == recent.key
    assert triggers.backfill_enrichment() == []


def test_interrupted_maintenance_starts_again(market: StubMarket) -> None:
    tokens.ensure_mints({mint(n): 6 for n in range(3)})
    with database.write():
        made = submit.submit("maintain", ["tokens"], BACKGROUND, queue="enrichment")
    settle()
    assert outcome(made["tokens"])["resolved"] == 3


def test_failed_batches_are_retried_as_batches(market: StubMarket, answers: FakeMarket) -> None:
    answers.override = lambda service, mints: (503, b"", {}) if len(market.requests) < 2 else None
    triggers.after_analysis(an_analysis(range(30)))
    work(1, "enrichment")
    assert Token.select(Token.next_attempt_at).distinct().count() == 1
    Token.update(next_attempt_at=None).execute()
    settle()
    assert [len(mints) for mints in market.mints("dexscreener")] == [30, 30]


def test_a_users_tokens_do_not_wait_for_anothers_at_the_second_source(market: StubMarket, answers: FakeMarket) -> None:
    answers.only_second = {mint(n) for n in range(500, 503)}
    older = triggers.refresh(an_analysis(range(400)), [mint(n) for n in range(150)])
    newer = triggers.refresh(an_analysis(range(500, 503)), [mint(n) for n in range(500, 503)])
    settle()
    assert outcome(older)["resolved"] == 400
    assert outcome(newer)["resolved"] == 3
    first = next(at for at, service, _ in market.requests if service == "jupiter")
    assert sum(at > first for at, service, _ in market.requests if service == "dexscreener") > 4


def test_a_claim_of_a_dead_worker_costs_no_attempt(market: StubMarket) -> None:
    triggers.after_analysis(an_analysis(range(3)))
    Token.update(claim_token="elsewhere/1/1 x", lease=database.now_s() - 1).execute()
    settle()
    assert {(row.status, row.attempts) for row in Token.select()} == {("resolved", 1)}


def test_a_refresh_needs_a_result(market: StubMarket) -> None:
    analysis = an_analysis([1])
    analysis.result_id = None
    with pytest.raises(Conflict):
        triggers.refresh(analysis)


def test_a_second_refresh_joins_the_first_and_queues_what_is_due(market: StubMarket) -> None:
    analysis = an_analysis(range(40))
    first = triggers.refresh(analysis, [mint(0)])
    work(1, "enrichment")
    Token.update(asked_at=database.now_s() - 60).execute()
    Job.update(state="running", done=0).where(Job.id == first).execute()
    second = triggers.refresh(analysis, [mint(1)])
    settle()
    assert outcome(second)["state"] == "succeeded"
    assert JobMint.select().where(JobMint.outcome.is_null()).count() == 0
    assert Token.select().where(Token.priority.is_null(False)).count() == 0


def test_a_failure_to_enqueue_does_not_fail_the_analysis_and_is_shown(
    market: StubMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError("no")

    analysis = an_analysis([1])
    monkeypatch.setattr(submit, "submit", broken)
    assert triggers.after_analysis(analysis) is None
    (row,) = job_log.enrichment_jobs(analysis.id)
    assert (row["kind"], row["state"], row["error"]) == ("enrich", "failed", triggers.NOT_QUEUED)
    assert Analysis.get_by_id(analysis.id).state == "complete"


def test_a_cancelled_analysis_leaves_no_queued_tokens(market: StubMarket) -> None:
    analysis = an_analysis(range(3))
    job_id = triggers.after_analysis(analysis)
    waiters.drop_all_waiters(analysis.id)
    settle()
    triggers.clean_up()
    assert outcome(job_id)["state"] == "cancelled"
    assert (market.requests, Token.select().where(Token.priority.is_null(False)).count()) == ([], 0)


def test_the_jobs_of_an_analysis_are_listed_with_their_counts(market: StubMarket) -> None:
    analysis = an_analysis(range(3))
    triggers.after_analysis(analysis)
    settle()
    Token.update(asked_at=None).execute()
    triggers.refresh(analysis)
    settle()
    rows = job_log.enrichment_jobs(analysis.id)
    assert [(row["kind"], row["tier"], row["counts"]["asked"]) for row in rows] == [
        ("refresh", USER, 3),
        ("enrich", ANALYSIS, 3),
    ]
    assert JobAnalysis.select().where(JobAnalysis.analysis_id == analysis.id).count() == 2
    assert priority.TIERS["background"] == BACKGROUND


def test_tokens_of_ended_jobs_are_deleted_and_their_counts_stay(market: StubMarket) -> None:
    job_id = triggers.after_analysis(an_analysis(range(3)))
    settle()
    triggers.clean_up()
    assert JobMint.select().count() == 0
    assert outcome(job_id)["resolved"] == 3
