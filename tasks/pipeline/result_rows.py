"""Computed measures to the rows that are stored of a result."""

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
from tasks.pipeline.compute import Findings
from tasks.pipeline.load import LoadedTrades
from tasks.storage import sql


def edges(order: AnalysisInput, found: Findings) -> Any:
    """Give the numbers of the pairs that are edges inside of clusters, ascending."""
    count, (a, b) = len(order.read), (found.pairs.wallet_a, found.pairs.wallet_b)
    inside = [one.edge_a.astype(np.int64) * count + one.edge_b for one in found.clusters]
    return np.flatnonzero(np.isin(a.astype(np.int64) * count + b, np.concatenate([np.zeros(0, np.int64), *inside])))


def _positions(order: AnalysisInput) -> Any:
    return np.array([one.position for one in order.read], dtype=np.int64)


def by_position(order: AnalysisInput, columns: compute.Columns) -> compute.Columns:
    """Name the wallets of pairs by their positions in the analysis, of which those that failed have some too."""
    positions = _positions(order)
    return columns | {side: positions[columns[side]] for side in ("wallet_a", "wallet_b")}


def allocation_rows(order: AnalysisInput, read: LoadedTrades) -> Iterator[tuple[Any, ...]]:
    rows, positions = read.allocations, _positions(order)
    for start in range(0, len(rows), sql.ROWS_PER_WRITE):
        part = slice(start, start + sql.ROWS_PER_WRITE)
        columns = (
            [order.result_id] * len(rows.wallet[part]),
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


def mint_rows(result_id: int, read: LoadedTrades) -> Iterator[tuple[int, int, int, float]]:
    """Yield each mint of the allocation once: how many wallets traded it, and the SOL that they spent on it."""
    rows = read.allocations
    by_mint = np.argsort(rows.mint, kind="stable")
    mints, starts = np.unique(rows.mint[by_mint], return_index=True)
    counts = np.diff(np.append(starts, len(by_mint))).tolist()
    spent = rows.spent_sol[by_mint].tolist()
    for mint_id, start, count in zip(mints.tolist(), starts.tolist(), counts, strict=True):
        yield result_id, mint_id, count, math.fsum(spent[start : start + count])


def cluster_rows(order: AnalysisInput, found: Findings) -> Iterator[tuple[Any, ...]]:
    positions = _positions(order)
    for cluster, columns in zip(found.clusters, found.shared_mints, strict=True):
        lists = (positions[cluster.members], positions[cluster.weak_bridges], found.mints.mint_ids[columns])
        texts = (json.dumps(one.tolist()) for one in lists)
        held = json.dumps(list(_holding(cluster, positions)))
        yield order.result_id, cluster.number, cluster.cohesion, *texts, len(cluster.edge_a), held


def _holding(cluster: Cluster, positions: Any) -> Iterator[tuple[int, float, int]]:
    """Yield for each member the partner of the strongest edge that holds it, its weight, and how many edges do."""
    partners, weights, counts = cluster.strongest_edges()
    yield from zip(positions[partners].tolist(), weights.tolist(), counts.tolist(), strict=True)


def wallet_rows(
    order: AnalysisInput, read: LoadedTrades, found: Findings, of_wallet: list[int]
) -> Iterator[tuple[Any, ...]]:
    if found.places is None:
        return
    columns = (order.read, of_wallet, found.places.x.tolist(), found.places.y.tolist(), read.behaviour)
    for one, cluster, x, y, text in zip(*columns, strict=True):
        place = (None, None) if math.isnan(x) else (x, y)
        yield order.result_id, one.position, cluster or None, *place, text
