"""What a result found, in the shapes of design.md: insights, clusters, behaviour, and how it was made.

It queries what a shape needs and computes nothing. A result does not change, so what is dear to read is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flask import url_for

from tasks.errors import NotFound
from tasks.pipeline import evidence, window
from tasks.storage import analyses as storage_analyses
from tasks.storage import pairs, results, tokens
from tasks.storage.analyses import by_key
from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.presenters import analyses

RESULTS_KEPT = 16
MATCH_INSIGHTS = frozenset(("leader_and_follower", "synchronised_trading"))
"""Insights whose proof are the matched trades; that of all others are the shared tokens."""


def provenance(analysis: Analysis, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result was made from: parameters, the window of time, rates and version, for every JSON answer."""
    start_at, end_at = window.window_of(analysis)
    return {
        "analysis": analysis.key,
        "computed_at": result["computed_at"],
        "provisional": bool(result["provisional"]),
        "version": result["version"],
        "parameters": analyses.parameters(analysis),
        "window_from": start_at,
        "window_to": end_at if math.isfinite(end_at) else result["computed_at"],
        "sol_usd_source": result["rates"]["source"],
        "missing": result["missing"],
    }


# Insights -------------------------------------------------------------------------------------------------------


def insights(analysis: Analysis, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how many pairs carry each insight, and the strongest of them in a sentence."""
    keys = ("insight", "pairs", "text", "wallet_a", "wallet_b")
    return [{key: one[key] for key in keys} for one in _insights(analysis.key, result["id"])]


def insight_views(analysis: Analysis, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the insights for a page: their shape and the links to the list, to the pair and to its proof."""
    return [
        one
        | {
            "list_url": url_for("pairs.index", key=analysis.key, insight=one["insight"]),
            "url": url_for(
                "pairs.show",
                key=analysis.key,
                a=one["wallet_a"],
                b=one["wallet_b"],
                _anchor=proof_of(one["insight"]),
            ),
        }
        for one in insights(analysis, result)
    ]


def proof_of(slug: str) -> str:
    """Return the part of a pair's page that proves an insight."""
    return "matches" if slug in MATCH_INSIGHTS else "tokens"


@lru_cache(RESULTS_KEPT)
def _insights(key: str, result_id: int) -> tuple[dict[str, Any], ...]:
    """Say the strongest example of each insight; its sentence is worked out from the trades of two wallets."""
    analysis = by_key(key)
    told = results.result(result_id)["insights"]
    strongest = {row["number"]: row for row in pairs.numbered(result_id, [one["number"] for one in told])}
    names = results.addresses(analysis.id)
    shown = []
    for one in told:
        row = strongest[one["number"]]
        a, b = names[row["wallet_a"]][0], names[row["wallet_b"]][0]
        text = one.get("text") or _sentence(analysis, one["insight"], a, b)
        shown.append({"insight": one["insight"], "pairs": one["pairs"], "text": text, "wallet_a": a, "wallet_b": b})
    return tuple(shown)


def _sentence(analysis: Analysis, slug: str, a: str, b: str) -> str:
    found = evidence.pair_of(analysis, storage_analyses.wallet(analysis.id, a), storage_analyses.wallet(analysis.id, b))
    return next((str(one["text"]) for one in found["for"] if one["insight"] == slug), "")


# Clusters -------------------------------------------------------------------------------------------------------


def clusters(analysis: Analysis, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the clusters, the largest first, with addresses and mints.

    `held_by` has for each wallet the strongest edge that holds it, and how many do: {"wallet", "by", "overall",
    "edges"}; it is empty where an earlier version did not keep that.
    """
    keys = ("number", "wallets", "cohesion", "shared_mints", "weak_bridges", "held_by")
    return [{key: one[key] for key in keys} for one in _clusters(analysis.key, result["id"], None)]


def cluster_sums(analysis: Analysis) -> tuple[int, int]:
    """Return how many clusters the result that readers see has, and how many wallets are in them."""
    return (0, 0) if analysis.result_id is None else _cluster_sums(analysis.key, analysis.result_id)


@lru_cache(RESULTS_KEPT)
def _cluster_sums(key: str, result_id: int) -> tuple[int, int]:
    return results.cluster_sums(result_id)


@lru_cache(RESULTS_KEPT)
def _clusters(key: str, result_id: int, most: int | None) -> tuple[dict[str, Any], ...]:
    """Read the clusters. The key goes along: another database numbers its results alike."""
    rows = results.clusters(result_id, most)
    if not rows:
        return ()
    names = results.addresses(storage_analyses.by_key(key).id)
    mints = tokens.mint_names(mint_id for row in rows for mint_id in row["shared_mints"])
    return tuple(_cluster(row, names, mints) for row in rows)


def _cluster(
    row: Mapping[str, Any], names: Mapping[int, tuple[str, str | None]], mints: Mapping[int, str]
) -> dict[str, Any]:
    wallets = [names[position][0] for position in row["members"]]
    held = zip(wallets, row["strongest_edges"], strict=False)  # none in results of before
    return {
        "number": row["number"],
        "wallets": wallets,
        "labels": [names[position][1] for position in row["members"]],
        "cohesion": row["cohesion"],
        "edges": row["edges"],
        "shared_mints": [mints[mint_id] for mint_id in row["shared_mints"]],
        "weak_bridges": [names[position][0] for position in row["weak_bridges"]],
        "held_by": [
            {"wallet": wallet, "by": names[partner][0], "overall": overall, "edges": edges}
            for wallet, (partner, overall, edges) in held
        ],
    }


def cluster_views(analysis: Analysis, result: Mapping[str, Any], most: int | None = None) -> list[dict[str, Any]]:
    """Return the clusters (`most` of them) for a page: members with labels and what holds them, links to their pairs.

    A member has `held_by` {"address", "label", "overall", "edges", "url" of the pair}, None where it is not known.
    """
    base = urls.analysis_url(analysis)
    return [_cluster_view(base, row) for row in _clusters(analysis.key, result["id"], most)]


def _cluster_view(base: str, row: Mapping[str, Any]) -> dict[str, Any]:
    url = f"{base}/pairs?cluster={row['number']}"
    labels, weak = dict(zip(row["wallets"], row["labels"], strict=True)), set(row["weak_bridges"])
    held = {one["wallet"]: _held_view(base, one, labels) for one in row["held_by"]}
    members = [
        {"address": address, "label": label, "url": f"{base}/wallets/{address}"}
        | {"weak": address in weak, "held_by": held.get(address)}
        for address, label in labels.items()
    ]
    return {**row, "url": url, "edges_url": f"{url}&edges=yes", "members": members}


def _held_view(base: str, one: Mapping[str, Any], labels: Mapping[str, str | None]) -> dict[str, Any]:
    a, b = sorted((one["wallet"], one["by"]))
    found = {"address": one["by"], "label": labels[one["by"]], "url": f"{base}/pairs/{a}/{b}"}
    return found | {"overall": one["overall"], "edges": one["edges"]}


def behaviour(analysis: Analysis, result: Mapping[str, Any], position: int) -> dict[str, Any] | None:
    """Return the behaviour of a wallet, None where the result has none."""
    try:
        return results.behaviour(result["id"], position)
    except NotFound:
        return None
