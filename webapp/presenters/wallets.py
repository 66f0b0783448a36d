"""Wallets and their audit rows as JSON and templates show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tasks.measures.audit import AuditRow
from tasks.storage import analyses, results
from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.markup import words


def wallet(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wallet of an analysis; in no cluster and without a place on the map unless the row says so."""
    keys = ("address", "label", "state", "reason", "truncated", "transactions", "trades", "mints")
    return {key: row[key] for key in keys} | {key: row.get(key) for key in ("cluster", "x", "y")}


def wallet_view(base: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wallet for a page: its shape, its place, its page, and where it can be tried again.

    `base` is the analysis's page: building 10,000 links one by one takes a while.
    """
    url = f"{base}/wallets/{row['address']}"
    again = row["state"] in ("failed", "partial") and not words.is_refused(row["reason"])
    more = {"retry_url": f"{url}/retry" if again else None, "position": row["position"], "line": row["line"]}
    return wallet(row) | {"reason": words.describe_reason(row["reason"]), "url": url} | more


def wallet_views(analysis: Analysis, positions: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
    """Return position → view of the wallets at these positions (None: of all), in the order of the input."""
    base = urls.analysis_url(analysis)
    return {row["position"]: wallet_view(base, row) for row in wallet_rows(analysis, positions)}


def wallet_rows(analysis: Analysis, positions: Collection[int] | None = None) -> list[dict[str, Any]]:
    """Return the wallets at these positions (None: all), in the order of the input, with clusters and places."""
    found = places(analysis, positions)
    return [row | found.get(row["position"], {}) for row in analyses.wallets(analysis.id, positions)]


def places(analysis: Analysis, positions: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
    """Return position → {"cluster", "x", "y"} under the result that readers see; empty while there is none."""
    return {} if analysis.result_id is None else results.wallets(analysis.result_id, positions)


def audit_row(row: AuditRow) -> dict[str, Any]:
    """Return one row of the capital audit."""
    return {
        "signature": row.signature,
        "slot": row.slot,
        "time": row.block_at,
        "side": row.side,
        "mint": row.mint,
        "amount": row.amount,
        "decimals": row.decimals,
        "quote": row.quote,
        "quote_amount": row.quote_amount,
        "sol_usd": row.sol_usd,
        "value_sol": row.value_sol,
        "counted": row.counted,
        "reason": row.reason,
        "approximate": row.approximate,
    }
