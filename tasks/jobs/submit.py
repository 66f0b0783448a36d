"""How a job comes to be: made for a subject, or joined when one for that subject is under way already. Runs none."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from peewee import chunked

from tasks.errors import Busy
from tasks.jobs import priority
from tasks.jobs.states import CHUNK, LIVE, record_events
from tasks.settings import current
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job, JobAnalysis

RETRY_AFTER_S = 60
FULL = "There is too much to do just now; nothing was started. Try again in a minute."


def check_capacity() -> None:
    """Raise Busy when as many jobs are under way as the settings allow, counted without those that ask for prices."""
    most = current().max_waiting_jobs
    under_way = Job.select(Job.id).where(Job.queue == "pipeline", Job.state.in_(LIVE)).limit(most)
    if under_way.count() >= most:
        raise Busy(FULL, RETRY_AFTER_S)


def submit(
    kind: str,
    subjects: Sequence[str],
    tier: int,
    *,
    queue: str = "pipeline",
    analysis_id: int | None = None,
    delay_s: float = 0.0,
) -> dict[str, str]:
    """Make a job for each subject, or join the one that is under way; return subject → job id.

    Call it inside a write transaction and `announce` the ids after the commit. The subjects are served in the order
    given. A job that is joined takes the higher tier and the newer place; it cannot end before the commit. An empty
    list gives an empty mapping.
    """
    wanted = list(dict.fromkeys(subjects))
    numbers = dict(zip(wanted, priority.priorities(tier, len(wanted)), strict=True))
    job_ids: dict[str, str] = {}
    # In one order for everybody, so that two submitters never wait for each other.
    for part in chunked(sorted(wanted), CHUNK):
        found: dict[str, str] = {}
        while missing := [subject for subject in part if subject not in found]:
            _insert_new(kind, missing, tier, queue, numbers, delay_s)
            found |= _join_live(kind, missing, tier, numbers)
        if analysis_id is not None:
            _attach(list(found.values()), analysis_id)
        job_ids |= found
    return {subject: job_ids[subject] for subject in wanted}


def _insert_new(
    kind: str, subjects: Sequence[str], tier: int, queue: str, numbers: Mapping[str, int], delay_s: float
) -> None:
    """Insert a queued job, with its first event, for each subject that has none under way."""
    taken = Job.select(Job.target).where(Job.kind == kind, Job.target.in_(subjects), Job.state.in_(LIVE))
    missing = sorted(set(subjects) - {row[0] for row in taken.tuples()})
    now = database.now_s()
    run_after = now + delay_s if delay_s else None
    ids = [secrets.token_hex(16) for _ in missing]
    fields = (Job.id, Job.queue, Job.kind, Job.target, Job.tier, Job.priority, Job.enqueued_at, Job.run_after)
    rows = [
        (i, queue, kind, subject, tier, numbers[subject], now, run_after)
        for i, subject in zip(ids, missing, strict=True)
    ]
    sql.insert_rows(Job, fields, rows)
    made = {row[0] for row in Job.select(Job.id).where(Job.id.in_(ids)).tuples()} if ids else set()
    record_events([i for i in ids if i in made], now, "queued")


def _join_live(kind: str, subjects: Sequence[str], tier: int, numbers: Mapping[str, int]) -> dict[str, str]:
    """Return subject → id of the jobs under way, held until the commit, and raise their places."""
    query = Job.select(Job.target, Job.id, Job.priority).where(
        Job.kind == kind, Job.target.in_(subjects), Job.state.in_(LIVE)
    )
    rows = list(sql.for_update(query.order_by(Job.target)).tuples())
    for subject, job_id, number in rows:
        if number < numbers[subject]:
            Job.update(priority=numbers[subject], tier=tier).where(Job.id == job_id).execute()
    return {subject: job_id for subject, job_id, _ in rows}


def _attach(ids: Sequence[str], analysis_id: int) -> None:
    fields = (JobAnalysis.job_id, JobAnalysis.analysis_id, JobAnalysis.state)
    sql.insert_rows(JobAnalysis, fields, [(job_id, analysis_id, "waiting") for job_id in ids])
    JobAnalysis.update(state="waiting").where(
        JobAnalysis.analysis_id == analysis_id, JobAnalysis.job_id.in_(ids), JobAnalysis.state != "waiting"
    ).execute()


def record_failure(kind: str, subject: str, tier: int, reason: str, *, analysis_id: int) -> str:
    """Record a job that could not even be begun, so that it is seen; return its id. Inside a write transaction."""
    now = database.now_s()
    job_id = secrets.token_hex(16)
    values = {"queue": "enrichment", "tier": tier, "priority": priority.priority(tier), "attempts": 1}
    times = {"enqueued_at": now, "started_at": now, "finished_at": now}
    Job.insert(id=job_id, kind=kind, target=subject, state="failed", error=reason, **values, **times).execute()
    record_events([job_id], now, "failed", reason)
    _attach([job_id], analysis_id)
    return job_id
