"""How far the tokens of an analysis are known, and asking for their prices again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request, url_for

from tasks.enrichment import triggers
from tasks.pipeline import evidence
from tasks.settings import current
from tasks.storage import job_log, tokens
from tasks.storage.models.analyses import Analysis
from webapp import polling, urls
from webapp.errors import Problem, wants_json
from webapp.forms.query import MINT, MOST_MINTS
from webapp.pages import analysis_of, json_response, render_page, see_other
from webapp.polling import htmx_headers
from webapp.presenters import analyses, enrichment, jobs
from webapp.security import access
from webapp.urls import back_to

MINTS_A_LIST = 100
"""So many fit into an address: gunicorn takes lines of up to 8,190 characters."""
STATE_TEXTS = {
    "failed": "Lookup failed",
    "pending": "Not known yet",
    "unlisted": "Without a market",
    "resolved": "Resolved",
}


def register(app: Flask) -> None:
    """Add the enrichment of an analysis to its pages."""
    path = "/analyses/<key:key>"
    app.add_url_rule(f"{path}/enrichment", "analyses.enrichment", show)
    app.add_url_rule(f"{path}/enrichment.json", "analyses.enrichment_json", show_json)
    app.add_url_rule(f"{path}/refresh", "analyses.refresh", refresh, methods=["POST"])


def show_json(key: str) -> Response:
    """Give the enrichment as JSON."""
    return json_response(enrichment.enrichment(analysis_of(key)))


def show(key: str) -> Response:
    """Show the enrichment. htmx, which asks again and again, is told when to stop."""
    analysis = analysis_of(key)
    shown = enrichment.enrichment_view(analysis)
    answer = _page(analysis, shown)
    return polling.stop_polling(answer) if polling.is_poll() and not shown["poll"] else answer


def _page(analysis: Analysis, shown: Mapping[str, Any]) -> Response:
    template = "analysis" if htmx_headers().target == "tokens-resolved" else "enrichment"
    view = analyses.analysis_view(analysis, ())
    return render_page(template, "enrichment", analysis=view, enrichment=shown, lists=_lists(analysis))


def _lists(analysis: Analysis) -> list[dict[str, Any]]:
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


def refresh(key: str) -> Response:
    """Ask for the prices of an analysis, those on the reader's screen first. Raises Conflict without a result."""
    analysis = analysis_of(key)
    job_id = triggers.refresh(analysis, _on_screen() or _most_common(analysis))
    if wants_json():
        ((shape, _),) = jobs.job_shapes([job_log.job(job_id)], access.viewer(current(), key))
        return json_response(shape, 202)
    if htmx_headers():
        return _page(analysis, enrichment.enrichment_view(analysis))
    return see_other(back_to(urls.analysis_url(analysis)))


def _on_screen() -> list[str]:
    """Return the mints that the request names, at most 150; what is no mint is passed over."""
    sent = request.form.getlist("mints") if request.mimetype != "application/json" else _sent_json()
    words = (word.strip() for text in sent for word in text.split(","))
    return list(dict.fromkeys(word for word in words if MINT.fullmatch(word)))[:MOST_MINTS]


def _sent_json() -> list[str]:
    body = request.get_json(silent=True) if request.content_length else {}
    if not isinstance(body, dict):
        raise Problem(400, "bad_request", 'Send a JSON object, such as {"mints": []}.')
    sent = body.get("mints") or []
    if not isinstance(sent, str | list):
        raise Problem(400, "wrong_type", "“mints” must be a list of mints, or a text of them.", [{"key": "mints"}])
    return [text for text in ([sent] if isinstance(sent, str) else sent) if isinstance(text, str)]


def _most_common(analysis: Analysis) -> list[str]:
    if analysis.result_id is None:
        return []
    return [row["mint"] for row in evidence.shown_result(analysis)["top_tokens"]]
