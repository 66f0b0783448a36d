"""Running an analysis again with other parameters and the data that are there."""

from __future__ import annotations

from flask import Response, request, url_for

from tasks.pipeline import start
from webapp.errors import Problem, wants_json
from webapp.forms.rerun import read
from webapp.pages import analyses, analysis_of, see_other
from webapp.pages.analyses import bp
from webapp.security import access


@bp.post("/analyses/<key:key>/rerun")
def rerun(key: str) -> Response:
    """Start a new analysis of the same wallets without reading them; a bad parameter shows the form as it was."""
    analysis = analysis_of(key)
    change = read(analysis)
    if change.problems:
        if wants_json():
            raise Problem(422, "invalid_input", change.problems[0]["message"], change.problems)
        return analyses.show_page(analysis, change, status=422)
    # A program that sends JSON without a cookie is no browser that could come back for its list.
    owner = access.browser_id() if request.mimetype == "application/json" else access.ensure_browser_id()
    created = start.rerun(
        analysis,
        change.parameters,
        key=start.new_key(),
        owner=owner,
        idempotency_key=access.idempotency_key(change.sent_key, f"{key} {change.content}"),
    )
    if wants_json():
        return analyses.accepted(created)
    return see_other(url_for("analyses.show", key=created.analysis.key))
