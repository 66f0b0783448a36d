"""Results: storing and reading what was computed for an analysis. Pairs are in `pairs.py`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

import orjson
from peewee import JOIN, fn

from tasks.errors import NotFound
from tasks.storage import database, sql
from tasks.storage.models.analyses import AnalysisWallet
from tasks.storage.models.base import db
from tasks.storage.models.results import Allocation, Result, ResultCluster, ResultMint, ResultWallet
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Wallet

STATUSES = ("pending", "resolved", "unlisted", "failed")
JSON_FIELDS = ("summary", "rates", "parameters", "background", "explained", "insights", "missing")
ALLOCATION_FIELDS = (
    Allocation.result_id,
    Allocation.position,
    Allocation.mint_id,
    Allocation.buys,
    Allocation.sells,
    Allocation.bought,
    Allocation.sold,
    Allocation.spent_sol,
    Allocation.received_sol,
    Allocation.first_buy_at,
    Allocation.last_trade_at,
    Allocation.weight,
)
ALLOCATION_NAMES = tuple(field.name for field in ALLOCATION_FIELDS)
ALLOCATION_READ = f'SELECT {sql.columns(ALLOCATION_FIELDS)} FROM allocation WHERE result_id = ? AND "position" = ?'
MINT_FIELDS = (ResultMint.result_id, ResultMint.mint_id, ResultMint.wallets, ResultMint.spent_sol)
WALLET_FIELDS = (
    ResultWallet.result_id,
    ResultWallet.position,
    ResultWallet.cluster,
    ResultWallet.x,
    ResultWallet.y,
    ResultWallet.behaviour,
)
CLUSTER_FIELDS = (
    ResultCluster.result_id,
    ResultCluster.number,
    ResultCluster.cohesion,
    ResultCluster.members,
    ResultCluster.weak_bridges,
    ResultCluster.shared_mints,
    ResultCluster.edges,
    ResultCluster.strongest_edges,
)


def new_result(analysis_id: int, provisional: bool, wallets: int, version: str) -> int:
    """Insert an empty result that no reader sees yet; return its id."""
    return int(
        Result.insert(
            analysis_id=analysis_id,
            provisional=provisional,
            wallets=wallets,
            computed_at=database.now_s(),
            duration_s=0.0,
            summary="{}",
            rates="{}",
            version=version,
        ).execute()
    )


def store_allocation(rows: Iterable[tuple[Any, ...]], before: sql.Before) -> None:
    """Insert allocation rows, as ALLOCATION_FIELDS, in short transactions; `before` as in `sql.store`."""
    sql.store(Allocation, ALLOCATION_FIELDS, rows, before)


def store_mints(rows: Iterable[tuple[int, int, int, float]], before: sql.Before) -> None:
    """Insert (result id, mint id, wallets, SOL spent), one for each mint of the allocation; `before` as above."""
    sql.store(ResultMint, MINT_FIELDS, rows, before)


def store_wallets(rows: Iterable[tuple[Any, ...]], before: sql.Before) -> None:
    """Insert (result id, position, cluster, x, y, behaviour as JSON) of every wallet; `before` as above."""
    sql.store(ResultWallet, WALLET_FIELDS, rows, before)


def store_clusters(rows: Iterable[tuple[Any, ...]], before: sql.Before) -> None:
    """Insert clusters, as CLUSTER_FIELDS with their lists as JSON; `before` as above."""
    sql.store(ResultCluster, CLUSTER_FIELDS, rows, before)


def close_result(result_id: int, *, wallets: int, duration_s: float, **summary: Any) -> None:
    """Store the summary of a result (any of JSON_FIELDS, as values), after its rows."""
    texts = {name: json.dumps(value) for name, value in summary.items()}
    Result.update(wallets=wallets, duration_s=duration_s, **texts).where(Result.id == result_id).execute()


def result(result_id: int) -> dict[str, Any]:
    """Return a result's row with its JSON fields decoded; see `Result` for the keys."""
    row: dict[str, Any] = Result.select().where(Result.id == result_id).dicts().get()
    return row | {name: orjson.loads(row[name]) for name in JSON_FIELDS}


def clusters(result_id: int, most: int | None = None) -> list[dict[str, Any]]:
    """Return at most `most` clusters, largest first: number, cohesion, edges, and the lists of `ResultCluster`."""
    c = ResultCluster
    fields = (c.number, c.cohesion, c.edges, c.members, c.weak_bridges, c.shared_mints, c.strongest_edges)
    rows = db.execute(c.select(*fields).where(c.result_id == result_id).order_by(c.number).limit(most))
    names = ("number", "cohesion", "edges", "members", "weak_bridges", "shared_mints", "strongest_edges")
    return [dict(zip(names, (*row[:3], *map(orjson.loads, row[3:])), strict=True)) for row in rows]


def cluster_sums(result_id: int) -> tuple[int, int]:
    """Return the number of clusters, and of wallets in them."""
    w = ResultWallet
    query = w.select(fn.max(w.cluster), fn.count(w.cluster)).where(w.result_id == result_id)
    ((most, inside),) = list(db.execute(query))
    return most or 0, inside


def wallets(result_id: int, positions: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
    """Return position → {"cluster", "x", "y"} of the compared wallets at these positions (None: all).

    Empty for a provisional result.
    """
    query = 'SELECT "position", cluster, x, y FROM result_wallet WHERE result_id = ?'
    if positions is not None:
        query += f' AND "position" IN {sql.sql_in(sorted(positions)).sql}'
    rows = sql.rows(query, result_id)
    return {position: {"cluster": cluster, "x": x, "y": y} for position, cluster, x, y in rows}


def behaviour(result_id: int, position: int) -> dict[str, Any]:
    """Return the behaviour of one wallet, keys as in measures.md.

    Raises NotFound (code `no_behaviour`) when the wallet was not read, or the result has none.
    """
    query = 'SELECT behaviour FROM result_wallet WHERE result_id = ? AND "position" = ?'
    rows = sql.rows(query, result_id, position)
    if not rows or rows[0][0] is None:
        raise NotFound("There is no behaviour of this wallet in the result.", code="no_behaviour")
    return dict(orjson.loads(rows[0][0]))


def allocation(result_id: int, position: int) -> dict[int, dict[str, Any]]:
    """Return mint id → allocation row of one wallet, keys as ALLOCATION_FIELDS."""
    rows = sql.rows(ALLOCATION_READ, result_id, position)
    return {row[2]: dict(zip(ALLOCATION_NAMES, row, strict=True)) for row in rows}


def top_tokens(result_id: int, most: int = 24) -> list[dict[str, Any]]:
    """Return the tokens that most wallets traded: mint_id, mint, wallets, spent_sol; ties by SOL spent."""
    m = ResultMint
    query = (
        m.select(m.mint_id, Token.mint, m.wallets, m.spent_sol)
        .join(Token, JOIN.INNER, on=(Token.id == m.mint_id))
        .where(m.result_id == result_id)
        .order_by(m.wallets.desc(), m.spent_sol.desc(), Token.mint)
        .limit(most)
    )
    return list(query.dicts())


def mint_ids(result_id: int) -> list[int]:
    """Return the mint ids of a result's allocation, those that most wallets traded first, ties by id."""
    m = ResultMint
    query = m.select(m.mint_id).where(m.result_id == result_id).order_by(m.wallets.desc(), m.mint_id)
    # The plain cursor: peewee's rows take three times as long, and a page waits for these.
    return [row[0] for row in db.execute(query)]


def token_counts(result_id: int) -> dict[str, int]:
    """Return how many mints of a result's allocation have each of the STATUSES."""
    query = (
        ResultMint.select(Token.status, fn.count(Token.id))
        .join(Token, JOIN.INNER, on=(Token.id == ResultMint.mint_id))
        .where(ResultMint.result_id == result_id)
        .group_by(Token.status)
    )
    return dict.fromkeys(STATUSES, 0) | dict(query.tuples())


def addresses(analysis_id: int) -> dict[int, tuple[str, str | None]]:
    """Return position → (address, label) for the wallets of an analysis."""
    w = AnalysisWallet
    query = (
        w.select(w.position, Wallet.address, w.label)
        .join(Wallet, JOIN.INNER, on=(Wallet.id == w.wallet_id))
        .where(w.analysis_id == analysis_id)
    )
    return {position: (address, label) for position, address, label in query.tuples()}
