"""Builds one result: loads the trades of an analysis, computes the measures, stores the rows.

The rows are invisible to readers until `workflow.result_ready` shows them. Runs in the worker or in a child process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np

from tasks.jobs import claims, waiters
from tasks.pipeline import load, result_rows, result_summary
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.pipeline.compute import Computed, Options, clusters_of, compute_all, compute_base
from tasks.pipeline.load import LoadedTrades
from tasks.pipeline.window import AnalysisWindow
from tasks.storage import database, pairs, results, sql, tokens
from tasks.storage.analyses import ReadWallet
from tasks.storage.models.analyses import Analysis


def build(analysis_input: AnalysisInput, heartbeat: Callable[[], None] = lambda: None) -> None:
    """Load, compute and store a result; its own row gets the summary last.

    Every write begins with the claim: raises LostClaim when the job belongs to another worker, NoWaiters when it is
    cancelled. `heartbeat` is called at every step.
    """
    started = time.monotonic()
    analysis = Analysis.get_by_id(analysis_input.analysis_id)
    window = AnalysisWindow.of(analysis)
    loaded = load.read_wallets(
        analysis_input.wallets, analysis_input.rates, window, heartbeat, is_final=analysis_input.is_final
    )
    waiters.check_waiters(analysis_input.claim)
    computed = _compute(analysis_input, analysis, window, loaded, heartbeat)
    loaded = loaded.without_trades()
    _store(analysis_input, loaded, computed, heartbeat)
    summary = result_summary.summary(analysis_input, analysis, loaded, computed)
    duration_s = time.monotonic() - started
    with database.write():
        claims.renew_or_raise(analysis_input.claim)
        results.close_result(
            analysis_input.result_id, wallets=len(analysis_input.wallets), duration_s=duration_s, **summary
        )


def _compute(
    analysis_input: AnalysisInput,
    analysis: Analysis,
    window: AnalysisWindow,
    loaded: LoadedTrades,
    heartbeat: Callable[[], None],
) -> Computed:
    def check() -> None:
        heartbeat()
        waiters.check_waiters(analysis_input.claim)

    held = [_held(wallet, window) for wallet in analysis_input.wallets]
    names = loaded.names | tokens.mint_names(
        {mint_id for mints in held for mint_id in mints or ()} - loaded.names.keys()
    )
    if not analysis_input.is_final:
        return compute_base(loaded, held, names)
    population = load.read_population(loaded, analysis_input.wallets, window, analysis.timing_window_s, heartbeat)
    return compute_all(loaded, held, names, population, Options(analysis.timing_window_s, analysis.tau), check)


def _held(wallet: ReadWallet, window: AnalysisWindow) -> frozenset[int] | None:
    """Return the ids of the mints that a wallet holds, without excluded ones; None when its holdings are unknown."""
    if wallet.holdings is None:
        return None
    amounts = json.loads(wallet.holdings).items()
    return frozenset(int(mint_id) for mint_id, amount in amounts if int(amount)) - window.excluded


def _store(
    analysis_input: AnalysisInput, loaded: LoadedTrades, computed: Computed, heartbeat: Callable[[], None]
) -> None:
    """Store the rows in short transactions, each of which begins with the claim and the job's progress."""
    result_id, done = analysis_input.result_id, 0
    total = len(loaded.allocations) + len(np.unique(loaded.allocations.mint)) + len(computed.pairs)
    with database.write():
        claims.renew_or_raise(analysis_input.claim, total=total, done=0)

    def count_and_renew(stored: int) -> None:
        nonlocal done
        heartbeat()
        done += stored
        claims.renew_or_raise(analysis_input.claim, done=done)
        waiters.check_waiters(analysis_input.claim)

    def renew(_: int) -> None:
        heartbeat()
        claims.renew_or_raise(analysis_input.claim)

    results.store_allocation(result_rows.allocation_rows(analysis_input, loaded), count_and_renew)
    results.store_mints(result_rows.mint_rows(result_id, loaded), count_and_renew)
    pairs.store(result_id, result_rows.by_position(analysis_input, computed.columns), count_and_renew)
    _store_lists(analysis_input, loaded, computed, renew)


def _store_lists(analysis_input: AnalysisInput, loaded: LoadedTrades, computed: Computed, before: sql.Before) -> None:
    """Store the orders of the pairs, the clusters and the wallets."""
    cluster_of = clusters_of(computed.clusters, len(analysis_input.wallets))
    a, b = cluster_of[computed.pairs.wallet_a], cluster_of[computed.pairs.wallet_b]
    edges = result_rows.edges(analysis_input, computed)
    pairs.store_orders(analysis_input.result_id, computed.columns, np.where(a == b, a, 0), before, edges)
    results.store_clusters(result_rows.cluster_rows(analysis_input, computed), before)
    wallets = result_rows.wallet_rows(analysis_input, loaded, computed, cluster_of.tolist())
    results.store_wallets(wallets, before)
