"""Who waits for news of which tokens: asking for mints, taking the next pack, keeping what was heard of it.

A wanted mint has a priority, its place in the one order of all requests (tier, then newest first). Whoever asks a
source claims the rows first, so that a mint under way is never asked for twice, and writes only rows that are still
its own. Asks no market itself, and computes no place.

On PostgreSQL rows are locked in one order by everybody: jobs, then tokens, each by id.
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
LONGEST_WAIT_S = 180.0  # no retry is further off: what seems so was dated before the clock was set back
UNLISTED_AGAIN_S = 6 * 3600.0
FAILED_AGAIN_S = 3600.0
CHUNK = 500

ENDS = ("resolved", "unlisted", "failed")
FACTS = ("name", "symbol", "image_url", "price_usd", "liquidity_usd", "volume_24h_usd", "market_cap_usd")


@dataclass(frozen=True, slots=True)
class QueuedToken:
    """A claimed mint: how often asking for it failed, and what the sources before this one said."""

    mint_id: int
    mint: str
    attempts: int
    priority: int
    partial_answer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LookupOutcome:
    """What became of a claimed mint.

    `kind` is one of ENDS, or "next" (another source is to be asked, at `stage`) or "again" (the same one, after
    `delay_s`). `facts` are columns of the registry; `heard` is carried to the next source.
    """

    mint_id: int
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    stage: int = 0
    delay_s: float = 0.0
    partial_answer: dict[str, Any] | None = None
    is_attempt: bool = True


# Asking -----------------------------------------------------------------------------------------------------------


def enqueue(job_id: str, places: Sequence[tuple[int, int]]) -> None:
    """Let a job wait for mints: (mint id, priority) each. Call inside a write transaction that holds the job's row.

    A mint that is wanted already keeps what was heard of it and takes the higher place; any other starts afresh.
    """
    numbers = dict(places)
    for part in chunked(sorted(numbers), CHUNK):
        sql.insert_rows(JobMint, (JobMint.job_id, JobMint.mint_id), [(job_id, mint_id) for mint_id in part])
        JobMint.update(outcome=None).where(JobMint.job_id == job_id, JobMint.mint_id.in_(part)).execute()
        sql.lock_rows(Token.id, part)
        by_number: dict[int, list[int]] = {}
        for mint_id in part:
            by_number.setdefault(numbers[mint_id], []).append(mint_id)
        for number, ids in by_number.items():
            _raise(ids, number)


def _raise(mint_ids: Sequence[int], number: int) -> None:
    t = Token
    fresh = t.priority.is_null()
    by_user = number >= ASKED_BY_USER
    again = ("failed", "unlisted") if by_user else ("failed",)
    t.update(
        status=Case(None, [(t.status.in_(again), "pending")], t.status),
        attempts=Case(None, [(fresh, 0)], t.attempts),
        stage=Case(None, [(fresh, 0)], t.stage),
        partial_answer=Case(None, [(fresh, None)], t.partial_answer),
        last_error=Case(None, [(fresh, None)], t.last_error),
        next_attempt_at=None if by_user else Case(None, [(fresh, None)], t.next_attempt_at),
        priority=Case(None, [(fresh | (t.priority < number), number)], t.priority),
    ).where(t.id.in_(mint_ids)).execute()


# Claiming ---------------------------------------------------------------------------------------------------------


def _is_free() -> Any:
    now = database.clock()
    return Token.claim_token.is_null() | Token.lease.is_null() | (Token.lease < now) | (Token.lease > now + LEASE_S)


def _is_due() -> Any:
    """Its wait after a failure is over, or lies so far ahead that the clock must have been set back."""
    now, at = database.clock(), Token.next_attempt_at
    return at.is_null() | (at <= now) | (at > now + LONGEST_WAIT_S)


def _at(stage: int) -> Any:
    return Token.priority.is_null(False) & (Token.stage == stage)


def next_priority(stage: int, full: int, *, patient: bool = True) -> int | None:
    """Return the highest place of a mint that can be asked for now at a stage; None when nothing is to be sent.

    At a later stage fewer than `full` mints are kept back while others that the same jobs wait for, of their tier or a
    higher one, may yet join them; not when `patient` is False.
    """
    free = _at(stage) & _is_free() & _is_due()
    best: int | None = Token.select(Token.priority).where(free).order_by(Token.priority.desc()).limit(1).scalar()
    if best is None or stage == 0 or not patient:
        return best
    here = [row[0] for row in Token.select(Token.id).where(free).limit(full).tuples()]
    return best if len(here) >= full or not _more_may_come(stage - 1, here, floor_of(best)) else None


def _more_may_come(stage: int, mint_ids: Sequence[int], least: int) -> bool:
    """Whether a job that waits for these mints waits for one at an earlier stage too, with at least this place."""
    of = JobMint.alias()
    waiting = JobMint.select(JobMint.job_id).where(JobMint.mint_id.in_(mint_ids), JobMint.outcome.is_null()).distinct()
    theirs = of.select(of.mint_id).where(of.mint_id == Token.id, of.outcome.is_null(), of.job_id.in_(waiting))
    coming = Token.select(Token.id).where(_at(stage), Token.priority >= least, _is_due(), fn.EXISTS(theirs))
    return bool(coming.limit(1).count())


def claim_tokens(stage: int, most: int, token: str, *, older_than: int | None = None) -> list[QueuedToken]:
    """Take up to `most` mints of a stage for LEASE_S seconds, the highest places first.

    With `older_than` only places below it, of the same tier, and the lowest first: what has waited longest.
    """
    t = Token
    query = t.select(t.id, t.mint, t.attempts, t.priority, t.partial_answer).where(_at(stage), _is_free(), _is_due())
    if older_than is None:
        query = query.order_by(t.priority.desc())
    else:
        query = query.where(t.priority.between(floor_of(older_than), older_than)).order_by(t.priority)
    query = query.limit(most)
    with database.write():
        if not database.is_sqlite():
            query = query.for_update("FOR UPDATE SKIP LOCKED")
        rows = [*query.tuples()]
        ids = [row[0] for row in rows]
        t.update(claim_token=token, lease=database.clock() + LEASE_S).where(t.id.in_(ids)).execute()
    return [QueuedToken(a, b, c, d, json.loads(heard) if heard else {}) for a, b, c, d, heard in rows]


def reset_stage(stages: int) -> None:
    """Begin anew with mints that wait for a source which the settings no longer name."""
    beyond = Token.priority.is_null(False) & (Token.stage >= stages)
    ids = [row[0] for row in Token.select(Token.id).where(beyond).tuples()]
    for part in chunked(ids, CHUNK):
        with database.write():
            sql.lock_rows(Token.id, part)
            Token.update(stage=0, partial_answer=None).where(Token.id.in_(part), beyond).execute()


def renew(token: str, mint_ids: Sequence[int]) -> None:
    """Keep what was claimed with a token for another LEASE_S seconds."""
    with database.write():
        sql.lock_rows(Token.id, mint_ids)
        Token.update(lease=database.clock() + LEASE_S).where(
            Token.id.in_(mint_ids), Token.claim_token == token
        ).execute()


def claims() -> set[str]:
    """Return the tokens of all claims."""
    query = (
        Token.select(Token.claim_token)
        .where(Token.priority.is_null(False), Token.claim_token.is_null(False))
        .distinct()
    )
    return {row[0] for row in query.tuples()}


def release(token: str) -> None:
    """Give back what a worker that is gone had claimed. It was no attempt."""
    held = Token.priority.is_null(False) & (Token.claim_token == token)
    with database.write():
        ids = [row[0] for row in Token.select(Token.id).where(held).tuples()]
        sql.lock_rows(Token.id, ids)
        Token.update(claim_token=None, lease=None).where(Token.id.in_(ids), held).execute()


def next_due_s() -> float | None:
    """Return in how many seconds the next wanted mint can be asked for; None when none is wanted.

    0 when one can be now. A claimed one counts from the end of its lease.
    """
    now = database.now_s()
    free, due = _is_free(), _is_due()
    at = Case(None, [(~free, Token.lease), (~due, Token.next_attempt_at)], now)
    first = Token.select(fn.MIN(at)).where(Token.priority.is_null(False)).scalar()
    return None if first is None else max(0.0, float(first) - now)


# Recording --------------------------------------------------------------------------------------------------------


def record(token: str, news: Iterable[LookupOutcome]) -> list[str]:
    """Keep what was heard of claimed mints, where the claim still holds, and count it for the jobs that wait.

    Returns the ids of the jobs that wait for nothing more.
    """
    by_id = {one.mint_id: one for one in news}
    for last in (False, False, True):
        with contextlib.suppress(_WaiterAdded):
            return _record(token, by_id, last)
    raise AssertionError("the last try records whoever joined")


class _WaiterAdded(Exception):
    """A job began to wait for one of the mints while the rows were being held."""


def _record(token: str, by_id: dict[int, LookupOutcome], last: bool) -> list[str]:
    ended = sorted(mint_id for mint_id, one in by_id.items() if one.kind in ENDS)
    with database.write():
        waiting = _waiting(ended)
        sql.lock_rows(Job.id, waiting)
        query = Token.select(Token.id, Token.status, Token.decimals).where(
            Token.id.in_(sorted(by_id)), Token.claim_token == token
        )
        mine = list(sql.for_update(query.order_by(Token.id)).tuples())
        # Only now can nobody join any more. Whoever did is to be counted too, and jobs are held before tokens.
        if not last and set(_waiting(ended)) - set(waiting):
            raise _WaiterAdded
        now = database.now_s()  # one moment for all: what failed together comes due together
        kinds = {mint_id: _write(by_id[mint_id], status, decimals, now) for mint_id, status, decimals in mine}
        return _count({mint_id: kind for mint_id, kind in kinds.items() if kind in ENDS}, waiting)


def _waiting(mint_ids: Sequence[int]) -> list[str]:
    """Return the live jobs that wait for any of these mints."""
    waits = JobMint.mint_id.in_(mint_ids) & JobMint.outcome.is_null()
    query = JobMint.select(JobMint.job_id).join(Job, on=(Job.id == JobMint.job_id))
    return sorted(row[0] for row in query.where(waits, Job.state.in_(LIVE_JOB)).distinct().tuples())


def _write(one: LookupOutcome, status: str, decimals: int | None, now: float) -> str:
    """Write the row of a claimed mint; return what its asking came to."""
    kind = _kind(one, status)
    values: dict[str, Any] = {"claim_token": None, "lease": None, "asked_at": now}
    if one.is_attempt:
        values["attempts"] = Token.attempts + 1
    if kind == "again":
        values |= {"last_error": one.error, "next_attempt_at": now + one.delay_s, "stage": one.stage}
        values |= {} if one.partial_answer is None else {"partial_answer": json.dumps(one.partial_answer)}
    elif kind == "next":
        values |= {"stage": one.stage, "partial_answer": json.dumps(one.partial_answer or {})}
    else:
        values |= {"priority": None, "stage": 0, "partial_answer": None} | _ending(kind, one, status, decimals, now)
    Token.update(**values).where(Token.id == one.mint_id).execute()
    return kind


def _kind(one: LookupOutcome, status: str) -> str:
    """A name without a price, because a source that may have it did not answer, is no news of a token that had one."""
    return "failed" if one.kind == "resolved" and one.error and status == "resolved" else one.kind


def _ending(kind: str, one: LookupOutcome, status: str, decimals: int | None, now: float) -> dict[str, Any]:
    """The columns of a mint whose asking has ended. What was once known of it outlives a failure."""
    if kind == "resolved":
        facts = dict(one.facts)
        if decimals is not None:
            facts.pop("decimals", None)  # the chain's word stands
        again = now + FAILED_AGAIN_S if one.error else None
        return facts | {
            "status": "resolved", "is_active": True, "last_updated": now, "last_error": one.error,
            "next_attempt_at": again,
        }  # fmt: skip
    if kind == "unlisted":
        gone = dict.fromkeys(("price_usd", "liquidity_usd", "volume_24h_usd", "market_cap_usd", "price_source"))
        again = now + UNLISTED_AGAIN_S
        return gone | {"status": "unlisted", "is_active": False, "next_attempt_at": again, "last_error": None}
    kept = status if status == "resolved" else "failed"
    return {"status": kept, "last_error": one.error, "next_attempt_at": now + FAILED_AGAIN_S}


def _count(outcomes: dict[int, str], job_ids: Sequence[str]) -> list[str]:
    """Note the outcomes with the jobs that wait for them; return the jobs that are through."""
    here = JobMint.job_id.in_(job_ids) & JobMint.mint_id.in_(sorted(outcomes)) & JobMint.outcome.is_null()
    query = JobMint.select(JobMint.job_id, fn.COUNT(JobMint.mint_id)).where(here).group_by(JobMint.job_id)
    counts = dict(query.tuples())
    for kind in ENDS:
        ids = [mint_id for mint_id, end in outcomes.items() if end == kind]
        if ids:
            JobMint.update(outcome=kind).where(here, JobMint.mint_id.in_(ids)).execute()
    for job_id in sorted(counts):
        Job.update(done=Job.done + counts[job_id], lost_leases=0, attempts=0).where(Job.id == job_id).execute()
    through = Job.select(Job.id).where(Job.id.in_(sorted(counts)), Job.total.is_null(False), Job.done >= Job.total)
    return [row[0] for row in through.tuples()]


def release_mints() -> None:
    """Give back at once what workers of this machine that are gone were asking a market for."""
    for token in claims():
        if is_gone(token.partition(" ")[0]):
            release(token)
