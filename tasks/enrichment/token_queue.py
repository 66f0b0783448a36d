"""The queue of tokens to look up, in the token table: enqueue, claim a batch, record the outcomes.

Before: `triggers.py` and `handler.py` enqueue tokens for a job; `fetcher.py` claims batches. After: each outcome counts
for every waiting job (`job_progress.py`, `handler.py`), and `cache.py` shows it to pages.

A queued token has one priority (tier, then newest first), whichever jobs queued it. A claim is a claim token and a
lease on the row: a token is in flight only once, and only the holder of the claim may record its outcome.

On PostgreSQL rows are locked in one order everywhere: jobs, then tokens, each by id.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from peewee import Case, chunked, fn

from tasks.jobs.priority import ASKED_BY_USER, floor_of
from tasks.jobs.process import is_gone
from tasks.storage import database, sql
from tasks.storage.models.jobs import LIVE_JOB, Job, JobMint
from tasks.storage.models.tokens import Token

LEASE_S = 60.0
LONGEST_WAIT_S = 180.0  # no retry is later; a later date was written before the clock was set back
UNLISTED_AGAIN_S = 6 * 3600.0
FAILED_AGAIN_S = 3600.0
CHUNK = 500

FINAL = ("resolved", "unlisted", "failed")


@dataclass(frozen=True, slots=True)
class QueuedToken:
    """A claimed token: failed attempts so far, and what earlier sources answered."""

    mint_id: int
    mint: str
    attempts: int
    priority: int
    partial_answer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LookupOutcome:
    """The outcome of one lookup of a claimed token.

    `kind` is one of FINAL, "next_source" (continue at `stage`) or "retry" (at `stage`, after `delay_s`). `facts` are
    columns of the token table; `partial_answer` is passed to the next source.
    """

    mint_id: int
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    stage: int = 0
    delay_s: float = 0.0
    partial_answer: dict[str, Any] | None = None
    is_attempt: bool = True


# Enqueueing -------------------------------------------------------------------------------------------------------


def enqueue(job_id: str, priorities: Sequence[tuple[int, int]]) -> None:
    """Let a job wait for tokens: (mint id, priority). Call in a write transaction that has locked the job's row.

    A token queued already keeps its partial answer and the higher priority; any other starts from the beginning.
    """
    by_mint = dict(priorities)
    for part in chunked(sorted(by_mint), CHUNK):
        sql.insert_rows(JobMint, (JobMint.job_id, JobMint.mint_id), [(job_id, mint_id) for mint_id in part])
        JobMint.update(outcome=None).where(JobMint.job_id == job_id, JobMint.mint_id.in_(part)).execute()
        sql.lock_rows(Token.id, part)
        by_priority: dict[int, list[int]] = {}
        for mint_id in part:
            by_priority.setdefault(by_mint[mint_id], []).append(mint_id)
        for priority, ids in by_priority.items():
            _raise_priority(ids, priority)


def _raise_priority(mint_ids: Sequence[int], priority: int) -> None:
    t = Token
    fresh = t.priority.is_null()
    by_user = priority >= ASKED_BY_USER
    retried = ("failed", "unlisted") if by_user else ("failed",)
    t.update(
        status=Case(None, [(t.status.in_(retried), "pending")], t.status),
        attempts=Case(None, [(fresh, 0)], t.attempts),
        stage=Case(None, [(fresh, 0)], t.stage),
        partial_answer=Case(None, [(fresh, None)], t.partial_answer),
        last_error=Case(None, [(fresh, None)], t.last_error),
        next_attempt_at=None if by_user else Case(None, [(fresh, None)], t.next_attempt_at),
        priority=Case(None, [(fresh | (t.priority < priority), priority)], t.priority),
    ).where(t.id.in_(mint_ids)).execute()


# Claiming ---------------------------------------------------------------------------------------------------------


def _is_free() -> Any:
    return Token.claim_token.is_null() | sql.is_past(Token.lease, LEASE_S)


def _is_due() -> Any:
    return sql.is_past(Token.next_attempt_at, LONGEST_WAIT_S)


def _queued_at(stage: int) -> Any:
    return Token.priority.is_null(False) & (Token.stage == stage)


def next_priority(stage: int, batch_size: int, *, wait_for_full_batch: bool = True) -> int | None:
    """Return the highest priority of a token that can be looked up now at a stage; None if nothing should be sent.

    At a later stage fewer than `batch_size` tokens wait while tokens of the same jobs, of the same or a higher tier,
    may still arrive from the stage before; not if `wait_for_full_batch` is False.
    """
    free = _queued_at(stage) & _is_free() & _is_due()
    best: int | None = Token.select(Token.priority).where(free).order_by(Token.priority.desc()).limit(1).scalar()
    if best is None or stage == 0 or not wait_for_full_batch:
        return best
    here = [row[0] for row in Token.select(Token.id).where(free).limit(batch_size).tuples()]
    return best if len(here) >= batch_size or not _more_may_join(stage - 1, here, floor_of(best)) else None


def _more_may_join(stage: int, mint_ids: Sequence[int], least: int) -> bool:
    """Whether a job that waits for these tokens also waits for one at `stage`, of priority `least` or higher."""
    of = JobMint.alias()
    waiting = JobMint.select(JobMint.job_id).where(JobMint.mint_id.in_(mint_ids), JobMint.outcome.is_null()).distinct()
    theirs = of.select(of.mint_id).where(of.mint_id == Token.id, of.outcome.is_null(), of.job_id.in_(waiting))
    coming = Token.select(Token.id).where(_queued_at(stage), Token.priority >= least, _is_due(), fn.EXISTS(theirs))
    return bool(coming.limit(1).count())


def claim_tokens(stage: int, limit: int, claim_token: str, *, older_than: int | None = None) -> list[QueuedToken]:
    """Claim up to `limit` tokens of a stage for LEASE_S seconds, highest priority first; an empty list if none is due.

    With `older_than`, a priority, only lower priorities of the same tier, lowest (longest waiting) first.
    """
    t = Token
    query = t.select(t.id, t.mint, t.attempts, t.priority, t.partial_answer).where(
        _queued_at(stage), _is_free(), _is_due()
    )
    if older_than is None:
        query = query.order_by(t.priority.desc())
    else:
        query = query.where(t.priority.between(floor_of(older_than), older_than)).order_by(t.priority)
    query = query.limit(limit)
    with database.write():
        if not database.is_sqlite():
            query = query.for_update("FOR UPDATE SKIP LOCKED")
        rows = [*query.tuples()]
        ids = [row[0] for row in rows]
        t.update(claim_token=claim_token, lease=database.clock() + LEASE_S).where(t.id.in_(ids)).execute()
    return [QueuedToken(a, b, c, d, json.loads(answer) if answer else {}) for a, b, c, d, answer in rows]


def reset_stage(stages: int) -> None:
    """Restart tokens that wait for a source which the settings no longer name."""
    beyond = Token.priority.is_null(False) & (Token.stage >= stages)
    ids = [row[0] for row in Token.select(Token.id).where(beyond).tuples()]
    for part in chunked(ids, CHUNK):
        with database.write():
            sql.lock_rows(Token.id, part)
            Token.update(stage=0, partial_answer=None).where(Token.id.in_(part), beyond).execute()


def renew(claim_token: str, mint_ids: Sequence[int]) -> None:
    """Extend the lease of claimed tokens to LEASE_S seconds from now."""
    with database.write():
        sql.lock_rows(Token.id, mint_ids)
        Token.update(lease=database.clock() + LEASE_S).where(
            Token.id.in_(mint_ids), Token.claim_token == claim_token
        ).execute()


def active_claims() -> set[str]:
    """Return the claim tokens in use."""
    query = (
        Token.select(Token.claim_token)
        .where(Token.priority.is_null(False), Token.claim_token.is_null(False))
        .distinct()
    )
    return {row[0] for row in query.tuples()}


def release(claim_token: str) -> None:
    """Release what a dead worker had claimed. It does not count as an attempt."""
    held = Token.priority.is_null(False) & (Token.claim_token == claim_token)
    with database.write():
        ids = [row[0] for row in Token.select(Token.id).where(held).tuples()]
        sql.lock_rows(Token.id, ids)
        Token.update(claim_token=None, lease=None).where(Token.id.in_(ids), held).execute()


def next_due_s() -> float | None:
    """Return the seconds until the next queued token can be looked up, 0 for now; None if none is queued.

    A claimed token counts from the end of its lease.
    """
    now = database.now_s()
    free, due = _is_free(), _is_due()
    at = Case(None, [(~free, Token.lease), (~due, Token.next_attempt_at)], now)
    first = Token.select(fn.MIN(at)).where(Token.priority.is_null(False)).scalar()
    return None if first is None else max(0.0, float(first) - now)


# Recording --------------------------------------------------------------------------------------------------------


def record(claim_token: str, outcomes: Iterable[LookupOutcome]) -> list[str]:
    """Record the outcomes of tokens whose claim still holds, and count them for the jobs that wait.

    Returns the ids of the jobs that are done.
    """
    by_id = {one.mint_id: one for one in outcomes}
    for is_last_try in (False, False, True):
        with contextlib.suppress(_WaiterAdded):
            return _record(claim_token, by_id, is_last_try)
    raise AssertionError("the last try raises no _WaiterAdded")


class _WaiterAdded(Exception):
    """A job began to wait for one of the tokens while the rows were being locked."""


def _record(claim_token: str, by_id: dict[int, LookupOutcome], is_last_try: bool) -> list[str]:
    final = sorted(mint_id for mint_id, one in by_id.items() if one.kind in FINAL)
    with database.write():
        waiting = _waiting_jobs(final)
        sql.lock_rows(Job.id, waiting)
        query = Token.select(Token.id, Token.status, Token.decimals).where(
            Token.id.in_(sorted(by_id)), Token.claim_token == claim_token
        )
        claimed = list(sql.for_update(query.order_by(Token.id)).tuples())
        # No job can join from here on. One that joined before has to be locked, and jobs are locked before tokens.
        if not is_last_try and set(_waiting_jobs(final)) - set(waiting):
            raise _WaiterAdded
        now = database.now_s()  # one time for all: what failed together is due together
        kinds = {mint_id: _write(by_id[mint_id], status, decimals, now) for mint_id, status, decimals in claimed}
        return _count({mint_id: kind for mint_id, kind in kinds.items() if kind in FINAL}, waiting)


def _waiting_jobs(mint_ids: Sequence[int]) -> list[str]:
    """Return the live jobs that wait for any of these tokens."""
    waits = JobMint.mint_id.in_(mint_ids) & JobMint.outcome.is_null()
    query = JobMint.select(JobMint.job_id).join(Job, on=(Job.id == JobMint.job_id))
    return sorted(row[0] for row in query.where(waits, Job.state.in_(LIVE_JOB)).distinct().tuples())


def _write(one: LookupOutcome, status: str, decimals: int | None, now: float) -> str:
    """Write the row of a claimed token; return the kind of its outcome.

    `attempts` counts failed requests since the token was queued, plus the one that ended the lookup.
    """
    kind = _kind(one, status)
    values: dict[str, Any] = {"claim_token": None, "lease": None, "asked_at": now}
    if one.is_attempt:
        values["attempts"] = Token.attempts + 1
    if kind == "retry":
        values |= {"last_error": one.error, "next_attempt_at": now + one.delay_s, "stage": one.stage}
        values |= {} if one.partial_answer is None else {"partial_answer": json.dumps(one.partial_answer)}
    elif kind == "next_source":
        values |= {"stage": one.stage, "partial_answer": json.dumps(one.partial_answer or {})}
    else:
        values |= {"priority": None, "stage": 0, "partial_answer": None} | _final_values(
            kind, one, status, decimals, now
        )
    Token.update(**values).where(Token.id == one.mint_id).execute()
    return kind


def _kind(one: LookupOutcome, status: str) -> str:
    """Return the kind to record: a name without a price, because a source failed, does not replace a known price."""
    return "failed" if one.kind == "resolved" and one.error and status == "resolved" else one.kind


def _final_values(kind: str, one: LookupOutcome, status: str, decimals: int | None, now: float) -> dict[str, Any]:
    """Return the columns of a token with a final outcome. A failure keeps the name and price known so far."""
    if kind == "resolved":
        facts = dict(one.facts)
        if decimals is not None:
            facts.pop("decimals", None)  # those of the chain are authoritative
        retry_at = now + FAILED_AGAIN_S if one.error else None
        return facts | {
            "status": "resolved", "is_active": True, "last_updated": now, "last_error": one.error,
            "next_attempt_at": retry_at,
        }  # fmt: skip
    if kind == "unlisted":
        unpriced = dict.fromkeys(("price_usd", "liquidity_usd", "volume_24h_usd", "market_cap_usd", "price_source"))
        retry_at = now + UNLISTED_AGAIN_S
        return unpriced | {"status": "unlisted", "is_active": False, "next_attempt_at": retry_at, "last_error": None}
    kept = status if status == "resolved" else "failed"
    return {"status": kept, "last_error": one.error, "next_attempt_at": now + FAILED_AGAIN_S}


def _count(outcomes: dict[int, str], job_ids: Sequence[str]) -> list[str]:
    """Count final outcomes (mint id → kind) for the jobs that wait for them; return the jobs that are done."""
    here = JobMint.job_id.in_(job_ids) & JobMint.mint_id.in_(sorted(outcomes)) & JobMint.outcome.is_null()
    query = JobMint.select(JobMint.job_id, fn.COUNT(JobMint.mint_id)).where(here).group_by(JobMint.job_id)
    counts = dict(query.tuples())
    for kind in FINAL:
        ids = [mint_id for mint_id, end in outcomes.items() if end == kind]
        if ids:
            JobMint.update(outcome=kind).where(here, JobMint.mint_id.in_(ids)).execute()
    for job_id in sorted(counts):
        Job.update(done=Job.done + counts[job_id], lost_leases=0, attempts=0).where(Job.id == job_id).execute()
    done = Job.select(Job.id).where(Job.id.in_(sorted(counts)), Job.total.is_null(False), Job.done >= Job.total)
    return [row[0] for row in done.tuples()]


def release_dead_claims() -> None:
    """Release what dead workers of this machine had claimed."""
    for claim_token in active_claims():
        if is_gone(claim_token.partition(" ")[0]):
            release(claim_token)
