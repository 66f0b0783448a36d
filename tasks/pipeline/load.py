"""Reads what an analysis is computed from, for many wallets at once: their trades as arrays, and the background.

Trades outside the window, of excluded mints, and beyond what a wallet's finished syncs show are left out here, the same
for everybody. It computes no measure of a pair and stores nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measures import allocation_batch
from tasks.measures.allocation import Rates
from tasks.measures.allocation_batch import Allocations, TradeColumns
from tasks.measures.arrays import Floats, Integers
from tasks.measures.density import TradeDensity
from tasks.measures.matching import Numbers, Trades, narrowed
from tasks.pipeline import behaviour_process, signature_ranks
from tasks.pipeline.window import AnalysisWindow
from tasks.storage import database, tokens, trades
from tasks.storage.analyses import ReadWallet
from tasks.storage.wallets import Bounds

QUOTES = {
    None: allocation_batch.NO_QUOTE,
    "SOL": allocation_batch.SOL,
    "USDC": allocation_batch.USD,
    "USDT": allocation_batch.USD,
}

SIDE_NAMES: tuple[Any, ...] = ("buy", "sell")
BESIDE_FROM, BESIDE_FROM_TRADES = 1_000, 100_000
"""So many wallets, or trades, are worth a second process for their behaviour."""
COUNTED_AT_ONCE = 1_000_000
"""Trades of the background that are held until they are counted."""


@dataclass(frozen=True, slots=True)
class LoadedTrades:
    """What the wallets of an analysis did, wallets numbered as given (address order) and mints by their ids.

    `trades` has mint *ids* in the place of mint numbers, wallet after wallet. `behaviour` is a JSON text for each
    wallet, in their order; both are empty when they were not asked for.
    """

    allocations: Allocations
    trades: Trades
    behaviour: list[str]
    names: dict[int, str]

    def without_trades(self) -> LoadedTrades:
        """Give what is still needed when all measures are there; the trades are most of the memory."""
        return dataclasses.replace(self, trades=Trades(*_columns_of([_timed(None)])))


@dataclass(frozen=True, slots=True)
class PopulationCounts:
    """All wallets with a trade that are known here: how many, and how many of them traded each mint (by id).

    `crowd` says of each trade of the reading how crowded its moment was, as `crowding` does.
    """

    wallets: int
    traded: Integers
    crowd: Floats


@dataclass(frozen=True, slots=True)
class _Part:
    """The trades of some wallets; `wallet` numbers them among all wallets of the analysis."""

    ledger: TradeColumns
    slot: Integers
    index: Integers
    signature: Sequence[str]


def bounds_of(read: ReadWallet) -> Bounds:
    """Return which rows of a wallet a result sees."""
    return Bounds(read.wallet_id, read.sync_no, read.oldest_slot)


def trades_about(read: Sequence[ReadWallet]) -> int:
    """Return about how many trades some wallets have, from what their syncs counted."""
    return sum(one.transactions for one in read)


def read_wallets(
    read: Sequence[ReadWallet], rates: Rates, within: AnalysisWindow, alive: Callable[[], None], *, in_full: bool
) -> LoadedTrades:
    """Read the trades of the wallets of an analysis and allocate them; `in_full` with their behaviour and timing.

    `alive` is called with each part that is read, here and below; what it raises ends the reading.
    """
    told = _Prices(read, rates) if in_full else None
    rows, timed, first = [allocation_batch.allocate(_no_ledger())], [_timed(None)], 0
    names: dict[int, str] = {}
    with behaviour_process.ProcessWorker() if in_full and _is_much(read) else behaviour_process.InlineWorker() as kept:
        for bounds, found in trades.read([trades.ReadableWallet(bounds_of(one), one.transactions) for one in read]):
            part = _part(bounds, found, first, rates, within)
            names |= tokens.mint_names(set(part.ledger.mint.tolist()) - names.keys())
            if told:
                kept.take(told.page(part, first, len(bounds), names))
                timed.append(_timed(part))
            rows.append(allocation_batch.allocate(part.ledger))
            first += len(bounds)
            found.clear()  # the next ones are read while these would still be held
            alive()
        return LoadedTrades(_joined(rows), Trades(*_columns_of(timed)), kept.told(), names)


def _is_much(read: Sequence[ReadWallet]) -> bool:
    return len(read) >= BESIDE_FROM or trades_about(read) >= BESIDE_FROM_TRADES


def _no_ledger() -> TradeColumns:
    whole = np.zeros(0, dtype=np.int64)
    return TradeColumns(whole, whole, whole, whole, np.zeros(0, dtype=object), np.zeros(0))


def _part(bounds: Sequence[Bounds], rows: Sequence[Any], first: int, rates: Rates, within: AnalysisWindow) -> _Part:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(trades.COLUMNS)
    whole = [np.array(column, dtype=np.int64) for column in columns[:6]]
    place = _places(bounds, whole[0])
    kept = np.flatnonzero(within.counts(bounds, place, whole))
    _, _, slot, time, side, mint_id = (column[kept] for column in whole)
    columns = columns if len(kept) == len(rows) else list(zip(*(rows[at] for at in kept.tolist()), strict=True))
    index, signature, amount, quote, quote_amount, parts = columns[6:] if len(kept) else ((),) * 6
    kind = np.array(
        [allocation_batch.NO_QUOTE if n is None else QUOTES[q] for q, n in zip(quote, quote_amount, strict=True)]
    )
    paid = np.array([n or 0 for n in quote_amount], dtype=np.int64)
    value_sol = allocation_batch.values_sol(kind.astype(np.int64), paid, np.array(parts, dtype=np.int64), time, rates)
    amounts = np.empty(len(kept), dtype=object)
    amounts[:] = [int(text) for text in amount]
    ledger = TradeColumns(first + place[kept], mint_id, side, time, amounts, value_sol)
    return _Part(ledger, slot, np.array([-1 if i is None else i for i in index], dtype=np.int64), signature)


def _places(bounds: Sequence[Bounds], wallet_id: Integers) -> Integers:
    """Give the places among the bounds of the wallets of some rows."""
    ids = np.array([one.wallet_id for one in bounds], dtype=np.int64)
    order = np.argsort(ids)
    return np.asarray(order[np.searchsorted(ids[order], wallet_id)] if len(ids) else wallet_id)


def _timed(part: _Part | None) -> tuple[Numbers, ...]:
    """Give what timing needs of some trades, as narrow as may be: this is kept of all trades at once."""
    if part is None:
        return tuple(np.zeros(0, dtype=np.int8) for _ in dataclasses.fields(Trades))
    ledger = part.ledger
    signature = np.array([text.encode() for text in part.signature] or [b""], dtype="S")[: len(ledger)]
    whole = (ledger.wallet, ledger.mint, ledger.time, part.slot, part.index, signature_ranks.ranks(signature))
    wallet, mint, *rest = map(narrowed, whole)
    return wallet, mint, ledger.side.astype(np.int8), *rest


def _columns_of(parts: list[tuple[Any, ...]]) -> Iterator[NDArray[Any]]:
    """Put the columns of the parts together, and let go of each when it is; the list is empty after it."""
    columns = [list(column) for column in zip(*parts, strict=True)]
    parts.clear()
    while columns:
        yield np.concatenate(columns.pop(0))


def _joined(parts: list[Allocations]) -> Allocations:
    """Put the allocations of one wallet after another together."""
    rows = [tuple(getattr(part, field.name) for field in dataclasses.fields(Allocations)) for part in parts]
    parts.clear()
    return Allocations(*_columns_of(rows))


class _Prices:
    """Makes the pages of the books: trades by wallet, with what each holds at the prices of the moment."""

    def __init__(self, read: Sequence[ReadWallet], rates: Rates):
        self._read = read
        self._sol_usd = rates.on(int(database.now_s()))
        self._prices: dict[int, float | None] = {}

    def page(self, part: _Part, first: int, count: int, names: dict[int, str]) -> behaviour_process.BehaviourBatch:
        """Make the page of the `count` wallets from `first` on, whose trades the part has."""
        order = np.argsort(part.ledger.wallet, kind="stable")
        stops = np.searchsorted(part.ledger.wallet[order], np.arange(first, first + count), side="right").tolist()
        held = [self._held(one) for one in self._read[first : first + count]]
        self._look_up({mint_id for holdings in held for mint_id in holdings or ()} & names.keys())
        holdings, prices_sol = zip(*(self._named(one, names) for one in held), strict=True)
        return behaviour_process.BehaviourBatch(self._columns(part, order, names), stops, holdings, prices_sol)

    @staticmethod
    def _held(read: ReadWallet) -> dict[int, int] | None:
        if read.holdings is None:
            return None
        return {int(mint_id): int(amount) for mint_id, amount in json.loads(read.holdings).items()}

    @staticmethod
    def _columns(part: _Part, order: Integers, names: dict[int, str]) -> tuple[list[Any], ...]:
        ledger = part.ledger
        value_sol = ledger.value_sol[order].astype(object)
        value_sol[np.isnan(ledger.value_sol[order])] = None
        index = part.index[order].astype(object)
        index[part.index[order] < 0] = None
        return (
            [part.signature[at] for at in order.tolist()],
            part.slot[order].tolist(),
            index.tolist(),
            ledger.time[order].tolist(),
            [SIDE_NAMES[side] for side in ledger.side[order].tolist()],
            [names[mint_id] for mint_id in ledger.mint[order].tolist()],
            ledger.amount[order].tolist(),
            value_sol.tolist(),
        )

    def _look_up(self, mint_ids: set[int]) -> None:
        """Learn the prices, in SOL per base unit, of mints that are not known yet."""
        for mint_id, price_usd, decimals in tokens.prices(mint_ids - self._prices.keys()):
            if price_usd is None or decimals is None or not self._sol_usd:
                self._prices[mint_id] = None
            else:
                self._prices[mint_id] = price_usd / self._sol_usd / 10**decimals

    def _named(
        self, holdings: dict[int, int] | None, names: dict[int, str]
    ) -> tuple[dict[str, int] | None, dict[str, float | None]]:
        if holdings is None:
            return None, {}
        known = [mint_id for mint_id in holdings if mint_id in names]
        return {names[i]: holdings[i] for i in known}, {names[i]: self._prices.get(i) for i in known}


def read_background(
    reading: LoadedTrades, read: Sequence[ReadWallet], within: AnalysisWindow, window_s: int, alive: Callable[[], None]
) -> PopulationCounts:
    """Read what every wallet ever synced traded, those of the analysis as they were read for it.

    Of other wallets nothing is kept but counts; `window_s` is what lies around a trade on either side.
    """
    crowd = TradeDensity(reading.trades, window_s)
    traded, wallets = np.bincount(reading.allocations.mint), len(np.unique(reading.allocations.wallet))
    for part in _own(reading.trades):
        crowd.add(*part)
    waiting: list[tuple[Numbers, ...]] = []
    for bounds, found in trades.read(trades.others({one.wallet_id for one in read}), background=True):
        wallet, mint, side, time = _background_part(bounds, found, within)
        wallets += len(np.unique(wallet))
        span = int(mint.max(initial=0)) + 1
        traded = _added(traded, np.bincount(np.unique(wallet * span + mint) % span))
        waiting.append(tuple(map(narrowed, (wallet, mint, side, time))))
        alive()
        if sum(len(part[0]) for part in waiting) >= COUNTED_AT_ONCE:
            crowd.add(*_columns_of(waiting))
    if waiting:
        crowd.add(*_columns_of(waiting))
    return PopulationCounts(wallets, traded, crowd.shares())


def _own(own: Trades) -> Iterator[tuple[Numbers, ...]]:
    """Cut the trades of an analysis, wallet after wallet, into parts of whole wallets."""
    ends = np.flatnonzero(np.diff(own.wallet, append=-1)) + 1
    chosen = np.flatnonzero(np.diff(ends // COUNTED_AT_ONCE, prepend=0))
    for start, end in pairwise([0, *ends[chosen].tolist(), len(own)]):
        yield tuple(column[start:end] for column in (own.wallet, own.mint, own.side, own.time))


def _background_part(bounds: Sequence[Bounds], rows: list[Any], within: AnalysisWindow) -> tuple[Integers, ...]:
    """Give wallet id, mint id, side and time of the rows that count."""
    whole = list(np.array(rows, dtype=np.int64).reshape(-1, len(trades.BACKGROUND_COLUMNS)).T)
    rows.clear()
    wallet, _, _, time, side, mint = (
        column[within.counts(bounds, _places(bounds, whole[0]), whole)] for column in whole
    )
    return wallet, mint, side, time


def _added(counts: Integers, more: Integers) -> Integers:
    """Add up counts by number, of which one may reach further than the other."""
    longest = max(len(counts), len(more))
    return np.pad(counts, (0, longest - len(counts))) + np.pad(more, (0, longest - len(more)))
