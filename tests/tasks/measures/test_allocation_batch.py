"""The allocation of many wallets at once equals that of each, to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures import allocation_batch
from tasks.measures.allocation import Rates, allocate, sol_usd_days
from tasks.measures.allocation_batch import NEVER, TradeColumns, values_sol
from tasks.measures.trades import Movement

CODES = {None: 0, "SOL": 1, "USDC": 2, "USDT": 2}
MOVEMENTS = st.builds(
    Movement,
    signature=st.text("abc", min_size=1, max_size=3),
    slot=st.just(1),
    transaction_index=st.none(),
    block_at=st.integers(0, 86_400 * 5),
    side=st.sampled_from(["buy", "sell"]),
    mint=st.sampled_from(["m0", "m1", "m2"]),
    amount=st.integers(1, 2**70),
    decimals=st.just(6),
    quote=st.sampled_from([None, "SOL", "USDC", "USDT"]),
    quote_amount=st.integers(1, 10**12) | st.integers(2**53, 2**62),
    parts=st.integers(1, 3),
    approximate=st.just(False),
)
RATES = st.builds(
    sol_usd_days,
    st.lists(st.tuples(st.integers(0, 86_400 * 5), st.integers(1, 10**9), st.integers(1, 10**9)), max_size=3),
    st.just((0, 1)),
    st.none() | st.floats(1, 1000),
)


def ledger(wallets: list[list[Movement]], rates: Rates) -> TradeColumns:
    rows = [(place, m) for place, wallet in enumerate(wallets) for m in wallet]
    whole = [
        np.array([value(place, m) for place, m in rows], dtype=np.int64)
        for value in (
            lambda place, m: place,
            lambda place, m: int(m.mint[1:]),
            lambda place, m: int(m.side == "sell"),
            lambda place, m: m.block_at,
            lambda place, m: CODES[m.quote],
            lambda place, m: m.quote_amount,
            lambda place, m: m.parts,
        )
    ]
    wallet, mint, side, time, quote, quote_amount, parts = whole
    amounts = np.empty(len(rows), dtype=object)
    amounts[:] = [m.amount for _, m in rows]
    return TradeColumns(wallet, mint, side, time, amounts, values_sol(quote, quote_amount, parts, time, rates))


@given(st.lists(st.lists(MOVEMENTS, max_size=12), max_size=4), RATES)
def test_all_at_once_equals_one_by_one(wallets: list[list[Movement]], rates: Rates) -> None:
    found = allocation_batch.allocate(ledger(wallets, rates))
    rows = [
        (place, int(row.mint[1:]), row)
        for place, wallet in enumerate(wallets)
        for row in allocate(wallet, rates=rates, excluded=(), window_start_at=None, window_end_at=float("inf"))
    ]
    assert list(zip(found.wallet.tolist(), found.mint.tolist(), strict=True)) == [(p, m) for p, m, _ in rows]
    for name in ("buys", "sells", "bought", "sold", "spent_sol", "received_sol", "last_trade_at", "weight"):
        assert getattr(found, name).tolist() == [getattr(row, name) for _, _, row in rows], name
    assert [None if at == NEVER else at for at in found.first_buy_at.tolist()] == [r.first_buy_at for _, _, r in rows]


def test_no_trade_gives_no_row() -> None:
    assert len(allocation_batch.allocate(ledger([], Rates(None, {}, {})))) == 0


def test_a_sum_of_many_is_rounded_once() -> None:
    """Ten times 0.1 SOL are 1 SOL, where adding one after the other gives a little less."""
    count = 10
    zeros = np.zeros(count, dtype=np.int64)
    amounts = np.array([1] * count, dtype=object)
    found = allocation_batch.allocate(TradeColumns(zeros, zeros, zeros, zeros, amounts, np.full(count, 0.1)))
    assert found.spent_sol.tolist() == [1.0]
    assert found.weight.tolist() == [1.0]
    assert found.bought.tolist() == [10]
