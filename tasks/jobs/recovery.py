"""Recovers jobs whose worker or message was lost, at a worker's start and every minute.

A claimed job is recovered only when its lease is void or its process is gone.
"""

from __future__ import annotations

from peewee import chunked

from tasks.jobs import announce, priority, queues, states
from tasks.jobs.process import is_gone
from tasks.settings import timing
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job


def recover(queue: str, *, grace_s: float | None = None) -> list[str]:
    """Announce every job of a queue whose worker or message was lost; return their ids.

    A message missing for less than `grace_s` (None: `Timing.unannounced_s`) may be on its way. A starting worker passes
    0: the one before it may have been killed with a message in hand, and a message too many does no harm.
    """
    grace_s = timing().unannounced_s if grace_s is None else grace_s
    with database.session():
        _void_leases_of_the_dead(queue)
        now = database.now_s()
        raised = _raise_long_waiting(queue, now)
        void = states.is_claimable() & (Job.queue == queue)
        quiet = sql.is_past(Job.announced_at, states.DUE_SLACK_S, ago_s=grace_s)
        due = states.is_due(-grace_s) | (grace_s == 0)
        held = Job.claim_token.is_null(False)
        old = sql.is_past(Job.enqueued_at, states.DUE_SLACK_S, ago_s=grace_s)
        query = Job.select(Job.id, Job.run_after).where(void, held | (quiet & due & old)).order_by(Job.priority.desc())
        lost = _without_message(queue, dict(query.tuples()), now)
        for part in chunked(lost, states.CHUNK):
            with database.write():
                sql.lock_rows(Job.id, part)
                Job.update(announced_at=None).where(Job.id.in_(part)).execute()
        announce.announce(raised + lost)
        return raised + lost


def announce_silent(queue: str) -> None:
    """Announce jobs that could not be announced when submitted, because Redis was away; sooner than `recover` would."""
    with database.session():
        since = database.now_s() - timing().just_submitted_s
        silent = (Job.queue == queue) & Job.announced_at.is_null() & (Job.enqueued_at < since)
        if Job.select(Job.id).where(silent & states.is_claimable()).limit(1).count():
            announce.announce_rest(queue)


def _without_message(queue: str, run_after: dict[str, float | None], now: float) -> list[str]:
    """Return the jobs (id → when it is due) that have no message arriving in time.

    A delayed message counts only until its job is due: a later one dates from before the clock was set back.
    """
    if not run_after:
        return []
    try:
        waiting, scheduled = queues.waiting_ids(queue), queues.scheduled_ids(queue)
    except queues.QueueUnavailable:
        return []  # so nothing can be announced either
    put_off = {job_id for job_id, at in run_after.items() if at is not None and now < at <= now + states.MOST_DELAY_S}
    return [job_id for job_id in run_after if job_id not in waiting and job_id not in scheduled & put_off]


def _raise_long_waiting(queue: str, now: float) -> list[str]:
    """Raise jobs that have waited an hour by one tier, once, so that none starves; return their ids."""
    step = priority.TIER_STEP
    waited = (Job.state == "queued") & (Job.queue == queue) & (Job.enqueued_at < now - timing().long_wait_s)
    not_yet = (Job.tier < priority.USER) & (Job.priority < (Job.tier + 1) * step)
    with database.write():
        ids = [row[0] for row in Job.select(Job.id).where(waited, not_yet).tuples()]
        sql.lock_rows(Job.id, ids)
        for part in chunked(ids, states.CHUNK):
            Job.update(priority=Job.priority + step).where(Job.id.in_(part)).execute()
    return ids


def _void_leases_of_the_dead(queue: str) -> None:
    """Void the leases of dead processes of this machine at once, instead of letting them expire."""
    query = Job.select(Job.id, Job.holder).where(
        Job.queue == queue, Job.claim_token.is_null(False), Job.holder.is_null(False)
    )
    dead = [(job_id, holder) for job_id, holder in query.tuples() if is_gone(holder)]
    for part in chunked(dead, states.CHUNK):
        with database.write():
            for job_id, holder in part:
                Job.update(lease_until=0).where(Job.id == job_id, Job.holder == holder).execute()
