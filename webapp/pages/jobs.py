"""Jobs: one job with its events, the log of all, and cancelling one."""

from __future__ import annotations

from flask import Blueprint, Response, request, url_for

from tasks.errors import Conflict, NotFound
from tasks.pipeline import workflow
from tasks.settings import current
from tasks.storage import analyses, job_log
from webapp import polling
from webapp.errors import Problem, wants_json
from webapp.forms import query
from webapp.markup.filters import moment
from webapp.markup.labels import JOB_KINDS
from webapp.pages import json_response, render_page, see_other
from webapp.presenters import home
from webapp.presenters.jobs import STATES, Activity, VisibleJob, job, job_view, visible_job, visible_jobs
from webapp.security import access
from webapp.security.access import Viewer
from webapp.urls import back_to, page_url

bp = Blueprint("jobs", __name__)

JOBS_A_PAGE, MOST_JOBS = 50, 200


def _read_page(reader: Viewer) -> tuple[list[VisibleJob], str | None]:
    rows, following = job_log.jobs_page(
        state=query.read_choice("state", STATES),
        kind=query.read_choice("kind", tuple(JOB_KINDS)),
        analysis=request.args.get("analysis") or None,
        after=request.args.get("after") or None,
        limit=query.read_limit(JOBS_A_PAGE, MOST_JOBS),
    )
    return visible_jobs(rows, reader), following


@bp.get("/activity.json")
def activity_json() -> Response:
    """Give a page of the log as JSON."""
    found, following = _read_page(access.viewer(current()))
    page: Activity = {"jobs": [job(one) for one in found], "next": following}
    return json_response(page)


@bp.get("/activity", endpoint="activity")
def show_activity() -> Response:
    """Show the log of jobs, the newest first."""
    found, following = _read_page(access.viewer(current()))
    pending = not request.args.get("after") and any(one.is_live for one in found)
    answer = render_page(
        "activity",
        "jobs",
        section="activity",
        jobs=[job_view(one) for one in found],
        next_url=following and page_url("jobs.activity", after=following),
        filters={name: request.args.get(name, "") for name in ("state", "kind", "analysis")},
        states=_states(),
        analyses=_choices(request.args.get("analysis", "")),
        kinds=[("", "All kinds"), *JOB_KINDS.items()],
        poll=pending,
        page_url=page_url("jobs.activity"),
    )
    return polling.stop_polling(answer) if polling.is_poll() and not pending else answer


def _states() -> list[tuple[str, int]]:
    """Return the states to choose from, "" for all, each with the number of jobs under the other filters."""
    kind = query.read_choice("kind", tuple(JOB_KINDS))
    counts = job_log.state_counts(kind=kind, analysis=request.args.get("analysis") or None)
    return [("", sum(counts.values())), *((state, counts.get(state, 0)) for state in STATES)]


def _choices(named: str) -> list[tuple[str, str]]:
    """Return the analyses to choose from, (key, label): this browser's own, and the one that the request names."""
    owner = access.browser_id()
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


@bp.get("/jobs/<key:job_id>.json")
def show_json(job_id: str) -> Response:
    """Give one job as JSON."""
    return json_response(job(visible_job(job_id)))


@bp.get("/jobs/<key:job_id>")
def show(job_id: str) -> Response:
    """Show one job with its events."""
    found = visible_job(job_id)
    here = page_url("jobs.show", job_id=job_id)
    answer = render_page("job", "job", section="activity", job=job_view(found), page_url=here)
    return polling.stop_polling(answer) if polling.is_poll() and not found.is_live else answer


@bp.post("/jobs/<key:job_id>/cancel")
def cancel(job_id: str) -> Response:
    """Cancel a job for the analyses that the reader may act for; the others still wait for it."""
    reader = access.viewer(current())
    row = job_log.job(job_id)
    mine = [one for one in job_log.waiters([job_id])[job_id] if reader.may_see(one.key, one.owner)]
    if not mine and not reader.sees_all:
        raise Problem(403, "forbidden", "You do not have access to this job.")
    everyone = reader.sees_all
    if not workflow.cancel_job(row["id"], None if everyone else [one.analysis_id for one in mine]):
        raise Conflict("This job has already ended.")
    if wants_json():
        return show_json(job_id)
    return see_other(back_to(url_for("jobs.show", job_id=job_id, analysis=request.args.get("analysis") or None)))
