"""Tokens as JSON and templates show them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from tasks.enrichment import cache
from tasks.settings import current
from tasks.storage import results
from webapp.fields import Count, Cursor, Mint, Positive, Time, one_of, pick
from webapp.markup.filters import iso

Status = Annotated[str, one_of(results.STATUSES)]
Row = Mapping[str, Any]
"""A row with a `mint`."""


class Token(TypedDict):
    """A token of the registry; what is unknown is null."""

    mint: Mint
    status: Status
    name: str | None
    symbol: str | None
    decimals: Count | None
    image_url: str | None
    price_usd: Positive | None
    liquidity_usd: Positive | None
    volume_24h_usd: Positive | None
    market_cap_usd: Positive | None
    price_source: str | None
    last_updated: Time | None
    stale: bool
    attempts: Count
    last_error: str | None


class Tokens(TypedDict):
    """Tokens in the order of the request."""

    tokens: Annotated[list[Token], Meta(min_length=1, max_length=150)]


class AnalysisToken(TypedDict):
    """A token of an analysis, by how many wallets traded it."""

    mint: Mint
    wallets: Count
    spent_sol: Positive
    token: Token


class AnalysisTokens(TypedDict):
    """A page of the tokens of an analysis."""

    tokens: Annotated[list[AnalysisToken], Meta(max_length=200)]
    next: Cursor | None


TokenView = Mapping[str, Any]
"""A token for a page: a `Token` with `last_updated` in seconds and `awaited`, as the cache of the registry has it."""
UNSEEN_TOKEN: TokenView = dict.fromkeys(Token.__annotations__) | {
    "status": "pending", "stale": False, "attempts": 0, "awaited": False
}  # fmt: skip
CLOCKS_DIFFER_S = 60.0


def token_views(mints: Iterable[str]) -> dict[str, TokenView]:
    """Return mint → token for a page; `awaited` says whether a lookup is under way.

    A mint that the registry does not know is pending and not awaited: nothing will look it up.
    """
    unique = set(mints)
    now, ttl_s = time.time(), current().price_ttl_s
    known = cache.cells(unique)
    for cell in known.values():
        updated = cell["last_updated"]
        cell["stale"] = updated is not None and not -CLOCKS_DIFFER_S <= now - updated <= ttl_s
    return {mint: known.get(mint) or {**UNSEEN_TOKEN, "mint": mint} for mint in unique}


def tokens_by_mint(mints: Iterable[str]) -> dict[str, Token]:
    """Return mint → token; a mint that the registry does not know is pending."""
    return {
        mint: pick(Token, {**view, "last_updated": iso(view["last_updated"])})
        for mint, view in token_views(mints).items()
    }


def with_tokens(rows: Sequence[Row], look_up: Callable[[Iterable[str]], Mapping[str, Row]]) -> list[Row]:
    """Return rows with the token of their `mint` beside it, None where the mint is None."""
    known = look_up(row["mint"] for row in rows if row["mint"])
    return [{**row, "token": known.get(row["mint"])} for row in rows]


def with_token_views(rows: Sequence[Row]) -> list[Row]:
    """Return rows as `with_tokens` does, with tokens as pages show them."""
    return with_tokens(rows, token_views)
