"""The table of the wallets of an analysis, as its page and the page of all wallets show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from flask import request, url_for

from tasks.storage import analyses, wallet_lists
from tasks.storage.models.analyses import Analysis
from tasks.storage.wallet_lists import WalletFilters
from webapp.fields import pick
from webapp.forms import query
from webapp.presenters import wallets
from webapp.presenters.wallets import WalletView

FIRST_ROWS, ROWS_A_PAGE, MOST_ROWS = 8, 25, 200
TEXT_AT_MOST = 120
HEADS = (
    ("list", "Wallet", ""),
    (None, "State", ""),
    ("transactions", "Transactions", "num"),
    ("trades", "Trades", "num"),
    ("tokens", "Tokens", "num"),
    ("spent", "Spent SOL", "num"),
    (None, "Style", ""),
    ("cluster", "Cluster", ""),
    (None, "Closest wallet", ""),
    ("overall", "Overall", ""),
)
"""Of each column what it sorts by (None: nothing), its name and its class."""


class Head(TypedDict):
    """The head of a column: `kind` is its class, `url` sorts by it (None: it cannot)."""

    text: str
    kind: str
    url: str | None
    current: bool
    sort: str | None


class Closest(TypedDict):
    """The other wallet of a wallet's strongest pair."""

    address: str
    label: str | None
    url: str
    cluster: int | None
    overall: float | None


class TableRow(WalletView):
    """A wallet and what the result found, None where it has nothing."""

    spent_sol: float | None
    style: str | None
    closest: Closest | None


class Table(TypedDict):
    """A part of the table: `total` of the filtered list, counts of all and of incomplete wallets, links."""

    rows: list[TableRow]
    total: int
    start: int
    counts: Mapping[str, int]
    filters: WalletFilters
    heads: list[Head]
    url: str
    incomplete_url: str
    next_url: str | None
    prev_url: str | None


def first(analysis: Analysis) -> Table:
    """Return the first rows of the table, for the page of the analysis."""
    return _table(analysis, WalletFilters(), 0, FIRST_ROWS)


def requested(analysis: Analysis) -> Table:
    """Return the part of the table that the query names. Raises InputError for an invalid value."""
    filters = WalletFilters(
        query.read_choice("sort", wallet_lists.SORTS, "list") or "list",
        query.read_choice("state", wallet_lists.STATES),
        query.read_cluster(),
        request.args.get("wallet", "").strip()[:TEXT_AT_MOST] or None,
    )
    return _table(analysis, filters, query.read_offset(), query.read_limit(ROWS_A_PAGE, MOST_ROWS))


def _table(analysis: Analysis, filters: WalletFilters, start: int, limit: int) -> Table:
    positions, total = wallet_lists.wallets(analysis, filters, start, limit)
    states = analyses.state_counts(analysis.id)
    following = query.offset_cursor(start + limit, total)
    before = query.offset_cursor(max(0, start - limit), start) if start else None
    size = limit if limit not in (FIRST_ROWS, ROWS_A_PAGE) else None
    return {
        "rows": _rows(analysis, positions),
        "total": total,
        "start": start,
        "counts": {
            "all": analysis.wallets,
            "incomplete": sum(states.get(state, 0) for state in wallet_lists.INCOMPLETE),
        },
        "filters": filters,
        "heads": [_head(analysis, filters, *one) for one in HEADS],
        "url": _url(analysis, WalletFilters()),
        "incomplete_url": _url(analysis, WalletFilters(filters.sort, "incomplete")),
        "next_url": following and _url(analysis, filters, after=following, limit=size),
        "prev_url": before and _url(analysis, filters, after=before, limit=size),
    }


def _head(analysis: Analysis, filters: WalletFilters, sort: str | None, text: str, kind: str) -> Head:
    sorted_by = WalletFilters(sort or "list", filters.state, filters.cluster, filters.text)
    url = _url(analysis, sorted_by) if sort else None
    return {"text": text, "kind": kind, "url": url, "current": sort == filters.sort, "sort": sort}


def _url(analysis: Analysis, filters: WalletFilters, **more: Any) -> str:
    parameters: dict[str, Any] = {
        "sort": None if filters.sort == "list" else filters.sort,
        "state": filters.state,
        "cluster": filters.cluster,
        "wallet": filters.text,
    }
    return url_for("wallets.index", key=analysis.key, **parameters, **more)


def _rows(analysis: Analysis, positions: Sequence[int]) -> list[TableRow]:
    """Return the wallets at these positions in their order."""
    views = wallets.wallet_views(analysis, positions) if positions else {}
    known = analysis.result_id is not None and bool(positions)
    spent = wallet_lists.spent(analysis.result_id, positions) if known else {}
    styles = wallet_lists.styles(analysis.result_id, positions) if known else {}
    closest = _closest(analysis, positions) if known else {}
    return [
        {
            **views[position],
            "spent_sol": spent.get(position),
            "style": styles.get(position),
            "closest": closest.get(position),
        }
        for position in positions
    ]


def _closest(analysis: Analysis, positions: Sequence[int]) -> dict[int, Closest]:
    rows = wallet_lists.closest(analysis.result_id, positions)
    others = {position: _other(row, position) for position, row in rows.items()}
    views = wallets.wallet_views(analysis, set(others.values())) if others else {}
    return {
        position: pick(Closest, {**views[others[position]], "overall": row["overall"]})
        for position, row in rows.items()
    }


def _other(row: Mapping[str, Any], position: int) -> int:
    return int(row["wallet_b"] if row["wallet_a"] == position else row["wallet_a"])
