"""Puts messages for queued jobs into their queue; the job's row stays the truth."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from peewee import chunked

from tasks.jobs import queues, states
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job

log = logging.getLogger("walletkin.jobs")

MOST_SENT_NOW = 200  # messages sent while a page waits; a worker sends the rest


def announce(job_ids: Iterable[str]) -> bool:
    """Put a message for each job into its queue, for when it is due. Call after the commit that submitted the jobs.

    Only the first MOST_SENT_NOW are announced here, the rest by a worker. `recover` finds jobs whose message is lost or
    could not be sent (then False): an unavailable queue delays work and fails nothing. No ids announce nothing.
    """
    ids = list(job_ids)
    try:
        for part in chunked(ids[:MOST_SENT_NOW], states.CHUNK):
            for job_id, queue, number, due_in_s in _announceable(part):
                queues.send(queue, job_id, number, due_in_s)
            with database.write():
                sql.lock_rows(Job.id, part)
                Job.update(announced_at=database.clock()).where(Job.id.in_(part)).execute()
        if len(ids) > MOST_SENT_NOW:
            for queue in {job.queue for job in Job.select(Job.queue).where(Job.id.in_(ids[-1:]))}:
                queues.ask_to_announce(queue)
    except queues.QueueUnavailable as error:
        log.warning("%s jobs are announced later: %s", len(ids), error)
        return False
    return True


def announce_rest(queue: str) -> None:
    """Announce the jobs of a queue that have no message yet, those with the highest priority first."""
    silent = (Job.queue == queue) & Job.announced_at.is_null() & states.is_claimable()
    while True:
        query = Job.select(Job.id).where(silent).order_by(Job.priority.desc()).limit(MOST_SENT_NOW)
        ids = [row[0] for row in query.tuples()]
        if not ids or not announce(ids):
            return


def _announceable(job_ids: Sequence[str]) -> list[tuple[str, str, int, float | None]]:
    """Return (id, queue, priority, seconds until it is due; None: now) of the live jobs, highest priority first."""
    query = Job.select(Job.id, Job.queue, Job.priority, Job.run_after).where(
        Job.id.in_(job_ids), Job.state.in_(states.LIVE)
    )
    now = database.now_s()
    rows = [
        (i, queue, number, None if due is None or due <= now else due - now) for i, queue, number, due in query.tuples()
    ]
    return sorted(rows, key=lambda row: -row[2])
