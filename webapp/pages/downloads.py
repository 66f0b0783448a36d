"""Downloads of a whole result beside its pairs: the clusters as CSV, and the graph of pairs as GraphML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response

from tasks.pipeline import evidence
from tasks.storage.models.analyses import Analysis
from webapp.exports import csv_export, graphml
from webapp.pages import analysis_of
from webapp.pages.analyses import bp
from webapp.presenters import results
from webapp.presenters.provenance import provenance
from webapp.presenters.results import ClusterView, PartnerView

CLUSTER_COLUMNS = ("cluster", "wallet", "label", "weak_bridge", "held_by", "held_by_overall", "edges") + (
    "wallets", "cohesion", "shared_mints"
)  # fmt: skip


@bp.get("/analyses/<key:key>/clusters.csv")
def clusters_csv(key: str) -> Response:
    """Give the members of every cluster as CSV, a row each."""
    analysis = analysis_of(key)
    result = evidence.shown_result(analysis)
    rows = _members(results.cluster_views(analysis, result))
    return csv_export.response(analysis, provenance(analysis, result), "clusters", CLUSTER_COLUMNS, rows)


def _members(clusters: list[ClusterView]) -> Iterator[list[Any]]:
    """Yield a row for each member; the shared mints stand in the first row of their cluster alone."""
    for one in clusters:
        shared: list[str] | None = one["shared_mints"]
        for member in one["members"]:
            named = [one["number"], member["address"], member["label"], member["weak"]]
            yield [*named, *_holding(member["held_by"]), len(one["wallets"]), one["cohesion"], shared]
            shared = None


def _holding(held: PartnerView | None) -> list[Any]:
    return [held["address"], held["overall"], held["edges"]] if held else [None] * 3


@bp.get("/analyses/<key:key>/graph.graphml")
def graph(key: str) -> Response:
    """Give the wallets and their kept pairs as GraphML, written while it is sent."""
    analysis: Analysis = analysis_of(key)
    result = evidence.shown_result(analysis)
    chunks = graphml.document(analysis, result, provenance(analysis, result))
    return csv_export.download(analysis, chunks, "graph.graphml", "application/graphml+xml")
