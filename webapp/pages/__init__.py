"""One module for each family of pages; shared here: registration and the forms of an answer.

A page is a template with named blocks: a browser gets the whole, htmx the block that it replaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, current_app, jsonify, make_response, redirect, render_template
from jinja2_fragments.flask import render_block

from tasks.errors import NotFound
from tasks.settings import current
from tasks.storage.analyses import by_key
from tasks.storage.models.analyses import Analysis
from webapp.polling import htmx_headers
from webapp.urls import Address, Key


def register(app: Flask) -> None:
    """Add every page to the app."""
    app.url_map.converters.update(key=Key, address=Address)
    from webapp.pages import (
        analyses,
        downloads,
        enrichment,
        home,
        jobs,
        maps,
        openapi,
        operations,
        pair,
        pairs,
        progress,
        rerun,
        token_list,
        tokens,
        wallets,
    )

    of_analyses = (analyses, downloads, enrichment, progress, rerun, token_list)
    modules = (home, *of_analyses, pairs, pair, maps, wallets, tokens, jobs, operations, openapi)
    for bp in dict.fromkeys(module.bp for module in modules):  # the modules of a family share its blueprint
        app.register_blueprint(bp)
    operations.register_files(app)


def render_page(template: str, block: str, *, section: str = "analyses", status: int = 200, **context: Any) -> Response:
    """Render a page, or for htmx the block that its target names (`block` when it names none)."""
    context |= {"section": section}
    path = f"pages/{template}.html"
    htmx = htmx_headers()
    if not htmx or htmx.boosted or htmx.history_restore_request:
        return make_response(render_template(path, **context), status)
    target = (htmx.target or "").replace("-", "_")
    named = target in current_app.jinja_env.get_template(path).blocks
    return make_response(render_block(path, target if named else block, **context), status)


def json_response(shape: Mapping[str, Any], status: int = 200) -> Response:
    """Return a shape as a JSON answer."""
    response = jsonify(shape)
    response.status_code = status
    return response


def see_other(url: str) -> Response:
    """Redirect after a post: 303, or for htmx a header."""
    if htmx_headers():
        return make_response("", 204, {"HX-Redirect": url})
    return make_response(redirect(url, 303))


def analysis_of(key: str) -> Analysis:
    """Return the analysis with this key. Raises NotFound, whose message mentions deletion after KEEP_DAYS."""
    try:
        return by_key(key)
    except NotFound as error:
        days = current().keep_days
        raise NotFound(f"{error} Analyses are removed {days:,} days after they have ended.", error.code) from None
