"""Pairs as JSON and templates show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict, cast

from msgspec import Meta

from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.fields import Address, Count, Cursor, Mint, Positive, Share, Time, pick
from webapp.markup.filters import iso
from webapp.presenters import tokens
from webapp.presenters.provenance import Provenance
from webapp.presenters.results import InsightSlug
from webapp.presenters.tokens import Token
from webapp.presenters.wallets import WalletView, wallet_views

Row = Mapping[str, Any]
"""A row of the table of pairs: `tasks/storage/pairs.py` describes it."""


class Pair(TypedDict):
    """Two wallets, in address order, and their measures; `cluster_edge`: one of the pairs that link a cluster."""

    wallet_a: Address
    wallet_b: Address
    shared: Count
    overall: Share | None
    behavioural: Share | None
    capital: Share | None
    jaccard: Share | None
    overlap: Share | None
    coverage_a: Share | None
    coverage_b: Share | None
    holdings: Share | None
    expected: Positive | None
    lift: Positive | None
    p_value: Share | None
    q_value: Share | None
    matched: Count | None
    matched_share: Share | None
    same_slot: Count | None
    median_lag_s: float | None
    leader: Address | None
    lead_share: Share | None
    timing_p_value: Share | None
    insights: list[InsightSlug]
    cluster_edge: bool


class PairView(Pair):
    """A pair for a page, with both wallets and the link to its evidence."""

    a: WalletView
    b: WalletView
    url: str


class Pairs(TypedDict):
    """A page of the list of pairs; `total` of the filtered list."""

    pairs: Annotated[list[Pair], Meta(max_length=200)]
    next: Cursor | None
    total: Count
    provenance: Provenance


class SharedToken(TypedDict):
    """A token that both wallets traded, and what it adds to their scores."""

    mint: Mint
    weight_a: Share | None
    weight_b: Share | None
    contribution_capital: Share | None
    contribution_behavioural: Share | None
    spent_sol_a: Positive
    spent_sol_b: Positive
    first_buy_a: Time | None
    first_buy_b: Time | None
    gap_s: float | None
    signatures_a: list[str]
    signatures_b: list[str]
    token: Token


class Match(TypedDict):
    """Two trades of one token on one side, close in time."""

    mint: Mint
    side: Literal["buy", "sell"]
    time_a: Time
    time_b: Time
    lag_s: float
    signature_a: str
    signature_b: str


class EvidenceFor(TypedDict):
    """An insight in a sentence."""

    insight: InsightSlug
    text: str


class EvidenceAgainst(TypedDict):
    """A sentence against a link between the wallets."""

    text: str


_Case = TypedDict("_Case", {"for": list[EvidenceFor], "against": list[EvidenceAgainst]})


class PairEvidence(Pair, _Case):
    """Evidence for and against a pair, its matched trades and a page of its shared tokens."""

    tokens: list[SharedToken]
    matches: list[Match]
    next: Cursor | None
    provenance: Provenance


def pair(row: Row, address_a: str, address_b: str) -> Pair:
    """Return a pair; `leader` is an address, None where neither was first more often."""
    leader = {1: address_a, 2: address_b}.get(row["leader"])
    named = {"wallet_a": address_a, "wallet_b": address_b, "leader": leader, "cluster_edge": row["edge"]}
    return pick(Pair, {**row, **named})


def shared_tokens(rows: Sequence[Row]) -> list[SharedToken]:
    """Return shared tokens, as `evidence.shared_tokens` has them, with names and prices."""
    return [
        cast(SharedToken, {**row, "first_buy_a": iso(row["first_buy_a"]), "first_buy_b": iso(row["first_buy_b"])})
        for row in tokens.with_tokens(rows, tokens.tokens_by_mint)
    ]


def match(row: Row) -> Match:
    """Return two matched trades."""
    return pick(Match, {**row, "time_a": iso(row["time_a"]), "time_b": iso(row["time_b"])})


def pair_views(analysis: Analysis, rows: Sequence[Row]) -> list[PairView]:
    """Return pairs for a page."""
    wallets = wallet_views(analysis, {row[side] for row in rows for side in ("wallet_a", "wallet_b")})
    return [pair_view(analysis, row, wallets[row["wallet_a"]], wallets[row["wallet_b"]]) for row in rows]


def pair_view(analysis: Analysis, row: Row, a: WalletView, b: WalletView) -> PairView:
    """Return one pair for a page."""
    url = f"{urls.analysis_url(analysis)}/pairs/{a['address']}/{b['address']}"
    return {**pair(row, a["address"], b["address"]), "a": a, "b": b, "url": url}
