"""Jobs as JSON and pages show them: progress or outcome, and after a failure what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from flask import request, url_for
from msgspec import Meta

from tasks.jobs import priority
from tasks.jobs.states import LIVE
from tasks.settings import current
from tasks.storage import job_log
from tasks.storage.job_log import Waiter
from webapp.fields import Count, Cursor, Key, Time, one_of
from webapp.markup import words
from webapp.markup.filters import iso, short_address
from webapp.markup.labels import JOB_KINDS
from webapp.markup.words import outcome, sentence
from webapp.security.access import Viewer, viewer

TIER_NAMES = {tier: name for name, tier in priority.TIERS.items()}
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
Row = Mapping[str, Any]
"""A row of the table of jobs or of its events: `tasks/storage/job_log.py` describes them."""


class JobCounts(TypedDict):
    """Tokens of an enrichment job."""

    asked: Count
    resolved: Count
    unlisted: Count
    failed: Count


class JobEvent(TypedDict):
    """A change of a job's state."""

    at: Time
    state: str
    detail: str | None


class Job(TypedDict):
    """A job; `subject`, `analyses` and the texts of errors are null for readers who may see none of its analyses."""

    id: Key
    kind: Annotated[str, one_of(JOB_KINDS)]
    state: Annotated[str, one_of(STATES)]
    done: Count | None
    total: Count | None
    attempts: Count
    counts: JobCounts | None
    enqueued_at: Time
    started_at: Time | None
    finished_at: Time | None
    subject: str | None
    analyses: list[Key] | None
    tier: Annotated[str, one_of(priority.TIERS)]
    error: str | None
    events: list[JobEvent]


class Activity(TypedDict):
    """A page of the log of jobs."""

    jobs: Annotated[list[Job], Meta(max_length=200)]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class VisibleJob:
    """A job as one reader may see it, and the analyses that wait for it."""

    row: Row
    events: Sequence[Row]
    waiters: Sequence[Waiter]
    analyses: list[str] | None
    """Keys of those that the reader may see, None where that is no analysis and not the operator."""

    @property
    def is_open(self) -> bool:
        """Whether the reader may see the target, errors and details."""
        return self.analyses is not None

    @property
    def is_live(self) -> bool:
        return self.row["state"] in LIVE

    @property
    def error(self) -> str | None:
        return self.row["error"] if self.is_open else None

    @property
    def detail(self) -> str | None:
        """The detail of the last event, None where there is none that the reader may see."""
        return self.events[-1]["detail"] if self.events and self.is_open else None


def visible_jobs(rows: Sequence[Row], reader: Viewer) -> list[VisibleJob]:
    """Return jobs as this reader may see them."""
    ids = [row["id"] for row in rows]
    waiters, events = job_log.waiters(ids), job_log.events(ids)
    return [_visible(row, events[row["id"]], waiters[row["id"]], reader) for row in rows]


def visible_job(job_id: str, *keys: str) -> VisibleJob:
    """Return one job as the reader may see it; `keys` are analyses that the path names. Raises NotFound."""
    row = job_log.job(job_id)
    return visible_jobs([row], viewer(current(), *keys))[0]


def _visible(row: Row, events: Sequence[Row], waiters: Sequence[Waiter], reader: Viewer) -> VisibleJob:
    keys = [one.key for one in waiters if reader.may_see(one.key, one.owner)]
    return VisibleJob(row, events, waiters, keys if keys or reader.sees_all else None)


def job(found: VisibleJob) -> Job:
    """Return a job for JSON."""
    row = found.row
    return {
        "id": row["id"],
        "kind": row["kind"],
        "state": row["state"],
        "done": row["done"],
        "total": row["total"],
        "attempts": row["attempts"],
        "counts": row["counts"],
        "enqueued_at": iso(row["enqueued_at"]),
        "started_at": iso(row["started_at"]),
        "finished_at": iso(row["finished_at"]),
        "subject": row["target"] if found.is_open else None,
        "analyses": found.analyses,
        "tier": TIER_NAMES.get(row["tier"], str(row["tier"])),
        "error": found.error,
        "events": [
            {"at": iso(one["at"]), "state": one["state"], "detail": one["detail"] if found.is_open else None}
            for one in found.events
        ],
    }


def job_view(found: VisibleJob) -> Mapping[str, Any]:
    """Return a job for a page; its links carry the analysis that the request named.

    The members of the JSON, times in Unix seconds, and `told`, `next_step`, `timeline`, `waited_s`, `duration_s`,
    `subject_label`, `url`, `cancel_url` and `analyses_shown`.
    """
    row, named = found.row, request.args.get("analysis") or None
    started, ended = row["started_at"], row["finished_at"]
    labels = {one.key: one.label for one in found.waiters}
    return {
        **job(found),
        "enqueued_at": row["enqueued_at"],
        "started_at": started,
        "finished_at": ended,
        "told": describe_outcome(found),
        "next_step": next_step(found),
        "timeline": _timeline(found),
        "waited_s": started - row["enqueued_at"] if started else None,
        "subject_label": _subject_label(row, labels) if found.is_open or row["kind"] == "maintain" else None,
        "duration_s": ended - started if ended and started else None,
        "url": url_for("jobs.show", job_id=row["id"], analysis=named),
        "cancel_url": url_for("jobs.cancel", job_id=row["id"], analysis=named)
        if found.is_open and found.is_live
        else None,
        "analyses_shown": [
            {"url": url_for("analyses.show", key=key), "label": labels.get(key) or "an analysis without a name"}
            for key in found.analyses or ()
        ],
    }


def _timeline(found: VisibleJob) -> list[Row]:
    """Return the events, each with `after_s`: the seconds since the one before it, None for the first."""
    before = [None, *(event["at"] for event in found.events)]
    return [
        {
            **event,
            "detail": event["detail"] if found.is_open else None,
            "after_s": None if last is None else max(0.0, event["at"] - last),
        }
        for event, last in zip(found.events, before, strict=False)
    ]


def _subject_label(row: Row, labels: Mapping[str, str]) -> str:
    if row["kind"] == "sync":
        return short_address(row["target"])
    if row["kind"] == "maintain":
        return "all tokens"
    return labels.get(row["target"]) or "an analysis"


UNITS = {"sync": "transactions", "enrich": "tokens", "refresh": "tokens", "maintain": "tokens"}
COMPARING = ("similarity", "provisional")
HIDDEN_ERROR = "Failed. You do not have access to the reason."
REFUSED_NEXT = "The analysis continues without this wallet. Check its address."
NEXT = {
    "sync": "The analysis continues without this wallet; retry it in the table of wallets.",
    "similarity": "Start the analysis again; the data are still there, so it will be quick.",
    "provisional": "Nothing is lost: all wallets are compared at the end.",
    "enrich": "Scores do not depend on it; “Refresh prices” tries again.",
    "refresh": "Prices are unchanged; “Refresh prices” tries again.",
    "maintain": "It is retried automatically within minutes.",
}


def describe_outcome(found: VisibleJob) -> str:
    """Describe where a job stands, for every state; errors and details only where the reader may see them."""
    match found.row["state"]:
        case "queued":
            return "Waiting for its turn"
        case "running":
            return _so_far(found.row)
        case "succeeded":
            return _done(found)
        case "failed":
            return sentence(words.describe_reason(found.error) or "") if found.error else HIDDEN_ERROR
        case _:
            return found.detail or "Cancelled"


def next_step(found: VisibleJob) -> str | None:
    """Return what to do about a job that failed, None for any other."""
    if found.row["state"] != "failed":
        return None
    kind = found.row["kind"]
    return REFUSED_NEXT if kind == "sync" and words.is_refused(found.error) else NEXT.get(kind, "Start it again.")


def _so_far(row: Row) -> str:
    if row["kind"] in COMPARING:
        return "Comparing the wallets"
    unit = UNITS.get(row["kind"], "done")
    return f"{row['done']:,} of {row['total']:,} {unit}" if row["total"] else f"{row['done']:,} {unit} so far"


def _done(found: VisibleJob) -> str:
    row = found.row
    if row["counts"] and row["counts"].get("asked"):
        return outcome(row["counts"])
    if row["kind"] in COMPARING:
        return f"{found.detail} compared" if found.detail else "Compared"
    if row["kind"] == "sync":
        return f"{row['done']:,} transactions read" if row["done"] else "Read; nothing new"
    return "Nothing to look up: all were up to date"
