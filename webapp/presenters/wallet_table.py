"""The table of the wallets of an analysis, as its page and the page of all wallets show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request, url_for

from tasks.storage import analyses, wallet_lists
from tasks.storage.models.analyses import Analysis
from tasks.storage.wallet_lists import WalletFilters
from webapp.forms import query
from webapp.presenters import wallets

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


def first(analysis: Analysis) -> dict[str, Any]:
    """Return the first rows of the table, for the page of the analysis; keys as `asked`."""
    return _table(analysis, WalletFilters(), 0, FIRST_ROWS)


def asked(analysis: Analysis) -> dict[str, Any]:
    """Return the part of the table that the query asks for. Raises InputError for a value that cannot be.

    Keys: `rows`, as `_rows` gives them; `total` of the filtered list and `start` of this part; `counts` {"all",
    "incomplete"}; `filters`; `heads` [{"text", "kind", "url", "current", "sort"}]; `url` of the whole list and
    `incomplete_url`; `next_url` and `prev_url`, None at the ends.
    """
    filters = WalletFilters(
        query.read_choice("sort", wallet_lists.SORTS, "list") or "list",
        query.read_choice("state", wallet_lists.STATES),
        query.read_cluster(),
        request.args.get("wallet", "").strip()[:TEXT_AT_MOST] or None,
    )
    return _table(analysis, filters, query.read_offset(), query.read_limit(ROWS_A_PAGE, MOST_ROWS))


def _table(analysis: Analysis, filters: WalletFilters, start: int, limit: int) -> dict[str, Any]:
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


def _head(analysis: Analysis, filters: WalletFilters, sort: str | None, text: str, kind: str) -> dict[str, Any]:
    wanted = WalletFilters(sort or "list", filters.state, filters.cluster, filters.text)
    url = _url(analysis, wanted) if sort else None
    return {"text": text, "kind": kind, "url": url, "current": sort == filters.sort, "sort": sort}


def _url(analysis: Analysis, filters: WalletFilters, **more: Any) -> str:
    asked_for: dict[str, Any] = {
        "sort": None if filters.sort == "list" else filters.sort,
        "state": filters.state,
        "cluster": filters.cluster,
        "wallet": filters.text,
    }
    return url_for("wallets.index", key=analysis.key, **asked_for, **more)


def _rows(analysis: Analysis, positions: Sequence[int]) -> list[dict[str, Any]]:
    """Return the wallets at these positions in their order: their views, and what the result says of them.

    `spent_sol`, `style` and `closest` {"address", "label", "url", "cluster", "overall"} are None where it says nothing.
    """
    views = wallets.wallet_views(analysis, positions) if positions else {}
    if analysis.result_id is None or not positions:
        return [views[position] | dict.fromkeys(("spent_sol", "style", "closest")) for position in positions]
    spent = wallet_lists.spent(analysis.result_id, positions)
    styles = wallet_lists.styles(analysis.result_id, positions)
    closest = _closest(analysis, positions)
    return [
        views[position]
        | {"spent_sol": spent.get(position), "style": styles.get(position), "closest": closest.get(position)}
        for position in positions
    ]


def _closest(analysis: Analysis, positions: Sequence[int]) -> dict[int, dict[str, Any]]:
    rows = wallet_lists.closest(analysis.result_id, positions)
    others = {position: _other(row, position) for position, row in rows.items()}
    views = wallets.wallet_views(analysis, set(others.values())) if others else {}
    keys = ("address", "label", "url", "cluster")
    return {
        position: {key: views[others[position]][key] for key in keys} | {"overall": row["overall"]}
        for position, row in rows.items()
    }


def _other(row: Mapping[str, Any], position: int) -> int:
    return int(row["wallet_b"] if row["wallet_a"] == position else row["wallet_a"])
