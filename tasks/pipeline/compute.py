"""From what the wallets of an analysis did to all that is said of them: one call of the mathematics after another.

Every measure is defined in `tasks.measures`; here is only which of them needs which. Reads and stores nothing.
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
from tasks.measures.matching import Trades, narrowed
from tasks.measures.projection import Projection
from tasks.measures.similarity import Pairs, PortfolioMatrix
from tasks.pipeline.load import LoadedTrades, PopulationCounts
from tasks.storage.pairs import BASE, CHANCE, TIMING

BUY = 0
Columns = dict[str, NDArray[Any]]

_one_at_a_time = threading.Lock()  # igraph draws from one generator for the whole process, and each cut seeds it


@dataclass(frozen=True, slots=True)
class MintIndex:
    """The mints of an analysis as columns in the order of their names: id → column, and column → id.

    Not in the order of their ids: sums then come out the same to the last bit, whichever wallet was read first.
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
class Findings:
    """All that a result says of its pairs and wallets; wallets by number, mints by column of `mints`.

    `columns` has the arrays that `pairs.store` takes. `background` says what chance was counted from; it is None, and
    so is `places`, when only the base measures were asked for.
    """

    mints: MintIndex
    pairs: Pairs
    cut: bool
    columns: Columns
    clusters: list[Cluster]
    shared_mints: list[Integers]
    places: Projection | None
    background: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Options:
    """The parameters that the measures depend on."""

    timing_window_s: int
    tau: float


def compute_base(reading: LoadedTrades, holdings: Sequence[frozenset[int] | None], names: dict[int, str]) -> Findings:
    """Compute the base measures alone. `holdings` are mint ids for each wallet, `names` those of all mints."""
    mints = MintIndex.of(names)
    pairs = similarity.compare(_portfolios(reading, holdings, mints))
    return Findings(mints, pairs, pairs.cut, _base_columns(pairs), [], [], None, None)


def compute_all(
    reading: LoadedTrades,
    holdings: Sequence[frozenset[int] | None],
    names: dict[int, str],
    background: PopulationCounts,
    choice: Options,
    pause: Callable[[], None],
) -> Findings:
    """Compute everything; `pause` is called between the steps, and what it raises ends the computation."""
    mints = MintIndex.of(names)
    world = _portfolios(reading, holdings, mints)
    against = chance.assess(world.presence, _known(background, mints))
    pause()
    significant = against.significant()
    pairs = similarity.compare(world, also=(significant.wallet_a, significant.wallet_b))
    pause()
    a, b = pairs.wallet_a, pairs.wallet_b
    columns = _base_columns(pairs)
    found = against.of_pairs(a, b, pairs.shared)
    columns |= {name: getattr(found, name) for name in CHANCE}
    own = _by_column(reading.trades, mints)
    timed = timing.measure(own, background.crowd, a, b, choice.timing_window_s)
    pause()
    columns |= {name: getattr(timed, name) for name in TIMING}
    columns["insights"] = _insights(world, own, pairs, columns, timed.matched_mints)
    q_value = None if against.reason else columns["q_value"]
    with _one_at_a_time:
        groups = clusters.find(world.wallet_count, a, b, pairs.overall, q_value, choice.tau)
    return Findings(
        mints=mints,
        pairs=pairs,
        cut=pairs.cut or significant.cut,
        columns=columns,
        clusters=groups,
        shared_mints=[clusters.shared_mints(world.presence, group.members) for group in groups],
        places=projection.project(world.weights),
        background={
            "wallets": background.wallets,
            "mints": int(np.count_nonzero(background.traded)),
            "reason": against.reason,
        },
    )


def clusters_of(found: Sequence[Cluster], wallet_count: int) -> Integers:
    """Give the number of the cluster of every wallet, 0 for a wallet in none."""
    numbers = np.zeros(wallet_count, dtype=np.int64)
    for cluster in found:
        numbers[cluster.members] = cluster.number
    return numbers


def _base_columns(pairs: Pairs) -> Columns:
    return {name: getattr(pairs, name) for name in ("wallet_a", "wallet_b", "shared", *BASE)}


def _portfolios(reading: LoadedTrades, holdings: Sequence[frozenset[int] | None], mints: MintIndex) -> PortfolioMatrix:
    rows = reading.allocations
    return similarity.build_portfolios(
        rows.wallet,
        mints.column_of[rows.mint],
        rows.weight,
        wallet_count=len(holdings),
        mint_count=len(mints.mint_ids),
        holdings=[None if held is None else mints.column_of[list(held)].tolist() for held in holdings],
    )


def _known(background: PopulationCounts, mints: MintIndex) -> chance.Population:
    """Put the counts of the analysis's own mints first, as its columns are."""
    counts = np.zeros(max(len(background.traded), len(mints.column_of)), dtype=np.int64)
    counts[: len(background.traded)] = background.traded
    own = counts[mints.mint_ids]
    counts[mints.mint_ids] = 0
    return chance.Population(background.wallets, np.concatenate([own, counts[counts > 0]]))


def _by_column(trades: Trades, mints: MintIndex) -> Trades:
    wallet, mint, *rest = trades.columns()
    return Trades(wallet, narrowed(mints.column_of[mint]), *rest)


def _insights(
    world: PortfolioMatrix, trades: Trades, pairs: Pairs, columns: Columns, matched_mints: Integers
) -> NDArray[np.int64]:
    a, b, bought = pairs.wallet_a, pairs.wallet_b, trades.side == BUY
    days = (trades.time // DAY_S)[bought]
    more = {
        "matched_mints": matched_mints,
        "aligned_days": insights.aligned_days(trades.wallet[bought], trades.mint[bought], days, a, b),
        "zero_holdings": insights.zero_holdings(
            world.presence, world.holdings, world.holdings_known, a, b, pairs.shared
        ),
    }
    return insights.flags(columns | more).astype(np.int64)


def summary(columns: Columns) -> list[dict[str, Any]]:
    """Give for each insight that some pair carries: {"insight", "pairs", "number"}, `number` of the strongest pair."""
    found = columns.get("insights", np.zeros(0, dtype=np.int64))
    carried = [(rule.slug, np.flatnonzero(found >> bit & 1)) for bit, rule in enumerate(insights.RULES)]
    return [
        {"insight": slug, "pairs": len(numbers), "number": int(numbers[0])} for slug, numbers in carried if len(numbers)
    ]
