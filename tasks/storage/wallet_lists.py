"""Pages of the wallets of a large analysis, in an order and with filters, and what a result says of them.

A page reads the positions of its rows first, then only what it shows of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from peewee import JOIN, fn

from tasks.storage import pairs, sql
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.models.base import db
from tasks.storage.models.results import Allocation, Pair, ResultCluster, ResultWallet
from tasks.storage.models.wallets import Wallet

CACHED_ORDERS = 8
TRUNCATED_READ = (
    "SELECT \"position\" FROM analysis_wallet WHERE analysis_id = ? AND truncated AND state = 'synced' "
    'ORDER BY line, "position"'
)
INCOMPLETE = ("partial", "failed")
STATES = ("incomplete", "synced", "partial", "failed")
SORTS = ("list", "transactions", "trades", "tokens", "spent", "cluster", "overall")
"""Orders of the wallets: of the input, by a figure (largest first, unknown last), or by cluster."""


@dataclass(frozen=True, slots=True)
class WalletFilters:
    """Which wallets to list and in what order: a state (one of STATES), a cluster, a part of a label or an address."""

    sort: str = "list"
    state: str | None = None
    cluster: int | None = None
    text: str | None = None


def wallets(analysis: Analysis, filters: WalletFilters, start: int, limit: int) -> tuple[list[int], int]:
    """Return the positions of a page of wallets, and the length of the whole list.

    Ties by the order of the input. Without a result no wallet is in a cluster, and sorts by its figures have no effect.
    """
    narrowed = bool(filters.state or filters.text or filters.cluster is not None)
    query = _filtered(analysis, filters)
    total = int(query.select(fn.count(AnalysisWallet.position)).scalar()) if narrowed else analysis.wallets
    if filters.sort in RANKS and analysis.result_id is not None:
        order = _order_by_result(analysis.key, analysis.id, analysis.result_id, filters.sort)
        if narrowed:
            chosen = {row[0] for row in db.execute(query)}
            order = tuple(position for position in order if position in chosen)
        return list(order[start : start + limit]), total
    ordered = query.order_by(*_order(filters.sort)).limit(limit).offset(start)
    return [row[0] for row in db.execute(ordered)], total


def truncated_wallets(analysis_id: int, most: int) -> tuple[list[int], int]:
    """Return the first `most` positions of synced wallets whose history exceeds the limit, and how many there are.

    Failed and partial wallets are not among them, since pages list those apart.
    """
    found = [row[0] for row in sql.rows(TRUNCATED_READ, analysis_id)]
    return found[:most], len(found)


def _filtered(analysis: Analysis, filters: WalletFilters) -> Any:
    w = AnalysisWallet
    query = w.select(w.position).where(w.analysis_id == analysis.id)
    if filters.state:
        query = query.where(w.state.in_(INCOMPLETE) if filters.state == "incomplete" else w.state == filters.state)
    if filters.cluster is not None:
        query = query.where(w.position.in_(sql.sql_in(_members(analysis.result_id, filters.cluster))))
    if filters.text:
        query = query.join(Wallet, JOIN.INNER, on=(Wallet.id == w.wallet_id))
        query = query.where(w.label.contains(filters.text) | Wallet.address.contains(filters.text))
    return query


def _members(result_id: int | None, cluster: int) -> list[int]:
    c = ResultCluster
    text = c.select(c.members).where(c.result_id == result_id, c.number == cluster).scalar()
    return list(orjson.loads(text)) if text else []


def _order(sort: str) -> tuple[Any, ...]:
    w = AnalysisWallet
    column = {"transactions": w.transactions, "trades": w.trades, "tokens": w.mints}.get(sort)
    if column is None:
        return (w.line, w.position)
    return (column.is_null(), column.desc(), w.line, w.position)


@lru_cache(CACHED_ORDERS)
def _order_by_result(key: str, analysis_id: int, result_id: int, sort: str) -> tuple[int, ...]:
    """Return all positions in an order that needs a result; cached, since a result never changes.

    The key of the analysis is part of the cache key: another database has the same result numbers.
    """
    w = AnalysisWallet
    query = w.select(w.position).where(w.analysis_id == analysis_id).order_by(*_order("list"))
    listed = [row[0] for row in db.execute(query)]
    rank = RANKS[sort](result_id)
    return tuple(sorted(listed, key=lambda position: rank.get(position, math.inf)))


def _by_cluster(result_id: int) -> dict[int, float]:
    r = ResultWallet
    query = r.select(r.position, r.cluster).where(r.result_id == result_id, r.cluster.is_null(False))
    return dict(db.execute(query).fetchall())


def _by_spent(result_id: int) -> dict[int, float]:
    return {position: -sol for position, sol in spent(result_id).items()}


def _by_overall(result_id: int) -> dict[int, float]:
    return dict(_best_numbers(result_id))


RANKS: Mapping[str, Callable[[int], dict[int, float]]] = {
    "cluster": _by_cluster,
    "spent": _by_spent,
    "overall": _by_overall,
}
"""Sorts that need a result: sort → function that returns position → rank, smallest first."""


def spent(result_id: int, positions: Collection[int] | None = None) -> dict[int, float]:
    """Return position → SOL spent by the wallets at these positions (None: all); wallets without trades are absent."""
    a = Allocation
    query = a.select(a.position, fn.sum(a.spent_sol)).where(a.result_id == result_id)
    if positions is not None:
        query = query.where(a.position.in_(sql.sql_in(positions)))
    return dict(db.execute(query.group_by(a.position)).fetchall())


def styles(result_id: int, positions: Collection[int]) -> dict[int, str | None]:
    """Return position → style of the compared wallets at these positions."""
    query = f'SELECT "position", behaviour FROM result_wallet WHERE "position" IN {sql.sql_in(positions).sql}'
    rows = sql.rows(f"{query} AND result_id = ?", result_id)
    return {position: orjson.loads(text).get("style") for position, text in rows}


def closest(result_id: int, positions: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return position → its best pair by `overall`, as a row of `pairs.counted_page`; without one it is absent."""
    numbers = _best_numbers(result_id, positions)
    rows = {row["number"]: row for row in pairs.numbered(result_id, sorted(set(numbers.values())))}
    found = {position: rows[number] for position, number in numbers.items() if number in rows}
    return {position: row for position, row in found.items() if row["overall"] is not None}


def _best_numbers(result_id: int, positions: Collection[int] | None = None) -> dict[int, int]:
    """Return position → the number of its best pair: pairs are numbered by `overall`, best first."""
    best: dict[int, int] = {}
    for side in (Pair.wallet_a, Pair.wallet_b):
        query = Pair.select(side, fn.min(Pair.number)).where(Pair.result_id == result_id)
        if positions is not None:
            query = query.where(side.in_(sql.sql_in(positions)))
        for position, number in db.execute(query.group_by(side)).fetchall():
            best[position] = min(number, best.get(position, number))
    return best


def count_pairs(result_id: int, position: int) -> int:
    """Return how many kept pairs a wallet has."""
    # One side at a time, since each has an index; for OR, SQLite reads every pair of the result.
    query = "SELECT COUNT(*) FROM pair WHERE result_id = ? AND"
    counts = (sql.rows(f"{query} {side} = ?", result_id, position) for side in ("wallet_a", "wallet_b"))
    return sum(int(rows[0][0]) for rows in counts)


FIRST_READ = (
    'SELECT "position" FROM analysis_wallet WHERE analysis_id = ? '
    'ORDER BY CASE WHEN state IN (?, ?) THEN 0 ELSE 1 END, line, "position" LIMIT ?'
)


def first_wallets(analysis_id: int, most: int) -> list[int]:
    """Return the positions of at most `most` wallets: incomplete ones first, then in the order of the input."""
    return [row[0] for row in sql.rows(FIRST_READ, analysis_id, *INCOMPLETE, most)]


def labels(analysis_id: int) -> dict[int, str]:
    """Return position → label of the wallets that have one."""
    w = AnalysisWallet
    query = w.select(w.position, w.label).where(w.analysis_id == analysis_id, w.label.is_null(False))
    return dict(db.execute(query.order_by(w.line, w.position)))


def on_map(result_id: int, most: int) -> tuple[list[int], int]:
    """Return the positions of at most `most` wallets to draw on the map, and how many have coordinates.

    Wallets in clusters come first; ties by position.
    """
    w = ResultWallet
    placed = w.select(w.position).where(w.result_id == result_id, w.x.is_null(False))
    chosen = placed.order_by(w.cluster.is_null(), w.position).limit(most)
    counted = w.select(fn.count(w.position)).where(w.result_id == result_id, w.x.is_null(False))
    return [row[0] for row in db.execute(chosen)], db.execute(counted).fetchone()[0]
