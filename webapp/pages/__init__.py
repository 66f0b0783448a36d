"""One module for each family of pages; here is what they share: the form of an answer, and the parts of addresses.

A page is a template with named blocks: a browser gets the whole, htmx the block that it replaces.
"""

from __future__ import annotations

import re
from typing import Any

from flask import Flask, Response, current_app, jsonify, make_response, redirect, render_template, request, url_for
from jinja2_fragments.flask import render_block
from werkzeug.routing import BaseConverter

from tasks.errors import NotFound
from tasks.records.analyses import by_key
from tasks.records.models import Analysis
from webapp import shapes

LIST_PARAMETERS = ("sort", "min", "insight", "wallet", "cluster", "edges") + (
    "show", "state", "kind", "analysis", "limit", "after"
)  # fmt: skip
LOCAL_PATH = re.compile(r"/(?:[!-.0-\[\]-~][!-\[\]-~]*)?")  # no second slash, backslash or space: those leave the site


class Key(BaseConverter):
    """The public id of an analysis or a job."""

    regex = "[0-9a-f]{32}"


class Address(BaseConverter):
    """A wallet's address: base58, at a length that 32 bytes can have."""

    regex = "[1-9A-HJ-NP-Za-km-z]{32,44}"


def register(app: Flask) -> None:
    """Add every page to the app."""
    app.url_map.converters.update(key=Key, address=Address)
    from webapp.pages import (
        analyses,
        description,
        downloads,
        enrichment,
        home,
        jobs,
        maps,
        operations,
        pair,
        pairs,
        rerun,
        token_list,
        tokens,
        wallets,
        watching,
    )

    assert all((downloads, pair, rerun, token_list, watching))  # add their pages to those of analyses and pairs
    for module in (home, analyses, pairs, maps, wallets, tokens, jobs, operations, description):
        app.register_blueprint(module.pages)
    enrichment.register(app)
    operations.register_files(app)


def page(template: str, block: str, *, section: str = "analyses", status: int = 200, **context: Any) -> Response:
    """Render a page, or for htmx the block that its target names (`block` when it names none)."""
    context |= {"section": section}
    path = f"pages/{template}.html"
    htmx = request.htmx
    if not htmx or htmx.boosted or htmx.history_restore_request:
        return make_response(render_template(path, **context), status)
    target = (htmx.target or "").replace("-", "_")
    named = target in current_app.jinja_env.get_template(path).blocks
    return make_response(render_block(path, target if named else block, **context), status)


def data(shape: Any, status: int = 200) -> Response:
    """Answer with a shape as JSON."""
    response = jsonify(shapes.jsonable(shape))
    response.status_code = status
    return response


def see_other(url: str) -> Response:
    """Send the reader to another page after a post: 303, or for htmx a header."""
    if request.htmx:
        return make_response("", 204, {"HX-Redirect": url})
    return make_response(redirect(url, 303))


def back_to(url: str) -> str:
    """Return the page of this site that a form names in `next`, else the one given."""
    wanted = request.form.get("next", "")
    return wanted if LOCAL_PATH.fullmatch(wanted) else url


def analysis_of(key: str) -> Analysis:
    """Return the analysis with this key. Raises NotFound, which says that analyses are not kept for ever."""
    try:
        return by_key(key)
    except NotFound as error:
        days = shapes.settings().keep_days
        raise NotFound(f"{error} Analyses are removed {days:,} days after they have ended.", error.code) from None


def page_url(endpoint: str, **changes: Any) -> str:
    """Return the address of a page, with the list parameters of this request but for the changes (None drops one)."""
    kept = {name: request.args[name] for name in LIST_PARAMETERS if name in request.args}
    return url_for(endpoint, **{name: value for name, value in {**kept, **changes}.items() if value not in (None, "")})
