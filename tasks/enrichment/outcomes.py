"""What a market source's answer means for each token: resolved, next source, retry after a backoff, failed."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from tasks.enrichment.token_queue import LookupOutcome, QueuedToken
from tasks.jobs.claims import MOST_ATTEMPTS
from tasks.sources.market.listing import TokenListing

BACKOFF_S, BACKOFF_BASE = 2.0, 3.0
GROUPS = 6


class Step(NamedTuple):
    """A source's place in the order of sources."""

    stage: int
    is_last: bool


def all_failed(
    step: Step, pack: Sequence[QueuedToken], reason: str, *, permanent: bool, delay_s: float = 0.0
) -> list[LookupOutcome]:
    """Judge a pack without an answer. One stroke of chance for all, so that it comes back as a pack.

    From the second time on it comes back in groups, so that a mint at which the source fails is not among the others
    every time.
    """
    chance = random.uniform(0.75, 1.25)
    news = []
    for place, one in enumerate(pack):
        group = place % GROUPS if one.attempts else 0
        wait_s = chance * backoff_s(one.attempts + 1) * (1 + group / GROUPS)
        news.append(_failed(step, one, reason, permanent=permanent, delay_s=max(delay_s, wait_s)))
    return news


def answered(step: Step, one: QueuedToken, listing: TokenListing | None) -> LookupOutcome:
    """Judge an answer. What is not known, or has no price, is asked of the next source, if there is one.

    When none is left, a source that was passed over for a while is asked once more before its silence counts.
    """
    known = _merged(_earlier(one), listing)
    passed_over, returned = one.partial_answer.get("error"), one.partial_answer.get("returned", False)
    is_end = step.is_last or returned
    if known is not None and known.price_usd is not None:
        return _end(one, known, None)
    carried = {"listing": known and dataclasses.asdict(known), "error": passed_over}
    if not is_end:
        return LookupOutcome(one.mint_id, "next", stage=step.stage + 1, partial_answer=carried, is_attempt=False)
    if passed_over and one.partial_answer.get("for_a_time") and not returned:
        return LookupOutcome(
            one.mint_id, "next", stage=0, partial_answer=carried | {"returned": True}, is_attempt=False
        )
    return _end(one, known, None if returned else passed_over)


def _failed(step: Step, one: QueuedToken, reason: str, *, permanent: bool, delay_s: float) -> LookupOutcome:
    """Judge a call without an answer: again after a growing wait, five times in all, the last time of the last source.

    A source that refuses for good is passed over.
    """
    tries = one.attempts + 1
    is_end = step.is_last or one.partial_answer.get("returned", False)
    if tries >= MOST_ATTEMPTS or (permanent and is_end):
        return _end(one, _earlier(one), reason)
    carried = {"listing": one.partial_answer.get("listing"), "error": reason}
    if permanent:
        return LookupOutcome(one.mint_id, "next", error=reason, stage=step.stage + 1, partial_answer=carried)
    if tries == MOST_ATTEMPTS - 1 and not is_end:
        carried["for_a_time"] = True
        return LookupOutcome(
            one.mint_id, "again", error=reason, stage=step.stage + 1, delay_s=backoff_s(1), partial_answer=carried
        )
    return LookupOutcome(one.mint_id, "again", error=reason, stage=step.stage, delay_s=delay_s)


def _earlier(one: QueuedToken) -> TokenListing | None:
    """What an earlier source said of a mint."""
    return TokenListing(**one.partial_answer["listing"]) if one.partial_answer.get("listing") else None


def _end(one: QueuedToken, known: TokenListing | None, error: str | None) -> LookupOutcome:
    """Say how the asking for a mint ended. While a source did not answer, nobody can say that there is no market."""
    if known is not None:
        return LookupOutcome(one.mint_id, "resolved", facts=_facts(known), error=error)
    return LookupOutcome(one.mint_id, "failed", error=error) if error else LookupOutcome(one.mint_id, "unlisted")


def backoff_s(tries: int) -> float:
    """Return the wait after so many failed attempts, before chance has its part in it: 2, 6, 18, 54 s."""
    return BACKOFF_S * BACKOFF_BASE ** (tries - 1)


def _merged(earlier: TokenListing | None, later: TokenListing | None) -> TokenListing | None:
    """What two sources say together: the earlier's word, and the later's where the earlier had none.

    The price and what goes with it come from one source.
    """
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
    """The registry's columns of a listing. A name that is not given this time is kept; a price that is not is gone."""
    named = {name: getattr(listing, name) for name in ("name", "symbol", "decimals", "image_url")}
    facts = {name: value for name, value in named.items() if value is not None}
    for name in ("price_usd", "liquidity_usd", "volume_24h_usd", "market_cap_usd"):
        facts[name] = getattr(listing, name)
    return facts | {"price_source": listing.source if listing.price_usd is not None else None}
