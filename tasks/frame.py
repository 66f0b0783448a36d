"""The frame that a result was made in, as it is kept: its window of time and its rates of dollars to SOL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from tasks.analysis.allocation import Rates
from tasks.records.models import Analysis

DAY_S = 86_400
EPOCH = date(1970, 1, 1)


def window_of(analysis: Analysis) -> tuple[float | None, float]:
    """Return the window (start, end] of an analysis; without `window_days` all synced history is in it."""
    if analysis.window_days is None:
        return None, float("inf")
    return analysis.created_at - analysis.window_days * DAY_S, analysis.created_at


def rates_json(rates: Rates) -> dict[str, Any]:
    """Return the rates as they are kept and shown: the source, USD per SOL and the observations by day (ISO date)."""
    return {"source": rates.source, "days": _by_date(rates.days), "observations": _by_date(rates.counts)}


def rates_from(kept: Mapping[str, Any]) -> Rates:
    """Return the rates that a result was made with."""
    return Rates(kept["source"], _by_number(kept["days"]), _by_number(kept["observations"]))


def _by_date(days: Mapping[int, Any]) -> dict[str, Any]:
    return {(EPOCH + timedelta(days=day)).isoformat(): value for day, value in sorted(days.items())}


def _by_number(days: Mapping[str, Any]) -> dict[int, Any]:
    return {(date.fromisoformat(text) - EPOCH).days: value for text, value in days.items()}
