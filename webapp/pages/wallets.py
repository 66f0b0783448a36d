"""A wallet of an analysis: how it trades, its allocation, the capital audit behind it, and reading the wallet again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, request, url_for

from tasks import evidence, lifecycle
from tasks.analysis.audit import AuditRow
from tasks.evidence import CapitalAudit
from tasks.records import analyses, pairs, results
from tasks.records.models import Analysis, AnalysisWallet
from webapp import exports, findings, forms, shapes
from webapp.display import iso
from webapp.errors import wants_json
from webapp.pages import analysis_of, back_to, behaviour, data, page, page_url, see_other
from webapp.shapes import settings

pages = Blueprint("wallets", __name__)

ROWS_A_PAGE, ROWS_A_LONG_PAGE = 50, 200
MOST_ROWS, ALL_ROWS = 1_000, 10_000
CLOSEST = 6
SHOWS = ("all", "counted", "left-out")
ROW_COLUMNS = ("signature", "slot", "time", "side", "mint", "amount", "decimals", "quote", "quote_amount") + (
    "sol_usd", "value_sol", "counted", "reason", "approximate"
)  # fmt: skip


def _found(key: str, address: str) -> tuple[Analysis, AnalysisWallet]:
    analysis = analysis_of(key)
    return analysis, analyses.wallet(analysis.id, address)


@pages.get("/analyses/<key:key>/wallets/<address:address>/capital.json")
def capital_json(key: str, address: str) -> Response:
    """Give the capital audit as JSON: all of it, or with `limit` a page."""
    analysis, wallet = _found(key, address)
    limit = forms.read_limit(MOST_ROWS, MOST_ROWS) if request.args.get("limit") else ALL_ROWS
    start = forms.read_offset()
    audit = evidence.capital_audit(analysis, wallet)
    return data(
        {
            "wallet": address,
            "rows": [shapes.audit_row(row) for row in audit.rows[start : start + limit]],
            "weights": audit.weights,
            "checks": audit.check._asdict(),
            "next": forms.offset_cursor(start + limit, len(audit.rows)),
            "provenance": findings.provenance(analysis, evidence.shown_result(analysis)),
        }
    )


@pages.get("/analyses/<key:key>/wallets/<address:address>/capital.csv")
def capital_csv(key: str, address: str) -> Response:
    """Give the capital audit as CSV."""
    analysis, wallet = _found(key, address)
    audit = evidence.capital_audit(analysis, wallet)
    shown = (shapes.audit_row(row) for row in audit.rows)
    rows = ([address, wallet.label, *(_cell(row, column) for column in ROW_COLUMNS)] for row in shown)
    columns = ("wallet", "label", *ROW_COLUMNS)
    return exports.response(analysis, evidence.shown_result(analysis), "capital", columns, rows)


def _cell(row: dict[str, Any], column: str) -> Any:
    return iso(row[column]) if column in shapes.TIMES else row[column]


@pages.get("/analyses/<key:key>/wallets/<address:address>.json")
def behaviour_json(key: str, address: str) -> Response:
    """Give the behaviour of a wallet as JSON."""
    analysis, wallet = _found(key, address)
    result = evidence.shown_result(analysis)
    found = results.behaviour(result["id"], wallet.position)
    return data({"wallet": address} | found | {"provenance": findings.provenance(analysis, result)})


@pages.get("/analyses/<key:key>/wallets/<address:address>")
def show(key: str, address: str) -> Response:
    """Show a wallet: what it put where, and each row that counted or did not."""
    return _page("wallets.show", *_found(key, address), ROWS_A_PAGE)


@pages.get("/analyses/<key:key>/wallets/<address:address>/capital")
def capital(key: str, address: str) -> Response:
    """Show the same with more rows of the audit at once."""
    return _page("wallets.capital", *_found(key, address), ROWS_A_LONG_PAGE)


def _page(endpoint: str, analysis: Analysis, wallet: AnalysisWallet, limit: int) -> Response:
    audit = evidence.capital_audit(analysis, wallet)
    here = {"key": analysis.key, "address": wallet.wallet.address}
    return page(
        "wallet",
        "audit",
        analysis=shapes.analysis_view(analysis),
        wallet=shapes.wallet_views(analysis, {wallet.position})[wallet.position],
        counts=_counts(audit.rows),
        weights=shapes.with_token_views(audit.weights),
        check=audit.check._asdict(),
        pairs=_closest(analysis, wallet),
        behaviour=behaviour.view(analysis, wallet),
        result=shapes.result_view(evidence.shown_result(analysis)),
        csv_url=url_for("wallets.capital_csv", **here),
        **_rows(audit, endpoint, here, limit),
    )


def _rows(audit: CapitalAudit, endpoint: str, here: dict[str, str], limit: int) -> dict[str, Any]:
    """Return the page of audit rows that the query asks for, and the links to the pages around it."""
    show = str(forms.read_choice("show", SHOWS, "all"))
    rows = [row for row in audit.rows if show == "all" or row.counted is (show == "counted")]
    start = forms.read_offset()
    following, before = forms.offset_cursor(start + limit, len(rows)), forms.offset_cursor(max(0, start - limit), start)
    return {
        "show": show,
        "rows": shapes.with_token_views([shapes.audit_row(row) for row in rows[start : start + limit]]),
        "row_start": start,
        "next_url": following and page_url(endpoint, **here, after=following),
        "prev_url": before and page_url(endpoint, **here, after=before),
    }


def _counts(rows: Sequence[AuditRow]) -> dict[str, Any]:
    reasons = Counter(row.reason for row in rows if row.reason)
    counted = sum(row.counted for row in rows)
    return {"all": len(rows), "counted": counted, "left_out": len(rows) - counted, "by_reason": dict(reasons)}


def _closest(analysis: Analysis, wallet: AnalysisWallet) -> list[dict[str, Any]]:
    result_id = evidence.shown_result(analysis)["id"]
    rows, _ = pairs.page(result_id, position=wallet.position, limit=CLOSEST)
    return shapes.pair_views(analysis, rows)


@pages.post("/analyses/<key:key>/wallets/<address:address>/retry")
def retry(key: str, address: str) -> Response:
    """Read a wallet again that could not be read, or not wholly."""
    found = lifecycle.retry_wallet(analysis_of(key), address, key=lifecycle.new_key(), sync_ttl_s=settings().sync_ttl_s)
    url = url_for("analyses.show", key=found.key)
    if wants_json():
        return data({"id": found.key, "url": url}, 202)
    return see_other(back_to(url) if found.key == key else url)
