"""Submits jobs: inserts one for a target, or joins the live job of the same kind and target."""

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
FULL = "The queue is full; nothing was started. Try again in a minute."


def check_capacity() -> None:
    """Raise Busy when the queue `pipeline` has as many live jobs as the settings allow."""
    most = current().max_waiting_jobs
    under_way = Job.select(Job.id).where(Job.queue == "pipeline", Job.state.in_(LIVE)).limit(most)
    if under_way.count() >= most:
        raise Busy(FULL, RETRY_AFTER_S)


def submit(
    kind: str,
    targets: Sequence[str],
    tier: int,
    *,
    queue: str = "pipeline",
    analysis_id: int | None = None,
    delay_s: float = 0.0,
) -> dict[str, str]:
    """Insert a job for each target, or join the live one; return target → job id. No targets give an empty mapping.

    Call inside a write transaction and `announce` the ids after the commit. Jobs run in the order of the targets. A
    joined job takes the higher tier and priority; it cannot end before the commit.
    """
    wanted = list(dict.fromkeys(targets))
    numbers = dict(zip(wanted, priority.priorities(tier, len(wanted)), strict=True))
    job_ids: dict[str, str] = {}
    # Sorted, so that two submitters never deadlock.
    for part in chunked(sorted(wanted), CHUNK):
        found: dict[str, str] = {}
        while missing := [target for target in part if target not in found]:
            _insert_new(kind, missing, tier, queue, numbers, delay_s)
            found |= _join_live(kind, missing, tier, numbers)
        if analysis_id is not None:
            _attach(list(found.values()), analysis_id)
        job_ids |= found
    return {target: job_ids[target] for target in wanted}


def _insert_new(
    kind: str, targets: Sequence[str], tier: int, queue: str, numbers: Mapping[str, int], delay_s: float
) -> None:
    """Insert a queued job, with its first event, for each target without a live one."""
    taken = Job.select(Job.target).where(Job.kind == kind, Job.target.in_(targets), Job.state.in_(LIVE))
    missing = sorted(set(targets) - {row[0] for row in taken.tuples()})
    now = database.now_s()
    run_after = now + delay_s if delay_s else None
    ids = [secrets.token_hex(16) for _ in missing]
    fields = (Job.id, Job.queue, Job.kind, Job.target, Job.tier, Job.priority, Job.enqueued_at, Job.run_after)
    rows = [
        (i, queue, kind, target, tier, numbers[target], now, run_after) for i, target in zip(ids, missing, strict=True)
    ]
    sql.insert_rows(Job, fields, rows)
    made = {row[0] for row in Job.select(Job.id).where(Job.id.in_(ids)).tuples()} if ids else set()
    record_events([i for i in ids if i in made], now, "queued")


def _join_live(kind: str, targets: Sequence[str], tier: int, numbers: Mapping[str, int]) -> dict[str, str]:
    """Return target → id of the live jobs, locked until the commit, and raise their priorities."""
    query = Job.select(Job.target, Job.id, Job.priority).where(
        Job.kind == kind, Job.target.in_(targets), Job.state.in_(LIVE)
    )
    rows = list(sql.for_update(query.order_by(Job.target)).tuples())
    for target, job_id, number in rows:
        if number < numbers[target]:
            Job.update(priority=numbers[target], tier=tier).where(Job.id == job_id).execute()
    return {target: job_id for target, job_id, _ in rows}


def _attach(ids: Sequence[str], analysis_id: int) -> None:
    fields = (JobAnalysis.job_id, JobAnalysis.analysis_id, JobAnalysis.state)
    sql.insert_rows(JobAnalysis, fields, [(job_id, analysis_id, "waiting") for job_id in ids])
    JobAnalysis.update(state="waiting").where(
        JobAnalysis.analysis_id == analysis_id, JobAnalysis.job_id.in_(ids), JobAnalysis.state != "waiting"
    ).execute()


def record_failure(kind: str, target: str, tier: int, reason: str, *, analysis_id: int) -> str:
    """Record a job that could not be submitted, so that pages show it; return its id. Inside a write transaction."""
    now = database.now_s()
    job_id = secrets.token_hex(16)
    values = {"queue": "enrichment", "tier": tier, "priority": priority.priority(tier), "attempts": 1}
    times = {"enqueued_at": now, "started_at": now, "finished_at": now}
    Job.insert(id=job_id, kind=kind, target=target, state="failed", error=reason, **values, **times).execute()
    record_events([job_id], now, "failed", reason)
    _attach([job_id], analysis_id)
    return job_id
