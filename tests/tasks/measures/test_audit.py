"""The capital audit: every row has a verdict, and the rows that count add up to the table."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures.allocation import Rates, allocate, sol_usd_days
from tasks.measures.audit import AuditRow, audit, check
from tasks.measures.trades import Movement
from tests.tasks.measures.ledger import MOVEMENTS, SOL, trade

NONE = Rates(None, {}, {})
UNPRICED = {"quote": None, "quote_amount": None}


def _audit(movements: list[Movement], failed: list[tuple[str, int, int | None, int]] | None = None) -> list[AuditRow]:
    return audit(movements, failed or [], rates=NONE, excluded={"x"}, window_start_at=100.0, window_end_at=2e9)


@pytest.mark.parametrize(
    ("movement", "reason"),
    [
        (trade(), None),
        (trade(side="sell"), "sell"),
        (trade(side="in"), "transfer"),
        (trade("x", "out", block_at=1), "transfer"),
        (trade("x", **UNPRICED), "excluded mint"),
        (trade("x", "sell", block_at=1), "excluded mint"),
        (trade(**UNPRICED, block_at=1), "outside window"),
        (trade(side="sell", **UNPRICED), "unpriced"),
        (trade(quote="USDC"), "unpriced"),
        (trade(block_at=100), "outside window"),
        (trade(side="sell", block_at=1), "outside window"),
    ],
)
def test_the_first_reason_of_the_list_wins(movement: Movement, reason: str | None) -> None:
    (row,) = _audit([movement])
    assert (row.reason, row.counted) == (reason, reason is None)


def test_a_failed_transaction_is_shown_without_a_mint() -> None:
    (row,) = _audit([], [("bad", 5, None, 150)])
    assert (row.signature, row.slot, row.block_at, row.reason, row.counted) == ("bad", 5, 150, "failed", False)
    assert (row.side, row.mint, row.amount, row.decimals, row.quote, row.value_sol) == (None,) * 6


def test_a_row_shows_the_quote_after_the_split_and_the_rate_only_for_dollars() -> None:
    rates = sol_usd_days([], [1_700_000_000 // 86_400], 200.0)
    movements = [
        trade("a", quote="USDC", quote_amount=300_000_000, parts=3, approximate=True),
        trade("b", quote_amount=SOL + 1, parts=2),
        trade("c"),
    ]
    rows = audit(movements, [], rates=rates, excluded=(), window_start_at=None, window_end_at=2e9)
    shown = [(row.quote_amount, row.sol_usd, row.value_sol, row.approximate) for row in rows]
    assert shown == [
        (100_000_000, 200.0, 0.5, True),
        (500_000_000.5, None, 0.5000000005, False),
        (SOL, None, 1.0, False),
    ]


def test_rows_come_in_the_order_of_the_ledger_with_unknown_places_last_in_their_slot() -> None:
    movements = [
        trade(signature="e", slot=9, transaction_index=None),
        trade("b", signature="d", slot=8),
        trade("c", "sell", signature="d", slot=8),
        trade(signature="a", slot=9, transaction_index=2),
    ]
    rows = _audit(movements, [("f", 9, 1, 150)])
    assert [(row.signature, row.mint) for row in rows] == [("d", "c"), ("d", "b"), ("f", None), ("a", "m"), ("e", "m")]


@given(MOVEMENTS, st.none() | st.just(120.0), st.none() | st.integers(0, 10**6))
def test_the_rows_that_counted_add_up_to_the_allocation(
    movements: list[Movement], market: float | None, start: int | None
) -> None:
    rates = sol_usd_days([], {movement.block_at // 86_400 for movement in movements}, market)
    window = {"excluded": {"x"}, "window_start_at": start, "window_end_at": 600_000}
    rows = audit(movements, [], rates=rates, **window)  # type: ignore[arg-type]
    table = allocate(movements, rates=rates, **window)  # type: ignore[arg-type]
    assert len(rows) == len(movements)
    for row in table:
        counted = [line.value_sol for line in rows if line.counted and line.mint == row.mint]
        assert math.fsum(value for value in counted if value is not None) == row.spent_sol
    checked = check(rows, [(row.mint, row.spent_sol, row.weight) for row in table])
    assert checked.ok
    assert checked.spent_sol_total == math.fsum(row.spent_sol for row in table)


def _counted(mint: str, value_sol: float) -> AuditRow:
    return AuditRow(mint, 1, 1, "buy", mint, 1, 0, "SOL", 1, None, value_sol, True, None, False)


@pytest.mark.parametrize(
    ("rows", "weights", "ok"),
    [
        ([], [], True),
        ([], [("a", 0.0, 0.0)], True),
        ([_counted("a", 1.0), _counted("b", 0.5), _counted("b", 0.5)], [("a", 1.0, 0.5), ("b", 1.0, 0.5)], True),
        ([_counted("a", 1.0), _counted("b", 1.0)], [("a", 1.0, 0.5), ("b", 1.0, 0.5 + 2e-9)], False),
        ([_counted("a", 1.0)], [("a", 1.0, 0.0)], False),
        ([], [("a", 0.0, 1.0)], False),
        ([_counted("a", 1.0)], [("a", 1.1, 1.0)], False),
        ([_counted("a", 1.0), _counted("b", 1.0)], [("a", 1.0, 1.0)], False),
        ([_counted("a", 1.0)], [("a", 1.0, 0.5), ("b", 1.0, 0.5)], False),
    ],
)
def test_the_check_holds_when_rows_make_the_weights_and_these_sum_to_one(
    rows: list[AuditRow], weights: list[tuple[str, float, float]], ok: bool
) -> None:
    assert check(rows, weights).ok is ok
