"""Tokens as JSON and templates show them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tasks.enrichment import cache
from tasks.settings import current

LookUp = Callable[[Iterable[str]], dict[str, dict[str, Any]]]
TOKEN_KEYS = ("mint", "status", "name", "symbol", "decimals", "image_url", "price_usd", "liquidity_usd") + (
    "volume_24h_usd", "market_cap_usd", "price_source", "last_updated", "stale", "attempts", "last_error"
)  # fmt: skip
UNSEEN_TOKEN: Mapping[str, Any] = dict.fromkeys(TOKEN_KEYS) | {
    "status": "pending", "stale": False, "attempts": 0, "awaited": False
}  # fmt: skip
CLOCKS_DIFFER_S = 60.0


# Tokens ---------------------------------------------------------------------------------------------------------


def token_views(mints: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return mint → token for a page: its shape and whether news of it is `awaited`.

    A mint that the registry does not know is pending and not awaited: nobody will ever ask for it.
    """
    wanted = set(mints)
    now, ttl_s = time.time(), current().price_ttl_s
    known = cache.cells(wanted)
    for cell in known.values():
        updated = cell["last_updated"]
        cell["stale"] = updated is not None and not -CLOCKS_DIFFER_S <= now - updated <= ttl_s
    return {mint: known.get(mint) or {**UNSEEN_TOKEN, "mint": mint} for mint in wanted}


def tokens_by_mint(mints: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return mint → token shape; a mint that the registry does not know is pending."""
    return {mint: {key: view[key] for key in TOKEN_KEYS} for mint, view in token_views(mints).items()}


def with_tokens(rows: Sequence[Mapping[str, Any]], look_up: LookUp = tokens_by_mint) -> list[dict[str, Any]]:
    """Return rows that have a `mint` with the token's shape beside it, None where the mint is None."""
    known = look_up(row["mint"] for row in rows if row["mint"])
    return [{**row, "token": known.get(row["mint"])} for row in rows]


def with_token_views(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as `with_tokens` does, with tokens as pages show them."""
    return with_tokens(rows, token_views)
