"""The time window of an analysis, and the rates of dollars to SOL as a result stores them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measures.allocation import Rates
from tasks.measures.arrays import Integers
from tasks.storage import tokens
from tasks.storage.models.analyses import Analysis
from tasks.storage.wallets import Bounds

DAY_S = 86_400
EPOCH = date(1970, 1, 1)


def window_of(analysis: Analysis) -> tuple[float | None, float]:
    """Return the window (start, end] of an analysis in Unix seconds; without `window_days` it has no bounds."""
    if analysis.window_days is None:
        return None, float("inf")
    return analysis.created_at - analysis.window_days * DAY_S, analysis.created_at


def rates_to_json(rates: Rates) -> dict[str, Any]:
    """Return the rates as stored and shown: source, USD per SOL by day (ISO date), and observations by day."""
    return {"source": rates.source, "days": _by_date(rates.days), "observations": _by_date(rates.counts)}


def rates_from_json(stored: Mapping[str, Any]) -> Rates:
    """Return the rates of a result; the inverse of `rates_to_json`."""
    return Rates(stored["source"], _by_day(stored["days"]), _by_day(stored["observations"]))


def _by_date(days: Mapping[int, Any]) -> dict[str, Any]:
    return {(EPOCH + timedelta(days=day)).isoformat(): value for day, value in sorted(days.items())}


def _by_day(days: Mapping[str, Any]) -> dict[int, Any]:
    return {(date.fromisoformat(text) - EPOCH).days: value for text, value in days.items()}


@dataclass(frozen=True, slots=True)
class AnalysisWindow:
    """Decides whether a trade counts: the window (start, end] in Unix seconds, and the ids of excluded mints."""

    start_at: float | None
    end_at: float
    excluded: frozenset[int]

    @classmethod
    def of(cls, analysis: Analysis) -> AnalysisWindow:
        """Return the window of an analysis."""
        excluded = tokens.mint_ids(json.loads(analysis.exclude)).values()
        return cls(*window_of(analysis), frozenset(excluded))

    def counts(self, bounds: Sequence[Bounds], wallet: Integers, columns: Sequence[Any]) -> NDArray[np.bool_]:
        """Return which rows count, given as `trades.BACKGROUND_COLUMNS`; `wallet` indexes `bounds`."""
        _, sync_no, slot, block_at, _, mint_id = columns
        syncs = np.array([one.sync_no for one in bounds], dtype=np.int64)
        oldest = np.array([-1 if one.oldest_slot is None else one.oldest_slot for one in bounds], dtype=np.int64)
        inside = (sync_no <= syncs[wallet]) & (slot >= oldest[wallet]) & (block_at <= self.end_at)
        if self.start_at is not None:
            inside &= block_at > self.start_at
        return np.asarray(inside & ~np.isin(mint_id, list(self.excluded)))
