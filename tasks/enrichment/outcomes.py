"""Decides what a market's answer means for each token: resolved, unlisted, failed, next source, retry after a backoff.

Before: `fetcher.py` has the answer or the failure of a request. After: `token_queue.py` records the outcome.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from tasks.enrichment.token_queue import LookupOutcome, QueuedToken
from tasks.jobs.claims import MOST_ATTEMPTS
from tasks.settings import timing
from tasks.sources.market.listing import TokenListing
from tasks.sources.rate_limit.clock import backoff_s

GROUPS = 6


class Stage(NamedTuple):
    """A source's position in the order of sources."""

    number: int
    is_last: bool


def all_failed(
    stage: Stage, batch: Sequence[QueuedToken], reason: str, *, permanent: bool, delay_s: float = 0.0
) -> list[LookupOutcome]:
    """Return the outcomes of a batch without an answer. All get the same jitter, so that they are due as a batch again.

    From the second failure on they are due in groups, so that a mint that makes the source fail does not always
    accompany the same others.
    """
    jitter = random.uniform(0.75, 1.25)
    results = []
    for position, one in enumerate(batch):
        group = position % GROUPS if one.attempts else 0
        wait_s = jitter * _retry_s(one.attempts + 1) * (1 + group / GROUPS)
        results.append(_failed(stage, one, reason, permanent=permanent, delay_s=max(delay_s, wait_s)))
    return results


def answered(stage: Stage, one: QueuedToken, listing: TokenListing | None) -> LookupOutcome:
    """Return the outcome of an answer. A token that is unknown or unpriced goes to the next source, if there is one.

    After the last source, one that was skipped because of temporary failures is tried once more.
    """
    known = _merged(_earlier(one), listing)
    earlier_error, retried = one.partial_answer.get("error"), one.partial_answer.get("retried", False)
    if known is not None and known.price_usd is not None:
        return _final(one, known, None)
    carried = {"listing": known and dataclasses.asdict(known), "error": earlier_error}
    if not (stage.is_last or retried):
        return LookupOutcome(
            one.mint_id, "next_source", stage=stage.number + 1, partial_answer=carried, is_attempt=False
        )
    if earlier_error and one.partial_answer.get("temporary") and not retried:
        return LookupOutcome(
            one.mint_id, "next_source", stage=0, partial_answer=carried | {"retried": True}, is_attempt=False
        )
    return _final(one, known, None if retried else earlier_error)


def _failed(stage: Stage, one: QueuedToken, reason: str, *, permanent: bool, delay_s: float) -> LookupOutcome:
    """Return the outcome of a failed request: retry with backoff, five attempts in all, the fifth at the next source.

    A source that refuses permanently is skipped.
    """
    tries = one.attempts + 1
    is_final = stage.is_last or one.partial_answer.get("retried", False)
    if tries >= MOST_ATTEMPTS or (permanent and is_final):
        return _final(one, _earlier(one), reason)
    carried = {"listing": one.partial_answer.get("listing"), "error": reason}
    if permanent:
        return LookupOutcome(one.mint_id, "next_source", error=reason, stage=stage.number + 1, partial_answer=carried)
    if tries == MOST_ATTEMPTS - 1 and not is_final:
        carried["temporary"] = True
        return LookupOutcome(
            one.mint_id, "retry", error=reason, stage=stage.number + 1, delay_s=_retry_s(1), partial_answer=carried
        )
    return LookupOutcome(one.mint_id, "retry", error=reason, stage=stage.number, delay_s=delay_s)


def _earlier(one: QueuedToken) -> TokenListing | None:
    """Return what an earlier source answered about a token."""
    return TokenListing(**one.partial_answer["listing"]) if one.partial_answer.get("listing") else None


def _final(one: QueuedToken, known: TokenListing | None, error: str | None) -> LookupOutcome:
    """Return the final outcome. While a source did not answer, a token without a listing is failed, not unlisted."""
    if known is not None:
        return LookupOutcome(one.mint_id, "resolved", facts=_facts(known), error=error)
    return LookupOutcome(one.mint_id, "failed", error=error) if error else LookupOutcome(one.mint_id, "unlisted")


def _retry_s(tries: int) -> float:
    """Return the wait after `tries` failed attempts, before jitter: 2, 6, 18, 54 s."""
    return backoff_s(tries, timing().token_retry_s, factor=3.0)


def _merged(earlier: TokenListing | None, later: TokenListing | None) -> TokenListing | None:
    """Return the earlier listing completed by the later one; price, liquidity and volume come from one source."""
    if earlier is None or later is None:
        return earlier or later
    first, second = (earlier, later) if earlier.price_usd is not None else (later, earlier)
    priced = {name: getattr(first, name) for name in ("price_usd", "liquidity_usd", "volume_24h_usd", "source")}
    named = {
        name: getattr(earlier, name) if getattr(earlier, name) is not None else getattr(later, name)
        for name in ("name", "symbol", "decimals", "image_url")
    }
    cap = first.market_cap_usd if first.market_cap_usd is not None else second.market_cap_usd
    return TokenListing(mint=earlier.mint, market_cap_usd=cap, **priced, **named)


def _facts(listing: TokenListing) -> dict[str, Any]:
    """Return the token columns of a listing. A missing name leaves the stored one, a missing price deletes it."""
    named = {name: getattr(listing, name) for name in ("name", "symbol", "decimals", "image_url")}
    facts = {name: value for name, value in named.items() if value is not None}
    for name in ("price_usd", "liquidity_usd", "volume_24h_usd", "market_cap_usd"):
        facts[name] = getattr(listing, name)
    return facts | {"price_source": listing.source if listing.price_usd is not None else None}
