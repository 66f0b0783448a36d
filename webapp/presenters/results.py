"""What a result found: insights, clusters and behaviour. Results never change, so that slow reads are cached."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, TypedDict

from flask import url_for
from msgspec import Meta

from tasks.errors import NotFound
from tasks.pipeline import evidence
from tasks.storage import analyses as storage_analyses
from tasks.storage import pairs, results, tokens
from tasks.storage.analyses import by_key
from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.fields import Address, Count, Mint, Positive, Share, one_of, pick
from webapp.markup.labels import INSIGHTS
from webapp.presenters.provenance import Provenance

RESULTS_KEPT = 16
MATCH_INSIGHTS = frozenset(("leader_and_follower", "synchronised_trading"))
"""Insights whose proof are the matched trades; that of all others are the shared tokens."""


InsightSlug = Annotated[str, one_of(INSIGHTS)]
Row = Mapping[str, Any]
"""A row of the database, or a stored result with its JSON columns: `tasks/storage/results.py` describes them."""


class InsightSummary(TypedDict):
    """How many pairs have an insight, and the strongest of them in a sentence."""

    insight: InsightSlug
    pairs: Count
    text: str
    wallet_a: Address
    wallet_b: Address


class InsightView(InsightSummary):
    """An insight with links to the list, to its strongest pair and there to the proof."""

    list_url: str
    url: str


class StrongestEdge(TypedDict):
    """The strongest edge of a wallet inside its cluster, to `by`, and how many edges it has there."""

    wallet: Address
    by: Address
    overall: Share | None
    edges: Count


class Cluster(TypedDict):
    """A group of wallets; `held_by` is empty for results of early versions."""

    number: Annotated[int, Meta(ge=1)]
    wallets: list[Address]
    cohesion: Share | None
    shared_mints: list[Mint]
    weak_bridges: list[Address]
    held_by: list[StrongestEdge]


class StoredCluster(Cluster):
    """A cluster with what pages show beside it."""

    labels: list[str | None]
    edges: int


class PartnerView(TypedDict):
    """The other end of a member's strongest edge; `url` is of the pair."""

    address: str
    label: str | None
    url: str
    overall: float | None
    edges: int


class MemberView(TypedDict):
    """A member of a cluster; `held_by` is None where the strongest edge is unknown."""

    address: str
    label: str | None
    url: str
    weak: bool
    held_by: PartnerView | None


class ClusterView(StoredCluster):
    """A cluster for a page."""

    url: str
    edges_url: str
    members: list[MemberView]


class Behaviour(TypedDict):
    """How a wallet trades (section 9 of docs/measures.md)."""

    wallet: Address
    trades: Count
    buys: Count
    sells: Count
    mints: Count
    mints_both_sides: Count
    buy_sell_ratio: Positive | None
    median_hold_s: Positive | None
    mean_hold_s: Positive | None
    hold_bins: Annotated[list[Positive], Meta(min_length=7, max_length=7)] | None
    realised_profit_sol: float | None
    realised_profit_sol_by_mint: dict[Mint, float]
    unrealised_profit_sol: float | None
    unmatched_sold_share: Share | None
    win_rate: Share | None
    sessions: Count
    trades_per_session: Positive | None
    median_session_s: Positive | None
    trades_by_hour: Annotated[list[Count], Meta(min_length=24, max_length=24)]
    reentry_rate: Share | None
    style: str | None
    provenance: Provenance


# Insights -------------------------------------------------------------------------------------------------------


def insights(analysis: Analysis, result: Row) -> list[InsightSummary]:
    """Return the insights that occur in a result."""
    return list(_insights(analysis.key, result["id"]))


def insight_views(analysis: Analysis, result: Row) -> list[InsightView]:
    """Return the insights for a page."""
    return [
        {
            **one,
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
def _insights(key: str, result_id: int) -> tuple[InsightSummary, ...]:
    """Find the strongest example of each insight; its sentence is worked out from the trades of two wallets."""
    analysis = by_key(key)
    stored = results.result(result_id)["insights"]
    strongest = {row["number"]: row for row in pairs.numbered(result_id, [one["number"] for one in stored])}
    names = results.addresses(analysis.id)
    shown: list[InsightSummary] = []
    for one in stored:
        row = strongest[one["number"]]
        a, b = names[row["wallet_a"]][0], names[row["wallet_b"]][0]
        text = one.get("text") or _sentence(analysis, one["insight"], a, b)
        shown.append({"insight": one["insight"], "pairs": one["pairs"], "text": text, "wallet_a": a, "wallet_b": b})
    return tuple(shown)


def _sentence(analysis: Analysis, slug: str, a: str, b: str) -> str:
    found = evidence.pair_of(analysis, storage_analyses.wallet(analysis.id, a), storage_analyses.wallet(analysis.id, b))
    return next((str(one["text"]) for one in found["for"] if one["insight"] == slug), "")


# Clusters -------------------------------------------------------------------------------------------------------


def clusters(analysis: Analysis, result: Row) -> list[Cluster]:
    """Return the clusters, the largest first."""
    return [pick(Cluster, one) for one in _clusters(analysis.key, result["id"], None)]


def cluster_sums(analysis: Analysis) -> tuple[int, int]:
    """Return how many clusters the result that readers see has, and how many wallets are in them."""
    return (0, 0) if analysis.result_id is None else _cluster_sums(analysis.key, analysis.result_id)


@lru_cache(RESULTS_KEPT)
def _cluster_sums(key: str, result_id: int) -> tuple[int, int]:
    return results.cluster_sums(result_id)


@lru_cache(RESULTS_KEPT)
def _clusters(key: str, result_id: int, most: int | None) -> tuple[StoredCluster, ...]:
    """Read the clusters. The key goes along: another database numbers its results alike."""
    rows = results.clusters(result_id, most)
    if not rows:
        return ()
    names = results.addresses(storage_analyses.by_key(key).id)
    mints = tokens.mint_names(mint_id for row in rows for mint_id in row["shared_mints"])
    return tuple(_cluster(row, names, mints) for row in rows)


def _cluster(row: Row, names: Mapping[int, tuple[str, str | None]], mints: Mapping[int, str]) -> StoredCluster:
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


def cluster_views(analysis: Analysis, result: Row, most: int | None = None) -> list[ClusterView]:
    """Return the clusters (`most` of them) for a page."""
    base = urls.analysis_url(analysis)
    return [_cluster_view(base, row) for row in _clusters(analysis.key, result["id"], most)]


def _cluster_view(base: str, row: StoredCluster) -> ClusterView:
    url = f"{base}/pairs?cluster={row['number']}"
    labels, weak = dict(zip(row["wallets"], row["labels"], strict=True)), set(row["weak_bridges"])
    held = {one["wallet"]: _partner_view(base, one, labels) for one in row["held_by"]}
    members: list[MemberView] = [
        {
            "address": address,
            "label": label,
            "url": f"{base}/wallets/{address}",
            "weak": address in weak,
            "held_by": held.get(address),
        }
        for address, label in labels.items()
    ]
    return {**row, "url": url, "edges_url": f"{url}&edges=yes", "members": members}


def _partner_view(base: str, one: StrongestEdge, labels: Mapping[str, str | None]) -> PartnerView:
    a, b = sorted((one["wallet"], one["by"]))
    return {
        "address": one["by"],
        "label": labels[one["by"]],
        "url": f"{base}/pairs/{a}/{b}",
        "overall": one["overall"],
        "edges": one["edges"],
    }


def behaviour(result: Row, position: int) -> Row | None:
    """Return the stored behaviour of a wallet, None where the result has none."""
    try:
        return results.behaviour(result["id"], position)
    except NotFound:
        return None
