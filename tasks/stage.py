"""The analysis stage: reads what an order names, computes all that is said of it, and stores the result's rows.

Shows nothing to readers, and does not know in which process it runs: both are for whoever gave the order.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tasks import findings, frame, jobs, lifecycle, reading
from tasks.analysis import similarity
from tasks.analysis.allocation import Rates
from tasks.analysis.allocations import NEVER
from tasks.analysis.clusters import Q_BELOW, Cluster
from tasks.findings import Findings
from tasks.reading import Reading
from tasks.records import analyses, bulk, database, pairs, results, tokens
from tasks.records.analyses import ReadWallet
from tasks.records.models import Analysis, AnalysisWallet

LATER = "Comparison with chance, timing, insights, groups, map and behaviour come with the final result."


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be computed: into which result, under whose claim, from which data of which wallets, at which rates.

    `read` is in address order and not empty.
    """

    claim: jobs.Claim
    analysis_id: int
    result_id: int
    read: list[ReadWallet]
    rates: Rates

    @property
    def in_full(self) -> bool:
        """Whether the final result is wanted, with everything in it."""
        return self.claim.kind != "provisional"


def compute(order: Order, alive: Callable[[], None] = lambda: None) -> None:
    """Compute a result and store its rows, which no reader sees yet; its own row then says what it holds in sum.

    Every write begins with the claim: LostClaim or Unwanted are raised as soon as the job is another's or nobody's.
    `alive` is called with every step.
    """
    started = time.monotonic()
    analysis = Analysis.get_by_id(order.analysis_id)
    within = reading.Frame.of(analysis)
    read = reading.read_wallets(order.read, order.rates, within, alive, in_full=order.in_full)
    jobs.check_wanted(order.claim)
    found = _find(order, analysis, within, read, alive)
    read = read.without_trades()
    _store(order, read, found, alive)
    told = _told(order, analysis, read, found)
    with database.write():
        jobs.fence(order.claim)
        results.close_result(order.result_id, wallets=len(order.read), duration_s=time.monotonic() - started, **told)


def _find(
    order: Order, analysis: Analysis, within: reading.Frame, read: Reading, alive: Callable[[], None]
) -> Findings:
    def pause() -> None:
        alive()
        jobs.check_wanted(order.claim)

    held = [_held(one, within) for one in order.read]
    names = read.names | tokens.mint_names({mint_id for one in held for mint_id in one or ()} - read.names.keys())
    if not order.in_full:
        return findings.base(read, held, names)
    background = reading.read_background(read, order.read, within, analysis.timing_window_s, alive)
    choice = findings.Choice(analysis.timing_window_s, analysis.tau)
    return findings.full(read, held, names, background, choice, pause)


def _held(read: ReadWallet, within: reading.Frame) -> frozenset[int] | None:
    if read.holdings is None:
        return None
    return (
        frozenset(int(mint_id) for mint_id, amount in json.loads(read.holdings).items() if int(amount))
        - within.excluded
    )


def _store(order: Order, read: Reading, found: Findings, alive: Callable[[], None]) -> None:
    """Store the rows in short transactions that each begin with our claim, and say how far that is."""
    result_id, rows, done = order.result_id, read.allocations, 0
    mints = np.unique(rows.mint)
    total = len(rows) + len(mints) + len(found.pairs)
    with database.write():
        jobs.fence(order.claim, total=total, done=0)

    def counted(stored: int) -> None:
        nonlocal done
        alive()
        done += stored
        jobs.fence(order.claim, done=done)
        jobs.check_wanted(order.claim)

    def fenced(_: int) -> None:
        alive()
        jobs.fence(order.claim)

    results.store_allocation(_allocation_rows(order, read), counted)
    results.store_mints(_mint_rows(result_id, read), counted)
    pairs.store(result_id, _by_position(order, found.columns), counted)
    _store_rest(order, read, found, fenced)


def _store_rest(order: Order, read: Reading, found: Findings, before: bulk.Before) -> None:
    of_wallet = findings.clusters_of(found.clusters, len(order.read))
    a, b = of_wallet[found.pairs.wallet_a], of_wallet[found.pairs.wallet_b]
    pairs.store_orders(order.result_id, found.columns, np.where(a == b, a, 0), before, _edges(order, found))
    results.store_clusters(_cluster_rows(order, found), before)
    results.store_wallets(_wallet_rows(order, read, found, of_wallet.tolist()), before)


def _edges(order: Order, found: Findings) -> Any:
    """Give the numbers of the pairs that are edges inside of clusters, ascending."""
    count, (a, b) = len(order.read), (found.pairs.wallet_a, found.pairs.wallet_b)
    inside = [one.edge_a.astype(np.int64) * count + one.edge_b for one in found.clusters]
    return np.flatnonzero(np.isin(a.astype(np.int64) * count + b, np.concatenate([np.zeros(0, np.int64), *inside])))


def _positions(order: Order) -> Any:
    return np.array([one.position for one in order.read], dtype=np.int64)


def _by_position(order: Order, columns: findings.Columns) -> findings.Columns:
    """Name the wallets of pairs by their positions in the analysis, of which those that failed have some too."""
    positions = _positions(order)
    return columns | {side: positions[columns[side]] for side in ("wallet_a", "wallet_b")}


def _allocation_rows(order: Order, read: Reading) -> Iterator[tuple[Any, ...]]:
    rows, positions = read.allocations, _positions(order)
    for start in range(0, len(rows), bulk.ROWS_PER_WRITE):
        part = slice(start, start + bulk.ROWS_PER_WRITE)
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


def _mint_rows(result_id: int, read: Reading) -> Iterator[tuple[int, int, int, float]]:
    """Yield each mint of the allocation once: how many wallets traded it, and the SOL that they spent on it."""
    rows = read.allocations
    by_mint = np.argsort(rows.mint, kind="stable")
    mints, starts = np.unique(rows.mint[by_mint], return_index=True)
    counts = np.diff(np.append(starts, len(by_mint))).tolist()
    spent = rows.spent_sol[by_mint].tolist()
    for mint_id, start, count in zip(mints.tolist(), starts.tolist(), counts, strict=True):
        yield result_id, mint_id, count, math.fsum(spent[start : start + count])


def _cluster_rows(order: Order, found: Findings) -> Iterator[tuple[Any, ...]]:
    positions = _positions(order)
    for cluster, columns in zip(found.clusters, found.shared_mints, strict=True):
        lists = (positions[cluster.members], positions[cluster.weak_bridges], found.mints.mint_ids[columns])
        texts = (json.dumps(one.tolist()) for one in lists)
        held = json.dumps(list(_holding(cluster, positions)))
        yield order.result_id, cluster.number, cluster.cohesion, *texts, len(cluster.edge_a), held


def _holding(cluster: Cluster, positions: Any) -> Iterator[tuple[int, float, int]]:
    """Yield for each member the partner of the strongest edge that holds it, its weight, and how many edges do."""
    partners, weights, counts = cluster.held_by()
    yield from zip(positions[partners].tolist(), weights.tolist(), counts.tolist(), strict=True)


def _wallet_rows(order: Order, read: Reading, found: Findings, of_wallet: list[int]) -> Iterator[tuple[Any, ...]]:
    if found.places is None:
        return
    columns = (order.read, of_wallet, found.places.x.tolist(), found.places.y.tolist(), read.behaviour)
    for one, cluster, x, y, text in zip(*columns, strict=True):
        place = (None, None) if math.isnan(x) else (x, y)
        yield order.result_id, one.position, cluster or None, *place, text


def _told(order: Order, analysis: Analysis, read: Reading, found: Findings) -> dict[str, Any]:
    """Say what the result holds in sum, under which parameters it was made, and what it lacks."""
    summary = asdict(similarity.summary(found.pairs)) | _token_summary(read) | _pair_sums(found)
    return {
        "summary": summary | {"wallets": len(order.read), "pairs_cut": found.cut},
        "rates": frame.rates_json(order.rates),
        "parameters": asdict(lifecycle.parameters_of(analysis)) | {"history_limit": analysis.history_limit},
        "background": found.background or {"wallets": 0, "mints": 0, "reason": LATER},
        "explained": list(found.places.explained) if found.places else [],
        "insights": findings.told(found.columns),
        "missing": _missing(order, analysis),
    }


def _token_summary(read: Reading) -> dict[str, Any]:
    """How many wallets traded how many of the mints, and how many trades and mints there are in all."""
    rows = read.allocations
    counts = np.unique(rows.mint, return_counts=True)[1]
    wallets, mints = np.unique(counts, return_counts=True)
    frequency = [{"wallets": n, "mints": m} for n, m in zip(wallets.tolist(), mints.tolist(), strict=True)]
    return {
        "token_frequency": frequency[::-1],
        "mints": len(counts),
        "trades": int((rows.buys + rows.sells).sum()),
        "spent_sol": math.fsum(rows.spent_sol.tolist()),
    }


def _pair_sums(found: Findings) -> dict[str, Any]:
    """What chance and timing say of all pairs together; None while that is not computed."""
    q_value, lift = found.columns.get("q_value"), found.columns.get("lift")
    matched, same_slot = found.columns.get("matched"), found.columns.get("same_slot")
    return {
        "pairs_beyond_chance": None if q_value is None else int((q_value < Q_BELOW).sum()),
        "largest_lift": None if lift is None or np.isnan(lift).all() else float(np.nanmax(lift)),
        "matched": None if matched is None else int(np.nansum(matched)),
        "same_slot": None if same_slot is None else int(np.nansum(same_slot)),
    }


def _missing(order: Order, analysis: Analysis) -> list[str]:
    """Say in sentences what a provisional or partial result lacks."""
    states = analyses.state_counts(analysis.id)
    failed, partial = states.get("failed", 0), states.get("partial", 0)
    waiting = analysis.wallets - len(order.read) - failed
    lacks = []
    if not order.in_full:
        lacks += [f"{waiting:,} of {analysis.wallets:,} wallets are still to be read."] if waiting > 0 else []
        lacks.append(LATER)
    if failed:
        lacks.append(f"{_wallets(failed)} could not be read and {_are(failed)} left out.")
    if partial:
        lacks.append(f"{_wallets(partial)} could be read only in part.")
    w = AnalysisWallet
    if cut := w.select().where(w.analysis_id == analysis.id, w.truncated, w.state != "failed").count():
        lacks.append(f"{_wallets(cut)} had more history than the limit of {analysis.history_limit:,} transactions.")
    return lacks


def _wallets(count: int) -> str:
    return "1 wallet" if count == 1 else f"{count:,} wallets"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
