"""The state of the token lookups of an analysis, and refreshing prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, url_for

from tasks.enrichment import triggers
from tasks.pipeline import evidence
from tasks.storage import tokens
from tasks.storage.models.analyses import Analysis
from webapp import polling, urls
from webapp.errors import wants_json
from webapp.forms import refresh as refresh_form
from webapp.pages import analysis_of, json_response, render_page, see_other
from webapp.pages.analyses import bp
from webapp.polling import htmx_headers
from webapp.presenters import analyses, enrichment, jobs
from webapp.urls import back_to

MINTS_A_LIST = 100
"""So many fit into an address: gunicorn takes lines of up to 8,190 characters."""
STATE_TEXTS = {
    "failed": "Lookup failed",
    "pending": "Not known yet",
    "unlisted": "Without a market",
    "resolved": "Resolved",
}


@bp.get("/analyses/<key:key>/enrichment.json", endpoint="enrichment_json")
def show_json(key: str) -> Response:
    """Give the enrichment as JSON."""
    return json_response(enrichment.enrichment(analysis_of(key)))


@bp.get("/analyses/<key:key>/enrichment", endpoint="enrichment")
def show(key: str) -> Response:
    """Show the enrichment; the last poll stops htmx."""
    analysis = analysis_of(key)
    shown = enrichment.enrichment_view(analysis)
    answer = _page(analysis, shown)
    return polling.stop_polling(answer) if polling.is_poll() and not shown["poll"] else answer


def _page(analysis: Analysis, shown: Mapping[str, Any]) -> Response:
    template = "analysis" if htmx_headers().target == "tokens-resolved" else "enrichment"
    view = analyses.analysis_view(analysis, ())
    return render_page(template, "enrichment", analysis=view, enrichment=shown, lists=_lists(analysis))


def _lists(analysis: Analysis) -> list[Mapping[str, Any]]:
    """Return for each state that a token can be in the page of those, the most common of them first."""
    if analysis.result_id is None:
        return []
    mints = {status: tokens.mints(analysis.result_id, status, MINTS_A_LIST) for status in STATE_TEXTS}
    return [
        {
            "text": STATE_TEXTS[status],
            "shown": len(found),
            "url": url_for("tokens.show", mints=",".join(found), analysis=analysis.key),
        }
        for status, found in mints.items()
        if found
    ]


@bp.post("/analyses/<key:key>/refresh")
def refresh(key: str) -> Response:
    """Ask for the prices of an analysis, those on the reader's screen first. Raises Conflict without a result."""
    analysis = analysis_of(key)
    job_id = triggers.refresh(analysis, refresh_form.mints() or _most_common(analysis))
    if wants_json():
        return json_response(jobs.job(jobs.visible_job(job_id, key)), 202)
    if htmx_headers():
        return _page(analysis, enrichment.enrichment_view(analysis))
    return see_other(back_to(urls.analysis_url(analysis)))


def _most_common(analysis: Analysis) -> list[str]:
    if analysis.result_id is None:
        return []
    return [row["mint"] for row in evidence.shown_result(analysis)["top_tokens"]]
