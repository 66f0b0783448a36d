"""Analyses as JSON and pages show them. In JSON times are ISO 8601; a view, for a page, has them in Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypedDict, cast

from msgspec import Meta

from tasks.pipeline import evidence
from tasks.storage import analyses, wallet_lists
from tasks.storage.models.analyses import Analysis
from webapp.fields import Count, Key, Mint, Positive, Share, Time, one_of, pick
from webapp.intake import rows
from webapp.markup.filters import iso
from webapp.presenters.provenance import Parameters, parameters
from webapp.presenters.results import Cluster, InsightSummary
from webapp.presenters.wallets import Wallet, wallet

COUNTS_KEPT = 256


STATES = ("syncing", "provisional", "analysing", "complete", "failed", "cancelled")
State = Annotated[str, one_of(STATES)]
Row = Mapping[str, Any]
"""A row of the database, or a stored result with its JSON columns: `tasks/storage/results.py` describes them."""


class IntakeRow(TypedDict):
    """A row of the input that was not used."""

    line: Count
    text: str
    reason: str


class LeftOut(TypedDict):
    """The rows of the input that were not used."""

    duplicates: list[IntakeRow]
    rejected: list[IntakeRow]


class Preview(LeftOut):
    """What a list contains; reading its wallets takes `estimated_s` at most."""

    accepted: Count
    estimated_s: Positive


class Started(TypedDict):
    """The analysis that reads wallets again."""

    id: Key
    url: str


class Accepted(Started, LeftOut):
    """A new analysis."""

    jobs: list[Key]
    accepted: Count


class TopToken(TypedDict):
    """A token by how many wallets traded it."""

    mint: Mint
    wallets: Count
    spent_sol: Positive


class TokenFrequency(TypedDict):
    """How many tokens were traded by exactly so many wallets."""

    wallets: Count
    mints: Count


class Summary(TypedDict):
    """Totals of a result, over its kept pairs."""

    wallets: Count
    pairs: Count
    pairs_kept: Count
    pairs_cut: bool
    pairs_behavioural_over_0_5: Count
    pairs_capital_over_0_5: Count
    median_overall: Share | None
    score_histogram: Annotated[list[Count], Meta(min_length=20, max_length=20)]
    top_tokens: list[TopToken]
    token_frequency: list[TokenFrequency]


class SolUsd(TypedDict):
    """The SOL/USD rates that a result used, by day."""

    source: str | None
    days: dict[Annotated[str, Meta(extra_json_schema={"format": "date"})], Positive]


class Background(TypedDict):
    """The wallets and tokens that chance is measured against; `reason` is set where it cannot be."""

    wallets: Count
    mints: Count
    reason: str | None


class AnalysisAnswer(TypedDict):
    """An analysis and the totals of its result."""

    id: Key
    label: str
    state: State
    reason: str | None
    created_at: Time
    finished_at: Time | None
    parent: Key | None
    parameters: Parameters
    version: str
    sol_usd: SolUsd | None
    wallets: list[Wallet]
    rejected: list[IntakeRow]
    summary: Summary | None
    clusters: list[Cluster]
    insights: list[InsightSummary]
    computed_at: Time | None
    provisional: bool | None
    missing: list[str]
    background: Background | None
    explained: Annotated[list[Share | None], Meta(min_length=2, max_length=2)] | None


class AnalysisView(TypedDict):
    """The head of an analysis's pages; `counts` of wallets by state and `cut` only where `wallets` is empty."""

    id: str
    label: str
    state: str
    reason: str | None
    created_at: float
    finished_at: float | None
    key: str
    title: str
    parameters: Parameters
    wallets: list[Wallet]
    counts: Mapping[str, int]
    cut: int


def result_or_none(analysis: Analysis) -> Row | None:
    """Return `evidence.shown_result`, the one way to read a shown result, or None without one."""
    return evidence.shown_result(analysis) if analysis.result_id is not None else None


def analysis(
    row: Analysis,
    result: Row | None,
    wallets: Sequence[Row],
    clusters: list[Cluster],
    insights: list[InsightSummary],
) -> AnalysisAnswer:
    """Return an analysis; the parts of a result are None while there is none."""
    rejected, _ = analyses.intake_rows(row.id)
    return {
        "id": row.key,
        "label": row.label,
        "state": row.state,
        "reason": row.reason,
        "created_at": iso(row.created_at),
        "finished_at": iso(row.finished_at),
        "parent": _key_of(row.parent_id),
        "parameters": parameters(row),
        "version": row.version,
        "sol_usd": pick(SolUsd, result["rates"]) if result else None,
        "wallets": [wallet(one) for one in wallets],
        "rejected": cast(list[IntakeRow], rejected),
        "summary": summary(result) if result else None,
        "clusters": clusters,
        "insights": insights,
        "computed_at": iso(result["computed_at"]) if result else None,
        "provisional": bool(result["provisional"]) if result else None,
        "missing": result["missing"] if result else [],
        "background": (result and result["background"]) or None,
        "explained": (result and result["explained"]) or None,
    }


def analysis_view(row: Analysis, wallets: Sequence[Row] | None = None) -> AnalysisView:
    """Return the head of a page; without `wallets` it counts them by state.

    It has no rejected rows: those can be megabytes, and polls and most pages do not show them.
    """
    return {
        "id": row.key,
        "label": row.label,
        "state": row.state,
        "reason": row.reason,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "key": row.key,
        "title": row.label or f"{row.wallets:,} wallets",
        "parameters": parameters(row),
        "wallets": [wallet(one) for one in wallets or ()],
        "counts": _state_counts(row) if wallets is None else {},
        "cut": _cut(row) if wallets is None else 0,
    }


def _state_counts(row: Analysis) -> Mapping[str, int]:
    """Count the wallets by state; a complete analysis does not change, so its counts are cached."""
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


class ResultView(TypedDict):
    """A result for a page; `version` changes with every new result that readers see, `made_by` is Walletkin's."""

    id: int
    provisional: bool
    wallets: int
    computed_at: float
    duration_s: float
    version: int
    made_by: str
    rates: Row


def result_view(result: Row) -> ResultView:
    """Return a result for a page."""
    return pick(ResultView, {**result, "version": result["id"], "made_by": result["version"]})


def _key_of(analysis_id: int | None) -> str | None:
    found = Analysis.get_or_none(Analysis.id == analysis_id) if analysis_id else None
    return found and str(found.key)


def summary(result: Row) -> Summary:
    """Return the totals of a result."""
    stored = result["summary"]
    return {
        "wallets": result["wallets"],
        "pairs": stored["pairs_total"],
        "pairs_kept": stored["pairs_kept"],
        "pairs_cut": stored["pairs_cut"],
        "pairs_behavioural_over_0_5": stored["pairs_behavioural_over_0_5"],
        "pairs_capital_over_0_5": stored["pairs_capital_over_0_5"],
        "median_overall": stored["median_overall"],
        "score_histogram": stored["score_histogram"],
        "top_tokens": [pick(TopToken, one) for one in result["top_tokens"]],
        "token_frequency": stored["token_frequency"],
    }


def intake_row(row: rows.Row) -> IntakeRow:
    """Return a row of the input that was not used."""
    return {"line": row.line, "text": row.text, "reason": row.reason or ""}
