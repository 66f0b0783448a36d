"""The mints of each wallet (`tasks/storage/wallet_mints.py`): the registry counts a wallet once with each mint."""

from __future__ import annotations

import json
import threading

import pytest

from tasks.jobs import claims
from tasks.pipeline import sync
from tasks.simulator.server import Simulator
from tasks.storage import database, sql, sync_cursor, tokens, wallet_mints, wallets
from tasks.storage.models.jobs import Job
from tasks.storage.models.tokens import Token, WalletMint
from tasks.storage.models.wallets import Movement
from tests.conftest import both_databases
from tests.tasks.conftest import settle, start, trades, wallet

SIDES = wallets.SIDES


def seen() -> dict[str, int]:
    return dict(Token.select(Token.mint, Token.wallets_seen).tuples())


def move(wallet_id: int, *moves: tuple[str, str]) -> None:
    """Store movements (side, mint) of a wallet, each in a transaction of its own."""
    ids = tokens.ensure_mints({mint: 6 for _, mint in moves})
    first = Movement.select().count()
    rows = [
        (wallet_id, 1, n, 0, n, f"signature {n}", SIDES.index(side), ids[mint], "5", 6, None, None, 1, False)
        for n, (side, mint) in enumerate(moves, first)
    ]
    sql.insert_rows(Movement, wallets.MOVEMENT_FIELDS, rows)


def note(wallet_id: int) -> int:
    with database.write():
        return wallet_mints.record_mints(wallet_id)


@pytest.mark.usefixtures("records")
def test_what_was_traded_or_is_held_counts_and_a_mere_transfer_does_not() -> None:
    wallet_id = wallets.ensure_wallets(["w"])["w"]
    move(wallet_id, ("buy", "a"), ("buy", "a"), ("sell", "b"), ("in", "sent"), ("out", "sent"))
    wallets.store_holdings(wallet_id, {"a": (3, 6), "held": (2**70, 6), "emptied": (0, 6)}, 1)
    assert note(wallet_id) == 3
    assert seen() == {"a": 1, "b": 1, "held": 1, "sent": 0, "emptied": 0}


@pytest.mark.usefixtures("records")
def test_noting_again_counts_only_what_is_new() -> None:
    one, two = wallets.ensure_wallets(["one", "two"]).values()
    move(one, ("buy", "a"))
    assert (note(one), note(one)) == (1, 0)
    move(one, ("sell", "b"), ("sell", "a"))
    move(two, ("buy", "a"))
    assert (note(one), note(two), note(one)) == (1, 1, 0)
    assert seen() == {"a": 2, "b": 1}
    assert WalletMint.select().count() == 3


@pytest.mark.usefixtures("records")
def test_failed_transactions_and_unknown_holdings_name_no_mint() -> None:
    wallet_id = wallets.ensure_wallets(["w"])["w"]
    with database.write():
        wallets.store_transactions(wallet_id, 1, [wallets.FetchedTransaction("failed", 1, 0, 1)])
    assert note(wallet_id) == 0


@both_databases
@pytest.mark.usefixtures("records")
def test_syncs_that_end_at_once_block_nobody_and_lose_no_count() -> None:
    mints = [f"mint {number}" for number in range(60)]
    ids = list(wallets.ensure_wallets([f"w{number}" for number in range(4)]).values())
    for turn, wallet_id in enumerate(ids):
        move(wallet_id, *(("buy", mint) for mint in mints[turn * 15 :] + mints[: turn * 15]))
    barrier, faults, new = threading.Barrier(8), [], []

    def end(wallet_id: int) -> None:
        try:
            with database.session():
                barrier.wait()
                new.append(note(wallet_id))
        except Exception as fault:  # a thread's own would be lost
            faults.append(fault)

    # Each wallet twice: as when a worker that was thought dead comes to its end after all.
    threads = [threading.Thread(target=end, args=(wallet_id,)) for wallet_id in ids * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(new) == [0] * 4 + [60] * 4
    assert set(seen().values()) == {4}


@pytest.mark.usefixtures("reading")
def test_a_sync_notes_what_it_read(chain: Simulator) -> None:
    addresses = chain.world.addresses[:3]
    settle(addresses)
    settle(addresses)
    wanted: dict[str, int] = dict.fromkeys(seen(), 0)
    for address in addresses:
        held = json.loads(wallet(address).holdings)
        names = tokens.mint_names(int(mint_id) for mint_id, amount in held.items() if int(amount))
        for mint in {row[2] for row in trades(address)} | set(names.values()):
            wanted[mint] += 1
    assert seen() == wanted
    assert max(wanted.values()) == 3


@pytest.mark.usefixtures("reading")
def test_a_sync_that_is_given_up_notes_what_it_had_read(chain: Simulator) -> None:
    address = chain.world.addresses[0]
    start([address, chain.world.addresses[1]])
    claim = claims.claim_job(Job.get(Job.target == address).id)
    cursor = sync_cursor.Cursor(ranges=[], done=1, last=[1, "s"])
    with database.write():
        sync_cursor.save_cursor(wallet(address).id, cursor)
    move(wallet(address).id, ("buy", "a"))
    sync.give_up(claim, "the test says so")
    assert wallet(address).state == "partial"
    assert seen()["a"] == 1
