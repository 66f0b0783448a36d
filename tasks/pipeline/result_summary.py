"""The summary of a result: counts, medians, histogram, what is missing."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from tasks.measures import similarity
from tasks.measures.clusters import Q_BELOW
from tasks.pipeline import analysis_input, compute, start, window
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.pipeline.compute import Findings
from tasks.pipeline.load import LoadedTrades
from tasks.storage import analyses
from tasks.storage.models.analyses import Analysis, AnalysisWallet


def summary(order: AnalysisInput, analysis: Analysis, read: LoadedTrades, found: Findings) -> dict[str, Any]:
    """Say what the result holds in sum, under which parameters it was made, and what it lacks."""
    summary = asdict(similarity.summary(found.pairs)) | _token_summary(read) | _pair_sums(found)
    return {
        "summary": summary | {"wallets": len(order.read), "pairs_cut": found.cut},
        "rates": window.rates_to_json(order.rates),
        "parameters": asdict(start.parameters_of(analysis)) | {"history_limit": analysis.history_limit},
        "background": found.background or {"wallets": 0, "mints": 0, "reason": analysis_input.LATER},
        "explained": list(found.places.explained) if found.places else [],
        "insights": compute.summary(found.columns),
        "missing": _missing(order, analysis),
    }


def _token_summary(read: LoadedTrades) -> dict[str, Any]:
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


def _missing(order: AnalysisInput, analysis: Analysis) -> list[str]:
    """Say in sentences what a provisional or partial result lacks."""
    states = analyses.state_counts(analysis.id)
    failed, partial = states.get("failed", 0), states.get("partial", 0)
    waiting = analysis.wallets - len(order.read) - failed
    lacks = []
    if not order.in_full:
        lacks += [f"{waiting:,} of {analysis.wallets:,} wallets are still to be read."] if waiting > 0 else []
        lacks.append(analysis_input.LATER)
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
