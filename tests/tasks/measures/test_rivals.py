"""The faults of other tools, each from the transaction to the number that it made wrong (rivals.md, 1 to 8)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from tasks.measures import behaviour
from tasks.measures.allocation import AllocationRow, Rates, allocate, sol_usd_days
from tasks.measures.insights import COLUMNS, flags, names, zero_holdings
from tasks.measures.similarity import Pairs, PortfolioMatrix, build_portfolios, compare
from tasks.measures.trades import Movement, derive
from tasks.measures.transaction import Transaction
from tasks.measures.well_known import USDC, WSOL
from tasks.storage import database, wallets
from tests.tasks.measures.ledger import FEE, MOVEMENTS, RENT, SOL, made, told, trade

USD = 10**6
NO_RATES = Rates(None, {}, {})
MEASURES = ("behavioural", "jaccard", "capital", "overlap", "coverage_a", "coverage_b", "overall", "holdings")


def _paid(mint: str, *, lamports: int = 0, usd: int = 0, wallet: str = "w") -> Transaction:
    """A buy of 70 base units, paid in SOL or in USDC (1e-6 dollars)."""
    accounts = {wallet: (9 * SOL, 9 * SOL - FEE - lamports), "t": (RENT, RENT), "u": (RENT, RENT)}
    bought = made(accounts, [("t", mint, wallet, 0, 70), ("u", USDC, wallet, 10**12, 10**12 - usd)], signers=(wallet,))
    return replace(bought, signature=f"{wallet} {mint}")


def _rows(movements: Iterable[Movement], rates: Rates = NO_RATES, excluded: Sequence[str] = ()) -> list[AllocationRow]:
    return allocate(movements, rates=rates, excluded=excluded, window_start_at=None, window_end_at=2e9)


def _world(tables: list[list[AllocationRow]], holdings: list[set[int] | None] | None = None) -> PortfolioMatrix:
    """The world of some wallets from their allocation, mints numbered by name."""
    mints = sorted({row.mint for table in tables for row in table})
    rows = [(wallet, mints.index(row.mint), row.weight) for wallet, table in enumerate(tables) for row in table]
    columns = tuple(zip(*rows, strict=True)) if rows else ((), (), ())
    return build_portfolios(*columns, wallet_count=len(tables), mint_count=max(3, len(mints)), holdings=holdings)


def _only(pairs: Pairs) -> dict[str, Any]:
    """The measures of the only pair, None where unknown."""
    values = {name: getattr(pairs, name).item() for name in ("shared", *MEASURES)}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def test_1_what_was_paid_in_dollars_counts_in_both_scores() -> None:
    # One SOL is exchanged for 150 dollars, so that 150 and 300 dollars are 1 and 2 SOL, which the other wallet paid.
    exchanged = made({"w": (9 * SOL, 8 * SOL - FEE), "u": (RENT, RENT)}, [("u", USDC, "w", 0, 150 * USD)])
    seen = derive(exchanged, "w").observation
    assert seen is not None
    rates = sol_usd_days([(seen.block_at, seen.usd, seen.lamports)], [], None)
    prices = {"m": {"lamports": SOL}, "n": {"usd": 150 * USD}, "o": {"usd": 300 * USD}}
    dollars = [move for mint, price in prices.items() for move in derive(_paid(mint, **price), "w").movements]
    plain = [
        move
        for mint, n in zip("mno", (1, 1, 2), strict=True)
        for move in derive(_paid(mint, lamports=n * SOL), "w").movements
    ]
    tables = [_rows(dollars, rates), _rows(plain)]
    assert [row.weight for row in tables[0]] == pytest.approx([0.25, 0.25, 0.5])
    pair = _only(compare(_world(tables)))
    assert (pair["behavioural"], pair["capital"], pair["overall"]) == pytest.approx((1, 1, 1))


def test_2_a_routed_buy_is_valued_once() -> None:
    # The router takes one SOL, keeps a hundredth of it and hands on the rest: a sum of what moved would be two.
    accounts = {"w": (9 * SOL, 8 * SOL - FEE), "t": (RENT, RENT), "router": (SOL, SOL + SOL // 100)}
    routed = made(accounts | {"pool": (SOL, 2 * SOL - SOL // 100)}, [("t", "n", "w", 0, 70)])
    table = _rows([*derive(_paid("m", lamports=SOL), "w").movements, *derive(routed, "w").movements])
    assert [(row.mint, row.spent_sol, row.weight) for row in table] == [("m", 1.0, 0.5), ("n", 1.0, 0.5)]


def test_2_a_swap_routed_through_two_pools_is_valued_once() -> None:
    accounts = {"w": (SOL, SOL - FEE), "a": (RENT, RENT), "b": (RENT, RENT)}
    pools = {"one": (9 * SOL, 8 * SOL), "router": (SOL, SOL), "two": (SOL, 2 * SOL)}
    swap = made(accounts | pools, [("a", "m", "w", 70, 0), ("b", "n", "w", 0, 5)])
    assert [(row.spent_sol, row.received_sol) for row in _rows(derive(swap, "w").movements)] == [(0.0, 1.0), (1.0, 0.0)]


def test_3_the_sign_of_a_change_of_sol_is_kept() -> None:
    # One SOL leaves the wallet and 0.4 come back as wrapped SOL: 0.6 were paid, not 1.4.
    accounts = {"w": (2 * SOL, SOL - FEE), "wrapped": (RENT, RENT + 4 * SOL // 10), "t": (RENT, RENT)}
    bought = made(accounts, [("wrapped", WSOL, "w", 0, 4 * SOL // 10), ("t", "m", "w", 0, 70)])
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, "SOL", 6 * SOL // 10, 1, False)]


def test_4_two_wallets_in_one_transaction_both_keep_their_trades(records: None) -> None:
    # Both buy the same token in it: signature, token and side are equal, and only the wallet tells the trades apart.
    accounts = {"w": (SOL, SOL // 2 - FEE), "v": (SOL, SOL - SOL // 4), "a": (RENT, RENT), "b": (RENT, RENT)}
    deal = made(accounts, [("a", "m", "w", 0, 70), ("b", "m", "v", 0, 35)], signers=("w", "v"))
    ids = wallets.ensure_wallets(["v", "w"])
    for name in ("w", "v", "w"):  # the transaction is read once for each wallet, and once again
        looked = wallets.FetchedTransaction(
            deal.signature, deal.slot, deal.transaction_index, deal.block_at, derive(deal, name)
        )
        with database.write():
            wallets.store_transactions(ids[name], 1, [looked])
    kept = {name: wallets.movements(wallets.Bounds(ids[name], 1, None))[0] for name in ids}
    assert told(tuple(kept["w"])) == [("buy", "m", 70, "SOL", SOL // 2, 1, False)]
    assert told(tuple(kept["v"])) == [("buy", "m", 35, "SOL", SOL // 4, 1, False)]
    assert kept["w"][0].signature == kept["v"][0].signature


def test_5_two_wallets_without_trades_are_not_alike() -> None:
    pair = _only(compare(_world([[], []], [set(), set()])))
    assert pair == {"shared": 0} | dict.fromkeys(MEASURES)


def test_5_two_wallets_that_sold_everything_are_not_alike_in_holdings() -> None:
    tables = [_rows([trade(mint, side) for mint in mints for side in ("buy", "sell")]) for mints in ("abc", "def")]
    pair = _only(compare(_world(tables, [set(), set()])))
    assert pair["holdings"] is None
    assert (pair["behavioural"], pair["jaccard"], pair["capital"]) == (0, 0, 0)


def test_6_shared_mints_and_the_mints_of_a_wallet_are_counted_after_the_same_filter() -> None:
    # Of the seven mints that both traded four are excluded: seven shared of three would be 233 %.
    movements = [trade(mint) for mint in "abcdefg"]
    pair = _only(compare(_world([_rows(movements, excluded="defg")] * 2)))
    assert pair["shared"] == 3
    assert [pair[name] for name in MEASURES if name != "holdings"] == pytest.approx([1.0] * 7, abs=1e-12)


@given(MOVEMENTS, MOVEMENTS)
def test_6_nothing_is_above_a_hundred_per_cent(first: list[Movement], second: list[Movement]) -> None:
    rates = Rates("market", {0: 150.0}, {})
    tables = [_rows(movements, rates, "x") for movements in (first, second)]
    pair = _only(compare(_world(tables)))
    assert pair["shared"] <= min(map(len, tables))
    assert all(pair[name] is None or 0 <= pair[name] <= 1 for name in MEASURES)


def test_7_what_is_unsold_is_no_loss_and_counts_once() -> None:
    # One token cost 1 SOL and was sold for 3; the other cost 5, is unsold, and is now worth 2.
    trades = [
        behaviour.Trade("s1", 1, 0, 100, "buy", "m", 10, 1.0),
        behaviour.Trade("s2", 2, 0, 200, "buy", "n", 10, 5.0),
        behaviour.Trade("s3", 3, 0, 300, "sell", "m", 10, 3.0),
    ]
    priced = behaviour.measure(trades, {"n": 10}, {"n": 0.2})
    assert (priced.realised_profit_sol, priced.realised_profit_sol_by_mint) == (2.0, {"m": 2.0})
    assert priced.unrealised_profit_sol == pytest.approx(-3.0)
    assert priced.win_rate == 1.0
    unpriced = behaviour.measure(trades, {"n": 10}, {"n": None})
    assert (unpriced.realised_profit_sol, unpriced.unrealised_profit_sol) == (2.0, None)


@pytest.mark.parametrize(
    ("held", "fires"), [([set(), set()], True), ([{3}, set()], True), ([{0}, set()], False), ([None, set()], False)]
)
def test_8_shared_zero_holdings_fires_where_neither_holds_what_both_traded(held: list[Any], fires: bool) -> None:
    tables = [_rows([trade(mint, side) for mint in mints for side in ("buy", "sell")]) for mints in ("abcd", "abc")]
    world = _world(tables, held)
    pairs = compare(world)
    assert pairs.behavioural[0] == pytest.approx(3 / math.sqrt(12))
    zero = zero_holdings(
        world.presence, world.holdings, world.holdings_known, pairs.wallet_a, pairs.wallet_b, pairs.shared
    )
    unknown = dict.fromkeys(COLUMNS, np.array([np.nan]))
    found = flags(unknown | {"behavioural": pairs.behavioural, "shared": pairs.shared, "zero_holdings": zero})
    assert names(found[0]) == (["shared_zero_holdings"] if fires else [])


def test_8_no_score_alone_is_called_by_the_name_of_an_insight() -> None:
    # Every overall score that no rule reaches: behavioural and capital both under 0.6, or one of them unknown.
    grid = [(b / 100, c / 100) for b, c in itertools.product(range(0, 60, 3), repeat=2)]
    grid += [(b / 100, math.nan) for b in range(101)] + [(math.nan, c / 100) for c in range(101)]
    behavioural, capital = np.array(grid).T
    nothing = {name: np.zeros(len(grid)) for name in COLUMNS}
    overall = 0.4 * behavioural + 0.6 * capital
    found = flags(nothing | {"behavioural": behavioural, "capital": capital, "overall": overall})
    assert not found.any()
