"""Calls the measures in order: loaded trades in, everything that a result says of pairs and wallets out.

The measures are defined in `tasks.measures`; this module knows which needs which. Reads and stores nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measures import chance, clusters, insights, projection, similarity, timing
from tasks.measures.allocation import DAY_S
from tasks.measures.arrays import Integers
from tasks.measures.clusters import Cluster
from tasks.measures.matching import TimedTrades, narrowed
from tasks.measures.projection import Projection
from tasks.measures.similarity import Pairs, PortfolioMatrix
from tasks.pipeline.load import LoadedTrades, PopulationCounts
from tasks.storage.pairs import BASE, CHANCE, TIMING

BUY = 0
Columns = dict[str, NDArray[Any]]

_igraph_lock = threading.Lock()  # igraph has one random generator per process, which every clustering seeds


@dataclass(frozen=True, slots=True)
class MintIndex:
    """The mints of an analysis as columns in the order of their names: id → column, and column → id.

    By name, not by id, so that sums are equal to the last bit whichever wallet was synced first.
    """

    column_of: Integers
    mint_ids: Integers

    @classmethod
    def of(cls, names: dict[int, str]) -> MintIndex:
        """Number the mints, given as id → name; `column_of` is −1 for an id that is not among them."""
        mint_ids = np.array(sorted(names, key=names.__getitem__), dtype=np.int64)
        column_of = np.full(int(mint_ids.max(initial=0)) + 1, -1, dtype=np.int64)
        column_of[mint_ids] = np.arange(len(mint_ids))
        return cls(column_of, mint_ids)


@dataclass(frozen=True, slots=True)
class Computed:
    """All that a result says of its pairs and wallets; wallets by number, mints by column of `mints`.

    `columns` has the arrays that `pairs.store` takes. `is_capped`: at least one pair was dropped at the limit of kept
    pairs. `population` describes the wallets that chance was measured against; it and `positions` are None when only
    the base measures were computed.
    """

    mints: MintIndex
    pairs: Pairs
    is_capped: bool
    columns: Columns
    clusters: list[Cluster]
    shared_mints: list[Integers]
    positions: Projection | None
    population: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters that the measures depend on."""

    timing_window_s: int
    tau: float


def compute_base(loaded: LoadedTrades, holdings: Sequence[frozenset[int] | None], names: dict[int, str]) -> Computed:
    """Compute the base measures only. `holdings`: each wallet's mint ids (None: unknown), `names`: id → mint of all."""
    mints = MintIndex.of(names)
    pairs = similarity.compare(_portfolios(loaded, holdings, mints))
    return Computed(mints, pairs, pairs.cut, _base_columns(pairs), [], [], None, None)


def compute_all(
    loaded: LoadedTrades,
    holdings: Sequence[frozenset[int] | None],
    names: dict[int, str],
    population: PopulationCounts,
    options: Options,
    check: Callable[[], None],
) -> Computed:
    """Compute every measure. `check` is called between the steps; an exception from it ends the computation."""
    mints = MintIndex.of(names)
    portfolios = _portfolios(loaded, holdings, mints)
    by_chance = chance.assess(portfolios.presence, _population(population, mints))
    check()
    significant = by_chance.significant()
    pairs = similarity.compare(portfolios, also=(significant.wallet_a, significant.wallet_b))
    check()
    a, b = pairs.wallet_a, pairs.wallet_b
    columns = _base_columns(pairs)
    expected = by_chance.of_pairs(a, b, pairs.shared)
    columns |= {name: getattr(expected, name) for name in CHANCE}
    trades = _by_column(loaded.trades, mints)
    timed = timing.measure(trades, population.crowd, a, b, options.timing_window_s)
    check()
    columns |= {name: getattr(timed, name) for name in TIMING}
    columns["insights"] = _insights(portfolios, trades, pairs, columns, timed.matched_mints)
    q_value = None if by_chance.reason else columns["q_value"]
    with _igraph_lock:
        groups = clusters.find(portfolios.wallet_count, a, b, pairs.overall, q_value, options.tau)
    return Computed(
        mints=mints,
        pairs=pairs,
        is_capped=pairs.cut or significant.cut,
        columns=columns,
        clusters=groups,
        shared_mints=[clusters.shared_mints(portfolios.presence, group.members) for group in groups],
        positions=projection.project(portfolios.weights),
        population={
            "wallets": population.wallets,
            "mints": int(np.count_nonzero(population.traded)),
            "reason": by_chance.reason,
        },
    )


def clusters_of(groups: Sequence[Cluster], wallet_count: int) -> Integers:
    """Return the number of each wallet's cluster, 0 for a wallet in none."""
    numbers = np.zeros(wallet_count, dtype=np.int64)
    for cluster in groups:
        numbers[cluster.members] = cluster.number
    return numbers


def _base_columns(pairs: Pairs) -> Columns:
    return {name: getattr(pairs, name) for name in ("wallet_a", "wallet_b", "shared", *BASE)}


def _portfolios(loaded: LoadedTrades, holdings: Sequence[frozenset[int] | None], mints: MintIndex) -> PortfolioMatrix:
    rows = loaded.allocations
    return similarity.build_portfolios(
        rows.wallet,
        mints.column_of[rows.mint],
        rows.weight,
        wallet_count=len(holdings),
        mint_count=len(mints.mint_ids),
        holdings=[None if held is None else mints.column_of[list(held)].tolist() for held in holdings],
    )


def _population(population: PopulationCounts, mints: MintIndex) -> chance.Population:
    """Return the counts with those of the analysis's own mints first, in the order of its columns."""
    counts = np.zeros(max(len(population.traded), len(mints.column_of)), dtype=np.int64)
    counts[: len(population.traded)] = population.traded
    in_columns = counts[mints.mint_ids]
    counts[mints.mint_ids] = 0
    return chance.Population(population.wallets, np.concatenate([in_columns, counts[counts > 0]]))


def _by_column(trades: TimedTrades, mints: MintIndex) -> TimedTrades:
    wallet, mint, *rest = trades.columns()
    return TimedTrades(wallet, narrowed(mints.column_of[mint]), *rest)


def _insights(
    portfolios: PortfolioMatrix, trades: TimedTrades, pairs: Pairs, columns: Columns, matched_mints: Integers
) -> NDArray[np.int64]:
    a, b, bought = pairs.wallet_a, pairs.wallet_b, trades.side == BUY
    days = (trades.time // DAY_S)[bought]
    more = {
        "matched_mints": matched_mints,
        "aligned_days": insights.aligned_days(trades.wallet[bought], trades.mint[bought], days, a, b),
        "zero_holdings": insights.zero_holdings(
            portfolios.presence, portfolios.holdings, portfolios.holdings_known, a, b, pairs.shared
        ),
    }
    return insights.flags(columns | more).astype(np.int64)


def insight_counts(columns: Columns) -> list[dict[str, Any]]:
    """Return {"insight", "pairs", "number"} of each insight that a pair has; `number` is of the strongest such pair."""
    flags = columns.get("insights", np.zeros(0, dtype=np.int64))
    carried = [(rule.slug, np.flatnonzero(flags >> bit & 1)) for bit, rule in enumerate(insights.RULES)]
    return [
        {"insight": slug, "pairs": len(numbers), "number": int(numbers[0])} for slug, numbers in carried if len(numbers)
    ]
