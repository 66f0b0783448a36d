"""How far an analysis is: for each wallet, for each stage, and how long the rest takes at the rate so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, Response, url_for

from tasks.records import activity, analyses
from tasks.records.analyses import ENDED_WALLET
from tasks.records.models import Analysis
from webapp import polling, shapes
from webapp.pages import analysis_of, data, page

WALLET_STATES = ("synced", "partial", "failed", "syncing", "waiting")
MANY_WALLETS = 500
POLL_S, POLL_MANY_S = 2, 5
TITLES = {"sync": "Read the wallets", "similarity": "Compare the pairs"}
STAGE_STATES = {"queued": "waiting", "running": "running", "succeeded": "done", "failed": "failed"}


def register(app: Flask) -> None:
    """Add the progress of an analysis to its pages."""
    path = "/analyses/<key:key>/progress"
    app.add_url_rule(path, "analyses.progress", show)
    app.add_url_rule(f"{path}.json", "analyses.progress_json", show_json)


def show_json(key: str) -> Response:
    """Give the progress as JSON."""
    analysis = analysis_of(key)
    rows = analyses.progress_rows(analysis.id)
    return data(progress(analysis, rows, stages(analysis, rows)))


def show(key: str) -> Response:
    """Show the progress. htmx, which asks again and again, is told when to stop and where the result is."""
    analysis = analysis_of(key)
    result = shapes.shown_result(analysis)
    shown = progress_view(analysis)
    ended = analysis.state not in analyses.LIVE
    answer = page(
        "progress",
        "progress",
        analysis=shapes.analysis_view(analysis, ()),
        progress=shown,
        result=result and shapes.result_view(result),
    )
    if ended and polling.is_poll():
        answer.headers["HX-Redirect"] = shapes.analysis_url(analysis)
        return polling.last(answer)
    return answer


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


def progress_view(analysis: Analysis) -> dict[str, Any]:
    """Return the progress for a page."""
    rows = analyses.progress_rows(analysis.id)
    steps = stages(analysis, rows)
    counts = Counter(row["state"] for row in rows)
    return progress(analysis, rows, steps) | {
        "stages": steps,
        "wallets": [_wallet(analysis, row) for row in rows],
        "counts": {state: counts[state] for state in WALLET_STATES},
        "done": _thousandths(rows, steps[1]),
        "total": 1000,
        "poll_s": POLL_S if len(rows) <= MANY_WALLETS else POLL_MANY_S,
    }


def _thousandths(rows: Sequence[Mapping[str, Any]], comparing: Mapping[str, Any]) -> int:
    """Return how much of the whole is done: nine tenths for the reading, one for the comparison."""
    read = sum(1.0 if row["state"] in ENDED_WALLET else _share(row["done"], row["total"]) for row in rows)
    compared = 1.0 if comparing["state"] == "done" else _share(comparing["done"], comparing["total"])
    return int(900 * read / max(1, len(rows)) + 100 * compared)


def _share(done: int | None, total: int | None) -> float:
    return min(1.0, (done or 0) / total) if total else 0.0


def _wallet(analysis: Analysis, row: Mapping[str, Any]) -> dict[str, Any]:
    again = row["state"] in ("failed", "partial")
    here = {"key": analysis.key, "address": row["address"]}
    keys = ("address", "label", "state", "done", "total", "reason", "truncated")
    return {key: row[key] for key in keys} | {"retry_url": url_for("wallets.retry", **here) if again else None}


def stages(analysis: Analysis, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the two stages, each {"name", "title", "state", "done", "total", "note"}.

    Reading counts wallets, comparing counts stored rows; `total` is None until it is known.
    """
    ended = sum(row["state"] in ENDED_WALLET for row in rows)
    reading = "done" if ended == len(rows) else _stopped(analysis) or "running"
    comparing = activity.stage_jobs(analysis.id).get("similarity")
    state = STAGE_STATES.get(comparing["state"], "waiting") if comparing else "waiting"
    state = "done" if analysis.state == "complete" else _stopped(analysis) or state
    job = comparing or {"done": 0, "total": None, "error": None}
    return [
        _stage("sync", reading, ended, len(rows), None),
        _stage("similarity", state, job["done"], job["total"], job["error"] or analysis.reason),
    ]


def _stopped(analysis: Analysis) -> str | None:
    return analysis.state if analysis.state in ("failed", "cancelled") else None


def _stage(name: str, state: str, done: int, total: int | None, note: str | None) -> dict[str, Any]:
    return {"name": name, "title": TITLES[name], "state": state, "done": done, "total": total, "note": note}


def seconds_left(analysis: Analysis) -> float | None:
    """Return how long the syncs will still take; 0 when the analysis has ended, None while nothing tells."""
    if analysis.state not in analyses.LIVE:
        return 0.0
    return activity.pace(analysis.id).seconds_left if analysis.state != "analysing" else None
