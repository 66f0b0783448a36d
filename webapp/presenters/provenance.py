"""What a result was made from: its parameters, window of time, rates and version, in every JSON answer and download."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from tasks.pipeline import start, window
from tasks.storage.models.analyses import Analysis
from webapp.fields import Count, Key, Mint, Positive, Share, Time
from webapp.markup.filters import iso


class Parameters(TypedDict):
    """The parameters of an analysis; `window_days` is null for all history."""

    window_days: Positive | None
    timing_window_s: Annotated[int, Meta(ge=1)]
    tau: Share
    exclude: list[Mint]
    history_limit: Count


class Provenance(TypedDict):
    """What a result was made from."""

    analysis: Key
    computed_at: Time
    provisional: bool
    version: str
    parameters: Parameters
    window_from: Time | None
    window_to: Time
    sol_usd_source: str | None
    missing: list[str]


def parameters(row: Analysis) -> Parameters:
    """Return the parameters of an analysis."""
    chosen = start.parameters_of(row)
    return {
        "window_days": chosen.window_days,
        "timing_window_s": chosen.timing_window_s,
        "tau": chosen.tau,
        "exclude": list(chosen.exclude),
        "history_limit": row.history_limit,
    }


def provenance(analysis: Analysis, result: Mapping[str, Any]) -> Provenance:
    """Return what a result was made from. An open window ends when the result was computed."""
    start_at, end_at = window.window_of(analysis)
    computed_at = iso(result["computed_at"])
    return {
        "analysis": analysis.key,
        "computed_at": computed_at,
        "provisional": bool(result["provisional"]),
        "version": result["version"],
        "parameters": parameters(analysis),
        "window_from": iso(start_at),
        "window_to": iso(end_at) if math.isfinite(end_at) else computed_at,
        "sol_usd_source": result["rates"]["source"],
        "missing": result["missing"],
    }
