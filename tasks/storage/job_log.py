"""The log of jobs: pages of it, events, and the analyses that wait for a job."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, chunked, fn

from tasks.errors import InputError, NotFound
from tasks.storage import cursors, sql
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job, JobAnalysis, JobEvent

CHUNK = 400
FIELDS = (
    Job.id,
    Job.kind,
    Job.target,
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
NAMES = tuple(field.column_name for field in FIELDS)
ENRICHMENT_READ = (
    f"SELECT {', '.join(f'j.{name}' for name in NAMES)} FROM job_analysis ja JOIN job j ON j.id = ja.job_id "
    "WHERE ja.analysis_id = ? AND j.queue = 'enrichment' ORDER BY j.enqueued_at DESC, j.id DESC LIMIT ?"
)
_CURSOR = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)-([0-9a-f]{1,64})")


@dataclass(frozen=True, slots=True)
class Waiter:
    """An analysis that waits or waited for a job."""

    analysis_id: int
    key: str
    owner: str | None
    label: str


def jobs_page(
    *,
    state: str | None = None,
    kind: str | None = None,
    analysis: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of jobs, the newest first, and the cursor of the next page.

    `analysis` is the key of one: only its jobs, none for an unknown key. Raises InputError for an invalid `after`.
    """
    query = _narrowed(Job.select(*FIELDS), kind, analysis)
    if state:
        query = query.where(Job.state == state)
    if after:
        at, job_id = _read_cursor(after)
        query = query.where((Job.enqueued_at < at) | ((Job.enqueued_at == at) & (Job.id < job_id)))
    rows = _rows(query.order_by(Job.enqueued_at.desc(), Job.id.desc()).limit(limit + 1))
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], f"{last['enqueued_at']!r}-{last['id']}" if last else None


def state_counts(*, kind: str | None = None, analysis: str | None = None) -> dict[str, int]:
    """Return state → number of jobs, of those that `jobs_page` lists; states without jobs are absent."""
    query = _narrowed(Job.select(Job.state, fn.COUNT(Job.id)), kind, analysis)
    return dict(list(query.group_by(Job.state).tuples()))


def _narrowed(query: Any, kind: str | None, analysis: str | None) -> Any:
    if kind:
        query = query.where(Job.kind == kind)
    if analysis:
        of_analysis = JobAnalysis.select(JobAnalysis.job_id).join(Analysis, on=(Analysis.id == JobAnalysis.analysis_id))
        query = query.where(Job.id.in_(of_analysis.where(Analysis.key == analysis)))
    return query


def _read_cursor(text: str) -> tuple[float, str]:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise InputError(cursors.INVALID)
    return float(found[1]), found[2]


def job(job_id: str) -> dict[str, Any]:
    """Return one job. Raises NotFound."""
    rows = _rows(Job.select(*FIELDS).where(Job.id == job_id))
    if not rows:
        raise NotFound("There is no such job.")
    return rows[0]


def _rows(query: Any) -> list[dict[str, Any]]:
    """Read jobs, with `counts` decoded."""
    return [_with_counts(row) for row in query.dicts()]


def _with_counts(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "counts": json.loads(row["counts"]) if row["counts"] else None}


def enrichment_jobs(analysis_id: int, most: int = 20) -> list[dict[str, Any]]:
    """Return the enrichment jobs of an analysis, newest first; rows as of `job`."""
    rows = sql.rows(ENRICHMENT_READ, analysis_id, most)
    return [_with_counts(dict(zip(NAMES, row, strict=True))) for row in rows]


def events(job_ids: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return job id → its changes of state in order, each {"at", "state", "detail"}."""
    found: dict[str, list[dict[str, Any]]] = {job_id: [] for job_id in job_ids}
    for part in chunked(sorted(found), CHUNK):
        query = JobEvent.select(JobEvent.job_id, JobEvent.at, JobEvent.state, JobEvent.detail)
        for job_id, at, state, detail in query.where(JobEvent.job_id.in_(part)).order_by(JobEvent.id).tuples():
            found[job_id].append({"at": at, "state": state, "detail": detail})
    return found


def waiters(job_ids: Collection[str]) -> dict[str, list[Waiter]]:
    """Return job id → the analyses that it was made for, newest first."""
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
