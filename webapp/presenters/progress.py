"""How far an analysis is: for each wallet, for each stage, and how long the rest takes at the rate so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flask import url_for

from tasks.storage import analyses, results
from tasks.storage.models.analyses import Analysis
from tasks.storage.progress import ENDED_WALLET, pace, progress_rows, stage_jobs
from webapp.markup import words
from webapp.markup.filters import duration

WALLET_STATES = ("synced", "partial", "failed", "syncing", "waiting")
MANY_WALLETS = 500
POLL_S, POLL_MANY_S = 2, 5
TITLES = {
    "sync": "Read wallets",
    "similarity": "Compare pairs",
    "clusters": "Find clusters",
    "tokens": "Name and price tokens",
}
GROUP_NOTES = {"waiting": "Starts when every wallet is read or has failed", "running": "With the last comparison"}
STAGE_STATES = {"queued": "waiting", "running": "running", "succeeded": "done", "failed": "failed"}


def progress(
    analysis: Analysis, rows: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the progress as the JSON shapes it, from the rows of the wallets and the stages."""
    keys = ("address", "state", "done", "total", "reason")
    return {
        "state": analysis.state,
        "stages": [{key: step[key] for key in ("name", "state", "done", "total")} for step in steps],
        "wallets": [{key: row[key] for key in keys} for row in rows],
        "seconds_left": seconds_left(analysis),
    }


def progress_view(analysis: Analysis, result: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the progress for a page; `result` is the one that readers see, None while there is none."""
    rows = progress_rows(analysis.id)
    steps = stages(analysis, rows)
    counts = Counter(row["state"] for row in rows)
    shape = progress(analysis, rows, steps)
    states = {state: counts[state] for state in WALLET_STATES}
    return shape | {
        "stages": _told(analysis, steps, states, shape["seconds_left"], result),
        "wallets": [_wallet(analysis, row) for row in rows],
        "counts": states,
        "done": _thousandths(rows, steps[1]),
        "total": 1000,
        "poll_s": POLL_S if len(rows) <= MANY_WALLETS else POLL_MANY_S,
    }


def _told(
    analysis: Analysis,
    steps: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
    left_s: float | None,
    result: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """Return the four stages of a page: {"name", "title", "state", "done", "total", "note", "figure"}.

    The groups are found by the job that compares the pairs, right after it; a note is what is being done at the moment.
    """
    reading, comparing = (dict(step) for step in steps)
    reading |= {"note": _reading_note(reading, counts, left_s)}
    pairs = result["summary"].get("pairs_total", 0) if result else 0
    if analysis.state in ("syncing", "provisional"):
        share = {"done": result["wallets"], "total": reading["total"], "state": "running"} if result else {}
        comparing |= share | {"figure": "provisional" if result else None}
        comparing["note"] = (
            f"{_pairs(pairs)} so far, refreshed as wallets arrive"
            if result
            else "Begins with the first wallets that are read"
        )
    elif not comparing["note"]:
        comparing["note"] = _pairs(pairs) if analysis.state == "complete" else "All pairs, chance and timing"
    grouping = dict(comparing) if analysis.state not in ("syncing", "provisional") else _stage("clusters", "waiting")
    grouping |= {"name": "clusters", "title": TITLES["clusters"], "figure": None}
    grouping["note"] = GROUP_NOTES.get(grouping["state"], "Found with the pairs")
    return [reading, comparing, grouping, _naming(result)]


def _reading_note(reading: Mapping[str, Any], counts: Mapping[str, int], left_s: float | None) -> str:
    if reading["state"] != "running":
        return "All of them were tried" if reading["state"] == "done" else "What was read is kept"
    if not counts["syncing"]:
        return "Waiting for their turn"
    left = f", about {duration(max(1.0, left_s))} left" if left_s is not None else ""
    return f"Reading {counts['syncing']:,} at a time{left}"


def _pairs(pairs: int) -> str:
    return f"{pairs:,} {'pair' if pairs == 1 else 'pairs'}"


def _naming(result: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how far the tokens of the result are named: it goes on beside the other stages and after them."""
    found = results.token_counts(result["id"]) if result else {}
    total = sum(found.values())
    done = total - found.get("pending", 0)
    state = "waiting" if not done else "done" if done == total else "running"
    note = "In the background; results do not wait for it"
    return _stage("tokens", state, done, total or None) | {"note": note}


def _thousandths(rows: Sequence[Mapping[str, Any]], comparing: Mapping[str, Any]) -> int:
    """Return how much of the whole is done: nine tenths for the reading, one for the comparison."""
    read = sum(1.0 if row["state"] in ENDED_WALLET else _share(row["done"], row["total"]) for row in rows)
    compared = 1.0 if comparing["state"] == "done" else _share(comparing["done"], comparing["total"])
    return int(900 * read / max(1, len(rows)) + 100 * compared)


def _share(done: int | None, total: int | None) -> float:
    return min(1.0, (done or 0) / total) if total else 0.0


def _wallet(analysis: Analysis, row: Mapping[str, Any]) -> dict[str, Any]:
    again = row["state"] in ("failed", "partial") and not words.is_refused(row["reason"])
    here = {"key": analysis.key, "address": row["address"]}
    keys = ("address", "label", "state", "done", "total", "truncated")
    shown = {key: row[key] for key in keys} | {"reason": words.describe_reason(row["reason"])}
    return shown | {"retry_url": url_for("wallets.retry", **here) if again else None}


def stages(analysis: Analysis, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the two stages, each {"name", "title", "state", "done", "total", "note", "figure"}.

    Reading counts wallets, comparing counts stored rows; `total` is None until it is known.
    """
    ended = sum(row["state"] in ENDED_WALLET for row in rows)
    reading = "done" if ended == len(rows) else _stopped(analysis) or "running"
    comparing = stage_jobs(analysis.id).get("similarity")
    state = STAGE_STATES.get(comparing["state"], "waiting") if comparing else "waiting"
    state = "done" if analysis.state == "complete" else _stopped(analysis) or state
    job = comparing or {"done": 0, "total": None, "error": None}
    return [
        _stage("sync", reading, ended, len(rows)),
        _stage("similarity", state, job["done"], job["total"]) | {"note": job["error"] or analysis.reason},
    ]


def _stopped(analysis: Analysis) -> str | None:
    return analysis.state if analysis.state in ("failed", "cancelled") else None


def _stage(name: str, state: str, done: int = 0, total: int | None = None) -> dict[str, Any]:
    shown = {"name": name, "title": TITLES[name], "state": state, "done": done, "total": total}
    return shown | {"note": None, "figure": None}


def seconds_left(analysis: Analysis) -> float | None:
    """Return how long the syncs will still take; 0 when the analysis has ended, None while nothing tells."""
    if analysis.state not in analyses.LIVE:
        return 0.0
    return pace(analysis.id).seconds_left if analysis.state != "analysing" else None
