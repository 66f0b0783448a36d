"""Watching an analysis run: its progress, which htmx asks for again and again, and the page that becomes the result."""

from __future__ import annotations

from flask import Response, request

from tasks.records import analyses as records
from tasks.records.models import Analysis
from tasks.records.progress import progress_rows
from webapp import polling, security, shapes, sharing
from webapp.pages import analyses, analysis_of, data, page, progress


@analyses.pages.get("/analyses/<key:key>/progress.json", endpoint="progress_json")
def show_json(key: str) -> Response:
    """Give the progress as JSON."""
    analysis = analysis_of(key)
    rows = progress_rows(analysis.id)
    return data(progress.progress(analysis, rows, progress.stages(analysis, rows)))


@analyses.pages.get("/analyses/<key:key>/progress", endpoint="progress")
def show(key: str) -> Response:
    """Show the progress. A poll of what has ended is the last one, and brings the result.

    A poll says which result its page shows; without that it is the answer to something that was done, and is made anew.
    """
    analysis = analysis_of(key)
    ended = analysis.state not in records.LIVE
    if ended and polling.is_poll():
        return polling.last(_ended(analysis))
    if "shown" in request.args and polling.is_poll():
        return sharing.shared(lambda: _page(analysis), analysis.key, analysis.state, analysis.result_id)
    return _page(analysis)


def _page(analysis: Analysis) -> Response:
    result = shapes.shown_result(analysis)
    return page(
        "progress",
        "progress",
        analysis=shapes.analysis_view(analysis, ()),
        progress=progress.progress_view(analysis, result),
        result=result and shapes.result_view(result),
    )


def _ended(analysis: Analysis) -> Response:
    """Answer with what takes the place of the page's content; a page of its own is sent to the result instead."""
    here = shapes.analysis_url(analysis)
    if security.parts_of(request.headers.get("HX-Current-URL", "")).path != here:
        return Response("", headers={"HX-Redirect": here})
    answer = analyses.show_page(analysis)
    answer.headers.update({"HX-Retarget": "#content", "HX-Reswap": "innerHTML"})
    return answer
