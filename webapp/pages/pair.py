"""One pair: what speaks for and against it, its matched trades and its shared tokens, as page, JSON and CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, make_response, redirect, request, url_for

from tasks import evidence
from tasks.errors import NotFound
from tasks.records import analyses
from tasks.records.models import Analysis, AnalysisWallet
from webapp import charts, exports, findings, forms, shapes
from webapp.display import iso
from webapp.pages import analysis_of, data, page, page_url
from webapp.pages.pairs import pages

TOKENS_A_PAGE, MOST_TOKENS = 10, 200
MATCHES_SHOWN, MOST_MATCHES_SHOWN = 10, 200
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


def _token_page(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int, int]:
    """Return a page of the shared tokens of a pair, where it starts, and its size."""
    limit = forms.read_limit(TOKENS_A_PAGE, MOST_TOKENS)
    start = forms.read_offset()
    return rows[start : start + limit], start, limit


def _show_json(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    row = evidence.pair_of(analysis, a, b)
    rows = evidence.shared_tokens(analysis, a, b)
    tokens, start, limit = _token_page(rows)
    return data(
        shapes.pair(row, a.wallet.address, b.wallet.address)
        | {
            "tokens": shapes.with_tokens(tokens),
            "matches": row["matches"],
            "for": row["for"],
            "against": row["against"],
            "next": forms.offset_cursor(start + limit, len(rows)),
            "provenance": findings.provenance(analysis, evidence.shown_result(analysis)),
        }
    )


def _show(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    row = evidence.pair_of(analysis, a, b)
    rows = evidence.shared_tokens(analysis, a, b)
    tokens, start, limit = _token_page(rows)
    wallets = shapes.wallet_views(analysis, {a.position, b.position})
    shown = shapes.pair_view(analysis, row, wallets[a.position], wallets[b.position])
    here = {"key": analysis.key, "a": a.wallet.address, "b": b.wallet.address}
    following, before = forms.offset_cursor(start + limit, len(rows)), forms.offset_cursor(max(0, start - limit), start)
    result = evidence.shown_result(analysis)
    return page(
        "pair",
        "evidence",
        analysis=shapes.analysis_view(analysis),
        result=shapes.result_view(result),
        pair=shown | {"tokens": shapes.with_token_views(tokens), "for": _case(row), "against": row["against"]},
        a=shown["a"],
        b=shown["b"],
        next_url=following and page_url("pairs.show", **here, after=following),
        prev_url=before and page_url("pairs.show", **here, after=before),
        token_total=len(rows),
        token_start=start,
        csv_url=url_for("pairs.show_csv", **here),
        json_url=url_for("pairs.show_json", **here),
        chance_reason=(result["background"] or {}).get("reason"),
        **_matches(analysis, row["matches"]),
    )


def _case(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what speaks for a pair, each with the part of the page that proves it."""
    return [{**one, "proof": findings.proof_of(one["insight"])} for one in row["for"]]


def _matches(analysis: Analysis, matches: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the matched trades for a page: the first of them as rows, all of them drawn, and counted by who led."""
    window_s = analysis.timing_window_s
    return {
        "matches": shapes.with_token_views(matches[:MOST_MATCHES_SHOWN]),
        "matches_open": MATCHES_SHOWN,
        "match_total": len(matches),
        "strip": charts.time_strip([(one["time_a"], one["time_b"], one["side"]) for one in matches]),
        "lags": charts.lags([one["lag_s"] for one in matches], window_s),
    }


def _show_csv(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    evidence.pair_of(analysis, a, b)
    names = (a.wallet.address, b.wallet.address, a.label, b.label)
    shared = shapes.with_tokens(evidence.shared_tokens(analysis, a, b))
    rows = ([*names, *(_token_cell(row, column) for column in TOKEN_COLUMNS)] for row in shared)
    columns = ("wallet_a", "wallet_b", "label_a", "label_b", *TOKEN_COLUMNS)
    return exports.response(analysis, evidence.shown_result(analysis), "pair", columns, rows)


def _token_cell(row: dict[str, Any], column: str) -> Any:
    if column in ("symbol", "name"):
        return row["token"][column]
    return iso(row[column]) if column in shapes.TIMES else row[column]


_PATH = "/analyses/<key:key>/pairs/<address:a>/<address:b>"
pages.add_url_rule(_PATH, "show", _in_order(_show, "show"))
pages.add_url_rule(f"{_PATH}.json", "show_json", _in_order(_show_json, "show_json"))
pages.add_url_rule(f"{_PATH}.csv", "show_csv", _in_order(_show_csv, "show_csv"))
