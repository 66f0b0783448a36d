"""Records → the shapes of design.md. A view is the same shape for a page: times stay numbers, links are added.

It queries what a shape needs and computes nothing; `jsonable` turns the times of a shape into ISO 8601.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tasks.pipeline import evidence, start
from tasks.storage import analyses, wallet_lists
from tasks.storage.models.analyses import Analysis
from webapp.presenters.wallets import wallet

COUNTS_KEPT = 256


# Analyses and wallets -------------------------------------------------------------------------------------------


def shown_result(analysis: Analysis) -> dict[str, Any] | None:
    """Return the result that readers see, None while there is none."""
    return evidence.shown_result(analysis) if analysis.result_id is not None else None


def _facts(row: Analysis) -> dict[str, Any]:
    keys = ("label", "state", "reason", "created_at", "finished_at")
    return {"id": row.key} | {key: getattr(row, key) for key in keys}


def analysis(
    row: Analysis,
    result: Mapping[str, Any] | None,
    wallets: Sequence[Mapping[str, Any]],
    found: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an analysis; what a result says is None while there is none. `found` are its clusters and insights."""
    rejected, _ = analyses.intake_rows(row.id)
    return _facts(row) | {
        "parent": _key_of(row.parent_id),
        "parameters": parameters(row),
        "version": row.version,
        "sol_usd": result and {"source": result["rates"]["source"], "days": result["rates"]["days"]},
        "wallets": [wallet(one) for one in wallets],
        "rejected": [intake_row(one) for one in rejected],
        "summary": result and summary(result),
        **found,
        "computed_at": result and result["computed_at"],
        "provisional": result and bool(result["provisional"]),
        "missing": result["missing"] if result else [],
        "background": (result and result["background"]) or None,
        "explained": (result and result["explained"]) or None,
    }


def analysis_view(row: Analysis, wallets: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Return what the head of a page says of an analysis; without `wallets` it counts them by their states.

    What the input left out is not in it: that can be megabytes, and polls and most pages do not show it.
    """
    return _facts(row) | {
        "key": row.key,
        "title": row.label or f"{row.wallets:,} wallets",
        "parameters": parameters(row),
        "wallets": [wallet(one) for one in wallets or ()],
        "counts": _state_counts(row) if wallets is None else {},
        "cut": _cut(row) if wallets is None else 0,
    }


def _state_counts(row: Analysis) -> Mapping[str, int]:
    """Count the wallets by state; once for a complete analysis, which does not change and whose pages all say so."""
    return _final_counts(row.key, row.id) if row.state == "complete" else analyses.state_counts(row.id)


@lru_cache(COUNTS_KEPT)
def _final_counts(key: str, analysis_id: int) -> Mapping[str, int]:
    # The key goes along: another database numbers its analyses alike.
    return analyses.state_counts(analysis_id)


def _cut(row: Analysis) -> int:
    """Count the wallets that are read as far as the limit of the history goes, and no further."""
    return _final_cut(row.key, row.id) if row.state == "complete" else wallet_lists.truncated_wallets(row.id, 0)[1]


@lru_cache(COUNTS_KEPT)
def _final_cut(key: str, analysis_id: int) -> int:
    return wallet_lists.truncated_wallets(analysis_id, 0)[1]


def result_view(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result for a page; `version` changes with every new result that readers get to see."""
    keys = ("id", "provisional", "wallets", "computed_at", "duration_s")
    made = {"version": result["id"], "made_by": result["version"], "rates": result["rates"]}
    return {key: result[key] for key in keys} | made


def _key_of(analysis_id: int | None) -> str | None:
    found = Analysis.get_or_none(Analysis.id == analysis_id) if analysis_id else None
    return found and str(found.key)


def parameters(row: Analysis) -> dict[str, Any]:
    chosen = start.parameters_of(row)
    return {
        "window_days": chosen.window_days,
        "timing_window_s": chosen.timing_window_s,
        "tau": chosen.tau,
        "exclude": list(chosen.exclude),
        "history_limit": row.history_limit,
    }


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result says in sum; all counts are over its kept pairs."""
    kept = result["summary"]
    return {
        "wallets": result["wallets"],
        "pairs": kept["pairs_total"],
        "pairs_kept": kept["pairs_kept"],
        "pairs_cut": kept["pairs_cut"],
        "pairs_behavioural_over_0_5": kept["pairs_behavioural_over_0_5"],
        "pairs_capital_over_0_5": kept["pairs_capital_over_0_5"],
        "median_overall": kept["median_overall"],
        "score_histogram": kept["score_histogram"],
        "top_tokens": [{key: one[key] for key in ("mint", "wallets", "spent_sol")} for one in result["top_tokens"]],
        "token_frequency": kept["token_frequency"],
    }


def intake_row(row: Any) -> dict[str, Any]:
    """Return a row of the input that was not taken."""
    get = row.get if isinstance(row, Mapping) else lambda key: getattr(row, key)
    return {"line": get("line"), "text": get("text"), "reason": get("reason")}
