"""Building a result: the stored measures against plain computations, its evidence, and cancelled comparisons."""

from __future__ import annotations

import dataclasses
import json
import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import NotFound
from tasks.jobs import executor, waiters
from tasks.measures import behaviour, chance, timing
from tasks.measures.matching import TimedTrades
from tasks.pipeline import (
    evidence,
    load,
    result_summary,
    signature_ranks,
    workflow,
)
from tasks.pipeline import start as pipeline_start
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.storage import analyses, database, pairs, results, tokens, trades
from tasks.storage import wallets as storage_wallets
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.models.jobs import Job
from tasks.storage.models.results import Allocation, Pair, PairOrder, Result, ResultCluster, ResultWallet
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Movement as MovementRow
from tasks.storage.models.wallets import RateObservation, Wallet
from tests.conftest import both_databases
from tests.support.synced import (
    START_AT,
    History,
    TradeSpec,
    begin,
    complete,
    crowd,
    job_of,
    rows_of,
    stored_state,
    sync,
)
from tests.support.trade_density import trade_densities

pytestmark = pytest.mark.usefixtures("records")


def by_name(analysis: Analysis) -> dict[tuple[str, str], dict[str, Any]]:
    names = {position: address for position, (address, _) in results.addresses(analysis.id).items()}
    return {(names[row["wallet_a"]], names[row["wallet_b"]]): row for row in rows_of(analysis)}


def test_followers_are_found_and_their_measures_are_those_of_the_mathematics() -> None:
    history = crowd()
    analysis = complete(list(history))
    assert analysis.state == "complete"
    found = by_name(analysis)
    assert len(found) == 41 * 40 // 2
    assert_chance(history, found)
    assert_timing(history, found)
    followed = found["follower 10", "leader"]
    assert followed["matched"] == 8
    assert followed["median_lag_s"] == -10
    assert (followed["leader"], followed["lead_share"]) == (2, 1.0)
    assert followed["insights"] == ["very_high_similarity", "behavioural_mirror", "leader_and_follower"] + [
        "synchronised_trading", "sustained_alignment"
    ]  # fmt: skip
    assert found["follower 10", "follower 20"]["insights"][-1] == "shared_zero_holdings"


def assert_chance(history: History, found: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Compare with the plainest computation of section 4: λ over all mints, and Poisson's tail."""
    sets = {address: {one.mint for one in made} for address, made in history.items()}
    traded: dict[str, int] = defaultdict(int)
    for mints in sets.values():
        for mint in mints:
            traded[mint] += 1
    total = sum(traded.values())
    for (a, b), row in found.items():
        expected = sum(
            min(1, len(sets[a]) * n / total) * min(1, len(sets[b]) * n / total) for n in traded.values()
        )  # fmt: skip
        assert row["shared"] == len(sets[a] & sets[b])
        assert row["expected"] == pytest.approx(expected)
        assert row["lift"] == pytest.approx(row["shared"] / expected)
        below, term = 0.0, np.exp(-expected)
        for k in range(row["shared"]):
            below, term = below + term, term * expected / (k + 1)
        assert row["p_value"] == pytest.approx(1 - below, abs=1e-12)


def assert_timing(history: History, found: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Compare with `timing` on arrays that are made here from the movements, without the database."""
    names = sorted(history)
    mints = sorted({one.mint for made in history.values() for one in made})
    signatures = sorted(one.signature for made in history.values() for one in made)
    rows = [
        (w, mints.index(one.mint), int(one.side == "sell"), one.block_at, one.slot, -1, signatures.index(one.signature))
        for w, name in enumerate(names)
        for one in history[name]
    ]
    made = TimedTrades(*np.array(rows, dtype=np.int64).T)
    a, b = zip(*[(names.index(a), names.index(b)) for a, b in found], strict=True)
    wanted = timing.measure(made, trade_densities(made, made, 60), a, b, 60)
    for name in pairs.TIMING:
        stored = [np.nan if row[name] is None else row[name] for row in found.values()]
        assert stored == pytest.approx(getattr(wanted, name).tolist(), nan_ok=True), name


def test_the_followers_are_one_cluster_and_lie_together_on_the_map() -> None:
    history = crowd()
    analysis = complete(list(history))
    result = results.result(analysis.result_id)
    positions = {address: position for position, (address, _) in results.addresses(analysis.id).items()}
    together = sorted(positions[name] for name in history if not name.startswith("stranger"))
    (cluster,) = results.clusters(result["id"])
    assert (cluster["number"], cluster["members"], cluster["edges"]) == (1, together, 10)
    assert cluster["cohesion"] == pytest.approx(1)
    assert sorted(tokens.mint_names(cluster["shared_mints"]).values()) == [f"rare {n}" for n in range(8)]
    wallets = results.wallets(result["id"])
    assert {position for position, wallet in wallets.items() if wallet["cluster"] == 1} == set(together)
    assert {wallet["cluster"] for wallet in wallets.values()} == {None, 1}
    assert len({(round(wallets[p]["x"], 9), round(wallets[p]["y"], 9)) for p in together}) == 1
    assert len(result["explained"]) == 2
    rows = rows_of(analysis)
    assert pairs.count(result["id"], cluster=1) == 10
    for one in result["insights"]:
        carrying = [row for row in rows if one["insight"] in row["insights"]]
        assert (one["pairs"], one["number"]) == (len(carrying), carrying[0]["number"])
    assert {one["insight"] for one in result["insights"]} == {slug for row in rows for slug in row["insights"]}
    assert result["parameters"] == {
        "window_days": None, "timing_window_s": 60, "tau": 0.5, "exclude": [], "history_limit": 1000
    }  # fmt: skip
    assert result["missing"] == []


def test_the_behaviour_of_each_wallet_is_stored() -> None:
    history = crowd(strangers=3)
    analysis = complete(list(history))
    for position, (address, _) in results.addresses(analysis.id).items():
        made = [
            behaviour.Trade(
                one.signature, one.slot, None, one.block_at, one.side, one.mint, one.amount, one.quote_amount / 1e9
            )
            for one in history[address]
        ]
        wanted = dataclasses.asdict(behaviour.measure(made))
        stored = results.behaviour(analysis.result_id, position)
        for name in wanted.keys() - {"unrealised_profit_sol"}:
            assert stored[name] == json.loads(json.dumps(wanted[name])), name
    with pytest.raises(NotFound):
        results.behaviour(analysis.result_id, 99)


def test_what_is_held_is_valued_at_the_price_known() -> None:
    sync("a", [TradeSpec(1, "m", sol=2.0, amount=10**6), TradeSpec(2, "n", sol=1.0)], {"m": 10**6})
    sync("b", [TradeSpec(1, "m")])
    ids = tokens.mint_ids(["m", "n"])
    Token.update(price_usd=600.0, decimals=6).where(Token.id == ids["m"]).execute()
    observe(usd=200)
    analysis = complete(["a", "b"])
    # One token of 600 USD is 3 SOL, and cost 2; what is left of n is none, and cost 1.
    assert results.behaviour(analysis.result_id, 0)["unrealised_profit_sol"] == pytest.approx(3 - 2 + 0 - 1)


def observe(usd: int) -> None:
    for row in Wallet.select():
        RateObservation.insert(
            wallet_id=row.id, sync_no=1, signature="rate", block_at=START_AT, usd=usd * 10**6, lamports=10**9
        ).execute()


def test_fewer_than_thirty_wallets_leave_chance_unknown_and_say_so() -> None:
    history = crowd(strangers=10)
    analysis = complete(list(history))
    result = results.result(analysis.result_id)
    assert result["background"]["wallets"] == 15
    assert "30" in result["background"]["reason"]
    rows = rows_of(analysis)
    assert {row[name] for row in rows for name in pairs.CHANCE} == {None}
    assert len(results.clusters(result["id"])) == 1, "where chance is not known it is not asked"


def test_the_background_is_every_wallet_ever_synced_under_the_same_window_and_exclusions() -> None:
    history = crowd(strangers=36)
    few = [name for name in history if not name.startswith("stranger")]
    sync("only transfers", [TradeSpec(1, "mint 000", side="in")])
    sync("only excluded", [TradeSpec(1, "money")])
    sync("other", [TradeSpec(1, "mint 000"), TradeSpec(2, "money")])
    analysis = complete(few, exclude=("money",))
    population = results.result(analysis.result_id)["background"]
    assert population["wallets"] == 42
    seen = {one.mint for made in history.values() for one in made} | {"mint 000"}
    assert population == {"wallets": 42, "mints": len(seen), "reason": None}
    assert_chance_of(few, history | {"other": [TradeSpec(1, "mint 000").movement(0)]}, by_name(analysis))


def assert_chance_of(few: list[str], history: History, found: dict[tuple[str, str], dict[str, Any]]) -> None:
    sets = {address: {one.mint for one in made} for address, made in history.items()}
    mints = sorted({mint for one in sets.values() for mint in one})
    counts = np.array([sum(mint in one for one in sets.values()) for mint in mints])
    table = chance.expected([8], chance.Population(len(sets), counts))
    assert [row["expected"] for row in found.values()] == pytest.approx([table[0, 0]] * len(found))
    assert len(found) == len(few) * (len(few) - 1) // 2


def test_a_complete_analysis_stays_as_it_is_when_others_sync() -> None:
    history = crowd()
    analysis = complete(list(history))
    before = stored_state(analysis)
    sync("leader", [TradeSpec(5, "new"), TradeSpec(6, "rare 0", "sell")])
    sync("another", [TradeSpec(1_000 + 50_000 * n, f"rare {n}") for n in range(8)])
    assert stored_state(Analysis.get_by_id(analysis.id)) == before
    again = complete(list(history))
    assert stored_state(again) != before


def test_the_proof_of_a_pair_lists_its_matches_and_says_its_insights() -> None:
    history = crowd()
    analysis = complete(list(history))
    proof = evidence.pair_of(analysis, *(analyses.wallet(analysis.id, name) for name in ("follower 10", "leader")))
    assert len(proof["matches"]) == proof["matched"] == 8
    times = [match["time_b"] for match in proof["matches"]]
    assert times == sorted(times)
    signatures = {one.signature for one in history["leader"]}
    for match in proof["matches"]:
        assert match["lag_s"] == match["time_b"] - match["time_a"] == -10
        assert match["signature_b"] in signatures
        assert match["side"] == "buy"
    assert [one["insight"] for one in proof["for"]] == proof["insights"]
    assert any("first in 8 of 8" in one["text"] for one in proof["for"])
    assert proof["against"] == [], "they share stored_state, and beyond chance"


def test_the_matches_of_every_pair_are_as_many_as_were_counted() -> None:
    rng = random.Random(3)
    names = [f"w{n}" for n in range(5)]
    for name in names:
        sync(
            name,
            [TradeSpec(rng.randrange(300), f"m{rng.randrange(4)}", rng.choice(["buy", "sell"])) for _ in range(25)],
        )
    analysis = complete(names, timing_window_s=10)
    seen = 0
    for (a, b), row in by_name(analysis).items():
        proof = evidence.pair_of(analysis, analyses.wallet(analysis.id, a), analyses.wallet(analysis.id, b))
        assert len(proof["matches"]) == row["matched"]
        assert all(abs(match["lag_s"]) <= 10 for match in proof["matches"])
        seen += row["matched"]
    assert seen > 50


def test_a_provisional_result_has_the_base_measures_alone_and_says_what_is_missing() -> None:
    history = crowd(strangers=3)
    analysis = begin(list(history))
    job = job_of(analysis)
    Job.update(kind="provisional").where(Job.id == job.id).execute()
    Analysis.update(state="syncing").where(Analysis.id == analysis.id).execute()
    AnalysisWallet.update(state="waiting").where(AnalysisWallet.position == 3).execute()
    executor.run(job.id)
    shown = Analysis.get_by_id(analysis.id)
    result = evidence.shown_result(shown)
    assert result["provisional"]
    assert "1 of 8 wallets are still to be read." in result["missing"]
    rows = rows_of(shown)
    assert len(rows) == 7 * 6 // 2
    assert {row[name] for row in rows for name in (*pairs.CHANCE, *pairs.TIMING)} == {None}
    assert {row["overall"] is None for row in rows} == {False}
    assert {tuple(row["insights"]) for row in rows} == {()}
    assert results.wallets(result["id"]) == {}
    proof = evidence.pair_of(shown, *(analyses.wallet(analysis.id, name) for name in ("follower 10", "leader")))
    assert (proof["matches"], proof["for"]) == ([], [])


def test_failed_and_truncated_wallets_are_counted_as_missing() -> None:
    history = crowd(strangers=3)
    analysis = begin(list(history))
    w = AnalysisWallet
    w.update(state="failed").where(w.position == 0).execute()
    w.update(state="partial").where(w.position.in_((1, 2))).execute()
    w.update(truncated=True).where(w.position == 3).execute()
    executor.run(job_of(analysis).id)
    analysis = Analysis.get_by_id(analysis.id)
    assert results.result(analysis.result_id)["missing"] == [
        "1 wallet could not be read and is left out.",
        "2 wallets could be read only in part.",
        "1 wallet had more history than the limit of 1,000 transactions.",
    ]
    assert 0 not in {row[side] for row in rows_of(analysis) for side in ("wallet_a", "wallet_b")}


def test_a_rerun_says_of_a_wallet_that_was_never_read_what_to_do() -> None:
    sync("read", [TradeSpec(1, "m")])
    analysis = begin(["read", "never read"])
    Wallet.update(state=None).where(Wallet.address == "never read").execute()
    workflow.cancel(analysis)
    cancelled = Analysis.get_by_id(analysis.id)
    again = pipeline_start.rerun(
        cancelled, pipeline_start.parameters_of(cancelled), key=pipeline_start.new_key(), owner=None
    ).analysis
    states = {row["address"]: (row["state"], row["reason"]) for row in analyses.wallets(again.id)}
    assert states == {"read": ("synced", None), "never read": ("failed", analyses.NEVER_READ)}
    assert "Retry" in analyses.NEVER_READ


def test_a_window_leaves_out_trades_of_every_wallet() -> None:
    """The window ends when the analysis is made, long after these trades: only what is younger than it counts."""
    now = int(database.now_s()) - START_AT
    for number in range(35):
        sync(f"wallet {number}", [TradeSpec(now - 100, f"m{number % 5}"), TradeSpec(now - 10 * 86_400, "old")])
    sync("asleep", [TradeSpec(now - 10 * 86_400, "old")])
    analysis = complete([f"wallet {number}" for number in range(4)], window_days=3.0)
    assert results.result(analysis.result_id)["background"] == {"wallets": 35, "mints": 5, "reason": None}
    measured = results.behaviour(analysis.result_id, 0)
    assert (measured["trades"], measured["mints"]) == (1, 1)


def test_rows_of_an_unfinished_sync_and_above_a_hole_are_not_seen() -> None:
    sync("a", [TradeSpec(10, "seen"), TradeSpec(1, "below the hole")])
    sync("b", [TradeSpec(10, "seen")])
    wallet = Wallet.get(Wallet.address == "a")
    Wallet.update(oldest_slot=20).where(Wallet.id == wallet.id).execute()
    mint = tokens.ensure_mints({"unfinished": 6})["unfinished"]
    MovementRow.insert(
        wallet_id=wallet.id, sync_no=2, slot=30, block_at=START_AT + 12, signature="s", side=0, mint_id=mint,
        amount="1", decimals=6, quote="SOL", quote_amount=1,
    ).execute()  # fmt: skip
    analysis = complete(["a", "b"])
    rows = Allocation.select(Allocation.mint_id).where(Allocation.position == 0).tuples()
    assert list(tokens.mint_names(row[0] for row in rows).values()) == ["seen"]
    assert results.result(analysis.result_id)["summary"]["trades"] == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("ab1", max_size=30) | st.text("a", min_size=7, max_size=17), max_size=30))
def test_signatures_are_ranked_as_strings(signatures: list[str]) -> None:
    given_ = np.array([one.encode() for one in signatures] or [b""], dtype="S")[: len(signatures)]
    ranks = signature_ranks.ranks(given_).tolist()
    assert ranks == [sorted(signatures).index(one) for one in signatures]


def test_days_of_trades_in_dollars_are_listed_once_each() -> None:
    sync("a", [TradeSpec(second, "m") for second in (0, 5, 86_400, 86_500, 400_000)])
    MovementRow.update(quote="USDC").where(MovementRow.slot < 400_000).execute()
    wallet = Wallet.get(Wallet.address == "a")
    assert storage_wallets.days_quoted_in_usd([wallet.id]) == [START_AT // 86_400, START_AT // 86_400 + 1]


def test_wallets_are_read_in_parts_of_about_so_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "ROWS_PER_READ", 10)
    monkeypatch.setattr(trades, "WALLETS_PER_READ", 3)
    parts = [range(9)[part] for part in trades.parts([4, 6, 1, 90, 0, 0, 0, 5, 5])]
    assert [list(part) for part in parts] == [[0, 1], [2], [3], [4, 5, 6], [7, 8]]
    assert list(trades.parts([])) == []


@both_databases
def test_what_is_read_in_many_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    history = crowd()
    sync("other", [TradeSpec(1, "mint 000"), TradeSpec(2, "rare 0")])
    sync("another", [TradeSpec(4, "mint 000"), TradeSpec(1_010, "rare 0"), TradeSpec(9, "elsewhere")])
    few = [name for name in history if name != "stranger 20"]
    whole = complete(few)
    monkeypatch.setattr(trades, "ROWS_PER_READ", 20)
    monkeypatch.setattr(load, "TRADES_PER_COUNT", 30)
    assert stored_state(complete(few)) == stored_state(whole)


def test_numbers_beyond_32_bits_are_stored_exactly() -> None:
    """Times and slots beyond 2038 and 2^31 leave the matches what they are."""
    far = 2**33
    names = ["early 1", "early 2", "far 1", "far 2"]
    for name in names:
        start, lag = (far if name.startswith("far") else 0), (7 if name.endswith("2") else 0)
        sync(name, [TradeSpec(start + lag + 1_000 * n, f"{name[:3]} {n}") for n in range(3)])
    found = by_name(complete(names))
    for kind in ("early", "far"):
        row = found[f"{kind} 1", f"{kind} 2"]
        assert (row["matched"], row["median_lag_s"], row["leader"], row["lead_share"]) == (3, 7, 1, 1.0)


def test_cancelling_between_storing_and_showing_leaves_the_proof_of_what_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history = crowd(strangers=3)
    analysis = begin(list(history))
    final = job_of(analysis)
    Job.update(kind="provisional").where(Job.id == final.id).execute()
    Analysis.update(state="syncing").where(Analysis.id == analysis.id).execute()
    AnalysisWallet.update(state="waiting").where(AnalysisWallet.position == 7).execute()
    executor.run(final.id)
    before = proof_of(analysis)
    assert Analysis.get_by_id(analysis.id).result_id == 1
    sync("leader", [TradeSpec(5, "new"), TradeSpec(6, "rare 0", "sell")])
    AnalysisWallet.update(state="synced").execute()
    with database.write():
        (job_id,) = workflow.advance(analysis.id)
    show = workflow.result_ready

    def cancelled(*arguments: Any) -> list[str]:
        workflow.cancel(Analysis.get_by_id(analysis.id))
        return show(*arguments)

    monkeypatch.setattr(workflow, "result_ready", cancelled)
    executor.run(job_id)
    shown = Analysis.get_by_id(analysis.id)
    assert (shown.state, shown.result_id, job_of(analysis).state) == ("cancelled", 1, "cancelled")
    assert proof_of(analysis) == before
    assert [row.dropped for row in Result.select().order_by(Result.id)] == [False, True]


def proof_of(analysis: Analysis) -> Any:
    shown, wallet = Analysis.get_by_id(analysis.id), analyses.wallet(analysis.id, "leader")
    counts = [(row["trades"], row["mints"]) for row in analyses.wallets(analysis.id)]
    return dataclasses.asdict(evidence.capital_audit(shown, wallet)), counts


def test_the_rows_of_a_cancelled_comparison_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    history = crowd(strangers=3)
    analysis = begin(list(history))
    tell = result_summary.summary

    def cancelled(order: AnalysisInput, *rest: Any) -> dict[str, Any]:
        waiters.cancel(order.claim.job_id)
        return tell(order, *rest)

    monkeypatch.setattr(result_summary, "summary", cancelled)
    executor.run(job_of(analysis).id)
    for model in (Pair, PairOrder, Allocation, ResultWallet, ResultCluster):
        assert model.select().count() == 0, model
    assert [row.dropped for row in Result.select()] == [True]
