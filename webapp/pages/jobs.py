"""Jobs: one job with its events, the log of all, and cancelling one; each reader sees what is theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, request, url_for

from tasks import lifecycle, queues
from tasks.errors import Conflict, NotFound
from tasks.jobs import LIVE
from tasks.records import activity, analyses
from tasks.records.activity import Waiter
from webapp import forms, job_words, polling, security
from webapp.display import moment, short_address
from webapp.errors import Problem, wants_json
from webapp.marks import JOB_KINDS
from webapp.pages import back_to, data, home, page, page_url, see_other
from webapp.security import Reader
from webapp.shapes import settings

pages = Blueprint("jobs", __name__)

JOBS_A_PAGE, MOST_JOBS = 50, 200
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
TIER_NAMES = {tier: name for name, tier in queues.TIERS.items()}
PLAIN = ("id", "kind", "state", "done", "total", "attempts", "counts", "enqueued_at", "started_at", "finished_at")


def _shape(row: Mapping[str, Any], waiters: Sequence[Waiter], events: Sequence[Any], reader: Reader) -> dict[str, Any]:
    """Return a job; for whom none of its analyses is visible, without subject, analyses and details."""
    keys = [one.key for one in waiters if reader.may_see(one.key, one.owner)]
    visible = bool(keys) or reader.sees_all
    return {
        **{key: row[key] for key in PLAIN},
        "subject": row["subject"] if visible else None,
        "analyses": keys if visible else None,
        "tier": TIER_NAMES.get(row["tier"], str(row["tier"])),
        "error": row["error"] if visible else None,
        "events": [{**event, "detail": event["detail"] if visible else None} for event in events],
    }


def job_shapes(rows: Sequence[Mapping[str, Any]], reader: Reader) -> list[tuple[dict[str, Any], list[Waiter]]]:
    """Return each job's shape, as this reader may see it, and the analyses that wait for it."""
    ids = [row["id"] for row in rows]
    waiters, events = activity.waiters(ids), activity.events(ids)
    return [(_shape(row, waiters[row["id"]], events[row["id"]], reader), waiters[row["id"]]) for row in rows]


def job_view(shape: dict[str, Any], waiters: Sequence[Waiter]) -> dict[str, Any]:
    """Return a job for a page; its links carry the analysis that the request named."""
    named = request.args.get("analysis") or None
    visible = shape["analyses"] is not None
    labels = {one.key: one.label for one in waiters}
    ended = shape["finished_at"]
    return shape | {
        "told": job_words.told(shape),
        "next_step": job_words.next_step(shape),
        "timeline": _timeline(shape["events"]),
        "waited_s": shape["started_at"] - shape["enqueued_at"] if shape["started_at"] else None,
        "subject_label": _subject_label(shape, labels) if visible or shape["kind"] == "maintain" else None,
        "duration_s": ended - shape["started_at"] if ended and shape["started_at"] else None,
        "url": url_for("jobs.show", job_id=shape["id"], analysis=named),
        "cancel_url": url_for("jobs.cancel", job_id=shape["id"], analysis=named)
        if visible and shape["state"] in LIVE
        else None,
        "analyses_shown": [
            {"url": url_for("analyses.show", key=key), "label": labels.get(key) or "an analysis without a name"}
            for key in shape["analyses"] or ()
        ],
    }


def _timeline(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the events with the seconds that each came after the one before it, None for the first."""
    before = [None, *(event["at"] for event in events)]
    return [
        {**event, "after_s": None if last is None else max(0.0, event["at"] - last)}
        for event, last in zip(events, before, strict=False)
    ]


def _subject_label(shape: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    if shape["kind"] == "sync":
        return short_address(shape["subject"])
    if shape["kind"] == "maintain":
        return "all tokens"
    return labels.get(shape["subject"]) or "an analysis"


def _read_page(reader: Reader) -> tuple[list[tuple[dict[str, Any], list[Waiter]]], str | None]:
    rows, following = activity.jobs_page(
        state=forms.read_choice("state", STATES),
        kind=forms.read_choice("kind", tuple(JOB_KINDS)),
        analysis=request.args.get("analysis") or None,
        after=request.args.get("after") or None,
        limit=forms.read_limit(JOBS_A_PAGE, MOST_JOBS),
    )
    return job_shapes(rows, reader), following


@pages.get("/activity.json")
def activity_json() -> Response:
    """Give a page of the log as JSON."""
    found, following = _read_page(security.reader(settings()))
    return data({"jobs": [shape for shape, _ in found], "next": following})


@pages.get("/activity", endpoint="activity")
def show_activity() -> Response:
    """Show the log of jobs, the newest first."""
    found, following = _read_page(security.reader(settings()))
    jobs = [job_view(*one) for one in found]
    pending = not request.args.get("after") and any(job["state"] in LIVE for job in jobs)
    answer = page(
        "activity",
        "jobs",
        section="activity",
        jobs=jobs,
        next_url=following and page_url("jobs.activity", after=following),
        filters={name: request.args.get(name, "") for name in ("state", "kind", "analysis")},
        states=_states(),
        analyses=_choices(request.args.get("analysis", "")),
        kinds=[("", "All kinds"), *JOB_KINDS.items()],
        poll=pending,
        page_url=page_url("jobs.activity"),
    )
    return polling.last(answer) if polling.is_poll() and not pending else answer


def _states() -> list[tuple[str, int]]:
    """Return the states to choose from, "" for all, each with how many jobs of what else was asked for are in it."""
    kind = forms.read_choice("kind", tuple(JOB_KINDS))
    counts = activity.state_counts(kind=kind, analysis=request.args.get("analysis") or None)
    return [("", sum(counts.values())), *((state, counts.get(state, 0)) for state in STATES)]


def _choices(named: str) -> list[tuple[str, str]]:
    """Return the analyses to choose from, (key, label): this browser's own, and the one that the request names."""
    owner = security.browser_id()
    rows = home.recent_views(owner) if owner else []
    mine = {one["key"]: one["title"] + (f", {moment(one['created_at'])}" if one["namesake"] else "") for one in rows}
    if named and named not in mine:
        mine[named] = _label(named)
    return [("", "any"), *mine.items()]


def _label(key: str) -> str:
    try:
        found = analyses.by_key(key)
    except NotFound:
        return "one that does not exist"
    return found.label or f"{found.wallets:,} wallets"


@pages.get("/jobs/<key:job_id>.json")
def show_json(job_id: str) -> Response:
    """Give one job as JSON."""
    ((shape, _),) = job_shapes([activity.job(job_id)], security.reader(settings()))
    return data(shape)


@pages.get("/jobs/<key:job_id>")
def show(job_id: str) -> Response:
    """Show one job with its events."""
    ((shape, waiters),) = job_shapes([activity.job(job_id)], security.reader(settings()))
    here = page_url("jobs.show", job_id=job_id)
    answer = page("job", "job", section="activity", job=job_view(shape, waiters), page_url=here)
    return polling.last(answer) if polling.is_poll() and shape["state"] not in LIVE else answer


@pages.post("/jobs/<key:job_id>/cancel")
def cancel(job_id: str) -> Response:
    """Cancel a job for those of its analyses that the reader may act for; the others go on waiting for it."""
    reader = security.reader(settings())
    row = activity.job(job_id)
    mine = [one for one in activity.waiters([job_id])[job_id] if reader.may_see(one.key, one.owner)]
    if not mine and not reader.sees_all:
        raise Problem(403, "forbidden", "This job belongs to somebody else’s analysis.")
    everyone = reader.sees_all
    if not lifecycle.cancel_job(row["id"], None if everyone else [one.analysis_id for one in mine]):
        raise Conflict("This job has already ended.")
    if wants_json():
        return show_json(job_id)
    return see_other(back_to(url_for("jobs.show", job_id=job_id, analysis=request.args.get("analysis") or None)))
