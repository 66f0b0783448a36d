"""Decides which tokens are due for a lookup after an analysis, on a user's refresh, or in maintenance.

Before: a job of `triggers.py` begins. After: `token_queue.py` queues the tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from peewee import chunked

from tasks.storage import sql
from tasks.storage.models.jobs import Job, JobMint
from tasks.storage.models.results import ResultMint
from tasks.storage.models.tokens import Token

CHUNK = 500
JUST_ASKED_S = 15.0
LONGEST_REST_S = 6 * 3600.0  # between two lookups of an unlisted token
CLOCK_SLACK_S = 60.0  # a time further ahead was written before the clock was set back


def _is_past(at: Any, age_s: float) -> Any:
    return sql.is_past(at, CLOCK_SLACK_S, ago_s=age_s)


def _may_again() -> Any:
    """The wait before the next lookup is over."""
    return sql.is_past(Token.next_attempt_at, LONGEST_REST_S + CLOCK_SLACK_S)


def _those(mint_ids: Iterable[int], rule: Any) -> list[int]:
    """Return the mint ids to which a rule applies, in the order given, without duplicates."""
    ids = list(mint_ids)
    found: set[int] = set()
    for part in chunked(sorted(set(ids)), CHUNK):
        found.update(row[0] for row in Token.select(Token.id).where(Token.id.in_(part), rule).tuples())
    return [mint_id for mint_id in dict.fromkeys(ids) if mint_id in found]


def of_result(result_id: int, mints: Sequence[str]) -> list[int]:
    """Return the ids of those mints that are in a result, in the order given."""
    query = (
        Token.select(Token.mint, Token.id)
        .join(ResultMint, on=(ResultMint.mint_id == Token.id))
        .where(ResultMint.result_id == result_id, Token.mint.in_(list(mints)))
    )
    ids = dict(query.tuples())
    return [ids[mint] for mint in mints if mint in ids]


def for_refresh(mint_ids: Sequence[int]) -> list[int]:
    """Return the tokens due for a user's refresh: last looked up over 15 s ago, failed, or queued now."""
    failed = Token.status == "failed"  # has used its five attempts; the page offers "Retry" for it
    return _those(mint_ids, Token.priority.is_null(False) | failed | _is_past(Token.asked_at, JUST_ASKED_S))


def for_analysis(mint_ids: Sequence[int], price_ttl_s: float) -> list[int]:
    """Return the tokens of an analysis that are unknown, stale or queued now."""
    t = Token
    unknown = t.status.in_(("pending", "failed"))
    unlisted = (t.status == "unlisted") & _may_again()
    stale = (t.status == "resolved") & _is_past(t.last_updated, price_ttl_s)
    return _those(mint_ids, t.priority.is_null(False) | unknown | unlisted | stale)


def for_maintenance(most_unknown: int, most_stale: int, refresh_every_s: float) -> list[int]:
    """Return the tokens due without a user: unknown, then most-held with an old price, then failed, then unlisted.

    Failed tokens are due after an hour, unlisted ones after six. Queued tokens are left out.
    """
    t, again = Token, _may_again()
    idle = t.priority.is_null()
    by_holders = (t.wallets_seen.desc(), t.id)

    def first(rule: Any, most: int) -> list[int]:
        query = t.select(t.id).where(idle, rule).order_by(*by_holders).limit(most)
        return [row[0] for row in query.tuples()]

    ids = first(t.status == "pending", most_unknown)
    ids += first((t.status == "resolved") & _is_past(t.last_updated, refresh_every_s) & again, most_stale)
    ids += first((t.status == "failed") & again, most_stale)
    return ids + first((t.status == "unlisted") & again, most_stale)


def of_job(job_id: str) -> set[int]:
    """Return the tokens that a job waits for, and those that were looked up since it was submitted."""
    asked_since = Token.asked_at >= Job.enqueued_at
    query = (
        JobMint.select(JobMint.mint_id)
        .join(Token, on=(Token.id == JobMint.mint_id))
        .join(Job, on=(Job.id == JobMint.job_id))
        .where(JobMint.job_id == job_id, JobMint.outcome.is_null() | asked_since)
    )
    return {row[0] for row in query.tuples()}
