"""The analysis stage: reads what an order names, computes all that is said of it, and stores the result's rows.

Shows nothing to readers, and does not know in which process it runs: both are for whoever gave the order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np

from tasks.jobs import claims, waiters
from tasks.pipeline import load, result_rows, result_summary, window
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.pipeline.compute import Findings, Options, clusters_of, compute_all, compute_base
from tasks.pipeline.load import LoadedTrades
from tasks.storage import database, pairs, results, sql, tokens
from tasks.storage.analyses import ReadWallet
from tasks.storage.models.analyses import Analysis


def compute(order: AnalysisInput, alive: Callable[[], None] = lambda: None) -> None:
    """Compute a result and store its rows, which no reader sees yet; its own row then says what it holds in sum.

    Every write begins with the claim: LostClaim or Unwanted are raised as soon as the job is another's or nobody's.
    `alive` is called with every step.
    """
    started = time.monotonic()
    analysis = Analysis.get_by_id(order.analysis_id)
    within = window.AnalysisWindow.of(analysis)
    read = load.read_wallets(order.read, order.rates, within, alive, in_full=order.in_full)
    waiters.check_waiters(order.claim)
    found = _find(order, analysis, within, read, alive)
    read = read.without_trades()
    _store(order, read, found, alive)
    told = result_summary.summary(order, analysis, read, found)
    with database.write():
        claims.renew_or_raise(order.claim)
        results.close_result(order.result_id, wallets=len(order.read), duration_s=time.monotonic() - started, **told)


def _find(
    order: AnalysisInput,
    analysis: Analysis,
    within: window.AnalysisWindow,
    read: LoadedTrades,
    alive: Callable[[], None],
) -> Findings:
    def pause() -> None:
        alive()
        waiters.check_waiters(order.claim)

    held = [_held(one, within) for one in order.read]
    names = read.names | tokens.mint_names({mint_id for one in held for mint_id in one or ()} - read.names.keys())
    if not order.in_full:
        return compute_base(read, held, names)
    background = load.read_background(read, order.read, within, analysis.timing_window_s, alive)
    choice = Options(analysis.timing_window_s, analysis.tau)
    return compute_all(read, held, names, background, choice, pause)


def _held(read: ReadWallet, within: window.AnalysisWindow) -> frozenset[int] | None:
    if read.holdings is None:
        return None
    return (
        frozenset(int(mint_id) for mint_id, amount in json.loads(read.holdings).items() if int(amount))
        - within.excluded
    )


def _store(order: AnalysisInput, read: LoadedTrades, found: Findings, alive: Callable[[], None]) -> None:
    """Store the rows in short transactions that each begin with our claim, and say how far that is."""
    result_id, rows, done = order.result_id, read.allocations, 0
    mints = np.unique(rows.mint)
    total = len(rows) + len(mints) + len(found.pairs)
    with database.write():
        claims.renew_or_raise(order.claim, total=total, done=0)

    def counted(stored: int) -> None:
        nonlocal done
        alive()
        done += stored
        claims.renew_or_raise(order.claim, done=done)
        waiters.check_waiters(order.claim)

    def fenced(_: int) -> None:
        alive()
        claims.renew_or_raise(order.claim)

    results.store_allocation(result_rows.allocation_rows(order, read), counted)
    results.store_mints(result_rows.mint_rows(result_id, read), counted)
    pairs.store(result_id, result_rows.by_position(order, found.columns), counted)
    _store_rest(order, read, found, fenced)


def _store_rest(order: AnalysisInput, read: LoadedTrades, found: Findings, before: sql.Before) -> None:
    of_wallet = clusters_of(found.clusters, len(order.read))
    a, b = of_wallet[found.pairs.wallet_a], of_wallet[found.pairs.wallet_b]
    pairs.store_orders(order.result_id, found.columns, np.where(a == b, a, 0), before, result_rows.edges(order, found))
    results.store_clusters(result_rows.cluster_rows(order, found), before)
    results.store_wallets(result_rows.wallet_rows(order, read, found, of_wallet.tolist()), before)
