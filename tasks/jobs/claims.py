"""The life of a job from its claim to its end: renew, progress, requeue, finish.

The row is the truth. A conditional UPDATE claims a job with a new claim token and a lease by the database's clock.
Every later write is `WHERE claim_token = token`; zero changed rows mean that another worker has the job (`LostClaim`),
so stop. Running a job twice does no harm.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from peewee import fn

from tasks.errors import WalletkinError
from tasks.jobs import announce, states
from tasks.jobs.process import process_id
from tasks.settings import timing
from tasks.storage import database
from tasks.storage.models.base import db
from tasks.storage.models.jobs import Job

log = logging.getLogger("walletkin.jobs")

MOST_ATTEMPTS = 5
MOST_LOST_LEASES = 20


class LostClaim(WalletkinError):
    """Another worker has this job now, or it was cancelled: stop working on it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process holds, and the fencing token that proves it."""

    job_id: str
    queue: str
    kind: str
    target: str
    tier: int
    priority: int
    token: str
    lost_leases: int = 0

    @property
    def is_poison(self) -> bool:
        """Whether so many workers died with this job that it must be the cause."""
        return self.lost_leases >= MOST_LOST_LEASES


def claim_job(job_id: str) -> Claim | None:
    """Claim a job; None if it has ended, is held by another worker, or is not due yet."""
    token = secrets.token_hex(8)
    now = database.clock()
    with database.write():
        before = Job.get_or_none(Job.id == job_id)
        if before is None or before.state not in states.LIVE:
            return None
        was_lost = before.claim_token is not None
        changed = (
            Job.update(
                claim_token=token,
                holder=process_id(),
                lease_until=now + timing().lease_s,
                state="running",
                started_at=fn.COALESCE(Job.started_at, now),
                lost_leases=Job.lost_leases + (1 if was_lost else 0),
            )
            .where(Job.id == job_id, states.is_claimable(), states.is_due(states.DUE_SLACK_S))
            .execute()
        )
        if not changed:
            return None
        if before.state == "queued":
            _event(job_id, "running", None)
        elif was_lost:
            _event(job_id, "running", "taken over from a lost worker")
    lost = before.lost_leases + (1 if was_lost else 0)
    return Claim(job_id, before.queue, before.kind, before.target, before.tier, before.priority, token, lost)


def renew_or_raise(claim: Claim, **progress: Any) -> None:
    """Renew the lease and store the given columns (`done`, `total`). First statement of every write made for a job.

    Raises LostClaim when this process no longer holds the job.
    """
    changes = {"lease_until": database.clock() + timing().lease_s, **progress}
    changed = Job.update(**changes).where(Job.id == claim.job_id, Job.claim_token == claim.token).execute()
    if not changed:
        raise LostClaim(f"Job {claim.job_id} is held by another worker or has ended.")


def renew(claims: Iterable[Claim]) -> list[Claim]:
    """Renew several leases; return the claims that are lost."""
    lost = []
    for held in claims:
        try:
            with database.write():
                renew_or_raise(held)
        except LostClaim:
            lost.append(held)
    return lost


def attempts(job_id: str) -> int:
    """Return how many attempts of a job have failed since it last made progress."""
    return int(Job.select(Job.attempts).where(Job.id == job_id).scalar() or 0)


def requeue(claim: Claim, delay_s: float | None = None, *, error: str | None = None) -> None:
    """Put the rest of a job back into the queue at its old priority, at once or after a delay.

    With an `error` it counts as a failed attempt and becomes an event. Raises LostClaim.
    """
    due = None if delay_s is None else database.clock() + delay_s
    values: dict[str, Any] = {"claim_token": None, "holder": None, "lease_until": None, "run_after": due}
    if error is not None:
        values |= {"attempts": Job.attempts + 1, "error": error, "state": "queued"}
    with database.write():
        renew_or_raise(claim)
        Job.update(**values).where(Job.id == claim.job_id).execute()
        if error is not None:
            _event(claim.job_id, "queued", error)
    announce.announce([claim.job_id])


def abandon(claim: Claim, delay_s: float) -> None:
    """Void the claim after a delay, as if this worker had died: the next claim counts a lost lease.

    Raises LostClaim. Opens a new connection first, because the old one may be broken.
    """
    db.close()
    db.connect()
    with database.write():
        renew_or_raise(claim)
        # Under another token, so that the lease renewal of this process cannot revive the claim.
        void = {"claim_token": secrets.token_hex(8), "lease_until": 0}
        due = database.clock() + delay_s
        Job.update(**void, run_after=due, announced_at=None).where(Job.id == claim.job_id).execute()
    announce.announce([claim.job_id])


def finish(claim: Claim, state: str, error: str | None = None, detail: str | None = None) -> None:
    """End a held job, inside the write transaction that stores its outcome. Raises LostClaim.

    Success and failure count as an attempt, cancelling does not.
    """
    renew_or_raise(claim, **({} if state == "cancelled" else {"attempts": Job.attempts + 1}))
    end(claim.job_id, state, error, detail)


def end_idle(job_id: str, state: str, error: str | None = None, detail: str | None = None) -> bool:
    """End an unclaimed job whose work is done, inside a write transaction. False if it is claimed or has ended."""
    ended = end(job_id, state, error, detail, unclaimed=True)
    if ended:
        Job.update(started_at=fn.COALESCE(Job.started_at, Job.enqueued_at)).where(Job.id == job_id).execute()
    return ended


def set_counts(job_id: str, counts: Mapping[str, int]) -> None:
    """Store the counts of a job's outcome."""
    Job.update(counts=json.dumps(dict(counts))).where(Job.id == job_id).execute()


def end(
    job_id: str, state: str, error: str | None = None, detail: str | None = None, *, unclaimed: bool = False
) -> bool:
    """End a live job (with `unclaimed`: only if it is not claimed); False if there is none."""
    still = Job.state.in_(states.LIVE) & Job.claim_token.is_null() if unclaimed else Job.state.in_(states.LIVE)
    changed = (
        Job.update(
            state=state, error=error, claim_token=None, holder=None, lease_until=None, run_after=None,
            finished_at=database.clock(),
        )
        .where(Job.id == job_id, still)
        .execute()
    )  # fmt: skip
    if changed:
        _event(job_id, state, error or detail)
    return bool(changed)


def _event(job_id: str, state: str, detail: str | None) -> None:
    states.record_events([job_id], database.now_s(), state, detail)
