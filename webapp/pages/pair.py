"""One pair: evidence for and against it, matched trades and shared tokens, as page, JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Response, make_response, redirect, request, url_for

from tasks.errors import NotFound
from tasks.pipeline import evidence
from tasks.storage import analyses
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.pairs import pair
from webapp.exports import csv_export
from webapp.forms.query import offset_cursor, read_choice, read_limit, read_offset
from webapp.markup import words
from webapp.pages import analysis_of, json_response, render_page
from webapp.pages.pairs import bp
from webapp.polling import htmx_headers
from webapp.presenters import charts, pairs, results
from webapp.presenters.analyses import analysis_view, result_view
from webapp.presenters.provenance import provenance
from webapp.presenters.tokens import with_token_views
from webapp.presenters.wallets import wallet_views

TOKENS_A_PAGE, MOST_TOKENS = 10, 200
MATCHES_SHOWN, MOST_MATCHES_SHOWN = 10, 200
SHARES_SHOWN = 6
MARK_LENGTH = 8
"""Characters of a mint that distinguish the tokens of one page."""
SORTS = ("capital", "behavioural")
Row = Mapping[str, Any]
"""A row of `tasks/pipeline/evidence.py`, which describes it."""
TOKEN_COLUMNS = ("mint", "symbol", "name", "weight_a", "weight_b", "contribution_capital") + (
    "contribution_behavioural", "spent_sol_a", "spent_sol_b", "first_buy_a", "first_buy_b",
    "gap_s", "signatures_a", "signatures_b",
)  # fmt: skip


def _in_order(show: Callable[[Analysis, AnalysisWallet, AnalysisWallet], Response], endpoint: str) -> Any:
    """Make the view of a pair: a pair has one address, the reversed one leads to it."""

    def view(key: str, a: str, b: str) -> Response:
        analysis = analysis_of(key)
        if a == b:
            raise NotFound("A wallet is not compared with itself.")
        if a > b:
            url = url_for(f"pairs.{endpoint}", key=key, a=b, b=a)
            query = request.query_string.decode("ascii", "ignore")
            return make_response(redirect(f"{url}?{query}" if query else url, 308))
        return show(analysis, analyses.wallet(analysis.id, a), analyses.wallet(analysis.id, b))

    return view


def _token_page(rows: Sequence[Row]) -> tuple[Sequence[Row], int, int]:
    """Return a page of the shared tokens of a pair, where it starts, and its size."""
    limit = read_limit(TOKENS_A_PAGE, MOST_TOKENS)
    start = read_offset()
    return rows[start : start + limit], start, limit


def _show_json(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    both = evidence.trades_of(analysis, a, b)
    row = evidence.pair_of(analysis, a, b, both)
    rows = evidence.shared_tokens(analysis, a, b, both)
    tokens, start, limit = _token_page(rows)
    found: pairs.PairEvidence = {
        **pairs.pair(row, a.wallet.address, b.wallet.address),
        "tokens": pairs.shared_tokens(tokens),
        "matches": [pairs.match(one) for one in row["matches"]],
        "for": row["for"],
        "against": row["against"],
        "next": offset_cursor(start + limit, len(rows)),
        "provenance": provenance(analysis, evidence.shown_result(analysis)),
    }
    return json_response(found)


def _show(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    both = evidence.trades_of(analysis, a, b)
    row = evidence.pair_of(analysis, a, b, both)
    result = evidence.shown_result(analysis)
    shown = _pair_view(analysis, a, b, row)
    rows = evidence.shared_tokens(analysis, a, b, both)
    return render_page(
        "pair",
        "evidence",
        analysis=analysis_view(analysis),
        result=result_view(result),
        pair={**shown, "for": _case(row), "against": row["against"]},
        a=shown["a"],
        b=shown["b"],
        csv_url=f"{shown['url']}.csv",
        json_url=f"{shown['url']}.json",
        chance_reason=(result["background"] or {}).get("reason"),
        marks=" ".join(one["mint"][:MARK_LENGTH] for one in rows),
        **_tokens(shown["url"], rows),
        **_matches(analysis, row["matches"], _unmatched(both, row["matches"], {one["mint"] for one in rows})),
    )


def _pair_view(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet, row: Row) -> pairs.PairView:
    wallets = wallet_views(analysis, {a.position, b.position})
    return pairs.pair_view(analysis, row, wallets[a.position], wallets[b.position])


def _tokens(url: str, rows: Sequence[Row]) -> Mapping[str, Any]:
    """Return a page of the shared tokens in the order that the query asks for, and the ways to the others."""
    sort = read_choice("sort", (*SORTS, "overall"), "capital")
    sort = sort if sort in SORTS else "capital"
    rows = sorted(rows, key=lambda row: -(row[f"contribution_{sort}"] or 0))
    tokens, start, limit = _token_page(rows)
    following, before = offset_cursor(start + limit, len(rows)), offset_cursor(max(0, start - limit), start)
    own = {"limit": request.args.get("limit"), "sort": None if sort == "capital" else sort}
    return {
        "tokens": with_token_views(tokens),
        "token_sort": sort,
        "sort_urls": {name: _with(url, own | {"sort": name}) for name in SORTS},
        "next_url": following and _with(url, own | {"after": following}),
        "prev_url": before and _with(url, own | {"after": before}),
        "token_total": len(rows),
        "token_start": start,
    }


def _with(url: str, query: Mapping[str, Any]) -> str:
    given = urlencode({name: value for name, value in query.items() if value})
    return f"{url}?{given}" if given else url


def _show_shares(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    """Show what a score is made of, which htmx and pairs.js put beside it; others are led to the table of the pair."""
    score = read_choice("score", (*SORTS, "overall"), "capital") or "capital"
    row = pair(evidence.shown_result(analysis)["id"], a.position, b.position)
    shown = _pair_view(analysis, a, b, row)
    if not htmx_headers():
        return make_response(redirect(f"{shown['url']}?sort={score}#tokens", 303))
    rows = sorted(evidence.shares(analysis, a, b), key=lambda one: (-(one[score] or 0), -(one["capital"] or 0)))
    return render_page("pair", "shares", pair=shown, shares=_shares(rows, score, row[score]))


def _shares(rows: Sequence[Row], score: str, total: float | None) -> Mapping[str, Any]:
    """Return the largest parts of a score and the sum of the others, rounded so that what is shown adds up to it."""
    top, others = rows[:SHARES_SHOWN], rows[SHARES_SHOWN:]
    parts = [one[score] or 0.0 for one in top] + [sum(one[score] or 0.0 for one in others)]
    shown = words.rounded_parts(parts)
    tokens = with_token_views(top)
    return {
        "score": score,
        "value": total,
        "total": len(rows),
        "rows": [{"token": one["token"], "part": part} for one, part in zip(tokens, shown, strict=False)],
        "largest": max(shown[: len(top)], default=0) or 1,
        "others": len(others),
        "rest": shown[-1],
    }


def _case(row: Row) -> list[Row]:
    """Return the evidence for a pair, each with the part of the page that proves it."""
    return [{**one, "proof": results.proof_of(one["insight"])} for one in row["for"]]


UnmatchedTimes = tuple[Sequence[float], Sequence[float]]


def _unmatched(both: evidence.Sides, matches: Sequence[Row], mints: set[str]) -> UnmatchedTimes:
    """Return when either wallet traded a token that both have, without a match."""
    used = {(one[name], one["mint"], one["side"]) for one in matches for name in ("signature_a", "signature_b")}
    first, second = (
        [one.block_at for one in side if one.mint in mints and (one.signature, one.mint, one.side) not in used]
        for side in both
    )
    return first, second


def _matches(analysis: Analysis, matches: Sequence[Row], lone: UnmatchedTimes) -> Mapping[str, Any]:
    """Return the matched trades for a page: the first of them as rows, all of them drawn, and counted by leader."""
    window_s = analysis.timing_window_s
    return {
        "matches": with_token_views(matches[:MOST_MATCHES_SHOWN]),
        "matches_open": MATCHES_SHOWN,
        "match_total": len(matches),
        "strip": charts.time_strip([(one["time_a"], one["time_b"], one["side"]) for one in matches], lone=lone),
        "lags": charts.lags([one["lag_s"] for one in matches], window_s),
    }


def _show_csv(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    evidence.pair_of(analysis, a, b)
    names = (a.wallet.address, b.wallet.address, a.label, b.label)
    shared = pairs.shared_tokens(evidence.shared_tokens(analysis, a, b))
    rows = ([*names, *(_token_cell(row, column) for column in TOKEN_COLUMNS)] for row in shared)
    columns = ("wallet_a", "wallet_b", "label_a", "label_b", *TOKEN_COLUMNS)
    return csv_export.response(analysis, provenance(analysis, evidence.shown_result(analysis)), "pair", columns, rows)


def _token_cell(row: pairs.SharedToken, column: str) -> Any:
    if column in ("symbol", "name"):
        return row["token"][column]  # type: ignore[literal-required]
    return row[column]  # type: ignore[literal-required]


_PATH = "/analyses/<key:key>/pairs/<address:a>/<address:b>"
bp.add_url_rule(_PATH, "show", _in_order(_show, "show"))
bp.add_url_rule(f"{_PATH}.json", "show_json", _in_order(_show_json, "show_json"))
bp.add_url_rule(f"{_PATH}.csv", "show_csv", _in_order(_show_csv, "show_csv"))
bp.add_url_rule(f"{_PATH}/contributions", "show_shares", _in_order(_show_shares, "show_shares"))
