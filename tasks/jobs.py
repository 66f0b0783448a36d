"""The life of a job from its claim on: renew, progress, hand back, finish, cancel. Does no job's work itself.

The row is the truth. A job is claimed by a conditional UPDATE with a new claim token and a lease by the database's
clock; every later write of the claimant is `WHERE claim = token`, and zero changed rows means that somebody else has
the job (`LostClaim`): stop. Running a job twice does no harm.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, chunked, fn

from tasks import queues
from tasks.errors import NotFound, WalletkinError
from tasks.holders import this_process
from tasks.records import database
from tasks.records.models import LIVE_JOB, Job, JobAnalysis, JobEvent

log = logging.getLogger("walletkin.jobs")

LEASE_S = 60.0
RENEW_EVERY_S = 15.0
MOST_ATTEMPTS = 5
MOST_LOST_LEASES = 20
DUE_SLACK_S = 1.0  # a delayed message goes by another clock than the row
MOST_DELAY_S = 900.0  # nothing is put off for longer: what seems to be was dated before the clock was set back
LIVE = LIVE_JOB
ENDED = ("succeeded", "failed", "cancelled")
OVER = ("complete", "failed", "cancelled")  # states of an analysis that waits for nothing any more
WAITERS_READ = (
    "SELECT j.queue, ja.state, a.state FROM job j LEFT JOIN job_analysis ja ON ja.job_id = j.id "
    "LEFT JOIN analysis a ON a.id = ja.analysis_id WHERE j.id = ?"
)
CHUNK = 400
AT_ONCE = 200  # so many messages are put into a queue while somebody waits for the page


class LostClaim(WalletkinError):
    """Another worker has this job now, or it was cancelled: whatever was being done for it must stop."""


class Unwanted(WalletkinError):
    """Nobody waits for this job any more; it ends as cancelled."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process holds, and the token that proves it."""

    job_id: str
    queue: str
    kind: str
    subject: str
    tier: int
    priority: int
    token: str
    lost_leases: int = 0

    @property
    def is_poison(self) -> bool:
        """Whether so many workers were lost over this job that it must be what kills them."""
        return self.lost_leases >= MOST_LOST_LEASES


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
            .where(Job.id == job_id, is_claimable(), is_due(DUE_SLACK_S))
            .execute()
        )
        if not changed:
            return None
        if before.state == "queued":
            _event(job_id, "running", None)
        elif was_lost:
            _event(job_id, "running", "taken over from a worker that was lost")
    lost = before.lost_leases + (1 if was_lost else 0)
    return Claim(job_id, before.queue, before.kind, before.subject, before.tier, before.priority, token, lost)


def is_claimable() -> Any:
    """Nobody holds it, or the lease is void: past, or more than a whole lease ahead (a clock was set back)."""
    now = database.clock()
    void = (Job.lease_until < now) | (Job.lease_until > now + LEASE_S)
    return Job.state.in_(LIVE) & (Job.claim.is_null() | Job.lease_until.is_null() | void)


def is_due(slack_s: float = 0.0) -> Any:
    """It is not put off, or the time that it was put off to has come."""
    now = database.clock()
    return Job.due_at.is_null() | (Job.due_at <= now + slack_s) | (Job.due_at > now + MOST_DELAY_S)


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
    """Whether the job is still to be done: nobody ever waited for it, or an analysis that runs still does.

    Enrichment begins when an analysis is complete: only one that was cancelled does not want it any more.
    """
    waiters = [row for row in database.rows(WAITERS_READ, job_id) if row[1] is not None]
    return not waiters or any(
        state == "waiting" and at not in (("cancelled",) if queue == "enrichment" else OVER)
        for queue, state, at in waiters
    )


def check_wanted(claim: Claim) -> None:
    """Raise Unwanted when nobody waits for the job any more."""
    if not is_wanted(claim.job_id):
        raise Unwanted(f"Nobody waits for job {claim.job_id} any more.")


def attempts(job_id: str) -> int:
    """Return how many attempts of a job have failed since it last made progress."""
    return int(Job.select(Job.attempts).where(Job.id == job_id).scalar() or 0)


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
    announce([claim.job_id])


def lose(claim: Claim, delay_s: float) -> None:
    """Let a job be taken from us after a delay, as if this worker had died: the next claim counts a lost lease.

    Raises LostClaim when it was taken already. The connection may be a broken one: a new one is taken instead.
    """
    database.db.close()
    database.db.connect()
    with database.write():
        fence(claim)
        due = database.clock() + delay_s
        Job.update(lease_until=0, due_at=due, announced_at=None).where(Job.id == claim.job_id).execute()
    announce([claim.job_id])


def finish(claim: Claim, state: str, error: str | None = None, detail: str | None = None) -> None:
    """End a job that we hold; call it inside the write transaction that stores its outcome.

    What succeeds or fails was an attempt, and counts as one.
    """
    fence(claim, **({} if state == "cancelled" else {"attempts": Job.attempts + 1}))
    _end(claim.job_id, state, error, detail)


def end_idle(job_id: str, state: str, error: str | None = None, detail: str | None = None) -> bool:
    """End a job whose work others have done, if nobody holds it; inside a write transaction. False when it goes on."""
    ended = _end(job_id, state, error, detail, unclaimed=True)
    if ended:
        Job.update(started_at=fn.COALESCE(Job.started_at, Job.enqueued_at)).where(Job.id == job_id).execute()
    return ended


def set_counts(job_id: str, counts: Mapping[str, int]) -> None:
    """Write what a job came to, in numbers."""
    Job.update(counts=json.dumps(dict(counts))).where(Job.id == job_id).execute()


def _end(
    job_id: str, state: str, error: str | None = None, detail: str | None = None, *, unclaimed: bool = False
) -> bool:
    """End a job that has not ended yet (with `unclaimed`: and that nobody holds); False when there is none."""
    still = Job.state.in_(LIVE) & Job.claim.is_null() if unclaimed else Job.state.in_(LIVE)
    changed = (
        Job.update(
            state=state, error=error, claim=None, holder=None, lease_until=None, due_at=None,
            finished_at=database.clock(),
        )
        .where(Job.id == job_id, still)
        .execute()
    )  # fmt: skip
    if changed:
        _event(job_id, state, error or detail)
    return bool(changed)


def _event(job_id: str, state: str, detail: str | None) -> None:
    record_events([job_id], database.now_s(), state, detail)


def record_events(job_ids: Iterable[str], at: float, state: str, detail: str | None = None) -> None:
    """Add a change of state to the log of several jobs."""
    fields = (JobEvent.job_id, JobEvent.at, JobEvent.state, JobEvent.detail)
    database.insert_rows(JobEvent, fields, [(job_id, at, state, detail) for job_id in job_ids])


def hold(job_id: str) -> Job:
    """Return a job's row, held until the end of the write transaction around. Raises NotFound."""
    found: Job | None = database.held(Job.select().where(Job.id == job_id)).get_or_none()
    if found is None:
        raise NotFound("There is no such job.")
    return found


def cancel(job_id: str) -> bool:
    """Cancel a job for everybody that waits for it. False when it had ended already; NotFound when there is none.

    A job at work stops at its next write, since its claim is gone.
    """
    with database.write():
        hold(job_id)
        JobAnalysis.update(state="cancelled").where(JobAnalysis.job_id == job_id).execute()
        return _end(job_id, "cancelled")


def detach(analysis_id: int) -> None:
    """Let go of every job that an analysis waits for, and cancel those that nobody else waits for.

    In short transactions of its own: meanwhile `is_wanted` knows already that the analysis is over.
    """
    mine = (JobAnalysis.analysis_id == analysis_id) & (JobAnalysis.state == "waiting")
    ids = sorted(row[0] for row in JobAnalysis.select(JobAnalysis.job_id).where(mine).tuples())
    for part in chunked(ids, CHUNK):
        with database.write():
            JobAnalysis.update(state="cancelled").where(mine, JobAnalysis.job_id.in_(part)).execute()
            live = Job.select(Job.id).where(Job.id.in_(part), Job.state.in_(LIVE)).order_by(Job.id)
            held = {row[0] for row in database.held(live).tuples()}
            wanted = JobAnalysis.select(JobAnalysis.job_id).where(
                JobAnalysis.job_id.in_(part), JobAnalysis.state == "waiting"
            )
            over = sorted(held - {row[0] for row in wanted.tuples()})
            now = database.now_s()
            Job.update(
                state="cancelled", claim=None, holder=None, lease_until=None, due_at=None, finished_at=now
            ).where(Job.id.in_(over)).execute()
            record_events(over, now, "cancelled")


def let_go(analysis_id: int, kind: str) -> None:
    """Say that an analysis no longer waits for its jobs of a kind, which are its own: what has not begun ends here.

    What is at work is left to see for itself that nobody waits (`check_wanted`): its row may be held by a worker that
    waits for the analysis's.
    """
    mine = (JobAnalysis.analysis_id == analysis_id) & (JobAnalysis.state == "waiting")
    query = (
        Job.select(Job.id, Job.claim)
        .join(JobAnalysis, JOIN.INNER, on=(JobAnalysis.job_id == Job.id))
        .where(mine, Job.kind == kind, Job.state.in_(LIVE))
    )
    for job_id, claim_token in list(query.tuples()):
        JobAnalysis.update(state="cancelled").where(mine, JobAnalysis.job_id == job_id).execute()
        if claim_token is None:
            _end(job_id, "cancelled", unclaimed=True)


def waiting_analyses(job_id: str) -> list[int]:
    """Return the ids of the analyses that wait for a job, in order."""
    query = JobAnalysis.select(JobAnalysis.analysis_id).where(
        JobAnalysis.job_id == job_id, JobAnalysis.state == "waiting"
    )
    return sorted(row[0] for row in query.tuples())


def announce(job_ids: Iterable[str]) -> bool:
    """Put a message for each job into its queue, for when it is due. Call it after the commit that made the jobs.

    Of very many the first are announced here, the rest by a worker. A job whose message is lost, or could not be sent
    (then False), is found by `recover`: a queue that is away delays what was asked for and fails nothing.
    """
    ids = list(job_ids)
    try:
        for part in chunked(ids[:AT_ONCE], CHUNK):
            for job_id, queue, number, due_in_s in _announceable(part):
                queues.send(queue, job_id, number, due_in_s)
            with database.write():
                database.hold_rows(Job.id, part)
                Job.update(announced_at=database.clock()).where(Job.id.in_(part)).execute()
        if len(ids) > AT_ONCE:
            for queue in {job.queue for job in Job.select(Job.queue).where(Job.id.in_(ids[-1:]))}:
                queues.ask_to_announce(queue)
    except queues.QueueAway as error:
        log.warning("%s jobs are announced later: %s", len(ids), error)
        return False
    return True


def announce_rest(queue: str) -> None:
    """Announce the jobs of a queue that have no message yet, those with the highest priority first."""
    silent = (Job.queue == queue) & Job.announced_at.is_null() & is_claimable()
    while True:
        query = Job.select(Job.id).where(silent).order_by(Job.priority.desc()).limit(AT_ONCE)
        ids = [row[0] for row in query.tuples()]
        if not ids or not announce(ids):
            return


def _announceable(job_ids: Sequence[str]) -> list[tuple[str, str, int, float | None]]:
    """Return id, queue, priority and the seconds until it is due (None: now) of the jobs that have not ended."""
    query = Job.select(Job.id, Job.queue, Job.priority, Job.due_at).where(Job.id.in_(job_ids), Job.state.in_(LIVE))
    now = database.now_s()
    rows = [
        (i, queue, number, None if due is None or due <= now else due - now) for i, queue, number, due in query.tuples()
    ]
    return sorted(rows, key=lambda row: -row[2])
