"""The progress of an analysis, which htmx polls until the result replaces it."""

from __future__ import annotations

from flask import Response, request

from tasks.storage.analyses import LIVE
from tasks.storage.models.analyses import Analysis
from webapp import polling, urls
from webapp.middleware import micro_cache
from webapp.pages import analyses, analysis_of, json_response, render_page
from webapp.pages.analyses import bp
from webapp.presenters import progress
from webapp.presenters.analyses import analysis_view, result_or_none, result_view


@bp.get("/analyses/<key:key>/progress.json", endpoint="progress_json")
def show_json(key: str) -> Response:
    """Give the progress as JSON."""
    return json_response(progress.progress(analysis_of(key)))


@bp.get("/analyses/<key:key>/progress", endpoint="progress")
def show(key: str) -> Response:
    """Show the progress. The last poll, after the end, brings the result.

    A poll names the result that its page shows; a request without it follows a user's action and is not cached.
    """
    analysis = analysis_of(key)
    ended = analysis.state not in LIVE
    if ended and polling.is_poll():
        return polling.stop_polling(_ended(analysis))
    if "shown" in request.args and polling.is_poll():
        return micro_cache.cached_for_all(lambda: _page(analysis), analysis.key, analysis.state, analysis.result_id)
    return _page(analysis)


def _page(analysis: Analysis) -> Response:
    result = result_or_none(analysis)
    return render_page(
        "progress",
        "progress",
        analysis=analysis_view(analysis, ()),
        progress=progress.progress_view(analysis, result),
        result=result and result_view(result),
    )


def _ended(analysis: Analysis) -> Response:
    """Answer with what takes the place of the page's content; a page of its own is sent to the result instead."""
    here = urls.analysis_url(analysis)
    if urls.parts_of(request.headers.get("HX-Current-URL", "")).path != here:
        return Response("", headers={"HX-Redirect": here})
    answer = analyses.show_page(analysis)
    answer.headers.update({"HX-Retarget": "#content", "HX-Reswap": "innerHTML"})
    return answer
