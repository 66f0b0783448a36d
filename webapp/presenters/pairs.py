"""Pairs as JSON and templates show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.storage import pairs
from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.presenters.wallets import wallet_views

# Pairs and evidence ---------------------------------------------------------------------------------------------


def pair(row: Mapping[str, Any], address_a: str, address_b: str) -> dict[str, Any]:
    """Return a pair; `leader` is an address, None where neither was first more often.

    `cluster_edge` says whether the pair is one of those that hold a cluster together.
    """
    measures = {key: row[key] for key in ("shared", *pairs.MEASURES)}
    measures["leader"] = {1: address_a, 2: address_b}.get(row["leader"])
    found = {"insights": row["insights"], "cluster_edge": row["edge"]}
    return {"wallet_a": address_a, "wallet_b": address_b} | measures | found


def pair_views(analysis: Analysis, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return pairs for a page: their shape, both wallets and the link to the evidence."""
    wallets = wallet_views(analysis, {row[side] for row in rows for side in ("wallet_a", "wallet_b")})
    return [pair_view(analysis, row, wallets[row["wallet_a"]], wallets[row["wallet_b"]]) for row in rows]


def pair_view(analysis: Analysis, row: Mapping[str, Any], a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Return one pair for a page."""
    url = f"{urls.analysis_url(analysis)}/pairs/{a['address']}/{b['address']}"
    return pair(row, a["address"], b["address"]) | {"a": a, "b": b, "url": url}
