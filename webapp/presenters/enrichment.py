"""The state of an enrichment as JSON and templates show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from flask import url_for

from tasks.settings import current
from tasks.storage import job_log, results
from tasks.storage.models.analyses import Analysis
from webapp.fields import Count
from webapp.presenters import jobs
from webapp.presenters.jobs import Job
from webapp.security import access

MOST_JOBS = 20

NO_TOKENS = dict.fromkeys(results.STATUSES, 0)


class Enrichment(TypedDict):
    """How many tokens are in each state, and the newest jobs."""

    pending: Count
    resolved: Count
    unlisted: Count
    failed: Count
    jobs: list[Job]


def enrichment(analysis: Analysis) -> Enrichment:
    """Return the enrichment for JSON; no tokens while there is no result."""
    return cast(Enrichment, {**_counts(analysis), "jobs": [jobs.job(one) for one in _jobs(analysis)]})


def _counts(analysis: Analysis) -> Mapping[str, int]:
    return results.token_counts(analysis.result_id) if analysis.result_id is not None else NO_TOKENS


def _jobs(analysis: Analysis) -> list[jobs.VisibleJob]:
    rows = job_log.enrichment_jobs(analysis.id)[:MOST_JOBS]
    return jobs.visible_jobs(rows, access.viewer(current(), analysis.key))


def enrichment_view(analysis: Analysis) -> Mapping[str, Any]:
    """Return the counts by state for a page, the `last` job, and whether to `poll` for changes."""
    counts, found = _counts(analysis), _jobs(analysis)
    working = any(one.is_live for one in found)
    here = {"key": analysis.key}
    return {
        **counts,
        "jobs": [one.row for one in found],
        "known": analysis.result_id is not None,
        "total": sum(counts[status] for status in results.STATUSES),
        "last": jobs.job_view(found[0]) if found else None,
        "working": working,
        "poll": working or counts["pending"] > 0,
        "url": url_for("analyses.enrichment", **here),
        "refresh_url": url_for("analyses.refresh", **here),
    }
