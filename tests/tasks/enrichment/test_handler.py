"""Enrichment end to end in this process: triggers, packing, single flight, retries, and what its jobs say."""

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

pytestmark = [both_databases, pytest.mark.usefixtures("records")]

KEYS = iter(range(10**6))
Script = Callable[[str, tuple[str, ...]], Reply]


def mint(number: int) -> str:
    return f"mint{number:05d}"


class Bazaar:
    """A market that knows the mints it is told of: by DexScreener, by Jupiter, or by nobody."""

    def __init__(self) -> None:
        self.only_second: set[str] = set()
        self.unknown: set[str] = set()
        self.before: Script | None = None  # may answer in the market's place

    def __call__(self, service: str, mints: tuple[str, ...]) -> Reply:
        if self.before is not None and (reply := self.before(service, mints)):
            return reply
        known = [m for m in mints if m not in self.unknown]
        if service == "dexscreener":
            return json.dumps([dex_pair(m, symbol=m[-3:]) for m in known if m not in self.only_second]).encode()
        return json.dumps([jupiter_entry(m, symbol=m[-3:], price=2.5) for m in known]).encode()


@pytest.fixture
def bazaar() -> Bazaar:
    return Bazaar()


@pytest.fixture
def market(bazaar: Bazaar, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubMarket]:
    """The handlers ask this market, at a rate that the tests need not wait for."""
    with StubMarket(bazaar) as stub:
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
    """Do the work of all jobs, and let every wait be over at once."""
    for _ in range(rounds):
        work(3, "enrichment")
        make_due()
        Token.update(next_attempt_at=None).where(Token.priority.is_null(False)).execute()
        if not Job.select().where(Job.state.in_(states.LIVE)).count():
            return


def outcome(job_id: str | None) -> dict[str, Any]:
    row = job_log.job(str(job_id))
    return {"state": row["state"], **(row["counts"] or {})}


def asked_of(market: StubMarket, service: str) -> list[str]:
    return [m for mints in market.mints(service) for m in mints]


def test_after_an_analysis_every_mint_is_asked_for_in_packs(market: StubMarket, bazaar: Bazaar) -> None:
    bazaar.only_second = {mint(n) for n in range(0, 200, 10)}
    bazaar.unknown = {mint(n) for n in range(5, 200, 40)}
    job_id = triggers.after_analysis(an_analysis(range(200)))
    settle()
    assert outcome(job_id) == {"state": "succeeded", "asked": 200, "resolved": 195, "unlisted": 5, "failed": 0}
    missing = 20 + 5
    assert len(market.requests) <= math.ceil(200 / 30) + math.ceil(missing / 100) + 2
    assert max(len(mints) for mints in market.mints("dexscreener")) == 30
    assert sorted(asked_of(market, "dexscreener")) == [mint(n) for n in range(200)]
    assert sorted(asked_of(market, "jupiter")) == sorted(bazaar.only_second | bazaar.unknown)
    first, second, unlisted = token(1), token(10), token(5)
    assert (first.status, first.symbol, first.price_usd, first.price_source) == ("resolved", "001", 1.5, "dexscreener")
    assert (second.status, second.price_usd, second.price_source) == ("resolved", 2.5, "jupiter")
    assert (unlisted.status, unlisted.price_usd) == ("unlisted", None)
    assert [event["state"] for event in job_log.events([str(job_id)])[str(job_id)]] == [
        "queued",
        "running",
        "succeeded",
    ]


def test_two_analyses_that_want_the_same_mint_cause_one_request(market: StubMarket) -> None:
    ids = [triggers.after_analysis(an_analysis(range(40))), triggers.after_analysis(an_analysis(range(20, 60)))]
    settle()
    assert sorted(asked_of(market, "dexscreener")) == [mint(n) for n in range(60)]
    assert [outcome(job_id)["resolved"] for job_id in ids if outcome(job_id)["asked"]]
    assert all(outcome(job_id)["state"] == "succeeded" for job_id in ids)


def test_a_mint_inside_its_ttl_is_not_asked_again_except_by_a_user(market: StubMarket) -> None:
    analysis = an_analysis(range(3))
    triggers.after_analysis(analysis)
    settle()
    again = triggers.after_analysis(an_analysis(range(3)))
    settle()
    assert outcome(again) == {"state": "succeeded", "asked": 0, "resolved": 0, "unlisted": 0, "failed": 0}
    at_once = triggers.refresh(analysis)
    settle()
    assert outcome(at_once)["asked"] == 0  # asked less than 15 s ago
    assert len(market.requests) == 1
    Token.update(asked_at=database.now_s() - 16).execute()
    later = triggers.refresh(analysis)
    settle()
    assert outcome(later) == {"state": "succeeded", "asked": 3, "resolved": 3, "unlisted": 0, "failed": 0}
    assert len(market.requests) == 2


def test_a_refresh_asks_for_the_mints_on_screen_first_and_then_for_the_rest(market: StubMarket) -> None:
    analysis = an_analysis(range(100))
    triggers.refresh(analysis, [mint(n) for n in range(70, 100)] + ["no such mint", mint(70)])
    assert Token.select().where(Token.priority.is_null(False)).count() == 30  # before any worker has seen it
    settle()
    packs = [sorted(mints) for mints in market.mints("dexscreener")]
    on_screen, held_most, next_most = ([mint(n) for n in range(at, at + 30)] for at in (70, 0, 30))
    assert {tuple(pack) for pack in (on_screen, held_most, next_most)} < {tuple(pack) for pack in packs}
    # Requests are under way side by side: one may reach the market before the one sent just before it.
    assert packs.index(on_screen) < 3
    assert packs[-1] != on_screen
    assert len(asked_of(market, "dexscreener")) == 100


def test_a_user_goes_before_what_the_schedule_had_queued(market: StubMarket) -> None:
    tokens.ensure_mints({mint(n): 6 for n in range(2000, 2600)})
    background = triggers.maintain()
    user = triggers.refresh(an_analysis(range(70)), [mint(n) for n in range(70)])
    settle()
    first = asked_of(market, "dexscreener")[:120]  # a pack may overtake the one before it
    assert {mint(n) for n in range(70)} <= set(first)
    assert (outcome(user)["resolved"], outcome(background)["resolved"]) == (70, 600)


def test_a_newer_analysis_goes_before_an_older_one(market: StubMarket) -> None:
    triggers.after_analysis(an_analysis(range(60)))
    triggers.after_analysis(an_analysis(range(60, 120)))
    settle()
    asked = asked_of(market, "dexscreener")
    assert len(asked) == 120
    newest, oldest = [asked.index(mint(n)) for n in range(60, 120)], [asked.index(mint(n)) for n in range(60)]
    # The older job's own mints are asked for from when its turn came, but never before the newer one's.
    assert sum(newest) < sum(oldest)


def test_the_schedule_asks_for_unknown_mints_and_then_for_old_prices(market: StubMarket) -> None:
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


def test_what_has_waited_for_an_hour_gets_a_share(market: StubMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "SHARE", 2)
    tokens.ensure_mints({mint(n): 6 for n in range(900, 960)})
    triggers.maintain()
    Token.update(priority=Token.priority - 2 * 3600 * 1000).execute()
    triggers.after_analysis(an_analysis(range(300)))
    settle()
    packs = market.mints("dexscreener")
    places = [number for number, mints in enumerate(packs) if mints[0] >= mint(900)]
    assert len(places) == 2
    assert places[-1] < len(packs) - 3


def test_a_call_that_fails_for_a_time_is_made_five_times_and_then_the_reason_is_kept(
    market: StubMarket, bazaar: Bazaar
) -> None:
    bazaar.before = lambda service, mints: (503, b"", {})
    job_id = triggers.after_analysis(an_analysis(range(2)))
    monkey_wait_is_over(market)
    assert outcome(job_id) == {"state": "failed", "asked": 2, "resolved": 0, "unlisted": 0, "failed": 2}
    assert "503" in job_log.job(str(job_id))["error"]
    assert [service for _, service, _ in market.requests] == ["dexscreener"] * 4 + ["jupiter"]
    found = token(0)
    assert (found.status, found.attempts) == ("failed", 5)
    assert found.last_error == "Jupiter answered 503"
    bazaar.before = None
    later = triggers.after_analysis(an_analysis(range(2)))
    monkey_wait_is_over(market)
    assert (outcome(later)["resolved"], token(0).attempts, token(0).last_error) == (2, 1, None)


def monkey_wait_is_over(market: StubMarket) -> None:
    """Settle with gates that have forgotten the failures: the waits of a service are tested with it."""
    for _ in range(12):
        handler.close_fetchers()
        close_limiters()
        settle(1)


def test_a_source_that_was_passed_over_for_a_while_is_asked_again_before_its_silence_counts(
    market: StubMarket, bazaar: Bazaar
) -> None:
    def answer(service: str, mints: tuple[str, ...]) -> Reply | None:
        if service == "jupiter":  # knows neither the second, nor a price of the third
            return json.dumps([jupiter_entry(mint(0)), jupiter_entry(mint(2), price=None, symbol="jup")]).encode()
        return (503, b"", {}) if len(market.requests) < 5 else None

    bazaar.before = answer
    job_id = triggers.after_analysis(an_analysis(range(3)))
    monkey_wait_is_over(market)
    assert [service for _, service, _ in market.requests] == ["dexscreener"] * 4 + ["jupiter", "dexscreener"]
    assert outcome(job_id)["resolved"] == 3
    assert [token(n).price_source for n in range(3)] == ["jupiter", "dexscreener", "dexscreener"]


def test_a_permanent_refusal_is_not_tried_again_but_asked_of_the_other_source(
    market: StubMarket, bazaar: Bazaar
) -> None:
    bazaar.before = lambda service, mints: (403, b"", {}) if service == "dexscreener" else None
    bazaar.unknown = {mint(1)}
    job_id = triggers.after_analysis(an_analysis(range(3)))
    settle()
    assert outcome(job_id) == {"state": "succeeded", "asked": 3, "resolved": 2, "unlisted": 0, "failed": 1}
    assert [service for _, service, _ in market.requests] == ["dexscreener", "jupiter"]
    assert "403" in token(1).last_error  # nobody can say that it has no market


def test_one_mint_that_the_market_refuses_harms_only_itself(market: StubMarket, bazaar: Bazaar) -> None:
    bad = mint(17)
    bazaar.before = lambda service, mints: (400, b"{}", {}) if bad in mints else None
    job_id = triggers.after_analysis(an_analysis(range(60)))
    settle()
    assert outcome(job_id) == {"state": "succeeded", "asked": 60, "resolved": 59, "unlisted": 0, "failed": 1}
    assert token(17).status == "failed"
    assert len(market.requests) < 25


def test_a_pair_without_a_price_is_named_and_its_price_asked_of_the_other_source(
    market: StubMarket, bazaar: Bazaar
) -> None:
    bad = ["-1", "NaN", "1" + "0" * 400, None]

    def answer(service: str, mints: tuple[str, ...]) -> Reply | None:
        if service == "jupiter":
            return json.dumps([jupiter_entry(mints[0], symbol="other", price=2.0)]).encode()
        return json.dumps(
            [dex_pair(m, symbol="dex", price=price) for m, price in zip(mints, bad, strict=True)]
        ).encode()

    bazaar.before = answer
    triggers.after_analysis(an_analysis(range(4)))
    settle()
    found = [token(number) for number in range(4)]
    assert [one.status for one in found] == ["resolved"] * 4
    assert {one.symbol for one in found} == {"dex"}
    assert sorted((one.price_usd, one.price_source) for one in found if one.price_usd) == [(2.0, "jupiter")]
    assert len(market.requests) == 2


def test_a_market_that_refuses_everything_is_not_asked_for_each_mint_singly(market: StubMarket, bazaar: Bazaar) -> None:
    bazaar.before = lambda service, mints: (404, b"", {})
    job_id = triggers.after_analysis(an_analysis(range(30)))
    settle()
    assert outcome(job_id) == {"state": "failed", "asked": 30, "resolved": 0, "unlisted": 0, "failed": 30}
    assert len(market.requests) <= 2 * 13


def test_an_answer_that_names_itself_unprintably_is_an_attempt_like_any_other(
    market: StubMarket, bazaar: Bazaar
) -> None:
    bazaar.before = lambda service, mints: (200, b"<p>", {"Content-Type": "text/\x00html"})
    job_id = triggers.after_analysis(an_analysis(range(2)))
    monkey_wait_is_over(market)
    assert outcome(job_id)["failed"] == 2
    assert token(0).attempts == 5


@pytest.mark.parametrize("refusal", [403, 503])
def test_a_price_is_kept_when_the_source_that_may_have_a_newer_one_does_not_answer(
    market: StubMarket, bazaar: Bazaar, refusal: int
) -> None:
    def answer(service: str, mints: tuple[str, ...]) -> Reply:
        return (refusal, b"", {}) if service == "jupiter" else json.dumps([dex_pair(mints[0], price=None)]).encode()

    analysis = an_analysis([0])
    Token.update(status="resolved", name="Old", price_usd=3.0, last_updated=5.0).execute()
    bazaar.before = answer
    job_id = triggers.refresh(analysis)
    monkey_wait_is_over(market)
    found = token(0)
    assert (found.status, found.price_usd, found.last_updated) == ("resolved", 3.0, 5.0)
    assert str(refusal) in found.last_error
    assert outcome(job_id)["failed"] == 1


def test_a_new_token_is_named_even_when_the_source_of_its_price_does_not_answer(
    market: StubMarket, bazaar: Bazaar
) -> None:
    def answer(service: str, mints: tuple[str, ...]) -> Reply:
        return (403, b"", {}) if service == "jupiter" else json.dumps([dex_pair(mints[0], price=None)]).encode()

    bazaar.before = answer
    job_id = triggers.after_analysis(an_analysis([0]))
    settle()
    found = token(0)
    assert (found.status, found.symbol, found.price_usd, outcome(job_id)["resolved"]) == ("resolved", "X", None, 1)
    assert "403" in found.last_error


def test_a_second_press_wakes_a_refresh_that_waits(market: StubMarket) -> None:
    analysis = an_analysis(range(2))
    first = triggers.refresh(analysis)
    Job.update(run_after=database.now_s() + 60).execute()
    assert triggers.refresh(analysis) == first
    assert Job.get_by_id(first).run_after is None


def test_analyses_whose_worker_died_before_it_could_ask_are_made_up_for(market: StubMarket) -> None:
    recent = an_analysis([1], finished_at=database.now_s() - 60)
    an_analysis([2], finished_at=database.now_s() - 2 * 3600)
    (job_id,) = triggers.backfill_enrichment()
    assert job_log.job(str(job_id))["target"] == recent.key
    assert triggers.backfill_enrichment() == []


def test_a_maintenance_that_was_interrupted_begins_again(market: StubMarket) -> None:
    tokens.ensure_mints({mint(n): 6 for n in range(3)})
    with database.write():
        made = submit.submit("maintain", ["tokens"], BACKGROUND, queue="enrichment")
    settle()
    assert outcome(made["tokens"])["resolved"] == 3


def test_packs_that_failed_come_back_as_packs(market: StubMarket, bazaar: Bazaar) -> None:
    bazaar.before = lambda service, mints: (503, b"", {}) if len(market.requests) < 2 else None
    triggers.after_analysis(an_analysis(range(30)))
    work(1, "enrichment")
    assert Token.select(Token.next_attempt_at).distinct().count() == 1
    Token.update(next_attempt_at=None).execute()
    settle()
    assert [len(mints) for mints in market.mints("dexscreener")] == [30, 30]


def test_a_users_mints_do_not_wait_for_those_of_another_at_the_second_source(
    market: StubMarket, bazaar: Bazaar
) -> None:
    bazaar.only_second = {mint(n) for n in range(500, 503)}
    older = triggers.refresh(an_analysis(range(400)), [mint(n) for n in range(150)])
    newer = triggers.refresh(an_analysis(range(500, 503)), [mint(n) for n in range(500, 503)])
    settle()
    assert outcome(older)["resolved"] == 400
    assert outcome(newer)["resolved"] == 3
    first = next(at for at, service, _ in market.requests if service == "jupiter")
    assert sum(at > first for at, service, _ in market.requests if service == "dexscreener") > 4


def test_a_worker_that_dies_with_mints_in_hand_costs_no_attempt(market: StubMarket) -> None:
    triggers.after_analysis(an_analysis(range(3)))
    Token.update(claim_token="elsewhere/1/1 x", lease=database.now_s() - 1).execute()
    settle()
    assert {(row.status, row.attempts) for row in Token.select()} == {("resolved", 1)}


def test_a_refresh_needs_a_result(market: StubMarket) -> None:
    analysis = an_analysis([1])
    analysis.result_id = None
    with pytest.raises(Conflict):
        triggers.refresh(analysis)


def test_a_second_refresh_joins_the_first_and_asks_again_for_what_is_due(market: StubMarket) -> None:
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


def test_a_cancelled_analysis_does_not_want_its_tokens_any_more(market: StubMarket) -> None:
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


def test_mints_of_jobs_that_have_ended_are_forgotten_and_their_counts_stay(market: StubMarket) -> None:
    job_id = triggers.after_analysis(an_analysis(range(3)))
    settle()
    triggers.clean_up()
    assert JobMint.select().count() == 0
    assert outcome(job_id)["resolved"] == 3
