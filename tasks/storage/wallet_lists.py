"""Lists of a large analysis that pages show in parts: its wallets in an order, what a result says of some of them.

A page reads the positions of its rows first, then only what it shows of these. Changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from peewee import JOIN, fn

from tasks.storage import pairs
from tasks.storage import sql as storage_sql
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.models.base import db
from tasks.storage.models.results import Allocation, Pair, ResultCluster, ResultWallet
from tasks.storage.models.wallets import Wallet

RESULTS_KEPT = 8
CUT_READ = (
    "SELECT \"position\" FROM analysis_wallet WHERE analysis_id = ? AND truncated AND state = 'synced' "
    'ORDER BY line, "position"'
)
INCOMPLETE = ("partial", "failed")
STATES = ("incomplete", "synced", "partial", "failed")
SORTS = ("list", "transactions", "trades", "tokens", "spent", "cluster", "overall")
"""Orders of the wallets: as they were given, by a figure (the largest first, unknown last), or by cluster."""


@dataclass(frozen=True, slots=True)
class WalletFilters:
    """Which wallets to list and in what order: a state (one of STATES), a cluster, a part of a label or an address."""

    sort: str = "list"
    state: str | None = None
    cluster: int | None = None
    text: str | None = None


def wallets(analysis: Analysis, filters: WalletFilters, start: int, limit: int) -> tuple[list[int], int]:
    """Return the positions of the wallets at some places of a list, and how many the list has.

    Ties by the order of the input. Without a result nothing is in a cluster, and its figures order nothing.
    """
    narrowed = bool(filters.state or filters.text or filters.cluster is not None)
    query = _filtered(analysis, filters)
    total = int(query.select(fn.count(AnalysisWallet.position)).scalar()) if narrowed else analysis.wallets
    if filters.sort in GATHERED and analysis.result_id is not None:
        order = _gathered(analysis.key, analysis.id, analysis.result_id, filters.sort)
        if narrowed:
            chosen = {row[0] for row in db.execute(query)}
            order = tuple(position for position in order if position in chosen)
        return list(order[start : start + limit]), total
    ordered = query.order_by(*_order(filters.sort)).limit(limit).offset(start)
    return [row[0] for row in db.execute(ordered)], total


def truncated_wallets(analysis_id: int, most: int) -> tuple[list[int], int]:
    """Return the first `most` positions of the wallets whose history the limit cut, and how many there are.

    Those that failed, or were read only in part, are not among them: they are told of as such.
    """
    found = [row[0] for row in storage_sql.rows(CUT_READ, analysis_id)]
    return found[:most], len(found)


def _filtered(analysis: Analysis, filters: WalletFilters) -> Any:
    w = AnalysisWallet
    query = w.select(w.position).where(w.analysis_id == analysis.id)
    if filters.state:
        query = query.where(w.state.in_(INCOMPLETE) if filters.state == "incomplete" else w.state == filters.state)
    if filters.cluster is not None:
        query = query.where(w.position.in_(storage_sql.sql_in(_members(analysis.result_id, filters.cluster))))
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


@lru_cache(RESULTS_KEPT)
def _gathered(key: str, analysis_id: int, result_id: int, sort: str) -> tuple[int, ...]:
    """Return all positions in an order that no row of a wallet tells; a result's does not change, so it is kept.

    The key goes along: another database numbers its results alike.
    """
    w = AnalysisWallet
    query = w.select(w.position).where(w.analysis_id == analysis_id).order_by(*_order("list"))
    listed = [row[0] for row in db.execute(query)]
    rank = GATHERED[sort](result_id)
    return tuple(sorted(listed, key=lambda position: rank.get(position, math.inf)))


def _by_cluster(result_id: int) -> dict[int, float]:
    r = ResultWallet
    query = r.select(r.position, r.cluster).where(r.result_id == result_id, r.cluster.is_null(False))
    return dict(db.execute(query).fetchall())


def _by_spent(result_id: int) -> dict[int, float]:
    return {position: -sol for position, sol in spent(result_id).items()}


def _by_overall(result_id: int) -> dict[int, float]:
    return dict(_best_numbers(result_id))


GATHERED: Mapping[str, Callable[[int], dict[int, float]]] = {
    "cluster": _by_cluster,
    "spent": _by_spent,
    "overall": _by_overall,
}
"""The orders that are not in the rows of the wallets: sort → position → rank, the smallest first."""


def spent(result_id: int, positions: Collection[int] | None = None) -> dict[int, float]:
    """Return position → SOL spent by the wallets at these positions (None: all); who traded nothing is not there."""
    a = Allocation
    query = a.select(a.position, fn.sum(a.spent_sol)).where(a.result_id == result_id)
    if positions is not None:
        query = query.where(a.position.in_(storage_sql.sql_in(positions)))
    return dict(db.execute(query.group_by(a.position)).fetchall())


def styles(result_id: int, positions: Collection[int]) -> dict[int, str | None]:
    """Return position → style of the wallets at these positions; who took no part is not there."""
    sql = f'SELECT "position", behaviour FROM result_wallet WHERE "position" IN {storage_sql.sql_in(positions).sql}'
    rows = storage_sql.rows(f"{sql} AND result_id = ?", result_id)
    return {position: orjson.loads(text).get("style") for position, text in rows}


def closest(result_id: int, positions: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return position → its best pair by `overall`, as a row of `pairs.page`; who has none is not there."""
    numbers = _best_numbers(result_id, positions)
    rows = {row["number"]: row for row in pairs.numbered(result_id, sorted(set(numbers.values())))}
    found = {position: rows[number] for position, number in numbers.items() if number in rows}
    return {position: row for position, row in found.items() if row["overall"] is not None}


def _best_numbers(result_id: int, positions: Collection[int] | None = None) -> dict[int, int]:
    """Return position → the smallest number of a pair of that wallet: pairs are numbered by `overall`, best first."""
    best: dict[int, int] = {}
    for side in (Pair.wallet_a, Pair.wallet_b):
        query = Pair.select(side, fn.min(Pair.number)).where(Pair.result_id == result_id)
        if positions is not None:
            query = query.where(side.in_(storage_sql.sql_in(positions)))
        for position, number in db.execute(query.group_by(side)).fetchall():
            best[position] = min(number, best.get(position, number))
    return best


def count_pairs(result_id: int, position: int) -> int:
    """Return how many kept pairs a wallet has."""
    # One side at a time: each has an index, while SQLite reads every pair of the result for "either".
    sql = "SELECT COUNT(*) FROM pair WHERE result_id = ? AND"
    counts = (storage_sql.rows(f"{sql} {side} = ?", result_id, position) for side in ("wallet_a", "wallet_b"))
    return sum(int(rows[0][0]) for rows in counts)


INCOMPLETE = ("partial", "failed")
FIRST_READ = (
    'SELECT "position" FROM analysis_wallet WHERE analysis_id = ? '
    'ORDER BY CASE WHEN state IN (?, ?) THEN 0 ELSE 1 END, line, "position" LIMIT ?'
)


def first_wallets(analysis_id: int, most: int) -> list[int]:
    """Return the positions of the wallets to list, at most so many: the incomplete ones, then those first in line."""
    return [row[0] for row in storage_sql.rows(FIRST_READ, analysis_id, *INCOMPLETE, most)]


def labels(analysis_id: int) -> dict[int, str]:
    """Return position → label of the wallets that have one."""
    w = AnalysisWallet
    query = w.select(w.position, w.label).where(w.analysis_id == analysis_id, w.label.is_null(False))
    return dict(db.execute(query.order_by(w.line, w.position)))


def on_map(result_id: int, most: int) -> tuple[list[int], int]:
    """Return the positions of the wallets to draw on the map, at most so many, and how many have a place.

    Those in clusters come first; ties by position.
    """
    w = ResultWallet
    placed = w.select(w.position).where(w.result_id == result_id, w.x.is_null(False))
    chosen = placed.order_by(w.cluster.is_null(), w.position).limit(most)
    counted = w.select(fn.count(w.position)).where(w.result_id == result_id, w.x.is_null(False))
    return [row[0] for row in db.execute(chosen)], db.execute(counted).fetchone()[0]
