"""Running an analysis again with other parameters and the data that are there."""

from __future__ import annotations

from flask import Response, request, url_for

from tasks import lifecycle
from webapp import rerun_form, security
from webapp.errors import Problem, wants_json
from webapp.pages import analyses, analysis_of, see_other


@analyses.pages.post("/analyses/<key:key>/rerun")
def rerun(key: str) -> Response:
    """Start a new analysis of the same wallets without reading them; a bad parameter shows the form as it was."""
    analysis = analysis_of(key)
    change = rerun_form.read(analysis)
    if change.problems:
        if wants_json():
            raise Problem(422, "invalid_input", change.problems[0]["message"], change.problems)
        return analyses.show_page(analysis, change, status=422)
    # A program that sends JSON without a cookie is no browser that could come back for its list.
    owner = security.browser_id() if request.mimetype == "application/json" else security.ensure_browser_id()
    created = lifecycle.rerun(
        analysis,
        change.parameters,
        key=lifecycle.new_key(),
        owner=owner,
        idempotency_key=security.idempotency_key(change.sent_key, f"{key} {change.content}"),
    )
    if wants_json():
        return analyses.accepted(created)
    return see_other(url_for("analyses.show", key=created.analysis.key))
