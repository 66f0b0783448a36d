"""How one wallet trades: how long it holds, what it realised, when it is active, and the style that this amounts to.

Section 9 of measures.md, from lots that are sold first in, first out. It derives no trade and prices nothing: the
trades of the window come with their SOL values, excluded mints left out.
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
"""The style of a median hold below each limit, and beyond the last."""
SESSION_GAP_S = 2 * HOUR_S
LEAST_TRADES, LEAST_MINTS = 5, 2
LAMPORT_DIGITS = 9
"""A profit that is none to the lamport is rounding error and no win."""
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

    A *closed piece* is what one sell took from one priced lot. `hold_bins` are the shares of closed pieces held under
    1 min, 5 min, 30 min, 4 h, 24 h, 7 d, and beyond. `realised_profit_sol_by_mint` has the mints of which a closed
    piece was sold for a known value. `unmatched_sold_share`: the part of all proceeds that belongs to no closed piece.
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
    """What is left of one buy, and the share of it in base units at which it was bought."""

    bought_at: int
    amount: int
    left: int
    cost_sol: float | None

    def cost(self, amount: int) -> float | None:
        """Give the cost of a part of the lot, None where the lot is unpriced."""
        return None if self.cost_sol is None else self.cost_sol * (amount / self.amount)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sold part of a priced lot; `proceeds_sol` is None when the sell is unpriced."""

    hold_s: int
    cost_sol: float
    proceeds_sol: float | None


@dataclass(slots=True)
class _Book:
    """The lots of one mint while its trades are walked through."""

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
        """Take an amount from the oldest lots; what no lot or an unpriced lot gave is unmatched."""
        wanted = trade.amount
        while wanted and self.lots:
            lot = self.lots[0]
            taken = min(wanted, lot.left)
            self._close(lot, taken, trade)
            wanted, lot.left = wanted - taken, lot.left - taken
            if not lot.left:
                self.lots.popleft()
                self.sold_out |= not self.lots
        self._leave_out(wanted, trade)

    def profits(self) -> list[float]:
        """Give what each piece of known proceeds brought above its cost."""
        return [piece.proceeds_sol - piece.cost_sol for piece in self.pieces if piece.proceeds_sol is not None]

    def _close(self, lot: _Lot, taken: int, trade: Trade) -> None:
        cost_sol = lot.cost(taken)
        if cost_sol is None:
            self._leave_out(taken, trade)
        else:
            self.pieces.append(_Piece(trade.block_at - lot.bought_at, cost_sol, _part(trade, taken)))

    def _leave_out(self, amount: int, trade: Trade) -> None:
        proceeds_sol = _part(trade, amount)
        if amount and proceeds_sol is not None:
            self.unmatched_sol.append(proceeds_sol)


def measure(
    trades: Iterable[Trade],
    holdings: Mapping[str, int] | None = None,
    prices_sol: Mapping[str, float | None] | None = None,
) -> Behaviour:
    """Measure the behaviour of one wallet from its trades inside the window, given in any order.

    They are walked through by slot and index; where a slot has a trade of unknown index, its buys come first and then
    signatures decide, because nobody sells what was never bought. `holdings` are base units by mint, None where
    unknown; `prices_sol` are SOL per *base unit*. `unrealised_profit_sol` is over the mints with an unsold lot, and
    None too when such a lot is unpriced. `reentry_rate` is the share of all mints traded that were bought again after
    a sell had used up the last lot; a sell without lots shows nothing to be used up. `realised_profit_sol` is 0 while
    nothing is sold, but None when nothing sold can be matched. No trade gives zeros and None.
    """
    ordered = _ordered(trades)
    books = _books(ordered)
    buys = sum(trade.side == "buy" for trade in ordered)
    sells = len(ordered) - buys
    bought, sold = ({trade.mint for trade in ordered if trade.side == side} for side in ("buy", "sell"))
    pieces = [piece for book in books.values() for piece in book.pieces]
    profits = {mint: math.fsum(book.profits()) for mint, book in sorted(books.items()) if book.profits()}
    sessions = _sessions([trade.block_at for trade in ordered])
    median_hold_s = _median([piece.hold_s for piece in pieces])
    return Behaviour(
        trades=len(ordered),
        buys=buys,
        sells=sells,
        mints=len(books),
        mints_both_sides=len(bought & sold),
        buy_sell_ratio=_ratio(buys, sells),
        median_hold_s=median_hold_s,
        mean_hold_s=_mean_hold(pieces),
        hold_bins=_hold_bins(pieces),
        realised_profit_sol=math.fsum(profits.values()) if profits or not sells else None,
        realised_profit_sol_by_mint=profits,
        unrealised_profit_sol=_unrealised(books, holdings, prices_sol),
        unmatched_sold_share=_unmatched_share(ordered, books.values()),
        win_rate=_ratio(sum(round(profit, LAMPORT_DIGITS) > 0 for profit in profits.values()), len(profits)),
        sessions=len(sessions),
        trades_per_session=_ratio(len(ordered), len(sessions)),
        median_session_s=_median(sessions),
        trades_by_hour=_by_hour(ordered),
        reentry_rate=_ratio(sum(book.bought_again for book in books.values()), len(books)),
        style=_style(buys, sells, len(books), len(sold), median_hold_s),
    )


def _ordered(trades: Iterable[Trade]) -> list[Trade]:
    """Sort trades as they happened, as far as that is known."""
    given = list(trades)
    unsure = {trade.slot for trade in given if trade.transaction_index is None}

    def place(trade: Trade) -> tuple[int, int, bool, str, str]:
        index = trade.transaction_index
        known = -1 if index is None or trade.slot in unsure else index
        return trade.slot, known, trade.side == "sell", trade.signature, trade.mint

    return sorted(given, key=place)


def _books(ordered: Iterable[Trade]) -> dict[str, _Book]:
    books: defaultdict[str, _Book] = defaultdict(_Book)
    for trade in ordered:
        book = books[trade.mint]
        if trade.side == "buy":
            book.buy(trade)
        else:
            book.sell(trade)
    return dict(books)


def _part(trade: Trade, amount: int) -> float | None:
    """Give the part of a trade's value that belongs to some of its amount."""
    return None if trade.value_sol is None else trade.value_sol * (amount / trade.amount)


def _mean_hold(pieces: Collection[_Piece]) -> float | None:
    """Average the hold times, each weighted by what its piece had cost."""
    total = math.fsum(piece.cost_sol for piece in pieces)
    return math.fsum(piece.cost_sol * piece.hold_s for piece in pieces) / total if total else None


def _hold_bins(pieces: Collection[_Piece]) -> tuple[float, ...] | None:
    counts = [0] * (len(HOLD_LIMITS_S) + 1)
    for piece in pieces:
        counts[bisect_right(HOLD_LIMITS_S, piece.hold_s)] += 1
    return tuple(count / len(pieces) for count in counts) if pieces else None


def _unrealised(
    books: Mapping[str, _Book], holdings: Mapping[str, int] | None, prices_sol: Mapping[str, float | None] | None
) -> float | None:
    """Value what is held of the mints with unsold lots, less what these lots cost."""
    profits = []
    for mint, book in books.items():
        if not book.lots:
            continue
        value, costs = _holding_value(mint, holdings, prices_sol), [lot.cost(lot.left) for lot in book.lots]
        known = [cost for cost in costs if cost is not None]
        if value is None or len(known) < len(costs):
            return None
        profits.append(value - math.fsum(known))
    return math.fsum(profits)


def _holding_value(
    mint: str, holdings: Mapping[str, int] | None, prices_sol: Mapping[str, float | None] | None
) -> float | None:
    """Value a holding, which is nothing without a price when nothing is held."""
    if holdings is None:
        return None
    amount, price_sol = holdings.get(mint, 0), (prices_sol or {}).get(mint)
    if not amount:
        return 0.0
    return None if price_sol is None else amount * price_sol


def _unmatched_share(ordered: Iterable[Trade], books: Iterable[_Book]) -> float | None:
    proceeds = (trade.value_sol for trade in ordered if trade.side == "sell" and trade.value_sol is not None)
    unmatched = math.fsum(part for book in books for part in book.unmatched_sol)
    total = math.fsum(proceeds)
    return min(1.0, unmatched / total) if total else None


def _sessions(times: Sequence[int]) -> list[int]:
    """Give the length of every session in seconds; a session of one trade is 0 s long."""
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
    """Name the style; what is bought much more than sold is accumulated, whatever the few sales held for."""
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
