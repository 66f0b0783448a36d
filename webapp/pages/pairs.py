"""Pairs: the page of the list and its downloads. The list itself is `pair_list.py`, one pair is `pair.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Blueprint, Response

from tasks.errors import NotFound
from tasks.pipeline import evidence
from tasks.storage import analyses, database, pairs
from tasks.storage.models.analyses import Analysis
from tasks.storage.results import addresses
from webapp.exports import csv_export
from webapp.pages import analysis_of, json_response, render_page
from webapp.presenters.analyses import analysis_view, result_or_none, result_view
from webapp.presenters.pair_list import PairFilters, card, read_filters, read_page
from webapp.presenters.pairs import Pairs, pair
from webapp.presenters.provenance import provenance

bp = Blueprint("pairs", __name__)

CSV_COLUMNS = ("wallet_a", "wallet_b", "label_a", "label_b", "shared", *pairs.MEASURES, "insights", "cluster_edge")


@bp.get("/analyses/<key:key>/pairs.json")
def index_json(key: str) -> Response:
    """Give a page of pairs as JSON."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    if filters.nothing:
        raise NotFound("This wallet is not part of the analysis.")
    result = evidence.shown_result(analysis)
    rows, following, total = read_page(filters, result)
    wallets = analyses.wallets(analysis.id, {row[side] for row in rows for side in ("wallet_a", "wallet_b")})
    names = {wallet["position"]: wallet["address"] for wallet in wallets}
    shown = [pair(row, names[row["wallet_a"]], names[row["wallet_b"]]) for row in rows]
    page: Pairs = {"pairs": shown, "next": following, "total": total, "provenance": provenance(analysis, result)}
    return json_response(page)


@bp.get("/analyses/<key:key>/pairs")
def index(key: str) -> Response:
    """Show the list of pairs; htmx gets its rows, or as `pairs-card` the whole card."""
    analysis = analysis_of(key)
    result = result_or_none(analysis)
    return render_page(
        "pairs",
        "rows",
        analysis=analysis_view(analysis),
        result=result and result_view(result),
        pair_list=card(analysis, result),
    )


@bp.get("/analyses/<key:key>/pairs.csv")
def pairs_csv(key: str) -> Response:
    """Give every pair that the filters leave as CSV, read a part at a time."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    result = evidence.shown_result(analysis)
    rows = iter(()) if filters.nothing else _csv_rows(analysis, result, filters)
    return csv_export.response(analysis, provenance(analysis, result), "pairs", CSV_COLUMNS, rows)


def _csv_rows(analysis: Analysis, result: Mapping[str, Any], filters: PairFilters) -> Iterator[list[Any]]:
    # The request's own connection is gone by now, and one held for the whole stream would block checkpoints.
    with database.session():
        names = addresses(analysis.id)
    for row in pairs.stream(result["id"], kept=result["summary"]["pairs_kept"], **filters.given):
        (address_a, label_a), (address_b, label_b) = names[row["wallet_a"]], names[row["wallet_b"]]
        shape = pair(row, address_a, address_b)
        yield [address_a, address_b, label_a, label_b, *[*shape.values()][2:]]
