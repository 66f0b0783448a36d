"""Turns computed measures into the rows that a result stores."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tasks.measures.allocation_batch import NEVER
from tasks.measures.clusters import Cluster
from tasks.pipeline import compute
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.pipeline.compute import Computed
from tasks.pipeline.load import LoadedTrades
from tasks.storage import sql


def edges(analysis_input: AnalysisInput, computed: Computed) -> Any:
    """Return the numbers, ascending, of the pairs that are edges of clusters.

    Stored, because members of a cluster share more pairs than the edges that formed it.
    """
    count, (a, b) = len(analysis_input.wallets), (computed.pairs.wallet_a, computed.pairs.wallet_b)
    inside = [one.edge_a.astype(np.int64) * count + one.edge_b for one in computed.clusters]
    return np.flatnonzero(np.isin(a.astype(np.int64) * count + b, np.concatenate([np.zeros(0, np.int64), *inside])))


def _positions(analysis_input: AnalysisInput) -> Any:
    return np.array([one.position for one in analysis_input.wallets], dtype=np.int64)


def by_position(analysis_input: AnalysisInput, columns: compute.Columns) -> compute.Columns:
    """Return the columns with positions in the analysis, which also counts failed wallets, as wallet numbers."""
    positions = _positions(analysis_input)
    return columns | {side: positions[columns[side]] for side in ("wallet_a", "wallet_b")}


def allocation_rows(analysis_input: AnalysisInput, loaded: LoadedTrades) -> Iterator[tuple[Any, ...]]:
    rows, positions = loaded.allocations, _positions(analysis_input)
    for start in range(0, len(rows), sql.ROWS_PER_WRITE):
        part = slice(start, start + sql.ROWS_PER_WRITE)
        columns = (
            [analysis_input.result_id] * len(rows.wallet[part]),
            positions[rows.wallet[part]].tolist(),
            rows.mint[part].tolist(),
            rows.buys[part].tolist(),
            rows.sells[part].tolist(),
            list(map(str, rows.bought[part].tolist())),
            list(map(str, rows.sold[part].tolist())),
            rows.spent_sol[part].tolist(),
            rows.received_sol[part].tolist(),
            [None if at == NEVER else at for at in rows.first_buy_at[part].tolist()],
            rows.last_trade_at[part].tolist(),
            rows.weight[part].tolist(),
        )
        yield from zip(*columns, strict=True)


def mint_rows(result_id: int, loaded: LoadedTrades) -> Iterator[tuple[int, int, int, float]]:
    """Yield (result id, mint id, wallets that traded it, SOL they spent on it) for each mint of the allocation."""
    rows = loaded.allocations
    by_mint = np.argsort(rows.mint, kind="stable")
    mints, starts = np.unique(rows.mint[by_mint], return_index=True)
    counts = np.diff(np.append(starts, len(by_mint))).tolist()
    spent = rows.spent_sol[by_mint].tolist()
    for mint_id, start, count in zip(mints.tolist(), starts.tolist(), counts, strict=True):
        yield result_id, mint_id, count, math.fsum(spent[start : start + count])


def cluster_rows(analysis_input: AnalysisInput, computed: Computed) -> Iterator[tuple[Any, ...]]:
    positions = _positions(analysis_input)
    for cluster, columns in zip(computed.clusters, computed.shared_mints, strict=True):
        lists = (positions[cluster.members], positions[cluster.weak_bridges], computed.mints.mint_ids[columns])
        texts = (json.dumps(one.tolist()) for one in lists)
        strongest = json.dumps(list(_strongest_edges(cluster, positions)))
        yield analysis_input.result_id, cluster.number, cluster.cohesion, *texts, len(cluster.edge_a), strongest


def _strongest_edges(cluster: Cluster, positions: Any) -> Iterator[tuple[int, float, int]]:
    """Yield for each member the partner and weight of its strongest edge, and the number of its edges."""
    partners, weights, counts = cluster.strongest_edges()
    yield from zip(positions[partners].tolist(), weights.tolist(), counts.tolist(), strict=True)


def wallet_rows(
    analysis_input: AnalysisInput, loaded: LoadedTrades, computed: Computed, cluster_of: list[int]
) -> Iterator[tuple[Any, ...]]:
    if computed.positions is None:
        return
    columns = (
        analysis_input.wallets,
        cluster_of,
        computed.positions.x.tolist(),
        computed.positions.y.tolist(),
        loaded.behaviour,
    )
    for wallet, cluster, x, y, behaviour in zip(*columns, strict=True):
        point = (None, None) if math.isnan(x) else (x, y)
        yield analysis_input.result_id, wallet.position, cluster or None, *point, behaviour
