"""What a job says of itself on a page: how far it is or what came of it, and after a failure what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request, url_for

from tasks.jobs import priority
from tasks.jobs.states import LIVE
from tasks.storage import job_log
from tasks.storage.job_log import Waiter
from webapp.markup import words
from webapp.markup.filters import short_address
from webapp.markup.words import outcome, sentence
from webapp.security.access import Viewer

TIER_NAMES = {tier: name for name, tier in priority.TIERS.items()}
PLAIN = ("id", "kind", "state", "done", "total", "attempts", "counts", "enqueued_at", "started_at", "finished_at")


def _shape(row: Mapping[str, Any], waiters: Sequence[Waiter], events: Sequence[Any], reader: Viewer) -> dict[str, Any]:
    """Return a job; for whom none of its analyses is visible, without subject, analyses and details."""
    keys = [one.key for one in waiters if reader.may_see(one.key, one.owner)]
    visible = bool(keys) or reader.sees_all
    return {
        **{key: row[key] for key in PLAIN},
        "subject": row["target"] if visible else None,
        "analyses": keys if visible else None,
        "tier": TIER_NAMES.get(row["tier"], str(row["tier"])),
        "error": row["error"] if visible else None,
        "events": [{**event, "detail": event["detail"] if visible else None} for event in events],
    }


def job_shapes(rows: Sequence[Mapping[str, Any]], reader: Viewer) -> list[tuple[dict[str, Any], list[Waiter]]]:
    """Return each job's shape, as this reader may see it, and the analyses that wait for it."""
    ids = [row["id"] for row in rows]
    waiters, events = job_log.waiters(ids), job_log.events(ids)
    return [(_shape(row, waiters[row["id"]], events[row["id"]], reader), waiters[row["id"]]) for row in rows]


def job_view(shape: dict[str, Any], waiters: Sequence[Waiter]) -> dict[str, Any]:
    """Return a job for a page; its links carry the analysis that the request named."""
    named = request.args.get("analysis") or None
    visible = shape["analyses"] is not None
    labels = {one.key: one.label for one in waiters}
    ended = shape["finished_at"]
    return shape | {
        "told": describe_outcome(shape),
        "next_step": next_step(shape),
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


UNITS = {"sync": "transactions", "enrich": "tokens", "refresh": "tokens", "maintain": "tokens"}
COMPARING = ("similarity", "provisional")
HIDDEN_ERROR = "Failed. You do not have access to the reason."
REFUSED_NEXT = "The analysis goes on without this wallet. Check its address."
NEXT = {
    "sync": "The analysis goes on without this wallet; it can be read again from the table of wallets.",
    "similarity": "What was read is kept: start the analysis again, it will be quick.",
    "provisional": "Nothing is lost: the comparison of all wallets comes at the end.",
    "enrich": "The scores do not need it; “Refresh prices” asks again.",
    "refresh": "The prices are as they were; “Refresh prices” asks again.",
    "maintain": "It is tried again by itself within minutes.",
}


def describe_outcome(job: Mapping[str, Any]) -> str:
    """Say in words where a job stands, for every state there is; `error` and details where the reader may see them."""
    match job["state"]:
        case "queued":
            return "Waiting for its turn"
        case "running":
            return _so_far(job)
        case "succeeded":
            return _done(job)
        case "failed":
            return sentence(words.describe_reason(job["error"]) or "") if job["error"] else HIDDEN_ERROR
        case _:
            return _detail(job) or "Cancelled"


def next_step(job: Mapping[str, Any]) -> str | None:
    """Say what to do about a job that failed, None for any other."""
    if job["state"] != "failed":
        return None
    if job["kind"] == "sync" and words.is_refused(job["error"]):
        return REFUSED_NEXT
    return NEXT.get(job["kind"], "It can be asked for again.")


def _so_far(job: Mapping[str, Any]) -> str:
    if job["kind"] in COMPARING:
        return "Comparing the wallets"
    unit = UNITS.get(job["kind"], "done")
    return f"{job['done']:,} of {job['total']:,} {unit}" if job["total"] else f"{job['done']:,} {unit} so far"


def _done(job: Mapping[str, Any]) -> str:
    if job["counts"] and job["counts"].get("asked"):
        return outcome(job["counts"])
    if job["kind"] in COMPARING:
        found = _detail(job)
        return f"{found} compared" if found else "Compared"
    if job["kind"] == "sync":
        return f"{job['done']:,} transactions read" if job["done"] else "Read; nothing new"
    return "Nothing to ask for: all were up to date"


def _detail(job: Mapping[str, Any]) -> str | None:
    """Give the detail of the last event, None where there is none that the reader may see."""
    found: str | None = job["events"][-1]["detail"] if job["events"] else None
    return found
