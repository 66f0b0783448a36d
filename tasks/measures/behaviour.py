"""How one wallet trades: hold times, realised profit, active hours, and the resulting style.

Section 9 of docs/measures.md, from lots sold first in, first out. The trades given are those of the window without
excluded mints, with their SOL values.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
HOLD_LIMITS_S = (MINUTE_S, 5 * MINUTE_S, 30 * MINUTE_S, 4 * HOUR_S, DAY_S, 7 * DAY_S)
HOLD_STYLES = ("sniper", "scalper", "momentum", "intraday", "day trader", "swing", "position")
"""The style of a median hold time below each limit, and beyond the last."""
SESSION_GAP_S = 2 * HOUR_S
LEAST_TRADES, LEAST_MINTS = 5, 2
LAMPORT_DIGITS = 9
"""A profit below a lamport is rounding error, not a win."""
ACCUMULATOR_RATIO, ACCUMULATOR_SOLD = 2.5, 0.3


@dataclass(frozen=True, slots=True)
class Trade:
    """A buy or a sell: Unix seconds, base units > 0 of a mint, and its SOL value, None where it is unpriced."""

    signature: str
    slot: int
    transaction_index: int | None
    block_at: int
    side: Literal["buy", "sell"]
    mint: str
    amount: int
    value_sol: float | None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of one wallet, its fields named as in JSON; None is "not enough data".

    A *closed piece* is the part of one priced lot that one sell took. `hold_bins` are the shares of closed pieces held
    under 1 min, 5 min, 30 min, 4 h, 24 h, 7 d, and longer. `realised_profit_sol_by_mint` has the mints with a closed
    piece of known proceeds. `unmatched_sold_share`: the part of all proceeds that belongs to no closed piece.
    """

    trades: int
    buys: int
    sells: int
    mints: int
    mints_both_sides: int
    buy_sell_ratio: float | None
    median_hold_s: float | None
    mean_hold_s: float | None
    hold_bins: tuple[float, ...] | None
    realised_profit_sol: float | None
    realised_profit_sol_by_mint: Mapping[str, float]
    unrealised_profit_sol: float | None
    unmatched_sold_share: float | None
    win_rate: float | None
    sessions: int
    trades_per_session: float | None
    median_session_s: float | None
    trades_by_hour: tuple[int, ...]
    reentry_rate: float | None
    style: str | None


@dataclass(slots=True)
class _Lot:
    """One buy: base units bought and still unsold, and its cost, None where it is unpriced."""

    bought_at: int
    amount: int
    left: int
    cost_sol: float | None

    def cost(self, amount: int) -> float | None:
        """Return the cost of a part of the lot, None where the lot is unpriced."""
        return None if self.cost_sol is None else self.cost_sol * (amount / self.amount)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sold part of a priced lot; `proceeds_sol` is None when the sell is unpriced."""

    hold_s: int
    cost_sol: float
    proceeds_sol: float | None


@dataclass(slots=True)
class _Position:
    """The open lots and closed pieces of one mint while its trades are replayed."""

    lots: deque[_Lot] = field(default_factory=deque)
    pieces: list[_Piece] = field(default_factory=list)
    unmatched_sol: list[float] = field(default_factory=list)
    sold_out: bool = False
    bought_again: bool = False

    def buy(self, trade: Trade) -> None:
        """Add a lot."""
        self.bought_again |= self.sold_out
        self.lots.append(_Lot(trade.block_at, trade.amount, trade.amount, trade.value_sol))

    def sell(self, trade: Trade) -> None:
        """Take an amount from the oldest lots; what no lot or an unpriced lot covers is unmatched."""
        wanted = trade.amount
        while wanted and self.lots:
            lot = self.lots[0]
            taken = min(wanted, lot.left)
            self._close(lot, taken, trade)
            wanted, lot.left = wanted - taken, lot.left - taken
            if not lot.left:
                self.lots.popleft()
                self.sold_out |= not self.lots
        self._add_unmatched(wanted, trade)

    def profits(self) -> list[float]:
        """Return the profit of each piece of known proceeds."""
        return [piece.proceeds_sol - piece.cost_sol for piece in self.pieces if piece.proceeds_sol is not None]

    def _close(self, lot: _Lot, taken: int, trade: Trade) -> None:
        cost_sol = lot.cost(taken)
        if cost_sol is None:
            self._add_unmatched(taken, trade)
        else:
            self.pieces.append(_Piece(trade.block_at - lot.bought_at, cost_sol, _part(trade, taken)))

    def _add_unmatched(self, amount: int, trade: Trade) -> None:
        proceeds_sol = _part(trade, amount)
        if amount and proceeds_sol is not None:
            self.unmatched_sol.append(proceeds_sol)


def measure(
    trades: Iterable[Trade],
    holdings: Mapping[str, int] | None = None,
    prices_sol: Mapping[str, float | None] | None = None,
) -> Behaviour:
    """Measure the behaviour of one wallet from its trades inside the window, given in any order.

    Trades are replayed by slot and index; in a slot with an unknown index by buys first, then signature, because a
    sell needs an earlier buy. `holdings` are base units by mint, None where unknown; `prices_sol` are SOL per *base
    unit*. `unrealised_profit_sol` covers the mints with an unsold lot (tokens that came by transfer alone have no
    cost), and is None when such a lot is unpriced. `reentry_rate` is the share of all mints that were bought again
    after a sell had used up the last lot. `realised_profit_sol` is 0 while nothing is sold, but None when nothing sold
    can be matched. No trade gives zeros and None.
    """
    ordered = _ordered(trades)
    positions = _replay(ordered)
    buys = sum(trade.side == "buy" for trade in ordered)
    sells = len(ordered) - buys
    bought, sold = ({trade.mint for trade in ordered if trade.side == side} for side in ("buy", "sell"))
    pieces = [piece for position in positions.values() for piece in position.pieces]
    profits = {
        mint: math.fsum(position.profits()) for mint, position in sorted(positions.items()) if position.profits()
    }
    sessions = _sessions([trade.block_at for trade in ordered])
    median_hold_s = _median([piece.hold_s for piece in pieces])
    return Behaviour(
        trades=len(ordered),
        buys=buys,
        sells=sells,
        mints=len(positions),
        mints_both_sides=len(bought & sold),
        buy_sell_ratio=_ratio(buys, sells),
        median_hold_s=median_hold_s,
        mean_hold_s=_mean_hold(pieces),
        hold_bins=_hold_bins(pieces),
        realised_profit_sol=math.fsum(profits.values()) if profits or not sells else None,
        realised_profit_sol_by_mint=profits,
        unrealised_profit_sol=_unrealised(positions, holdings, prices_sol),
        unmatched_sold_share=_unmatched_share(ordered, positions.values()),
        win_rate=_ratio(sum(round(profit, LAMPORT_DIGITS) > 0 for profit in profits.values()), len(profits)),
        sessions=len(sessions),
        trades_per_session=_ratio(len(ordered), len(sessions)),
        median_session_s=_median(sessions),
        trades_by_hour=_by_hour(ordered),
        reentry_rate=_ratio(sum(position.bought_again for position in positions.values()), len(positions)),
        style=_style(buys, sells, len(positions), len(sold), median_hold_s),
    )


def _ordered(trades: Iterable[Trade]) -> list[Trade]:
    """Sort trades by time, as far as it is known."""
    given = list(trades)
    unsure = {trade.slot for trade in given if trade.transaction_index is None}

    def position(trade: Trade) -> tuple[int, int, bool, str, str]:
        index = trade.transaction_index
        known = -1 if index is None or trade.slot in unsure else index
        return trade.slot, known, trade.side == "sell", trade.signature, trade.mint

    return sorted(given, key=position)


def _replay(ordered: Iterable[Trade]) -> dict[str, _Position]:
    positions: defaultdict[str, _Position] = defaultdict(_Position)
    for trade in ordered:
        position = positions[trade.mint]
        if trade.side == "buy":
            position.buy(trade)
        else:
            position.sell(trade)
    return dict(positions)


def _part(trade: Trade, amount: int) -> float | None:
    """Return the value of a part of a trade's amount."""
    return None if trade.value_sol is None else trade.value_sol * (amount / trade.amount)


def _mean_hold(pieces: Collection[_Piece]) -> float | None:
    """Return the mean hold time, each piece weighted by its cost."""
    total = math.fsum(piece.cost_sol for piece in pieces)
    return math.fsum(piece.cost_sol * piece.hold_s for piece in pieces) / total if total else None


def _hold_bins(pieces: Collection[_Piece]) -> tuple[float, ...] | None:
    counts = [0] * (len(HOLD_LIMITS_S) + 1)
    for piece in pieces:
        counts[bisect_right(HOLD_LIMITS_S, piece.hold_s)] += 1
    return tuple(count / len(pieces) for count in counts) if pieces else None


def _unrealised(
    positions: Mapping[str, _Position],
    holdings: Mapping[str, int] | None,
    prices_sol: Mapping[str, float | None] | None,
) -> float | None:
    """Return the value of the holdings in mints with unsold lots, less the cost of these lots."""
    profits = []
    for mint, position in positions.items():
        if not position.lots:
            continue
        value, costs = _holding_value(mint, holdings, prices_sol), [lot.cost(lot.left) for lot in position.lots]
        known = [cost for cost in costs if cost is not None]
        if value is None or len(known) < len(costs):
            return None
        profits.append(value - math.fsum(known))
    return math.fsum(profits)


def _holding_value(
    mint: str, holdings: Mapping[str, int] | None, prices_sol: Mapping[str, float | None] | None
) -> float | None:
    """Return the value of a holding: 0 without a holding, None without a price."""
    if holdings is None:
        return None
    amount, price_sol = holdings.get(mint, 0), (prices_sol or {}).get(mint)
    if not amount:
        return 0.0
    return None if price_sol is None else amount * price_sol


def _unmatched_share(ordered: Iterable[Trade], positions: Iterable[_Position]) -> float | None:
    proceeds = (trade.value_sol for trade in ordered if trade.side == "sell" and trade.value_sol is not None)
    unmatched = math.fsum(part for position in positions for part in position.unmatched_sol)
    total = math.fsum(proceeds)
    return min(1.0, unmatched / total) if total else None


def _sessions(times: Sequence[int]) -> list[int]:
    """Return the length of every session in seconds; a session of one trade is 0 s long."""
    lengths: list[int] = []
    start = last = None
    for at in sorted(times):
        if start is None or last is None or at - last > SESSION_GAP_S:
            start = at
            lengths.append(0)
        lengths[-1], last = at - start, at
    return lengths


def _by_hour(trades: Iterable[Trade]) -> tuple[int, ...]:
    counts = [0] * (DAY_S // HOUR_S)
    for trade in trades:
        counts[trade.block_at % DAY_S // HOUR_S] += 1
    return tuple(counts)


def _style(buys: int, sells: int, mints: int, mints_sold: int, median_hold_s: float | None) -> str | None:
    """Return the style; accumulation goes before the hold time of the few sales."""
    if buys + sells < LEAST_TRADES or mints < LEAST_MINTS:
        return "low activity"
    mostly_buys = not sells or buys / sells > ACCUMULATOR_RATIO
    if mostly_buys and mints_sold / mints < ACCUMULATOR_SOLD:
        return "accumulator"
    return None if median_hold_s is None else HOLD_STYLES[bisect_right(HOLD_LIMITS_S, median_hold_s)]


def _median(values: Sequence[int]) -> float | None:
    return float(statistics.median(values)) if values else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
