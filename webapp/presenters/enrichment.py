"""The state of an enrichment as JSON and templates show it."""

from __future__ import annotations

from typing import Any

from flask import url_for

from tasks.jobs.states import LIVE
from tasks.settings import current
from tasks.storage import job_log, results
from tasks.storage.models.analyses import Analysis
from webapp.presenters import jobs
from webapp.security import access

MOST_JOBS = 20

NO_TOKENS = dict.fromkeys(results.STATUSES, 0)


def enrichment(analysis: Analysis) -> dict[str, Any]:
    """Return how many tokens are in each state, and the newest jobs; no tokens while there is no result."""
    counts = results.token_counts(analysis.result_id) if analysis.result_id is not None else NO_TOKENS
    rows = job_log.enrichment_jobs(analysis.id)[:MOST_JOBS]
    shown = jobs.job_shapes(rows, access.viewer(current(), analysis.key))
    return dict(counts) | {"jobs": [shape for shape, _ in shown]}


def enrichment_view(analysis: Analysis) -> dict[str, Any]:
    """Return the same for a page: with the last job, and whether there is something left to wait for."""
    shape = enrichment(analysis)
    last = jobs.job_view(shape["jobs"][0], ()) if shape["jobs"] else None
    working = any(job["state"] in LIVE for job in shape["jobs"])
    here = {"key": analysis.key}
    return shape | {
        "known": analysis.result_id is not None,
        "total": sum(shape[status] for status in results.STATUSES),
        "last": last,
        "working": working,
        "poll": working or shape["pending"] > 0,
        "url": url_for("analyses.enrichment", **here),
        "refresh_url": url_for("analyses.refresh", **here),
    }
