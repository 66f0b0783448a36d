"""The progress of an analysis: of each wallet and each stage, and how long the rest takes at the rate so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from flask import url_for

from tasks.storage import analyses, results
from tasks.storage.models.analyses import Analysis
from tasks.storage.progress import ENDED_WALLET, pace, progress_rows, stage_jobs
from webapp.fields import Address, Count, Positive, one_of, pick
from webapp.markup import words
from webapp.markup.filters import duration
from webapp.presenters.analyses import State
from webapp.presenters.wallets import WalletState

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


Row = Mapping[str, Any]
"""A row of `tasks/storage/progress.py`, or a stored result."""


class Stage(TypedDict):
    """A stage of an analysis: reading counts wallets, comparing rows; `total` is null until it is known."""

    name: str
    state: Annotated[str, one_of(("waiting", "running", "done", "failed", "cancelled"))]
    done: Count
    total: Count | None


class StageView(Stage):
    """A stage for a page: `note` describes the current work, `figure` is "provisional" or None."""

    title: str
    note: str | None
    figure: str | None


class WalletProgress(TypedDict):
    """How much of a wallet is read."""

    address: Address
    state: WalletState
    done: Count | None
    total: Count | None
    reason: str | None


class WalletProgressView(WalletProgress):
    """The same for a page; `retry_url` where the wallet can be read again."""

    label: str | None
    truncated: bool
    retry_url: str | None


class Progress(TypedDict):
    """The progress of an analysis; `seconds_left` is 0 at its end, null while it cannot be estimated."""

    state: State
    stages: list[Stage]
    wallets: list[WalletProgress]
    seconds_left: Positive | None


class ProgressView(TypedDict):
    """The progress for a page: wallets counted by state, `done` of `total` for the bar, seconds between polls."""

    state: str
    stages: list[StageView]
    wallets: list[WalletProgressView]
    seconds_left: float | None
    counts: Mapping[str, int]
    done: int
    total: int
    poll_s: int


def progress(analysis: Analysis) -> Progress:
    """Return the progress for JSON."""
    rows = progress_rows(analysis.id)
    return {
        "state": analysis.state,
        "stages": [pick(Stage, step) for step in stages(analysis, rows)],
        "wallets": [pick(WalletProgress, row) for row in rows],
        "seconds_left": seconds_left(analysis),
    }


def progress_view(analysis: Analysis, result: Row | None) -> ProgressView:
    """Return the progress for a page; `result` is the one that readers see, None while there is none."""
    rows = progress_rows(analysis.id)
    steps, left_s = stages(analysis, rows), seconds_left(analysis)
    counts = Counter(row["state"] for row in rows)
    states = {state: counts[state] for state in WALLET_STATES}
    return {
        "state": analysis.state,
        "stages": _four_stages(analysis, steps, states, left_s, result),
        "seconds_left": left_s,
        "wallets": [_wallet(analysis, row) for row in rows],
        "counts": states,
        "done": _thousandths(rows, steps[1]),
        "total": 1000,
        "poll_s": POLL_S if len(rows) <= MANY_WALLETS else POLL_MANY_S,
    }


def _four_stages(
    analysis: Analysis,
    steps: Sequence[StageView],
    counts: Mapping[str, int],
    left_s: float | None,
    result: Row | None,
) -> list[StageView]:
    """Return the four stages of a page: the job that compares the pairs finds the clusters right after them."""
    reading, comparing = (step.copy() for step in steps)
    reading["note"] = _reading_note(reading, counts, left_s)
    pairs = result["summary"].get("pairs_total", 0) if result else 0
    if analysis.state in ("syncing", "provisional"):
        comparing["note"] = "Starts with the first wallets that are read"
        if result:
            comparing |= {"done": result["wallets"], "total": reading["total"], "state": "running"}
            comparing |= {"figure": "provisional", "note": f"{_pairs(pairs)} so far, refreshed as wallets arrive"}
    elif not comparing["note"]:
        comparing["note"] = _pairs(pairs) if analysis.state == "complete" else "All pairs, chance and timing"
    grouping = _stage("clusters", "waiting")
    if analysis.state not in ("syncing", "provisional"):
        grouping = {**comparing}
    grouping |= {"name": "clusters", "title": TITLES["clusters"], "figure": None}
    grouping["note"] = GROUP_NOTES.get(grouping["state"], "Found with the pairs")
    return [reading, comparing, grouping, _naming(result)]


def _reading_note(reading: Stage, counts: Mapping[str, int], left_s: float | None) -> str:
    if reading["state"] != "running":
        return "All of them were tried" if reading["state"] == "done" else "Wallets read so far are stored"
    if not counts["syncing"]:
        return "Waiting for their turn"
    left = f", about {duration(max(1.0, left_s))} left" if left_s is not None else ""
    return f"Reading {counts['syncing']:,} at a time{left}"


def _pairs(pairs: int) -> str:
    return f"{pairs:,} {'pair' if pairs == 1 else 'pairs'}"


def _naming(result: Row | None) -> StageView:
    """Return how far the tokens of the result are named: it goes on beside the other stages and after them."""
    found = results.token_counts(result["id"]) if result else {}
    total = sum(found.values())
    done = total - found.get("pending", 0)
    state = "waiting" if not done else "done" if done == total else "running"
    return _stage("tokens", state, done, total or None, "In the background; results do not wait for it")


def _thousandths(rows: Sequence[Row], comparing: Stage) -> int:
    """Return how much of the whole is done: nine tenths for the reading, one for the comparison."""
    read = sum(1.0 if row["state"] in ENDED_WALLET else _share(row["done"], row["total"]) for row in rows)
    compared = 1.0 if comparing["state"] == "done" else _share(comparing["done"], comparing["total"])
    return int(900 * read / max(1, len(rows)) + 100 * compared)


def _share(done: int | None, total: int | None) -> float:
    return min(1.0, (done or 0) / total) if total else 0.0


def _wallet(analysis: Analysis, row: Row) -> WalletProgressView:
    again = row["state"] in ("failed", "partial") and not words.is_refused(row["reason"])
    here = {"key": analysis.key, "address": row["address"]}
    url = url_for("wallets.retry", **here) if again else None
    return pick(WalletProgressView, {**row, "reason": words.describe_reason(row["reason"]), "retry_url": url})


def stages(analysis: Analysis, rows: Sequence[Row]) -> list[StageView]:
    """Return the two stages that jobs work through: reading and comparing."""
    ended = sum(row["state"] in ENDED_WALLET for row in rows)
    reading = "done" if ended == len(rows) else _stopped(analysis) or "running"
    comparing = stage_jobs(analysis.id).get("similarity")
    state = STAGE_STATES.get(comparing["state"], "waiting") if comparing else "waiting"
    state = "done" if analysis.state == "complete" else _stopped(analysis) or state
    job = comparing or {"done": 0, "total": None, "error": None}
    return [
        _stage("sync", reading, ended, len(rows)),
        _stage("similarity", state, job["done"], job["total"], job["error"] or analysis.reason),
    ]


def _stopped(analysis: Analysis) -> str | None:
    return analysis.state if analysis.state in ("failed", "cancelled") else None


def _stage(name: str, state: str, done: int = 0, total: int | None = None, note: str | None = None) -> StageView:
    return {
        "name": name,
        "title": TITLES[name],
        "state": state,
        "done": done,
        "total": total,
        "note": note,
        "figure": None,
    }


def seconds_left(analysis: Analysis) -> float | None:
    """Return how long the syncs will still take; 0 when the analysis has ended, None while it cannot be estimated."""
    if analysis.state not in analyses.LIVE:
        return 0.0
    return pace(analysis.id).seconds_left if analysis.state != "analysing" else None
