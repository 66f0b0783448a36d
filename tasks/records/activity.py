"""The log of jobs: pages of it, who waits for a job, and how fast the syncs of an analysis go. Changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, Case, chunked, fn

from tasks.errors import InputError, NotFound
from tasks.records import database
from tasks.records.models import LIVE_JOB, Analysis, Job, JobAnalysis, JobEvent

CHUNK = 400
FIELDS = (
    Job.id,
    Job.kind,
    Job.subject,
    Job.tier,
    Job.state,
    Job.done,
    Job.total,
    Job.attempts,
    Job.error,
    Job.enqueued_at,
    Job.started_at,
    Job.finished_at,
    Job.counts,
)
_CURSOR = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)-([0-9a-f]{1,64})")


@dataclass(frozen=True, slots=True)
class Waiter:
    """An analysis that waits, or waited, for a job."""

    analysis_id: int
    key: str
    owner: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How far the syncs made for an analysis are, in transactions.

    `known` is what is still to come of the live jobs whose size is known, `unknown` the number of the others;
    `mean_size` is the mean over those known, None when none is.
    """

    done: int
    elapsed_s: float
    known: int
    unknown: int
    mean_size: float | None

    @property
    def seconds_left(self) -> float | None:
        """Return the time that the rest takes at the rate so far, None until something was measured."""
        if not self.done or self.elapsed_s <= 0 or (self.unknown and self.mean_size is None):
            return None
        return (self.known + self.unknown * (self.mean_size or 0)) * self.elapsed_s / self.done


def jobs_page(
    *, state: str | None = None, kind: str | None = None, after: str | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of jobs, the newest first, and the cursor of the next page.

    Raises InputError for an `after` that is not one of ours.
    """
    query = Job.select(*FIELDS)
    if state:
        query = query.where(Job.state == state)
    if kind:
        query = query.where(Job.kind == kind)
    if after:
        at, job_id = _read_cursor(after)
        query = query.where((Job.enqueued_at < at) | ((Job.enqueued_at == at) & (Job.id < job_id)))
    rows = _rows(query.order_by(Job.enqueued_at.desc(), Job.id.desc()).limit(limit + 1))
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], f"{last['enqueued_at']!r}-{last['id']}" if last else None


def _read_cursor(text: str) -> tuple[float, str]:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise InputError("The page mark `after` is not one of ours; start again from the first page.")
    return float(found[1]), found[2]


def job(job_id: str) -> dict[str, Any]:
    """Return one job. Raises NotFound."""
    rows = _rows(Job.select(*FIELDS).where(Job.id == job_id))
    if not rows:
        raise NotFound("There is no such job.")
    return rows[0]


def _rows(query: Any) -> list[dict[str, Any]]:
    """Read jobs, with their counts as a mapping."""
    return [{**row, "counts": json.loads(row["counts"]) if row["counts"] else None} for row in query.dicts()]


def enrichment_jobs(analysis_id: int, most: int = 20) -> list[dict[str, Any]]:
    """Return the jobs that asked for the tokens of an analysis, the newest first; rows as of `job`."""
    query = Job.select(*FIELDS).join(JobAnalysis, JOIN.INNER, on=(JobAnalysis.job_id == Job.id))
    mine = (JobAnalysis.analysis_id == analysis_id) & (Job.queue == "enrichment")
    return _rows(query.where(mine).order_by(Job.enqueued_at.desc(), Job.id.desc()).limit(most))


def events(job_ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return job id → its changes of state in order, each {"at", "state", "detail"}."""
    found: dict[str, list[dict[str, Any]]] = {job_id: [] for job_id in job_ids}
    for part in chunked(sorted(found), CHUNK):
        query = JobEvent.select(JobEvent.job_id, JobEvent.at, JobEvent.state, JobEvent.detail)
        for job_id, at, state, detail in query.where(JobEvent.job_id.in_(part)).order_by(JobEvent.id).tuples():
            found[job_id].append({"at": at, "state": state, "detail": detail})
    return found


def waiters(job_ids: Collection[str]) -> dict[str, list[Waiter]]:
    """Return job id → the analyses that it was made for, the newest first."""
    found: dict[str, list[Waiter]] = {job_id: [] for job_id in job_ids}
    for part in chunked(sorted(found), CHUNK):
        query = (
            JobAnalysis.select(JobAnalysis.job_id, Analysis.id, Analysis.key, Analysis.owner, Analysis.label)
            .join(Analysis, JOIN.INNER, on=(Analysis.id == JobAnalysis.analysis_id))
            .where(JobAnalysis.job_id.in_(part))
            .order_by(Analysis.id.desc())
        )
        for job_id, analysis_id, key, owner, label in query.tuples():
            found[job_id].append(Waiter(analysis_id, key, owner, label))
    return found


def pace(analysis_id: int) -> Pace:
    """Measure the syncs of an analysis; one without syncs has done nothing in no time."""
    live = Job.state.in_(LIVE_JOB)
    size = fn.COALESCE(Job.total, Case(None, [(live, None)], Job.done))
    query = (
        Job.select(
            fn.COALESCE(fn.SUM(Job.done), 0),
            fn.MIN(Job.started_at),
            fn.COALESCE(fn.SUM(Case(None, [(live & Job.total.is_null(False), Job.total - Job.done)], 0)), 0),
            fn.COALESCE(fn.SUM(Case(None, [(live & Job.total.is_null(), 1)], 0)), 0),
            fn.AVG(size),
        )
        .join(JobAnalysis, JOIN.INNER, on=(JobAnalysis.job_id == Job.id))
        .where(JobAnalysis.analysis_id == analysis_id, Job.kind == "sync")
    )
    done, started_at, known, unknown, mean = next(iter(query.tuples()))
    elapsed_s = 0.0 if started_at is None else database.now_s() - started_at
    return Pace(int(done), elapsed_s, max(0, int(known)), int(unknown), None if mean is None else float(mean))


def stage_jobs(analysis_id: int) -> dict[str, dict[str, Any]]:
    """Return kind → the newest job of an analysis of that kind, syncs left out; with `state`, `done` and `total`."""
    query = (
        Job.select(Job.kind, Job.state, Job.done, Job.total, Job.error)
        .join(JobAnalysis, JOIN.INNER, on=(JobAnalysis.job_id == Job.id))
        .where(JobAnalysis.analysis_id == analysis_id, Job.kind != "sync")
        .order_by(Job.enqueued_at, Job.id)
    )
    return {row["kind"]: row for row in query.dicts()}
