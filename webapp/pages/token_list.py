"""All tokens of an analysis: by how many wallets and for how much, with names and prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request

from tasks.storage.tokens import SORTS
from tasks.storage.tokens import page as tokens_page
from webapp.fields import pick
from webapp.forms import query
from webapp.pages import analysis_of, json_response, render_page
from webapp.pages.analyses import bp
from webapp.presenters import enrichment, tokens
from webapp.presenters.analyses import analysis_view, result_or_none, result_view
from webapp.urls import page_url

LIMIT, MOST = 50, 200
HEADS = (("wallets", "Wallets"), ("spent_sol", "Spent SOL"))


@bp.get("/analyses/<key:key>/tokens")
def all_tokens(key: str) -> Response:
    """Show a page of the tokens."""
    analysis = analysis_of(key)
    result = result_or_none(analysis)
    sort, rows, after = _requested(result)
    return render_page(
        "token_list",
        "token_rows",
        analysis=analysis_view(analysis, ()),
        result=result and result_view(result),
        tokens=tokens.with_token_views(rows),
        most=max((row["wallets"] for row in rows), default=0),
        enrichment=enrichment.enrichment_view(analysis),
        sorts=[(name, text, page_url("analyses.all_tokens", key=key, sort=name, after=None)) for name, text in HEADS],
        sort=sort,
        first_url=page_url("analyses.all_tokens", key=key, after=None) if request.args.get("after") else None,
        next_url=after and page_url("analyses.all_tokens", key=key, after=after),
    )


@bp.get("/analyses/<key:key>/tokens.json")
def all_tokens_json(key: str) -> Response:
    """Give a page of the tokens as JSON."""
    _, rows, after = _requested(result_or_none(analysis_of(key)))
    known = tokens.tokens_by_mint(row["mint"] for row in rows)
    found = [pick(tokens.AnalysisToken, {**row, "token": known[row["mint"]]}) for row in rows]
    page: tokens.AnalysisTokens = {"tokens": found, "next": after}
    return json_response(page)


def _requested(result: Mapping[str, Any] | None) -> tuple[str, Sequence[Mapping[str, Any]], str | None]:
    """Return the sort that the query names, its page of rows and the cursor of the next; no rows without a result."""
    sort = str(query.read_choice("sort", SORTS, "wallets"))
    limit = query.read_limit(LIMIT, MOST)
    if result is None:
        return sort, [], None
    rows, after = tokens_page(result["id"], sort=sort, after=request.args.get("after"), limit=limit)
    return sort, rows, after
