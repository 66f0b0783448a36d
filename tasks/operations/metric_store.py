"""The metrics of all processes in the database: add, read, and count each ended job once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from peewee import EXCLUDED, chunked

from tasks import metrics
from tasks.metrics import JOB_BOUNDS_S, Key
from tasks.storage import database, sql
from tasks.storage.models.jobs import Job
from tasks.storage.models.operations import Counter

Totals = dict[str, dict[tuple[str, ...], float]]

COUNTED_UNTIL = "jobs_counted_until"  # the `finished_at` up to which ended jobs have been counted
SETTLED_S = 30.0  # a job's `finished_at` may be so much earlier than the commit that stores it
JOBS_A_WRITE = 5_000
ROWS_A_STATEMENT = 200


def store(counted: Mapping[Key, float]) -> None:
    """Add a process's counters in one short transaction; an empty mapping writes nothing."""
    if counted:
        with database.write():
            _add(counted)


def _add(counted: Mapping[Key, float]) -> None:
    # Sorted; otherwise two processes that add to the same rows could deadlock.
    rows = sorted((key[0], json.dumps(key[1:]), value) for key, value in counted.items())
    fields = [Counter.name, Counter.labels, Counter.value]
    for part in chunked(rows, ROWS_A_STATEMENT):
        Counter.insert_many(part, fields=fields).on_conflict(
            conflict_target=[Counter.name, Counter.labels], update={Counter.value: Counter.value + EXCLUDED.value}
        ).execute()


def totals() -> Totals:
    """Return name → labels → total, over all processes and all time."""
    found: Totals = {}
    for name, labels, value in sql.rows("SELECT name, labels, value FROM counter"):
        found.setdefault(name, {})[tuple(json.loads(labels))] = value
    return found


def count_ended_jobs() -> int:
    """Count the jobs that ended since the last time, by kind, outcome and duration; return how many.

    A concurrent call waits, and finds them counted.
    """
    counted, more = 0, True
    while more:
        with database.write():
            ended, more = _newly_ended()
            _add(_tally(ended))
        counted += len(ended)
    return counted


def _newly_ended() -> tuple[list[tuple[Any, ...]], bool]:
    """Take a part of the jobs that are not counted yet: (finished_at, kind, state, started_at), and whether more are
    left. Holds the mark, and moves it, inside the caller's write transaction.
    """
    Counter.insert(name=COUNTED_UNTIL, labels="[]", value=0.0).on_conflict_ignore().execute()
    row = (Counter.name == COUNTED_UNTIL) & (Counter.labels == "[]")
    since = sql.for_update(Counter.select(Counter.value).where(row)).scalar()
    fresh = (Job.finished_at > since) & (Job.finished_at <= database.now_s() - SETTLED_S)
    part = Job.select(Job.finished_at).where(fresh).order_by(Job.finished_at).limit(JOBS_A_WRITE)
    times = [at for (at,) in part.tuples()]
    if not times:
        return [], False
    # Many may end at the same moment: take all up to the last one's, so that none is skipped.
    query = Job.select(Job.finished_at, Job.kind, Job.state, Job.started_at)
    ended = list(query.where(Job.finished_at > since, Job.finished_at <= times[-1]).tuples())
    Counter.update(value=times[-1]).where(row).execute()
    return ended, len(times) == JOBS_A_WRITE


def _tally(ended: list[tuple[Any, ...]]) -> dict[Key, float]:
    tally: dict[Key, float] = {}
    for finished_at, kind, state, started_at in ended:
        one: dict[Key, float] = {("jobs", kind, state): 1.0}
        if started_at is not None:
            one |= metrics.observed("job_seconds", kind, seconds=finished_at - started_at, bounds=JOB_BOUNDS_S)
        for key, value in one.items():
            tally[key] = tally.get(key, 0.0) + value
    return tally
