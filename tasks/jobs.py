"""The life of a job: submit, claim, renew, progress, hand back, finish, cancel. Does no job's work itself.

The row is the truth. A job is claimed by a conditional UPDATE with a new claim token and a lease by the database's
clock; every later write of the claimant is `WHERE claim = token`, and zero changed rows means that somebody else has
the job (`LostClaim`): stop. Running a job twice does no harm.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import EXCLUDED, chunked, fn

from tasks import queues
from tasks.errors import NotFound, WalletkinError
from tasks.holders import this_process
from tasks.records import database
from tasks.records.models import Job, JobAnalysis, JobEvent

LEASE_S = 60.0
RENEW_EVERY_S = 15.0
MOST_ATTEMPTS = 5
MOST_LOST_LEASES = 20
DUE_SLACK_S = 1.0  # a delayed message goes by another clock than the row
LIVE = ("queued", "running")
ENDED = ("succeeded", "failed", "cancelled")
CHUNK = 400
AT_ONCE = 200  # so many messages are put into a queue while somebody waits for the page


class LostClaim(WalletkinError):
    """Another worker has this job now, or it was cancelled: whatever was being done for it must stop."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process holds, and the token that proves it."""

    job_id: str
    queue: str
    kind: str
    subject: str
    tier: int
    priority: int
    attempts: int
    token: str


def submit(
    kind: str, subjects: Sequence[str], tier: int, *, queue: str = "pipeline", analysis_id: int | None = None
) -> dict[str, str]:
    """Make a job for each subject, or join the one that is under way; return subject → job id.

    Call it inside a write transaction and `announce` the ids after the commit. A job that is joined takes the higher
    tier and the newer place. An empty list gives an empty mapping.
    """
    number = queues.priority(tier)
    job_ids: dict[str, str] = {}
    for part in chunked(sorted(set(subjects)), CHUNK):
        _insert_new(kind, part, tier, queue, number)
        rows = Job.select(Job.subject, Job.id).where(Job.kind == kind, Job.subject.in_(part), Job.state.in_(LIVE))
        job_ids.update(rows.tuples())
        ids = [job_ids[subject] for subject in part]
        Job.update(priority=number, tier=tier).where(Job.id.in_(ids), Job.priority < number).execute()
        if analysis_id is not None:
            _attach(ids, analysis_id)
    return job_ids


def _insert_new(kind: str, subjects: Iterable[str], tier: int, queue: str, number: int) -> None:
    """Insert a queued job, with its first event, for each subject that has none under way."""
    taken = Job.select(Job.subject).where(Job.kind == kind, Job.subject.in_(subjects), Job.state.in_(LIVE))
    missing = set(subjects) - {row[0] for row in taken.tuples()}
    if not missing:
        return
    now = database.now_s()
    ids = [secrets.token_hex(16) for _ in missing]
    fields = (Job.id, Job.queue, Job.kind, Job.subject, Job.tier, Job.priority, Job.enqueued_at)
    rows = [(i, queue, kind, subject, tier, number, now) for i, subject in zip(ids, sorted(missing), strict=True)]
    database.insert_rows(Job, fields, rows)
    made = {row[0] for row in Job.select(Job.id).where(Job.id.in_(ids)).tuples()}
    events = [(i, now, "queued", None) for i in ids if i in made]
    database.insert_rows(JobEvent, (JobEvent.job_id, JobEvent.at, JobEvent.state, JobEvent.detail), events)


def _attach(ids: Sequence[str], analysis_id: int) -> None:
    rows = [(job_id, analysis_id, "waiting") for job_id in ids]
    (
        JobAnalysis.insert_many(rows, fields=[JobAnalysis.job_id, JobAnalysis.analysis_id, JobAnalysis.state])
        .on_conflict(
            conflict_target=[JobAnalysis.job_id, JobAnalysis.analysis_id],
            update={JobAnalysis.state: EXCLUDED.state},
        )
        .execute()
    )


def claim(job_id: str) -> Claim | None:
    """Take a job, or return None: it has ended, somebody holds it, or it is not due yet."""
    token = secrets.token_hex(8)
    now = database.clock()
    with database.write():
        before = Job.get_or_none(Job.id == job_id)
        if before is None or before.state not in LIVE:
            return None
        was_lost = before.claim is not None
        changed = (
            Job.update(
                claim=token,
                holder=this_process(),
                lease_until=now + LEASE_S,
                state="running",
                started_at=fn.COALESCE(Job.started_at, now),
                lost_leases=Job.lost_leases + (1 if was_lost else 0),
            )
            .where(Job.id == job_id, is_claimable(), Job.due_at.is_null() | (Job.due_at <= now + DUE_SLACK_S))
            .execute()
        )
        if not changed:
            return None
        if was_lost and before.lost_leases + 1 >= MOST_LOST_LEASES:
            _end(job_id, "failed", f"Given up: its worker was lost {MOST_LOST_LEASES} times.")
            return None
        if before.state == "queued":
            _event(job_id, "running", None)
        elif was_lost:
            _event(job_id, "running", "taken over from a worker that was lost")
    return Claim(
        job_id, before.queue, before.kind, before.subject, before.tier, before.priority, before.attempts, token
    )


def is_claimable() -> Any:
    """Nobody holds it, or the lease is void: past, or more than a whole lease ahead (a clock was set back)."""
    now = database.clock()
    void = (Job.lease_until < now) | (Job.lease_until > now + LEASE_S)
    return Job.state.in_(LIVE) & (Job.claim.is_null() | Job.lease_until.is_null() | void)


def fence(claim: Claim, **progress: Any) -> None:
    """Renew the lease, with `done` and `total` where given. First statement of every write made for a job.

    Raises LostClaim when the job is no longer ours.
    """
    changes = {"lease_until": database.clock() + LEASE_S, **progress}
    changed = Job.update(**changes).where(Job.id == claim.job_id, Job.claim == claim.token).execute()
    if not changed:
        raise LostClaim(f"Job {claim.job_id} is no longer ours.")


def renew(claims: Iterable[Claim]) -> list[Claim]:
    """Renew several leases and return the claims that were found lost."""
    lost = []
    for held in claims:
        try:
            with database.write():
                fence(held)
        except LostClaim:
            lost.append(held)
    return lost


def is_wanted(job_id: str) -> bool:
    """Whether the job is still to be done: nobody ever waited for it, or somebody still does."""
    states = {row[0] for row in JobAnalysis.select(JobAnalysis.state).where(JobAnalysis.job_id == job_id).tuples()}
    return not states or "waiting" in states


def hand_back(claim: Claim, delay_s: float | None = None, *, error: str | None = None) -> None:
    """Give the rest of a job back at its old priority, to be taken again at once or after a delay.

    With an `error` it counts as an attempt and says so in the events.
    """
    due = None if delay_s is None else database.clock() + delay_s
    values: dict[str, Any] = {"claim": None, "holder": None, "lease_until": None, "due_at": due}
    if error is not None:
        values |= {"attempts": Job.attempts + 1, "error": error, "state": "queued"}
    with database.write():
        fence(claim)
        Job.update(**values).where(Job.id == claim.job_id).execute()
        if error is not None:
            _event(claim.job_id, "queued", error)
    announce([claim.job_id], delay_s=delay_s)


def finish(claim: Claim, state: str, error: str | None = None, detail: str | None = None) -> None:
    """End a job that we hold; call it inside the write transaction that stores its outcome.

    What succeeds or fails was an attempt, and counts as one.
    """
    fence(claim, **({} if state == "cancelled" else {"attempts": Job.attempts + 1}))
    _end(claim.job_id, state, error, detail)


def _end(job_id: str, state: str, error: str | None = None, detail: str | None = None) -> None:
    Job.update(
        state=state, error=error, claim=None, holder=None, lease_until=None, due_at=None, finished_at=database.clock()
    ).where(Job.id == job_id).execute()
    _event(job_id, state, error or detail)


def _event(job_id: str, state: str, detail: str | None) -> None:
    JobEvent.insert(job_id=job_id, at=database.now_s(), state=state, detail=detail).execute()


def cancel(job_id: str) -> bool:
    """Cancel a job for everybody that waits for it. False when it had ended already; NotFound when there is none.

    A job at work stops at its next write, since its claim is gone.
    """
    with database.write():
        job = Job.get_or_none(Job.id == job_id)
        if job is None:
            raise NotFound("There is no such job.")
        if job.state in ENDED:
            return False
        JobAnalysis.update(state="cancelled").where(JobAnalysis.job_id == job_id).execute()
        _end(job_id, "cancelled")
    return True


def detach(analysis_id: int) -> None:
    """Let go of every job that an analysis waits for, and cancel those that nobody else waits for.

    Call it inside a write transaction.
    """
    mine = JobAnalysis.analysis_id == analysis_id
    ids = [row[0] for row in JobAnalysis.select(JobAnalysis.job_id).where(mine).tuples()]
    JobAnalysis.update(state="cancelled").where(mine, JobAnalysis.state == "waiting").execute()
    for part in chunked(ids, CHUNK):
        wanted = JobAnalysis.select(JobAnalysis.job_id).where(
            JobAnalysis.job_id.in_(part), JobAnalysis.state == "waiting"
        )
        for (job_id,) in (
            Job.select(Job.id).where(Job.id.in_(part), Job.state.in_(LIVE), Job.id.not_in(wanted)).tuples()
        ):
            _end(job_id, "cancelled")


def waiting_analyses(job_id: str) -> list[int]:
    """Return the ids of the analyses that wait for a job."""
    query = JobAnalysis.select(JobAnalysis.analysis_id).where(
        JobAnalysis.job_id == job_id, JobAnalysis.state == "waiting"
    )
    return [row[0] for row in query.tuples()]


def announce(job_ids: Iterable[str], *, delay_s: float | None = None) -> None:
    """Put a message for each job into its queue. Call it after the commit that made the jobs.

    Of very many the first are announced here, the rest by a worker. A job whose message is lost is found by `recover`.
    """
    ids = list(job_ids)
    for part in chunked(ids[:AT_ONCE], CHUNK):
        for job_id, queue, number in _announceable(part):
            queues.send(queue, job_id, number, delay_s)
        with database.write():
            Job.update(announced_at=database.clock()).where(Job.id.in_(part)).execute()
    if len(ids) > AT_ONCE:
        for (queue,) in Job.select(Job.queue).where(Job.id.in_(ids[-1:])).tuples():
            queues.ask_to_announce(queue)


def announce_rest(queue: str) -> None:
    """Announce the jobs of a queue that have no message yet, those with the highest priority first."""
    while True:
        query = Job.select(Job.id).where(Job.queue == queue, Job.state == "queued", Job.announced_at.is_null())
        ids = [row[0] for row in query.order_by(Job.priority.desc()).limit(AT_ONCE).tuples()]
        if not ids:
            return
        announce(ids)


def _announceable(job_ids: Sequence[str]) -> list[tuple[str, str, int]]:
    query = Job.select(Job.id, Job.queue, Job.priority).where(Job.id.in_(job_ids), Job.state.in_(LIVE))
    return list(query.tuples())
