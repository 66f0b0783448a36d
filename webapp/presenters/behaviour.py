"""The part of a wallet's page about its trading behaviour, and what is unknown. It has no address of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.pipeline import evidence
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from webapp.markup.filters import percent
from webapp.presenters import charts, results, tokens

HOLD_TEXTS = ("< 1 min", "1–5", "5–30", "½–4 h", "4–24 h", "1–7 d", "> 7 d")
HOLD_NAMES = ("under 1 min", "1 to 5 min", "5 to 30 min", "30 min to 4 h", "4 to 24 h", "1 to 7 days", "over 7 days")
"""Labels under the bars, where space is short, and in the table with the same figures."""
MINTS_SHOWN = 8
CHART_HEIGHT = 158


def view(analysis: Analysis, wallet: AnalysisWallet) -> Mapping[str, Any] | None:
    """Return what the page of a wallet shows of its behaviour, None where there is none.

    The keys of the JSON, and `hold_chart`, `hour_chart`, `hold_texts`, `hold_names`, `by_mint` (the mints that won and
    lost most) with `most_sol` for their bars, `mints_realised` (how many there are in all), `mints_won` of these, and
    `unknown`, sentences.
    """
    found = results.behaviour(evidence.shown_result(analysis), wallet.position)
    if found is None:
        return None
    bins, hours = found["hold_bins"], found["trades_by_hour"]
    profits = sorted(found["realised_profit_sol_by_mint"].items(), key=lambda item: (-item[1], item[0]))
    shown = profits if len(profits) <= MINTS_SHOWN else profits[: MINTS_SHOWN // 2] + profits[-(MINTS_SHOWN // 2) :]
    return {
        **found,
        "hold_chart": bins and charts.histogram(bins, height=CHART_HEIGHT, accent=_largest(bins)),
        "hold_texts": HOLD_TEXTS,
        "hold_names": HOLD_NAMES,
        "hour_chart": charts.histogram(hours, height=CHART_HEIGHT, accent=_largest(hours)),
        "by_mint": tokens.with_token_views([{"mint": mint, "profit_sol": profit} for mint, profit in shown]),
        "most_sol": max((abs(profit) for _, profit in shown), default=0.0),
        "mints_realised": len(profits),
        "mints_won": None if found["win_rate"] is None else round(found["win_rate"] * len(profits)),
        "unknown": _unknown(found),
    }


def _largest(values: list[float]) -> list[int]:
    """Return the places of the largest value, none where all are zero."""
    largest = max(values)
    return [place for place, value in enumerate(values) if value == largest and value > 0]


def _unknown(found: Mapping[str, Any]) -> list[str]:
    """Return sentences about what is not in the figures, and why."""
    notes = []
    share = found["unmatched_sold_share"]
    if found["realised_profit_sol"] is None:
        notes.append("Nothing that was sold can be matched with a buy at a known price, so profit is not known.")
    elif share:
        notes.append(
            f"{percent(share)} of the proceeds came from tokens whose buy at a known price is not in the data; "
            "they are not included in profit and hold time."
        )
    if found["unrealised_profit_sol"] is None:
        notes.append("The unrealised profit is not known: a holding, its price or what it cost is missing.")
    if found["median_hold_s"] is None and found["sells"]:
        notes.append("No hold time is known, for the same reason.")
    return notes
