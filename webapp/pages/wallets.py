"""A wallet of an analysis: how it trades, its allocation, the capital audit behind it, and reading the wallet again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from tasks.measures.allocation import in_window
from tasks.measures.audit import AuditRow
from tasks.pipeline import evidence
from tasks.pipeline.evidence import CapitalAudit
from tasks.pipeline.start import new_key, retry_wallet
from tasks.pipeline.window import window_of
from tasks.settings import current
from tasks.storage import analyses, pairs, wallet_lists
from tasks.storage import results as storage_results
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from webapp.errors import wants_json
from webapp.exports import csv_export
from webapp.fields import pick
from webapp.forms import query
from webapp.pages import analysis_of, json_response, render_page, see_other
from webapp.polling import htmx_headers
from webapp.presenters import behaviour, results, tokens, wallet_table, wallets
from webapp.presenters.analyses import Started, analysis_view, result_or_none, result_view
from webapp.presenters.pairs import PairView, pair_views
from webapp.presenters.provenance import provenance
from webapp.urls import back_to, page_url

bp = Blueprint("wallets", __name__)

ROWS_A_PAGE, ROWS_A_LONG_PAGE, TRADES_A_PAGE = 12, 25, 50
WEIGHTS = 9
MOST_ROWS, ALL_ROWS = 1_000, 10_000
CLOSEST = 6
SHOWS = ("all", "counted", "left-out")


def _found(key: str, address: str) -> tuple[Analysis, AnalysisWallet]:
    analysis = analysis_of(key)
    return analysis, analyses.wallet(analysis.id, address)


@bp.get("/analyses/<key:key>/wallets")
def index(key: str) -> Response:
    """Show all wallets of an analysis, a part at a time: sorted, and narrowed by state, cluster, label or address."""
    analysis = analysis_of(key)
    result = result_or_none(analysis)
    return render_page(
        "wallets",
        "wallets_card",
        analysis=analysis_view(analysis),
        result=result and result_view(result),
        table=wallet_table.requested(analysis),
        cluster_count=results.cluster_sums(analysis)[0],
    )


@bp.get("/analyses/<key:key>/wallets/<address:address>/capital.json")
def capital_json(key: str, address: str) -> Response:
    """Give the capital audit as JSON: all of it, or with `limit` a page."""
    analysis, wallet = _found(key, address)
    limit = query.read_limit(MOST_ROWS, MOST_ROWS) if request.args.get("limit") else ALL_ROWS
    start = query.read_offset()
    audit = evidence.capital_audit(analysis, wallet)
    found: wallets.Capital = {
        "wallet": address,
        "rows": [wallets.audit_row(row) for row in audit.rows[start : start + limit]],
        "weights": [pick(wallets.Weight, one) for one in audit.weights],
        "checks": pick(wallets.Checks, audit.check._asdict()),
        "next": query.offset_cursor(start + limit, len(audit.rows)),
        "provenance": provenance(analysis, evidence.shown_result(analysis)),
    }
    return json_response(found)


@bp.get("/analyses/<key:key>/wallets/<address:address>/capital.csv")
def capital_csv(key: str, address: str) -> Response:
    """Give the capital audit as CSV."""
    analysis, wallet = _found(key, address)
    audit = evidence.capital_audit(analysis, wallet)
    shown = (wallets.audit_row(row) for row in audit.rows)
    rows = ([address, wallet.label, *row.values()] for row in shown)
    columns = ("wallet", "label", *wallets.AuditRow.__annotations__)
    return csv_export.response(
        analysis, provenance(analysis, evidence.shown_result(analysis)), "capital", columns, rows
    )


@bp.get("/analyses/<key:key>/wallets/<address:address>.json")
def behaviour_json(key: str, address: str) -> Response:
    """Give the behaviour of a wallet as JSON."""
    analysis, wallet = _found(key, address)
    result = evidence.shown_result(analysis)
    found = storage_results.behaviour(result["id"], wallet.position)
    return json_response({"wallet": address, **found, "provenance": provenance(analysis, result)})


@bp.get("/analyses/<key:key>/wallets/<address:address>")
def show(key: str, address: str) -> Response:
    """Show a wallet: what it put where, and each row that counted or did not."""
    return _page("wallets.show", *_found(key, address), ROWS_A_PAGE)


@bp.get("/analyses/<key:key>/wallets/<address:address>/trades")
def trades(key: str, address: str) -> Response:
    """Show every trade of a wallet inside the window, the newest first."""
    analysis, wallet = _found(key, address)
    audit = evidence.capital_audit(analysis, wallet)
    rows = _trades(analysis, audit.rows)
    start = query.read_offset()
    limit = query.read_limit(TRADES_A_PAGE, MOST_ROWS)
    here = {"key": key, "address": address}
    following, before = query.offset_cursor(start + limit, len(rows)), query.offset_cursor(max(0, start - limit), start)
    return render_page(
        "trades",
        "trades",
        **_head(analysis, wallet, audit, rows),
        rows=tokens.with_token_views([_trade(row) for row in rows[start : start + limit]]),
        row_start=start,
        next_url=following and page_url("wallets.trades", **here, after=following),
        prev_url=before and page_url("wallets.trades", **here, after=before),
    )


def _trades(analysis: Analysis, rows: Sequence[AuditRow]) -> list[AuditRow]:
    """Return the trades counted: inside the window, of tokens not excluded; newest first."""
    window = window_of(analysis)
    known = (row for row in rows if row.side in ("buy", "sell") and row.reason != "excluded mint")
    return [row for row in known if row.block_at is not None and in_window(row.block_at, *window)][::-1]


def _trade(row: AuditRow) -> Mapping[str, Any]:
    """Return a trade for a page: the row of the audit, and how many `tokens` its base units are."""
    known = None if row.amount is None or row.decimals is None else row.amount / 10**row.decimals
    return {**wallets.audit_view(row), "tokens": known}


def _head(
    analysis: Analysis, wallet: AnalysisWallet, audit: CapitalAudit, traded: Sequence[AuditRow]
) -> Mapping[str, Any]:
    """Return what the head of both pages of a wallet shows: the wallet, its style, the time span read, tabs."""
    result = evidence.shown_result(analysis)
    times = [row.block_at for row in audit.rows if row.block_at is not None]
    address = wallet.wallet.address
    return {
        "analysis": analysis_view(analysis),
        "wallet": wallets.wallet_views(analysis, {wallet.position})[wallet.position],
        "style": wallet_lists.styles(result["id"], [wallet.position]).get(wallet.position),
        "seen": (min(times), max(times)) if times else None,
        "tab_counts": {"pairs": wallet_lists.count_pairs(result["id"], wallet.position), "trades": len(traded)},
        "exports": _exports(analysis.key, address),
        "result": result_view(result),
    }


def _exports(key: str, address: str) -> list[tuple[str, str]]:
    names = (
        ("Behaviour as JSON", "behaviour_json"),
        ("Audit as CSV", "capital_csv"),
        ("Audit as JSON", "capital_json"),
    )
    return [(text, url_for(f"wallets.{name}", key=key, address=address)) for text, name in names]


@bp.get("/analyses/<key:key>/wallets/<address:address>/capital")
def capital(key: str, address: str) -> Response:
    """Show the audit alone, with more rows at once."""
    return _page("wallets.capital", *_found(key, address), ROWS_A_LONG_PAGE, alone=True)


def _page(endpoint: str, analysis: Analysis, wallet: AnalysisWallet, limit: int, *, alone: bool = False) -> Response:
    audit = evidence.capital_audit(analysis, wallet)
    here = {"key": analysis.key, "address": wallet.wallet.address}
    return render_page(
        "wallet",
        "audit",
        **_head(analysis, wallet, audit, _trades(analysis, audit.rows)),
        counts=_counts(audit.rows),
        **_weights(audit, here),
        check=audit.check._asdict(),
        alone=alone,
        pairs=[] if alone else _closest(analysis, wallet),
        behaviour=None if alone else behaviour.view(analysis, wallet),
        **_rows(audit, endpoint, here, limit),
    )


def _rows(audit: CapitalAudit, endpoint: str, here: dict[str, str], limit: int) -> Mapping[str, Any]:
    """Return the page of audit rows that the query asks for, and the links to the pages around it."""
    show = str(query.read_choice("show", SHOWS, "all"))
    rows = [row for row in audit.rows if show == "all" or row.counted is (show == "counted")]
    start = query.read_offset()
    following, before = query.offset_cursor(start + limit, len(rows)), query.offset_cursor(max(0, start - limit), start)
    return {
        "show": show,
        "rows": tokens.with_token_views([wallets.audit_view(row) for row in rows[start : start + limit]]),
        "row_start": start,
        "next_url": following and page_url(endpoint, **here, after=following),
        "prev_url": before and page_url(endpoint, **here, after=before),
    }


def _weights(audit: CapitalAudit, here: dict[str, str]) -> Mapping[str, Any]:
    """Return the largest weights, or all of them when the query asks, and the link to all where some are left out."""
    shown = audit.weights if request.args.get("weights") == "all" else audit.weights[:WEIGHTS]
    left_out = len(shown) < len(audit.weights)
    return {
        "weights": tokens.with_token_views(shown),
        "weight_count": len(audit.weights),
        "weights_url": page_url("wallets.show", **here, weights="all", _anchor="weights") if left_out else None,
    }


def _counts(rows: Sequence[AuditRow]) -> Mapping[str, Any]:
    reasons = Counter(row.reason for row in rows if row.reason)
    counted = sum(row.counted for row in rows)
    return {"all": len(rows), "counted": counted, "left_out": len(rows) - counted, "by_reason": dict(reasons)}


def _closest(analysis: Analysis, wallet: AnalysisWallet) -> list[PairView]:
    result_id = evidence.shown_result(analysis)["id"]
    rows, _ = pairs.page(result_id, position=wallet.position, limit=CLOSEST)
    return pair_views(analysis, rows)


@bp.post("/analyses/<key:key>/wallets/<address:address>/retry")
def retry(key: str, address: str) -> Response:
    """Retry a failed or partial wallet."""
    found = retry_wallet(analysis_of(key), address, key=new_key(), sync_ttl_s=current().sync_ttl_s)
    url = url_for("analyses.show", key=found.key)
    if wants_json():
        started: Started = {"id": found.key, "url": url}
        return json_response(started, 202)
    if htmx_headers() and found.key == key:
        return redirect(url_for("analyses.progress", key=key), 303)  # type: ignore[return-value]  # in place
    return see_other(back_to(url) if found.key == key else url)
