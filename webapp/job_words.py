"""What a job says of itself on a page: how far it is or what came of it, and after a failure what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webapp import reasons
from webapp.words import outcome, sentence

UNITS = {"sync": "transactions", "enrich": "tokens", "refresh": "tokens", "maintain": "tokens"}
COMPARING = ("similarity", "provisional")
REFUSED_NEXT = "The analysis goes on without this wallet. Check its address."
NEXT = {
    "sync": "The analysis goes on without this wallet; it can be read again from the table of wallets.",
    "similarity": "What was read is kept: start the analysis again, it will be quick.",
    "provisional": "Nothing is lost: the comparison of all wallets comes at the end.",
    "enrich": "The scores do not need it; “Refresh prices” asks again.",
    "refresh": "The prices are as they were; “Refresh prices” asks again.",
    "maintain": "It is tried again by itself within minutes.",
}


def told(job: Mapping[str, Any]) -> str:
    """Say in words where a job stands, for every state there is; `error` and details where the reader may see them."""
    return {
        "queued": lambda: "Waiting for its turn",
        "running": lambda: _so_far(job),
        "succeeded": lambda: _done(job),
        "failed": lambda: (
            sentence(reasons.told(job["error"]) or "") if job["error"] else "It failed; the reason is not yours to see."
        ),
        "cancelled": lambda: _detail(job) or "Cancelled",
    }[job["state"]]()


def next_step(job: Mapping[str, Any]) -> str | None:
    """Say what to do about a job that failed, None for any other."""
    if job["state"] != "failed":
        return None
    if job["kind"] == "sync" and reasons.is_refused(job["error"]):
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
