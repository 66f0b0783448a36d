"""Tokens by mint, as page and JSON, and the poll that refreshes the token cells of other pages."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, get_template_attribute, make_response, request

from tasks.errors import InputError
from tasks.storage import results
from tasks.storage.analyses import by_key
from webapp import polling
from webapp.forms import query
from webapp.pages import json_response, render_page
from webapp.presenters.tokens import Tokens, TokenView, token_views, tokens_by_mint

bp = Blueprint("tokens", __name__)


def requested_mints() -> list[str]:
    """Return the mints that the query names, each once. Raises InputError for none, too many, or an invalid one."""
    named = ",".join(request.args.getlist("mints"))
    mints = list(dict.fromkeys(mint for text in named.split(",") if (mint := text.strip())))
    if not mints or len(mints) > query.MOST_MINTS:
        raise InputError(f"Name 1 to {query.MOST_MINTS} mints: /tokens?mints=first,second.")
    if strange := next((mint for mint in mints if not query.MINT.fullmatch(mint)), None):
        raise InputError(f"{strange[:60]!r} is no mint: that is 32 to 44 letters and digits of base58.")
    return mints


@bp.get("/tokens.json")
def show_json() -> Response:
    """Return tokens as JSON, in the order of the request."""
    mints = requested_mints()
    known = tokens_by_mint(mints)
    found: Tokens = {"tokens": [known[mint] for mint in mints]}
    return json_response(found)


@bp.get("/tokens")
def show() -> Response:
    """Show tokens; a poll gets the cells of those whose lookup has ended."""
    mints = requested_mints()
    known = token_views(mints)
    tokens = [known[mint] for mint in mints]
    if polling.is_poll():
        return _changed(tokens)
    counts = {status: sum(token["status"] == status for token in tokens) for status in results.STATUSES}
    return render_page("tokens", "tokens", tokens=tokens, counts=counts, analysis_key=_named())


def _named() -> str | None:
    """Return the key of the analysis that the request names, whose form retries failed tokens."""
    key = request.args.get("analysis") or None
    return key and str(by_key(key).key)


def _changed(tokens: Sequence[TokenView]) -> Response:
    """Answer a poll, which asks only for what its page shows as awaited: 286 when none is, 204 while all are."""
    arrived = [token for token in tokens if not token["awaited"]]
    if not arrived:
        return make_response("", 204)
    answer = make_response(get_template_attribute("macros/tokens.html", "token_swaps")(arrived))
    return polling.stop_polling(answer) if len(arrived) == len(tokens) else answer
