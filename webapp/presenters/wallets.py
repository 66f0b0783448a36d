"""Wallets and their audit rows as JSON and templates show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from tasks.measures import audit
from tasks.measures.audit import Reason
from tasks.storage import analyses, results
from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.fields import Address, Count, Cursor, Mint, Positive, Share, Time, one_of, pick
from webapp.markup import words
from webapp.markup.filters import iso
from webapp.presenters.provenance import Provenance

WALLET_STATES = ("waiting", "syncing", "synced", "partial", "failed")
WalletState = Annotated[str, one_of(WALLET_STATES)]
Row = Mapping[str, Any]
"""A row of the database: its columns are described by the query that reads it."""


class Wallet(TypedDict):
    """A wallet of an analysis."""

    address: Address
    label: str | None
    state: WalletState
    reason: str | None
    truncated: bool
    transactions: Count
    trades: Count | None
    mints: Count | None
    cluster: int | None
    x: float | None
    y: float | None


class WalletView(Wallet):
    """A wallet for a page: `url` of its own, `retry_url` where it can be read again."""

    url: str
    retry_url: str | None
    position: int
    line: int


class AuditRow(TypedDict):
    """A row of the capital audit; `amount` and `quote_amount` in base units."""

    signature: str
    slot: Count
    time: Time | None
    side: Literal["buy", "sell", "in", "out"] | None
    mint: Mint | None
    amount: Count | None
    decimals: Count | None
    quote: Literal["SOL", "USDC", "USDT"] | None
    quote_amount: Positive | None
    sol_usd: Positive | None
    value_sol: Positive | None
    counted: bool
    reason: Reason | None
    approximate: bool


class Weight(TypedDict):
    """A token's share of the SOL that a wallet spent."""

    mint: Mint
    spent_sol: Positive
    weight: Share


class Checks(TypedDict):
    """Whether weights and rows agree with the stored result."""

    weights_sum: Positive
    spent_sol_total: Positive
    ok: bool


class Capital(TypedDict):
    """How the weights of a wallet came about."""

    wallet: Address
    rows: Annotated[list[AuditRow], Meta(max_length=10_000)]
    weights: list[Weight]
    checks: Checks
    next: Cursor | None
    provenance: Provenance


def wallet(row: Row) -> Wallet:
    """Return a wallet of an analysis; without cluster and place on the map unless the row has them."""
    return pick(Wallet, {"cluster": None, "x": None, "y": None, **row})


def wallet_view(base: str, row: Row) -> WalletView:
    """Return a wallet for a page.

    `base` is the analysis's page: building 10,000 links one by one takes a while.
    """
    url = f"{base}/wallets/{row['address']}"
    again = row["state"] in ("failed", "partial") and not words.is_refused(row["reason"])
    return {
        **wallet(row),
        "reason": words.describe_reason(row["reason"]),
        "url": url,
        "retry_url": f"{url}/retry" if again else None,
        "position": row["position"],
        "line": row["line"],
    }


def wallet_views(analysis: Analysis, positions: Collection[int] | None = None) -> dict[int, WalletView]:
    """Return position → view of the wallets at these positions (None: of all), in the order of the input."""
    base = urls.analysis_url(analysis)
    return {row["position"]: wallet_view(base, row) for row in wallet_rows(analysis, positions)}


def wallet_rows(analysis: Analysis, positions: Collection[int] | None = None) -> list[Row]:
    """Return the wallets at these positions (None: all), in the order of the input, with clusters and places."""
    found = places(analysis, positions)
    return [{**row, **found.get(row["position"], {})} for row in analyses.wallets(analysis.id, positions)]


def places(analysis: Analysis, positions: Collection[int] | None = None) -> Mapping[int, Row]:
    """Return position → {"cluster", "x", "y"} under the result that readers see; empty while there is none."""
    return {} if analysis.result_id is None else results.wallets(analysis.result_id, positions)


def audit_row(row: audit.AuditRow) -> AuditRow:
    """Return one row of the capital audit."""
    return {
        "signature": row.signature,
        "slot": row.slot,
        "time": iso(row.block_at),
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


def audit_view(row: audit.AuditRow) -> dict[str, object]:
    """Return one row of the capital audit for a page, its time in seconds."""
    return {**audit_row(row), "time": row.block_at}
