"""SOL values, daily prices and the table of weights."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures.allocation import AllocationRow, Rates, allocate, sol_usd_days, value_sol
from tasks.measures.trades import Movement
from tests.tasks.measures import reference
from tests.tasks.measures.ledger import MOVEMENTS, SOL, trade

DAY = 86_400
NONE = Rates(None, {}, {})
OBSERVATIONS = st.lists(
    st.tuples(st.integers(0, 9 * DAY), st.integers(1, 10**12), st.integers(10**7, 10**12)), max_size=6
)


def _table(movements: list[Movement], rates: Rates = NONE, **changed: object) -> list[AllocationRow]:
    plain: dict[str, object] = {"excluded": (), "window_start_at": None, "window_end_at": 2e9}
    return allocate(movements, rates=rates, **(plain | changed))  # type: ignore[arg-type]


def test_the_rate_of_a_day_is_its_median() -> None:
    rates = sol_usd_days([(5, 100, 10**6), (6, 300, 10**6), (DAY - 1, 140, 10**6), (DAY, 90, 10**6)], [0, 1], None)
    assert rates == Rates("observed", {0: 0.14, 1: 0.09}, {0: 3, 1: 1})
    assert sol_usd_days([(5, 100, 10**6), (6, 300, 10**6)], [0], None).on(DAY - 1) == 0.2


def test_a_day_without_observation_takes_the_nearest_and_of_two_the_earlier() -> None:
    rates = sol_usd_days([(0, 100, 10**6), (4 * DAY, 200, 10**6)], [2, 3, 9], 50.0)
    assert [rates.on(day * DAY) for day in (0, 2, 3, 4, 9)] == [0.1, 0.1, 0.2, 0.2, 0.2]
    assert rates.counts == {0: 1, 4: 1}


def test_a_day_that_nobody_asked_for_has_a_rate_all_the_same() -> None:
    rates = sol_usd_days([(0, 100, 10**6), (4 * DAY, 200, 10**6)], [3], None)
    assert (rates.on(DAY), rates.on(2 * DAY), rates.on(20 * DAY)) == (0.1, 0.1, 0.2)


def test_without_observations_the_market_stands_in_and_without_it_nothing() -> None:
    rates = sol_usd_days([], [3], 150.0)
    assert (rates.source, rates.on(3 * DAY), rates.on(7 * DAY), rates.counts) == ("market", 150.0, 150.0, {})
    for market in (None, 0.0, -1.0, float("nan"), float("inf")):
        assert sol_usd_days([], [3], market) == NONE
    assert NONE.on(0) is None


def test_values_are_in_sol_after_the_split() -> None:
    rates = sol_usd_days([], [0], 200.0)
    assert value_sol("SOL", 3 * SOL, 2, 0, rates) == 1.5
    assert value_sol("USDC", 100_000_000, 1, 0, rates) == 0.5
    assert value_sol("USDT", 100_000_000, 4, 0, rates) == 0.125
    assert value_sol("USDT", 100_000_000, 4, 0, NONE) is None
    assert value_sol(None, None, 1, 0, rates) is None


def test_a_buy_in_dollars_has_weight() -> None:
    rates = sol_usd_days([], [1_700_000_000 // DAY], 100.0)
    table = _table([trade("a"), trade("b", quote="USDC", quote_amount=300_000_000)], rates)
    assert [(row.mint, row.spent_sol, row.weight) for row in table] == [("a", 1.0, 0.25), ("b", 3.0, 0.75)]


def test_every_column_is_filled() -> None:
    movements = [
        trade("a", block_at=20, amount=5),
        trade("a", block_at=10, amount=7, quote_amount=3 * SOL, parts=2),
        trade("a", "sell", block_at=30, amount=4, quote_amount=2 * SOL),
        trade("a", "in", block_at=90),
    ]
    assert _table(movements) == [AllocationRow("a", 2, 1, 12, 4, 2.5, 2.0, 10, 30, 1.0)]


def test_only_sold_and_only_unpriced_mints_are_there_with_weight_zero() -> None:
    movements = [trade("sold", "sell"), trade("unpriced", quote=None, quote_amount=None), trade("a")]
    table = {row.mint: row for row in _table(movements)}
    assert {mint: row.weight for mint, row in table.items()} == {"a": 1.0, "sold": 0.0, "unpriced": 0.0}
    assert table["sold"].first_buy_at is None


def test_a_wallet_that_bought_nothing_priced_has_no_weight_at_all() -> None:
    assert [row.weight for row in _table([trade("a", "sell"), trade("b", quote=None, quote_amount=None)])] == [0, 0]
    assert _table([]) == []


def test_transfers_and_excluded_mints_are_left_out() -> None:
    movements = [trade("a", "in"), trade("b", "out"), trade("c"), trade("d")]
    assert [row.mint for row in _table(movements, excluded={"c"})] == ["d"]


@pytest.mark.parametrize(("block_at", "inside"), [(10, False), (11, True), (20, True), (21, False)])
def test_the_window_is_open_at_its_start_and_closed_at_its_end(block_at: int, inside: bool) -> None:
    assert len(_table([trade(block_at=block_at)], window_start_at=10.0, window_end_at=20.0)) == inside


@given(MOVEMENTS, OBSERVATIONS, st.none() | st.just(120.0), st.none() | st.integers(0, 4 * DAY), st.randoms())
def test_the_table_agrees_with_the_reference_in_any_order(
    movements: list[Movement],
    observations: list[tuple[int, int, int]],
    market: float | None,
    start: int | None,
    shuffler: random.Random,
) -> None:
    days = {movement.block_at // DAY for movement in movements}
    rates = sol_usd_days(observations, days, market)
    window = {"excluded": {"x"}, "window_start_at": start, "window_end_at": 7.0 * DAY}
    table = _table(movements, rates, **window)
    wanted = reference.allocation(movements, observations, market, {"x"}, start, 7 * DAY)
    assert [row.mint for row in table] == sorted(wanted)
    for row in table:
        for name, expected in wanted[row.mint].items():
            assert getattr(row, name) == (None if expected is None else pytest.approx(expected, rel=1e-12))
    total = sum(row.weight for row in table)
    assert total == (pytest.approx(1, abs=1e-9) if any(row.spent_sol for row in table) else 0)
    shuffled = list(movements)
    shuffler.shuffle(shuffled)
    assert _table(shuffled, rates, **window) == table
