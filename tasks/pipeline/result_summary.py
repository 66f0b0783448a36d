"""The summary of a result: counts, medians, histogram, what is missing."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from tasks.measures import similarity
from tasks.measures.clusters import Q_BELOW
from tasks.pipeline import compute, start, window
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.pipeline.compute import Computed
from tasks.pipeline.load import LoadedTrades
from tasks.storage import analyses
from tasks.storage.models.analyses import Analysis, AnalysisWallet

ONLY_IN_FINAL = "Comparison with chance, timing, insights, groups, map and behaviour come with the final result."


def summary(
    analysis_input: AnalysisInput, analysis: Analysis, loaded: LoadedTrades, computed: Computed
) -> dict[str, Any]:
    """Return what the row of a result stores as JSON: figures, rates, parameters, population, and what is missing."""
    figures = asdict(similarity.summary(computed.pairs)) | _token_summary(loaded) | _pair_sums(computed)
    return {
        "summary": figures | {"wallets": len(analysis_input.wallets), "pairs_cut": computed.is_capped},
        "rates": window.rates_to_json(analysis_input.rates),
        "parameters": asdict(start.parameters_of(analysis)) | {"history_limit": analysis.history_limit},
        "background": computed.population or {"wallets": 0, "mints": 0, "reason": ONLY_IN_FINAL},
        "explained": list(computed.positions.explained) if computed.positions else [],
        "insights": compute.insight_counts(computed.columns),
        "missing": _missing(analysis_input, analysis),
    }


def _token_summary(loaded: LoadedTrades) -> dict[str, Any]:
    """Return how many wallets traded how many of the mints, and the number of trades and mints."""
    rows = loaded.allocations
    counts = np.unique(rows.mint, return_counts=True)[1]
    wallets, mints = np.unique(counts, return_counts=True)
    frequency = [{"wallets": n, "mints": m} for n, m in zip(wallets.tolist(), mints.tolist(), strict=True)]
    return {
        "token_frequency": frequency[::-1],
        "mints": len(counts),
        "trades": int((rows.buys + rows.sells).sum()),
        "spent_sol": math.fsum(rows.spent_sol.tolist()),
    }


def _pair_sums(computed: Computed) -> dict[str, Any]:
    """Return sums of chance and timing over all pairs, None where they are not computed.

    Results of earlier versions lack these keys, so pages show a dash.
    """
    q_value, lift = computed.columns.get("q_value"), computed.columns.get("lift")
    matched, same_slot = computed.columns.get("matched"), computed.columns.get("same_slot")
    return {
        "pairs_beyond_chance": None if q_value is None else int((q_value < Q_BELOW).sum()),
        "largest_lift": None if lift is None or np.isnan(lift).all() else float(np.nanmax(lift)),
        "matched": None if matched is None else int(np.nansum(matched)),
        "same_slot": None if same_slot is None else int(np.nansum(same_slot)),
    }


def _missing(analysis_input: AnalysisInput, analysis: Analysis) -> list[str]:
    """Return sentences about what a provisional or partial result missing."""
    states = analyses.state_counts(analysis.id)
    failed, partial = states.get("failed", 0), states.get("partial", 0)
    waiting = analysis.wallets - len(analysis_input.wallets) - failed
    missing = []
    if not analysis_input.is_final:
        missing += [f"{waiting:,} of {analysis.wallets:,} wallets are still to be read."] if waiting > 0 else []
        missing.append(ONLY_IN_FINAL)
    if failed:
        missing.append(f"{_wallets(failed)} could not be read and {_are(failed)} left out.")
    if partial:
        missing.append(f"{_wallets(partial)} could be read only in part.")
    w = AnalysisWallet
    if cut := w.select().where(w.analysis_id == analysis.id, w.truncated, w.state != "failed").count():
        missing.append(f"{_wallets(cut)} had more history than the limit of {analysis.history_limit:,} transactions.")
    return missing


def _wallets(count: int) -> str:
    return "1 wallet" if count == 1 else f"{count:,} wallets"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
