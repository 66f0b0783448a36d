"""The capital audit: for every movement of a wallet, whether it counts towards a weight, and if not, why.

Section 2 of docs/measures.md. Values, window and rates are those of `allocation`, shown row by row.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tasks.measures.allocation import Rates, in_window, value_sol
from tasks.measures.trades import Movement, Quote, Side

Reason = Literal["transfer", "failed", "excluded mint", "unpriced", "outside window", "sell"]
Failed = tuple[str, int, int | None, int | None]
"""A failed transaction: signature, slot, transaction index, Unix seconds (None where the node has no time)."""

WEIGHTS_WITHIN = 1e-9
"""The largest distance from 1 of the sum of a wallet's weights."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One movement or failed transaction of the audit.

    `quote_amount` is in base units of the quote, after the split (a fraction where it does not divide evenly).
    `sol_usd` is the rate used, only for dollar quotes. `value_sol` is None where it is unknown. `reason` is None
    exactly when the row counts. A failed transaction has no side, mint, amount or decimals.
    """

    signature: str
    slot: int
    block_at: int | None
    side: Side | None
    mint: str | None
    amount: int | None
    decimals: int | None
    quote: Quote | None
    quote_amount: int | float | None
    sol_usd: float | None
    value_sol: float | None
    counted: bool
    reason: Reason | None
    approximate: bool


class Check(NamedTuple):
    """The last line of the audit; `ok` as `check` decides."""

    weights_sum: float
    spent_sol_total: float
    ok: bool


def audit(
    movements: Iterable[Movement],
    failed: Iterable[Failed],
    *,
    rates: Rates,
    excluded: Collection[str],
    window_start_at: float | None,
    window_end_at: float,
) -> list[AuditRow]:
    """List every movement and failed transaction of one wallet in ledger order, each with its reason or none.

    Takes the arguments of `allocate`; the values of the rows that count sum, by mint, to its `spent_sol`. Of several
    reasons the first of transfer, excluded mint, outside window, unpriced, sell is given. No input gives an empty list.
    """
    keyed = [(_ledger_key(entry), _failed_row(*entry)) for entry in failed]
    for movement in movements:
        inside = in_window(movement.block_at, window_start_at, window_end_at)
        row = _movement_row(movement, rates, excluded=movement.mint in excluded, inside=inside)
        place = (movement.signature, movement.slot, movement.transaction_index, movement.block_at)
        keyed.append((_ledger_key(place), row))
    keyed.sort(key=lambda pair: (pair[0], pair[1].side in ("buy", "in"), pair[1].mint or ""))
    return [row for _, row in keyed]


def check(rows: Iterable[AuditRow], weights: Sequence[tuple[str, float, float]]) -> Check:
    """Check a wallet's stored weights, (mint, spent SOL, weight) each, against the rows of its audit.

    `ok` when the rows that count sum to the SOL spent on every mint, and the weights sum to 1 (to 0 where nothing
    priced was bought). No row and no weight is ok.
    """
    counted: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.counted and row.mint is not None and row.value_sol is not None:
            counted[row.mint].append(row.value_sol)
    stored = {mint: spent_sol for mint, spent_sol, _ in weights}
    agree = all(
        math.isclose(math.fsum(counted[mint]), stored.get(mint, 0.0), rel_tol=WEIGHTS_WITHIN, abs_tol=WEIGHTS_WITHIN)
        for mint in counted.keys() | stored.keys()
    )
    weights_sum = math.fsum(weight for _, _, weight in weights)
    spent_sol_total = math.fsum(stored.values())
    wanted = 1.0 if spent_sol_total > 0 else 0.0
    return Check(weights_sum, spent_sol_total, agree and abs(weights_sum - wanted) <= WEIGHTS_WITHIN)


def _ledger_key(place: Failed) -> tuple[int, bool, int, str]:
    """Order by slot, then by the index in it; unknown indices last."""
    signature, slot, transaction_index, _ = place
    return slot, transaction_index is None, transaction_index or 0, signature


def _failed_row(signature: str, slot: int, transaction_index: int | None, block_at: int | None) -> AuditRow:
    return AuditRow(
        signature=signature,
        slot=slot,
        block_at=block_at,
        side=None,
        mint=None,
        amount=None,
        decimals=None,
        quote=None,
        quote_amount=None,
        sol_usd=None,
        value_sol=None,
        counted=False,
        reason="failed",
        approximate=False,
    )


def _movement_row(movement: Movement, rates: Rates, *, excluded: bool, inside: bool) -> AuditRow:
    value = value_sol(movement.quote, movement.quote_amount, movement.parts, movement.block_at, rates)
    reason = _reason(movement.side, excluded=excluded, priced=value is not None, inside=inside)
    return AuditRow(
        signature=movement.signature,
        slot=movement.slot,
        block_at=movement.block_at,
        side=movement.side,
        mint=movement.mint,
        amount=movement.amount,
        decimals=movement.decimals,
        quote=movement.quote,
        quote_amount=_split(movement.quote_amount, movement.parts),
        sol_usd=rates.on(movement.block_at) if movement.quote in ("USDC", "USDT") else None,
        value_sol=value,
        counted=reason is None,
        reason=reason,
        approximate=movement.approximate,
    )


def _reason(side: Side, *, excluded: bool, priced: bool, inside: bool) -> Reason | None:
    """Return the first reason why a movement does not count towards a weight, None when it does."""
    if side in ("in", "out"):
        return "transfer"
    if excluded:
        return "excluded mint"
    if not inside:
        return "outside window"
    if not priced:
        return "unpriced"
    return "sell" if side == "sell" else None


def _split(quote_amount: int | None, parts: int) -> int | float | None:
    """Divide a value into equal parts, as an integer where that is exact."""
    if quote_amount is None:
        return None
    return quote_amount // parts if quote_amount % parts == 0 else quote_amount / parts
