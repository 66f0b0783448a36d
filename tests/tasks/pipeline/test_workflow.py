"""From synced wallets to a stored result: its numbers against a plain computation, provisional results, freezing."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tasks.errors import Conflict, NotFound
from tasks.jobs import claims, executor, states
from tasks.measures.allocation import Rates
from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.pipeline import build_result, evidence, window, workflow
from tasks.pipeline import start as pipeline_start
from tasks.simulator.server import Simulator
from tasks.storage import analyses, database, pairs, results, retention, tokens
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.base import db
from tasks.storage.models.jobs import Job, JobEvent
from tasks.storage.models.results import Allocation, Pair, Result
from tasks.storage.models.wallets import RateObservation
from tests.conftest import both_databases
from tests.tasks.conftest import make_due, settle, start, wallet, work

pytestmark = pytest.mark.usefixtures("reading")
DAY_S = 86_400


def value_sol(trade: Any, block_at: int, rates: Rates) -> float | None:
    if trade.quote is None:
        return None
    if trade.quote == "SOL":
        return float(trade.quote_amount) / 1e9
    return float(trade.quote_amount) / 1e6 / rates.days[block_at // DAY_S]


def plain_weights(chain: Simulator, address: str, rates: Rates) -> dict[str, float]:
    """Compute a wallet's weights from the planned trades by a plain computation."""
    spent: dict[str, float] = defaultdict(float)
    for signature, trade in chain.world.planned_trades(address):
        if trade.mint in DEFAULT_EXCLUDED:
            continue
        event = chain.world.find(signature)
        block_at = chain.world.scenario.block_time(event.slot)
        value = value_sol(trade, block_at, rates)
        spent[trade.mint] += value if trade.side == "buy" and value is not None else 0.0
    total = sum(spent.values())
    return {mint: value / total for mint, value in spent.items()}


def plain_measures(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    shared = a.keys() & b.keys()
    behavioural = len(shared) / math.sqrt(len(a) * len(b))
    norm = math.sqrt(sum(w * w for w in a.values())) * math.sqrt(sum(w * w for w in b.values()))
    capital = sum(a[mint] * b[mint] for mint in shared) / norm
    return {
        "shared": len(shared),
        "behavioural": behavioural,
        "capital": capital,
        "overall": 0.4 * behavioural + 0.6 * capital,
        "jaccard": len(shared) / len(a.keys() | b.keys()),
        "overlap": sum(min(a[mint], b[mint]) for mint in shared),
        "coverage_a": sum(a[mint] for mint in shared),
        "coverage_b": sum(b[mint] for mint in shared),
    }


@pytest.mark.parametrize("chain", [(8, 120)], indirect=True)
def test_the_stored_measures_equal_a_plain_computation(chain: Simulator) -> None:
    addresses = sorted(chain.world.addresses[:8])
    analysis = settle(addresses)
    kept = evidence.shown_result(analysis)
    rates = window.rates_from_json(kept["rates"])
    weights = [plain_weights(chain, address, rates) for address in addresses]
    rows = list(Pair.select().where(Pair.result_id == kept["id"]).dicts())
    assert len(rows) == 8 * 7 // 2
    for row in rows:
        wanted = plain_measures(weights[row["wallet_a"]], weights[row["wallet_b"]])
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)
    stored = Allocation.select(Allocation.weight).where(Allocation.result_id == kept["id"], Allocation.position == 3)
    assert sum(row[0] for row in stored.tuples()) == pytest.approx(1, abs=1e-9)


def test_the_rates_are_the_medians_of_what_the_wallets_observed(chain: Simulator) -> None:
    analysis = settle(chain.world.addresses[:3])
    by_day: dict[int, list[float]] = defaultdict(list)
    for row in RateObservation.select().dicts():
        by_day[row["block_at"] // DAY_S].append(row["usd"] / 1e6 / (row["lamports"] / 1e9))
    rates = window.rates_from_json(evidence.shown_result(analysis)["rates"])
    assert rates.source == "observed"
    assert by_day, "the made-up wallets swap SOL for dollars"
    for day, seen in by_day.items():
        middle = sorted(seen)
        wanted = (middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2
        assert rates.days[day] == pytest.approx(wanted)


def test_without_observations_the_market_gives_the_rate(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    settle(addresses)
    RateObservation.delete().execute()
    analysis = start(addresses, sync_ttl_s=300)
    work()
    rates = window.rates_from_json(evidence.shown_result(Analysis.get_by_id(analysis.id))["rates"])
    assert rates.source == "market"
    assert len(set(rates.days.values())) == 1


def test_without_any_rate_dollar_trades_are_unpriced_and_the_analysis_still_completes(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    settle(addresses)
    RateObservation.delete().execute()
    chain.set_faults(target="market", fail_fraction=1.0)
    analysis = start(addresses, sync_ttl_s=300)
    work()
    analysis = Analysis.get_by_id(analysis.id)
    assert analysis.state == "complete"
    rows = [row for a in addresses for row in evidence.capital_audit(analysis, analyses.wallet(analysis.id, a)).rows]
    assert {row.reason for row in rows if row.quote in ("USDC", "USDT") and row.side == "buy"} == {"unpriced"}


def test_the_capital_audit_adds_up_to_the_weights(chain: Simulator) -> None:
    address = chain.world.addresses[0]
    analysis = settle(chain.world.addresses[:3])
    audit = evidence.capital_audit(analysis, analyses.wallet(analysis.id, address))
    assert audit.check.ok
    by_mint: dict[str, float] = defaultdict(float)
    for row in audit.rows:
        assert row.counted == (row.reason is None)
        if row.counted:
            by_mint[row.mint] += row.value_sol
    assert {w["mint"]: w["spent_sol"] for w in audit.weights if w["spent_sol"]} == pytest.approx(by_mint)
    assert {row.reason for row in audit.rows} >= {None, "sell", "transfer"}
    stored = results.allocation(analysis.result_id, analyses.wallet(analysis.id, address).position)
    assert sorted(row["weight"] for row in stored.values()) == sorted(w["weight"] for w in audit.weights)


def test_the_shared_tokens_of_a_pair_add_up_to_its_scores(chain: Simulator) -> None:
    analysis = settle(chain.world.addresses[:3])
    rows, _ = pairs.page(analysis.result_id)
    by_position = results.addresses(analysis.id)
    for pair in rows:
        a, b = (analyses.wallet(analysis.id, by_position[pair[side]][0]) for side in ("wallet_a", "wallet_b"))
        shared = evidence.shared_tokens(analysis, a, b)
        assert len(shared) == pair["shared"]
        assert sum(row["contribution_capital"] for row in shared) == pytest.approx(pair["capital"])
        assert sum(row["contribution_behavioural"] for row in shared) == pytest.approx(pair["behavioural"])
        assert all(row["signatures_a"] and row["signatures_b"] for row in shared)


def test_later_syncs_change_nothing_in_a_complete_analysis(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    chain.set_faults(hide_newest=100)
    old = settle(addresses)
    before = everything(old, addresses)
    chain.set_faults(hide_newest=0)
    new = settle(addresses)
    assert everything(Analysis.get_by_id(old.id), addresses) == before
    assert everything(new, addresses) != before


def everything(analysis: Analysis, addresses: list[str]) -> Any:
    audits = [evidence.capital_audit(analysis, analyses.wallet(analysis.id, address)) for address in addresses]
    rows = list(
        Pair.select().where(Pair.result_id == analysis.result_id).order_by(Pair.wallet_a, Pair.wallet_b).tuples()
    )
    return audits, [row[1:] for row in rows], analyses.wallets(analysis.id)


def test_a_window_leaves_out_what_lies_outside(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    analysis = settle(addresses, window_days=7.0)
    audit = evidence.capital_audit(analysis, analyses.wallet(analysis.id, addresses[0]))
    outside = [row for row in audit.rows if row.reason == "outside window"]
    assert outside
    assert all(row.block_at <= analysis.created_at - 7 * DAY_S for row in outside)
    assert all(row.block_at > analysis.created_at - 7 * DAY_S for row in audit.rows if row.counted)


def test_the_proof_of_a_pair_names_only_trades_inside_the_window(chain: Simulator) -> None:
    analysis = settle(chain.world.addresses[:3], window_days=20.0)
    by_position = results.addresses(analysis.id)
    for pair in pairs.page(analysis.result_id)[0]:
        a, b = (analyses.wallet(analysis.id, by_position[pair[side]][0]) for side in ("wallet_a", "wallet_b"))
        rows = {side.position: results.allocation(analysis.result_id, side.position) for side in (a, b)}
        for shared in evidence.shared_tokens(analysis, a, b):
            mint_id = tokens.mint_ids([shared["mint"]])[shared["mint"]]
            for side, signatures in ((a, shared["signatures_a"]), (b, shared["signatures_b"])):
                assert len(signatures) == rows[side.position][mint_id]["buys"] + rows[side.position][mint_id]["sells"]


def test_wallets_with_too_little_data_get_none_and_not_zero(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    analysis = settle(addresses, window_days=1e-9)
    rows, _ = pairs.page(analysis.result_id)
    assert len(rows) == 3
    for row in rows:
        assert row["shared"] == 0
        counts = {"matched", "same_slot", "leader"}
        assert {row[name] for name in pairs.MEASURES if name not in counts | {"holdings"}} == {None}
        assert {row[name] for name in counts} == {0}
    assert evidence.shown_result(analysis)["summary"]["median_overall"] is None


@pytest.mark.parametrize("chain", [(6, 60)], indirect=True)
def test_a_provisional_result_comes_with_two_wallets_and_is_replaced(chain: Simulator) -> None:
    addresses = chain.world.addresses[:6]
    analysis = start(addresses)
    syncs = [job.id for job in Job.select().where(Job.kind == "sync")]
    for job_id in syncs[:2]:
        executor.run(job_id)
    provisional = Job.get(Job.kind == "provisional")
    executor.run(provisional.id)
    shown = Analysis.get_by_id(analysis.id)
    assert shown.state == "provisional"
    assert evidence.shown_result(shown)["provisional"]
    assert evidence.shown_result(shown)["wallets"] == 2
    for _ in range(4):
        work()
        make_due()
    shown = Analysis.get_by_id(analysis.id)
    assert shown.state == "complete"
    assert not evidence.shown_result(shown)["provisional"]
    old = Result.select().where(Result.analysis_id == analysis.id, Result.provisional)
    assert Pair.select().where(Pair.result_id.in_([row.id for row in old])).count(), "its readers may continue"
    assert retention.delete_unreferenced(older_than_s=0) == [row.id for row in old]
    assert {row[0] for row in Pair.select(Pair.result_id).distinct().tuples()} == {shown.result_id}


def test_there_is_no_result_before_two_wallets_are_read(chain: Simulator) -> None:
    analysis = start(chain.world.addresses[:3])
    with pytest.raises(NotFound) as caught:
        evidence.shown_result(analysis)
    assert caught.value.code == "no_result"


def test_cancelling_ends_the_jobs_and_keeps_what_was_read(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    analysis = start(addresses)
    executor.run(Job.get(Job.target == addresses[0]).id)
    workflow.cancel(Analysis.get_by_id(analysis.id))
    work()
    assert Analysis.get_by_id(analysis.id).state == "cancelled"
    assert Job.select().where(Job.state.in_(states.LIVE)).count() == 0
    assert wallet(addresses[0]).transactions == 250
    with pytest.raises(Conflict):
        workflow.cancel(Analysis.get_by_id(analysis.id))


def test_a_failed_wallet_can_be_tried_again_and_the_old_analysis_stays(chain: Simulator) -> None:
    bad, *good = chain.world.addresses[:3]
    chain.set_faults(failing_addresses={bad: "invalid"})
    old = settle([bad, *good])
    chain.set_faults(failing_addresses={})
    new = pipeline_start.retry_wallet(old, bad, key=pipeline_start.new_key(), sync_ttl_s=300)
    work()
    assert new.parent_id == old.id
    assert analyses.state_counts(new.id) == {"synced": 3}
    assert analyses.state_counts(old.id) == {"failed": 1, "synced": 2}
    assert Analysis.get_by_id(new.id).state == "complete"
    with pytest.raises(Conflict):
        pipeline_start.retry_wallet(Analysis.get_by_id(new.id), bad, key=pipeline_start.new_key(), sync_ttl_s=300)


def test_the_same_idempotency_key_makes_one_analysis(chain: Simulator) -> None:
    addresses = chain.world.addresses[:2]
    analysis = start(addresses)
    new = pipeline_start.copy_of(analysis, pipeline_start.new_key())
    keyed = [
        pipeline_start.create(dataclasses.replace(new, key=key, idempotency_key="once"), sync_ttl_s=0) for key in "ab"
    ]
    assert [created.repeated for created in keyed] == [False, True]
    assert keyed[0].analysis.id == keyed[1].analysis.id
    assert keyed[0].job_ids == keyed[1].job_ids


def test_a_sync_that_kills_its_workers_fails_its_wallet_and_the_analysis_goes_on(chain: Simulator) -> None:
    bad, *good = chain.world.addresses[:3]
    analysis = start([bad, *good])
    Job.update(lost_leases=claims.MOST_LOST_LEASES, claim_token="gone", lease_until=0).where(
        Job.target == bad
    ).execute()
    for _ in range(4):
        work()
        make_due()
    analysis = Analysis.get_by_id(analysis.id)
    assert analysis.state == "complete"
    assert analyses.state_counts(analysis.id) == {"failed": 1, "synced": 2}
    assert "lost" in wallet(bad).reason


def test_a_comparison_that_kills_its_workers_fails_the_analysis(chain: Simulator) -> None:
    analysis = start(chain.world.addresses[:2])
    for job_id in [job.id for job in Job.select()]:
        executor.run(job_id)
    Job.update(lost_leases=claims.MOST_LOST_LEASES, claim_token="gone", lease_until=0).where(
        Job.kind == "similarity"
    ).execute()
    work()
    assert Analysis.get_by_id(analysis.id).state == "failed"


def test_what_waits_for_a_job_that_is_not_there_is_put_back_on_its_way(chain: Simulator) -> None:
    analysis = start(chain.world.addresses[:2])
    Job.delete().execute()
    assert len(workflow.repair_stranded()) == 2
    for _ in range(3):
        work()
    assert Analysis.get_by_id(analysis.id).state == "complete"
    Analysis.update(state="analysing").execute()
    assert len(workflow.repair_stranded()) == 1
    work()
    assert Analysis.get_by_id(analysis.id).state == "complete"
    assert workflow.repair_stranded() == []


@pytest.mark.parametrize("chain", [(6, 60)], indirect=True)
def test_a_provisional_result_that_is_still_made_stops_when_the_final_one_begins(
    chain: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = start(chain.world.addresses[:6])
    syncs = [job.id for job in Job.select().where(Job.kind == "sync")]
    for job_id in syncs[:2]:
        executor.run(job_id)
    find = build_result._compute

    def slowly(*arguments: Any) -> Any:
        monkeypatch.setattr(build_result, "_compute", find)
        for job_id in syncs[2:]:
            executor.run(job_id)
        return find(*arguments)

    monkeypatch.setattr(build_result, "_compute", slowly)
    executor.run(Job.get(Job.kind == "provisional").id)
    assert Job.get(Job.kind == "provisional").state == "cancelled"
    work()
    shown = Analysis.get_by_id(analysis.id)
    assert shown.state == "complete"
    assert {row[0] for row in Pair.select(Pair.result_id).distinct().tuples()} == {shown.result_id}
    assert evidence.shown_result(shown)["wallets"] == 6


def test_pinned_bounds_are_those_that_the_result_used(chain: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another analysis syncs a wallet, with a hole, while this one is being computed."""
    addresses = chain.world.addresses[:3]
    chain.set_faults(hide_newest=100)
    first = start(addresses)
    find = build_result._compute

    def disturbed(*arguments: Any) -> Any:
        row = wallet(addresses[0])
        row.oldest_slot, row.syncs = row.newest_slot, row.syncs + 1
        row.save()
        return find(*arguments)

    monkeypatch.setattr(build_result, "_compute", disturbed)
    for _ in range(3):
        work()
        make_due()
    first = Analysis.get_by_id(first.id)
    for address in addresses:
        assert evidence.capital_audit(first, analyses.wallet(first.id, address)).check.ok


def test_the_check_of_an_audit_notices_when_rows_and_weights_disagree(chain: Simulator) -> None:
    address = chain.world.addresses[0]
    analysis = settle(chain.world.addresses[:3])
    Allocation.update(spent_sol=Allocation.spent_sol + 1).execute()
    assert not evidence.capital_audit(analysis, analyses.wallet(analysis.id, address)).check.ok


@both_databases
def test_two_lists_of_the_same_wallets_in_another_order_do_not_block_each_other(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    barrier, made = threading.Barrier(2), []

    def begin(order: list[str]) -> None:
        with database.session():
            barrier.wait()
            made.append(start(order))

    threads = [threading.Thread(target=begin, args=(order,)) for order in (addresses, addresses[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(4):
        work()
        make_due()
    assert [Analysis.get_by_id(analysis.id).state for analysis in made] == ["complete", "complete"]


@both_databases
def test_cancelling_while_syncs_end_blocks_nobody(chain: Simulator) -> None:
    for _ in range(4):
        analysis = start(chain.world.addresses[:3])
        ids = [job.id for job in Job.select().where(Job.state == "queued")]
        threads = [threading.Thread(target=executor.run, args=(job_id,)) for job_id in ids]
        for thread in threads:
            thread.start()
        with contextlib.suppress(Conflict):
            workflow.cancel(Analysis.get_by_id(analysis.id))
        for thread in threads:
            thread.join()
        work()
        assert Analysis.get_by_id(analysis.id).state in ("cancelled", "complete")
        assert Job.select().where(Job.state.in_(states.LIVE)).count() == 0
        assert Job.select().where(Job.error.is_null(False)).count() == 0


def test_every_job_ends_and_says_so(chain: Simulator) -> None:
    settle(chain.world.addresses[:3])
    for job in list(Job.select().where(Job.queue == "pipeline")):
        assert job.state in states.ENDED
        assert job.finished_at >= (job.started_at or job.enqueued_at)
        last = JobEvent.select().where(JobEvent.job_id == job.id).order_by(JobEvent.id.desc()).get()
        assert last.state == job.state


def test_an_unexpected_error_is_tried_again_and_then_fails_the_analysis(
    chain: Simulator, monkeypatch: pytest.MonkeyPatch, reading: Callable[..., None]
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(build_result, "_compute", broken)
    analysis = settle(chain.world.addresses[:2])
    assert analysis.state == "failed"
    assert "unexpected error" in analysis.reason
    job = Job.get(Job.kind == "similarity")
    assert (job.state, job.attempts) == ("failed", claims.MOST_ATTEMPTS)
    assert not db.is_closed()
