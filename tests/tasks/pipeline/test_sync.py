"""Syncing wallets from a chain over HTTP: what is read, how many requests it takes, and what faults do to it."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from tasks.jobs import claims, executor
from tasks.pipeline import sync
from tasks.simulator.server import Simulator
from tasks.sources.rate_limit.clock import Stopped
from tasks.sources.solana import client
from tasks.storage import analyses, tokens, wallets
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.wallets import Movement, SyncCursor, Unread
from tests.conftest import both_databases, set_timing
from tests.support.bad_responses import damaged
from tests.tasks.conftest import make_due, settle, start, trades, wallet, work

pytestmark = pytest.mark.usefixtures("reading")
Reading = Callable[..., None]


def planned(chain: Simulator, address: str) -> list[tuple[str, str, str, int]]:
    """Return the planned trades of the chain: (signature, side, mint, amount)."""
    return sorted((s, t.side, t.mint, t.amount) for s, t in chain.world.planned_trades(address))


def http_requests(chain: Simulator) -> int:
    count = int(chain.stats()["services"].get("rpc", 0))
    chain.state.reset_stats()
    return count


def budget(signatures: int) -> int:
    return math.ceil((signatures + 1) / 1000) + math.ceil(signatures / 100) + 3


@both_databases
def test_it_stores_the_trades_that_were_made(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    analysis = settle(addresses)
    assert analysis.state == "complete"
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
        assert wallet(address).state == "synced"
        assert wallet(address).transactions == 250


@pytest.mark.parametrize("chain", [(2, 250), (2, 100), (2, 1)], indirect=True)
def test_a_sync_takes_no_more_requests_than_promised(chain: Simulator, reading: Reading) -> None:
    addresses = chain.world.addresses[:2]
    settle(addresses)
    assert http_requests(chain) - 1 <= 2 * budget(chain.world.scenario.transactions_per_wallet), "probe apart"
    settle(addresses)
    assert http_requests(chain) <= 2 * 4, "nothing new"


@pytest.mark.parametrize("chain", [(2, 1000), (2, 2050)], indirect=True)
def test_a_long_history_keeps_to_the_budget_too(chain: Simulator, reading: Reading) -> None:
    reading(history_limit=100_000)
    settle(chain.world.addresses[:2])
    assert http_requests(chain) - 1 <= 2 * budget(chain.world.scenario.transactions_per_wallet)


def test_the_second_sync_asks_only_for_what_is_new(chain: Simulator) -> None:
    addresses = chain.world.addresses[:2]
    chain.set_faults(hide_newest=120)
    settle(addresses)
    assert wallet(addresses[0]).transactions == 130
    chain.set_faults(hide_newest=0)
    chain.state.reset_stats()
    settle(addresses)
    assert chain.stats()["transactions"] <= 2 * 120
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
        assert wallet(address).transactions == 250


def test_the_history_limit_cuts_and_says_so(chain: Simulator, reading: Reading) -> None:
    reading(history_limit=100)
    address = settle(chain.world.addresses[:2]) and chain.world.addresses[0]
    assert wallet(address).truncated
    assert wallet(address).state == "synced"
    assert wallet(address).transactions == 100


def test_a_history_of_exactly_the_limit_is_not_truncated(chain: Simulator, reading: Reading) -> None:
    reading(history_limit=250)
    settle(chain.world.addresses[:2])
    assert not wallet(chain.world.addresses[0]).truncated
    assert wallet(chain.world.addresses[0]).transactions == 250


def test_a_raised_limit_reads_the_older_part_without_the_newer(chain: Simulator, reading: Reading) -> None:
    addresses = chain.world.addresses[:2]
    reading(history_limit=100)
    settle(addresses)
    chain.state.reset_stats()
    reading(history_limit=1000)
    settle(addresses)
    assert chain.stats()["transactions"] <= 2 * 150
    assert [row[:4] for row in trades(addresses[0])] == planned(chain, addresses[0])
    assert not wallet(addresses[0]).truncated


def test_more_news_than_the_limit_leaves_a_hole_below_which_nothing_counts(chain: Simulator, reading: Reading) -> None:
    addresses = chain.world.addresses[:2]
    chain.set_faults(hide_newest=200)
    reading(history_limit=80)
    settle(addresses)
    chain.set_faults(hide_newest=0)
    settle(addresses)
    found = wallet(addresses[0])
    assert found.truncated
    assert found.transactions == 80
    read, failed = wallets.movements(wallets.Bounds(found.id, found.syncs, found.oldest_slot))
    newest = {entry for entry, *_ in planned(chain, addresses[0])}
    assert {movement.signature for movement in read} <= newest | {movement.signature for movement in read}
    assert min(movement.slot for movement in read) >= found.oldest_slot
    assert len(read) + len(failed) <= 2 * 80


def test_holdings_and_balance_are_read(chain: Simulator) -> None:
    address = chain.world.addresses[0]
    settle(chain.world.addresses[:2])
    held = {a.token.mint for a in chain.world.holdings(address) if a.amount > 0}
    ids = tokens.mint_names(map(int, wallets.json.loads(wallet(address).holdings)))
    assert set(ids.values()) == held
    assert wallet(address).lamports == chain.world.balance(address)


def test_transactions_for_address_gives_the_same_trades_in_fewer_requests(chain: Simulator) -> None:
    chain.set_faults(transactions_for_address=True)
    addresses = chain.world.addresses[:2]
    settle(addresses)
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
    assert chain.stats()["methods"].get("getTransaction", 0) == 0
    assert http_requests(chain) - 1 <= 2 * budget(250)
    settle(addresses)
    assert http_requests(chain) <= 2 * 4


@pytest.mark.parametrize(
    "faults",
    [
        {"batch_refusal": 403},
        {"batch_refusal": 413},
        {"max_batch": 7},
        {"shuffle_batches": True},
        {"fail_next": 2, "fail_status": 429},
        {"drop_next": 2},
        {"garble": "half", "garble_next": 2},
        {"garble": "html", "garble_next": 2},
        {"garble": "object", "garble_next": 2},
        {"fail_fraction": 0.1},
        {"null_first": 1},
    ],
    ids=lambda faults: ",".join(f"{name}={value}" for name, value in faults.items()),
)
def test_a_passing_fault_changes_no_trade(chain: Simulator, faults: dict[str, Any]) -> None:
    chain.set_faults(**faults)
    addresses = chain.world.addresses[:2]
    analysis = settle(addresses)
    assert analysis.state == "complete"
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
        assert wallet(address).state == "synced", wallet(address).reason


def test_what_stays_invisible_makes_a_wallet_partial_and_is_asked_again_next_time(chain: Simulator) -> None:
    addresses = chain.world.addresses[:2]
    chain.set_faults(null_first=2)
    settle(addresses)
    found = wallet(addresses[0])
    assert found.state == "partial"
    assert "could not be read" in found.reason
    assert wallets.count_unread(found.id) > 0
    settle(addresses)
    assert [row[:4] for row in trades(addresses[0])] == planned(chain, addresses[0])
    assert wallet(addresses[0]).state == "synced"


def replace_transaction(
    chain: Simulator, monkeypatch: pytest.MonkeyPatch, signature: str, replaced: Callable[[bytes], bytes]
) -> None:
    """Change what the chain sends for one signature."""
    render = chain.world.render

    def rendered(event: Any, encoding: Any) -> bytes:
        content = render(event, encoding)
        return replaced(content) if chain.world.signature(event) == signature else content

    monkeypatch.setattr(chain.world, "render", rendered)


@pytest.mark.parametrize("whole_history", [False, True])
@pytest.mark.parametrize("damage", ["keys", "meta", "amounts"])
def test_a_damaged_transaction_fails_alone(
    chain: Simulator, monkeypatch: pytest.MonkeyPatch, damage: str, whole_history: bool
) -> None:
    addresses = chain.world.addresses[:2]
    broken = planned(chain, addresses[0])[0][0]
    chain.set_faults(transactions_for_address=whole_history)
    replace_transaction(chain, monkeypatch, broken, lambda content: damaged(content, damage))
    analysis = settle(addresses)
    assert analysis.state == "complete"
    assert wallet(addresses[0]).state == "partial"
    assert "1 transaction could not be read" in wallet(addresses[0]).reason
    assert [row[:4] for row in trades(addresses[0])] == [p for p in planned(chain, addresses[0]) if p[0] != broken]
    assert Unread.select().where(Unread.permanent).count() == 1


def test_a_wallet_that_is_refused_fails_alone_with_its_reason(chain: Simulator) -> None:
    bad, *good = chain.world.addresses[:3]
    chain.set_faults(failing_addresses={bad: "invalid"})
    analysis = settle([bad, *good])
    assert analysis.state == "complete"
    rows = {row["address"]: row for row in analyses.wallets(analysis.id)}
    assert rows[bad]["state"] == "failed"
    assert "-32602" in rows[bad]["reason"]
    assert {rows[address]["state"] for address in good} == {"synced"}
    job = Job.get(Job.target == bad)
    assert (job.state, job.attempts) == ("failed", 1), "a permanent error is not tried again"


def test_a_wallet_that_is_throttled_for_ever_ends_failed_after_five_attempts(
    chain: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *good = chain.world.addresses[:3]
    chain.set_faults(failing_addresses={bad: "throttled"})
    monkeypatch.setattr("tasks.sources.rate_limit.clock.time.sleep", lambda seconds: None)
    monkeypatch.setattr("tasks.sources.rate_limit.clock.SLICE_S", 1e9)
    analysis = settle([bad, *good])
    assert analysis.state == "complete"
    assert wallet(bad).state == "failed"
    assert "429" in wallet(bad).reason


@pytest.mark.parametrize("chain", [(2, 400)], indirect=True)
def test_a_sync_that_was_given_up_half_way_is_partial_and_goes_on_next_time(
    chain: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = chain.world.addresses[:2]
    analysis = start(addresses)
    for job in list(Job.select()):
        with monkeypatch.context() as patch:
            stop_after(patch, batches=2)
            executor.run(job.id)
    analysis = Analysis.get_by_id(analysis.id)
    assert {row["state"] for row in analyses.wallets(analysis.id)} == {"partial"}
    assert 0 < wallet(addresses[0]).transactions < 400


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Let the service refuse everything permanently after some batches of a wallet."""
    from tasks.errors import SourceError

    read, left = sync._Sync._read_batch, [batches]

    def read_batch(self: sync._Sync) -> None:
        if not left[0]:
            raise SourceError("solana", "the RPC service refused (403)", permanent=True)
        left[0] -= 1
        read(self)

    monkeypatch.setattr(sync._Sync, "_read_batch", read_batch)
    set_timing(monkeypatch, slice_s=600)  # on a slow machine the slice would end before the service refuses


@pytest.mark.parametrize("chain", [(2, 400)], indirect=True)
def test_a_partial_wallet_is_completed_by_the_next_sync(
    chain: Simulator, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = chain.world.addresses[:2]
    start(addresses)
    for job in list(Job.select()):
        with monkeypatch.context() as patch:
            stop_after(patch, batches=2)
            executor.run(job.id)
    work()
    settle(addresses)
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
        assert wallet(address).transactions == 400
        assert wallet(address).state == "synced"
    assert SyncCursor.select().count() == 0


@pytest.mark.parametrize("batches", [0, 1, 3, 10, 11, 13])
@pytest.mark.parametrize("chain", [(2, 1600)], indirect=True)
def test_wherever_a_sync_is_given_up_the_next_one_reads_all_and_counts_it_once(
    chain: Simulator, reading: Reading, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    reading(history_limit=1600)
    addresses = chain.world.addresses[:2]
    chain.set_faults(hide_newest=1350)
    settle(addresses)
    chain.set_faults(hide_newest=0)
    start(addresses)
    for job in list(Job.select().where(Job.state == "queued")):
        with monkeypatch.context() as patch:
            stop_after(patch, batches=batches)
            executor.run(job.id)
    work()
    assert {wallet(address).state for address in addresses} == {"partial"}
    assert {wallet(address).transactions for address in addresses} == {250}, "nothing half is shown"
    settle(addresses)
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
        assert (wallet(address).state, wallet(address).transactions) == ("synced", 1600)
        assert not wallet(address).truncated


@pytest.mark.parametrize("batches", [0, 1, 10, 12])
@pytest.mark.parametrize("chain", [(2, 1350)], indirect=True)
def test_a_new_wallet_that_was_given_up_anywhere_is_read_by_the_next_sync(
    chain: Simulator, reading: Reading, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    reading(history_limit=1350)
    addresses = chain.world.addresses[:2]
    start(addresses)
    for job in list(Job.select()):
        with monkeypatch.context() as patch:
            stop_after(patch, batches=batches)
            executor.run(job.id)
    work()
    assert {wallet(address).state for address in addresses} == {"partial" if batches else "failed"}
    settle(addresses)
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
        assert (wallet(address).state, wallet(address).transactions) == ("synced", 1350)
        assert not wallet(address).truncated


def test_a_wallet_that_failed_before_anything_was_listed_is_read_and_counted_once(chain: Simulator) -> None:
    addresses = chain.world.addresses[:2]
    chain.set_faults(unavailable_methods=("getSignaturesForAddress",))
    settle(addresses)
    assert {wallet(address).state for address in addresses} == {"failed"}
    chain.set_faults(unavailable_methods=())
    chain.state.reset_stats()
    settle(addresses)
    assert {wallet(address).transactions for address in addresses} == {250}
    assert chain.stats()["transactions"] == chain.stats()["distinct_transactions"]


def test_the_recorded_damaged_transaction_fails_alone(
    chain: Simulator, samples: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`broken_data_1.json`, damaged on purpose, replaces one transaction."""
    addresses = chain.world.addresses[:2]
    broken = planned(chain, addresses[0])[0][0]
    recorded = (samples / "transactions" / "broken_data_1.json").read_bytes().strip()[1:-1]
    replace_transaction(chain, monkeypatch, broken, lambda content: recorded)
    analysis = settle(addresses)
    assert analysis.state == "complete"
    assert wallet(addresses[0]).state == "partial"
    assert "1 transaction could not be read" in wallet(addresses[0]).reason
    assert [row[:4] for row in trades(addresses[0])] == [p for p in planned(chain, addresses[0]) if p[0] != broken]


def test_entries_that_nobody_can_read_make_a_wallet_partial(chain: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    read = client.SolanaClient.signatures

    def with_rubbish(self: client.SolanaClient, *args: Any, **kwargs: Any) -> Any:
        found = read(self, *args, **kwargs)
        return type(found)(found[1:], unreadable=1)

    monkeypatch.setattr(client.SolanaClient, "signatures", with_rubbish)
    addresses = chain.world.addresses[:2]
    analysis = settle(addresses)
    assert analysis.state == "complete"
    assert wallet(addresses[0]).state == "partial"
    assert "cannot be read" in wallet(addresses[0]).reason
    assert wallet(addresses[0]).transactions == 249


def test_amounts_beyond_any_that_exist_fail_alone(chain: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = chain.world.addresses[:2]
    monkeypatch.setattr(wallets, "MAX_INTEGER", 10**9)
    analysis = settle(addresses)
    assert analysis.state == "complete"
    assert wallet(addresses[0]).state == "partial"
    assert "larger than any that exist" in wallet(addresses[0]).reason


def test_when_no_wallet_can_be_read_the_analysis_fails_and_says_so(chain: Simulator) -> None:
    addresses = chain.world.addresses[:2]
    chain.set_faults(failing_addresses=dict.fromkeys(addresses, "invalid"))
    analysis = settle(addresses)
    assert analysis.state == "failed"
    assert "None of the 2 wallets could be read" in analysis.reason


def test_a_lost_worker_is_taken_over_where_it_stood(chain: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill there are a claim that is not renewed and a cursor in the middle of a page."""
    addresses = chain.world.addresses[:2]
    start(addresses)
    job_id = Job.get(Job.target == addresses[0]).id
    claim = claims.claim_job(job_id)
    found = wallet(addresses[0])
    killed = sync._Sync(claim, found, sync._start(found), sync.rpc_client(job_id))
    for _ in range(2):
        killed.step()
    assert 0 < Movement.select().count() < 250
    Job.update(lease_until=0).where(Job.id == job_id).execute()
    chain.state.reset_stats()
    work()
    assert chain.stats()["transactions"] <= 250 - 100 + 250, "only the rest is asked for"
    for address in addresses:
        assert [row[:4] for row in trades(address)] == planned(chain, address)
    with pytest.raises((claims.LostClaim, Stopped)):
        killed.step()


def test_slices_hand_back_and_every_transaction_is_read_once(chain: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    set_timing(monkeypatch, slice_s=-1.0)
    addresses = chain.world.addresses[:2]
    settle(addresses)
    assert [row[:4] for row in trades(addresses[0])] == planned(chain, addresses[0])
    assert chain.stats()["transactions"] == chain.stats()["distinct_transactions"]


def test_two_analyses_of_one_wallet_read_it_once(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    first, second = start(addresses[:2]), start(addresses[1:])
    for _ in range(4):
        work()
        make_due()
    assert Job.select().where(Job.kind == "sync").count() == 3
    states = {Analysis.get_by_id(a.id).state for a in (first, second)}
    assert states == {"complete"}


def test_a_fresh_wallet_is_not_read_again(chain: Simulator) -> None:
    addresses = chain.world.addresses[:2]
    settle(addresses)
    chain.state.reset_stats()
    again = start(addresses, sync_ttl_s=300)
    assert again.state == "analysing"
    work()
    assert chain.stats()["services"].get("rpc", 0) == 0
    assert Analysis.get_by_id(again.id).state == "complete"
