"""Loads stored trades as arrays: those of an analysis, and counts of all wallets known here.

Leaves out trades outside the window, of excluded mints, and of unfinished syncs. Computes no measure of a pair and
stores nothing.
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
from tasks.measures.matching import Numbers, TimedTrades, narrowed
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
PROCESS_FROM_WALLETS, PROCESS_FROM_TRADES = 1_000, 100_000
"""From so many wallets or trades on, a second process computes behaviour."""
TRADES_PER_COUNT = 1_000_000
"""Trades of other wallets held in memory before they are counted; only counts remain of them."""


@dataclass(frozen=True, slots=True)
class LoadedTrades:
    """The trades of the wallets of an analysis, wallets numbered as given (address order).

    `trades` has mint *ids* in wallet of mint numbers, wallet after wallet; `behaviour` a JSON text per wallet. Both are
    empty for a provisional result. `names` maps the mint ids to mints.
    """

    allocations: Allocations
    trades: TimedTrades
    behaviour: list[str]
    names: dict[int, str]

    def without_trades(self) -> LoadedTrades:
        """Return a copy without the trades, which take most of the memory and are not stored."""
        return dataclasses.replace(self, trades=TimedTrades(*_columns_of([_timed(None)])))


@dataclass(frozen=True, slots=True)
class PopulationCounts:
    """The wallets known here that have a trade: their number, and how many of them traded each mint (by id).

    `crowd` has for each trade of the analysis the share of `measures.density`.
    """

    wallets: int
    traded: Integers
    crowd: Floats


@dataclass(frozen=True, slots=True)
class _Part:
    """The trades of some wallets; `wallet` numbers them among all wallets of the analysis."""

    trades: TradeColumns
    slot: Integers
    index: Integers
    signature: Sequence[str]


def bounds_of(wallet: ReadWallet) -> Bounds:
    """Return which rows of a wallet a result may use."""
    return Bounds(wallet.wallet_id, wallet.sync_no, wallet.oldest_slot)


def estimated_trades(wallets: Sequence[ReadWallet]) -> int:
    """Return about how many trades some wallets have: the transactions that their syncs counted."""
    return sum(wallet.transactions for wallet in wallets)


def read_wallets(
    wallets: Sequence[ReadWallet],
    rates: Rates,
    window: AnalysisWindow,
    heartbeat: Callable[[], None],
    *,
    is_final: bool,
) -> LoadedTrades:
    """Read and allocate the trades of the wallets of an analysis; for a final result also their behaviour and timing.

    `heartbeat` is called after each part that is read; an exception from it ends the reading.
    """
    batches = _BehaviourBatches(wallets, rates) if is_final else None
    allocated, timed, first = [allocation_batch.allocate(_no_trades())], [_timed(None)], 0
    names: dict[int, str] = {}
    with _behaviour_worker(wallets, is_final) as worker:
        for bounds, rows in trades.read([trades.ReadableWallet(bounds_of(one), one.transactions) for one in wallets]):
            part = _part(bounds, rows, first, rates, window)
            names |= tokens.mint_names(set(part.trades.mint.tolist()) - names.keys())
            if batches:
                worker.submit(batches.batch(part, first, len(bounds), names))
                timed.append(_timed(part))
            allocated.append(allocation_batch.allocate(part.trades))
            first += len(bounds)
            rows.clear()  # otherwise they stay in memory while the next ones are read
            heartbeat()
        return LoadedTrades(_joined(allocated), TimedTrades(*_columns_of(timed)), worker.results(), names)


def _behaviour_worker(
    wallets: Sequence[ReadWallet], is_final: bool
) -> behaviour_process.ProcessWorker | behaviour_process.InlineWorker:
    is_large = len(wallets) >= PROCESS_FROM_WALLETS or estimated_trades(wallets) >= PROCESS_FROM_TRADES
    return behaviour_process.ProcessWorker() if is_final and is_large else behaviour_process.InlineWorker()


def _no_trades() -> TradeColumns:
    whole = np.zeros(0, dtype=np.int64)
    return TradeColumns(whole, whole, whole, whole, np.zeros(0, dtype=object), np.zeros(0))


def _part(bounds: Sequence[Bounds], rows: Sequence[Any], first: int, rates: Rates, window: AnalysisWindow) -> _Part:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(trades.COLUMNS)
    whole = [np.array(column, dtype=np.int64) for column in columns[:6]]
    wallet = _indices(bounds, whole[0])
    counted = np.flatnonzero(window.counts(bounds, wallet, whole))
    _, _, slot, time, side, mint_id = (column[counted] for column in whole)
    columns = columns if len(counted) == len(rows) else list(zip(*(rows[at] for at in counted.tolist()), strict=True))
    index, signature, amount, quote, quote_amount, parts = columns[6:] if len(counted) else ((),) * 6
    kind = np.array(
        [allocation_batch.NO_QUOTE if n is None else QUOTES[q] for q, n in zip(quote, quote_amount, strict=True)]
    )
    paid = np.array([n or 0 for n in quote_amount], dtype=np.int64)
    value_sol = allocation_batch.values_sol(kind.astype(np.int64), paid, np.array(parts, dtype=np.int64), time, rates)
    amounts = np.empty(len(counted), dtype=object)
    amounts[:] = [int(text) for text in amount]
    counted_trades = TradeColumns(first + wallet[counted], mint_id, side, time, amounts, value_sol)
    return _Part(counted_trades, slot, np.array([-1 if i is None else i for i in index], dtype=np.int64), signature)


def _indices(bounds: Sequence[Bounds], wallet_id: Integers) -> Integers:
    """Return for each row the index of its wallet in `bounds`."""
    ids = np.array([one.wallet_id for one in bounds], dtype=np.int64)
    order = np.argsort(ids)
    return np.asarray(order[np.searchsorted(ids[order], wallet_id)] if len(ids) else wallet_id)


def _timed(part: _Part | None) -> tuple[Numbers, ...]:
    """Return what timing needs of some trades, in the narrowest types: it is in memory for all trades at once."""
    if part is None:
        return tuple(np.zeros(0, dtype=np.int8) for _ in dataclasses.fields(TimedTrades))
    columns = part.trades
    signature = np.array([text.encode() for text in part.signature] or [b""], dtype="S")[: len(columns)]
    whole = (columns.wallet, columns.mint, columns.time, part.slot, part.index, signature_ranks.ranks(signature))
    wallet, mint, *rest = map(narrowed, whole)
    return wallet, mint, columns.side.astype(np.int8), *rest


def _columns_of(parts: list[tuple[Any, ...]]) -> Iterator[NDArray[Any]]:
    """Yield the joined columns of the parts, freeing each as it is joined; empties the list."""
    columns = [list(column) for column in zip(*parts, strict=True)]
    parts.clear()
    while columns:
        yield np.concatenate(columns.pop(0))


def _joined(parts: list[Allocations]) -> Allocations:
    """Join the allocations of successive wallets; empties the list."""
    rows = [tuple(getattr(part, field.name) for field in dataclasses.fields(Allocations)) for part in parts]
    parts.clear()
    return Allocations(*_columns_of(rows))


class _BehaviourBatches:
    """Makes the batches of the behaviour worker: trades by wallet, holdings, and current prices."""

    def __init__(self, wallets: Sequence[ReadWallet], rates: Rates):
        self._wallets = wallets
        self._sol_usd = rates.on(int(database.now_s()))
        self._prices: dict[int, float | None] = {}

    def batch(self, part: _Part, first: int, count: int, names: dict[int, str]) -> behaviour_process.BehaviourBatch:
        """Return the batch of the `count` wallets from number `first` on, whose trades the part has."""
        order = np.argsort(part.trades.wallet, kind="stable")
        stops = np.searchsorted(part.trades.wallet[order], np.arange(first, first + count), side="right").tolist()
        held = [self._held(one) for one in self._wallets[first : first + count]]
        self._look_up({mint_id for holdings in held for mint_id in holdings or ()} & names.keys())
        holdings, prices_sol = zip(*(self._named(one, names) for one in held), strict=True)
        return behaviour_process.BehaviourBatch(self._columns(part, order, names), stops, holdings, prices_sol)

    @staticmethod
    def _held(wallet: ReadWallet) -> dict[int, int] | None:
        if wallet.holdings is None:
            return None
        return {int(mint_id): int(amount) for mint_id, amount in json.loads(wallet.holdings).items()}

    @staticmethod
    def _columns(part: _Part, order: Integers, names: dict[int, str]) -> tuple[list[Any], ...]:
        trades = part.trades
        value_sol = trades.value_sol[order].astype(object)
        value_sol[np.isnan(trades.value_sol[order])] = None
        index = part.index[order].astype(object)
        index[part.index[order] < 0] = None
        return (
            [part.signature[at] for at in order.tolist()],
            part.slot[order].tolist(),
            index.tolist(),
            trades.time[order].tolist(),
            [SIDE_NAMES[side] for side in trades.side[order].tolist()],
            [names[mint_id] for mint_id in trades.mint[order].tolist()],
            trades.amount[order].tolist(),
            value_sol.tolist(),
        )

    def _look_up(self, mint_ids: set[int]) -> None:
        """Read the prices, in SOL per base unit, of mints that were not read yet."""
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


def read_population(
    loaded: LoadedTrades,
    wallets: Sequence[ReadWallet],
    window: AnalysisWindow,
    timing_window_s: int,
    heartbeat: Callable[[], None],
) -> PopulationCounts:
    """Count the trades of every wallet ever synced, those of the analysis as loaded for it.

    Only counts of other wallets stay in memory. `timing_window_s` is the time before and after a trade in which
    `density` counts others.
    """
    density = TradeDensity(loaded.trades, timing_window_s)
    traded, wallet_count = np.bincount(loaded.allocations.mint), len(np.unique(loaded.allocations.wallet))
    for part in _own_parts(loaded.trades):
        density.add(*part)
    waiting: list[tuple[Numbers, ...]] = []
    for bounds, rows in trades.read(trades.others({one.wallet_id for one in wallets}), background=True):
        wallet, mint, side, time = _population_part(bounds, rows, window)
        wallet_count += len(np.unique(wallet))
        span = int(mint.max(initial=0)) + 1
        traded = _sum(traded, np.bincount(np.unique(wallet * span + mint) % span))
        waiting.append(tuple(map(narrowed, (wallet, mint, side, time))))
        heartbeat()
        if sum(len(part[0]) for part in waiting) >= TRADES_PER_COUNT:
            density.add(*_columns_of(waiting))
    if waiting:
        density.add(*_columns_of(waiting))
    return PopulationCounts(wallet_count, traded, density.shares())


def _own_parts(own: TimedTrades) -> Iterator[tuple[Numbers, ...]]:
    """Yield wallet, mint, side and time of the trades of an analysis, in parts of whole wallets."""
    ends = np.flatnonzero(np.diff(own.wallet, append=-1)) + 1
    chosen = np.flatnonzero(np.diff(ends // TRADES_PER_COUNT, prepend=0))
    for start, end in pairwise([0, *ends[chosen].tolist(), len(own)]):
        yield tuple(column[start:end] for column in (own.wallet, own.mint, own.side, own.time))


def _population_part(bounds: Sequence[Bounds], rows: list[Any], window: AnalysisWindow) -> tuple[Integers, ...]:
    """Return wallet id, mint id, side and time of the rows that count; empties `rows`."""
    whole = list(np.array(rows, dtype=np.int64).reshape(-1, len(trades.BACKGROUND_COLUMNS)).T)
    rows.clear()
    wallet, _, _, time, side, mint = (
        column[window.counts(bounds, _indices(bounds, whole[0]), whole)] for column in whole
    )
    return wallet, mint, side, time


def _sum(counts: Integers, more: Integers) -> Integers:
    """Return the sum of two arrays of counts, which may differ in length."""
    longest = max(len(counts), len(more))
    return np.pad(counts, (0, longest - len(counts))) + np.pad(more, (0, longest - len(more)))
