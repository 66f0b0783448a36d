"""Results as a whole: what was computed for an analysis, stored and read back; their pairs are in `pairs.py`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson
from peewee import JOIN, fn

from tasks.errors import InputError, NotFound
from tasks.records import bulk, database
from tasks.records.models import (
    LIVE_JOB,
    Allocation,
    Analysis,
    AnalysisWallet,
    Job,
    Pair,
    PairOrder,
    Result,
    ResultCluster,
    ResultMint,
    ResultWallet,
    Token,
    Wallet,
)

STATUSES = ("pending", "resolved", "unlisted", "failed")
JSON_FIELDS = ("summary", "rates", "parameters", "background", "explained", "insights", "missing")
MINTS_PER_DROP, POSITIONS_PER_DROP, PAIRS_PER_DROP = 2_000, 100, 5_000
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
ALLOCATION_READ = f'SELECT {database.columns(ALLOCATION_FIELDS)} FROM allocation WHERE result_id = ? AND "position" = ?'
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
    ResultCluster.held_by,
)


def new_result(analysis_id: int, provisional: bool, wallets: int, version: str) -> int:
    """Make an empty result that no reader sees yet; return its id."""
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


def store_allocation(rows: Iterable[tuple[Any, ...]], before: bulk.Before) -> None:
    """Insert allocation rows, as ALLOCATION_FIELDS, in short transactions; `before` as in `bulk`."""
    bulk.store(Allocation, ALLOCATION_FIELDS, rows, before)


def store_mints(rows: Iterable[tuple[int, int, int, float]], before: bulk.Before) -> None:
    """Insert (result id, mint id, wallets, SOL spent), one for each mint of the allocation; `before` as above."""
    bulk.store(ResultMint, MINT_FIELDS, rows, before)


def store_wallets(rows: Iterable[tuple[Any, ...]], before: bulk.Before) -> None:
    """Insert (result id, position, cluster, x, y, behaviour as JSON) of every wallet; `before` as above."""
    bulk.store(ResultWallet, WALLET_FIELDS, rows, before)


def store_clusters(rows: Iterable[tuple[Any, ...]], before: bulk.Before) -> None:
    """Insert clusters, as CLUSTER_FIELDS with their lists as JSON; `before` as above."""
    bulk.store(ResultCluster, CLUSTER_FIELDS, rows, before)


def close_result(result_id: int, *, wallets: int, duration_s: float, **told: Any) -> None:
    """Write what a result says in sum (any of JSON_FIELDS, as values); its rows are stored by now."""
    texts = {name: json.dumps(value) for name, value in told.items()}
    Result.update(wallets=wallets, duration_s=duration_s, **texts).where(Result.id == result_id).execute()


def tidy(older_than_s: float = 120.0) -> list[int]:
    """Delete the rows of results that no reader is sent to any more; return their ids.

    A result that was replaced stays for a while from then on, for those who are in the middle of reading it. The
    result's own row is kept, so that no later result takes its number.
    """
    now = database.now_s()
    unseen = {row[0]: row[1] for row in _unseen().tuples()}
    if fresh := [result_id for result_id, since in unseen.items() if since is None]:
        with database.write():
            Result.update(unseen_at=now).where(Result.id.in_(fresh)).execute()
    over = [result_id for result_id, since in unseen.items() if (now if since is None else since) <= now - older_than_s]
    for result_id in over:
        drop_result(result_id)
    return over


def _unseen() -> Any:
    """Return the query of (id, unseen_at) of results that are neither shown nor being made, and have rows."""
    busy = Job.select(Job.subject).where(Job.kind.in_(("provisional", "similarity")), Job.state.in_(LIVE_JOB))
    return (
        Result.select(Result.id, Result.unseen_at)
        .join(Analysis, JOIN.INNER, on=(Analysis.id == Result.analysis_id))
        .where(
            ~Result.dropped,
            Analysis.result_id.is_null() | (Analysis.result_id != Result.id),
            Analysis.key.not_in(busy),
        )
        .order_by(Result.id)
    )


def drop_result(result_id: int) -> None:
    """Delete the rows of a result that nobody sees, in short transactions."""
    for key, step in (
        (Pair.number, PAIRS_PER_DROP),
        (PairOrder.chunk, POSITIONS_PER_DROP),
        (ResultCluster.number, POSITIONS_PER_DROP),
        (ResultWallet.position, POSITIONS_PER_DROP),
        (Allocation.position, POSITIONS_PER_DROP),
    ):
        _drop_rows(key, step, result_id)
    _drop_mints(result_id)
    with database.write():
        Result.update(dropped=True).where(Result.id == result_id).execute()


def _drop_rows(key: Any, step: int, result_id: int) -> None:
    """Delete by ranges of a key, so that no single transaction holds the lock for long."""
    model = key.model
    last = model.select(fn.max(key)).where(model.result_id == result_id).scalar()
    for low in range(0, -1 if last is None else last + 1, step):
        with database.write():
            model.delete().where(model.result_id == result_id, key >= low, key < low + step).execute()


def _drop_mints(result_id: int) -> None:
    m = ResultMint
    first = m.select(m.mint_id).where(m.result_id == result_id).order_by(m.mint_id).limit(MINTS_PER_DROP)
    while part := [mint_id for (mint_id,) in first.tuples()]:
        with database.write():
            m.delete().where(m.result_id == result_id, m.mint_id <= part[-1]).execute()


def result(result_id: int) -> dict[str, Any]:
    """Return a result's row with what is JSON in it read; see `Result` for its keys."""
    row: dict[str, Any] = Result.select().where(Result.id == result_id).dicts().get()
    return row | {name: orjson.loads(row[name]) for name in JSON_FIELDS}


def clusters(result_id: int, most: int | None = None) -> list[dict[str, Any]]:
    """Return the clusters (`most` of them), the largest first: number, cohesion, edges, and the lists of their row."""
    c = ResultCluster
    fields = (c.number, c.cohesion, c.edges, c.members, c.weak_bridges, c.shared_mints, c.held_by)
    rows = database.db.execute(c.select(*fields).where(c.result_id == result_id).order_by(c.number).limit(most))
    names = ("number", "cohesion", "edges", "members", "weak_bridges", "shared_mints", "held_by")
    return [dict(zip(names, (*row[:3], *map(orjson.loads, row[3:])), strict=True)) for row in rows]


def cluster_sums(result_id: int) -> tuple[int, int]:
    """Return how many clusters there are, and how many wallets are in them."""
    w = ResultWallet
    query = w.select(fn.max(w.cluster), fn.count(w.cluster)).where(w.result_id == result_id)
    ((most, inside),) = list(database.db.execute(query))
    return most or 0, inside


def wallets(result_id: int, positions: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
    """Return position → {"cluster", "x", "y"} of the wallets at these positions (None: all) that took part.

    Empty while that is not computed.
    """
    sql = 'SELECT "position", cluster, x, y FROM result_wallet WHERE result_id = ?'
    if positions is not None:
        sql += f' AND "position" IN {database.listed(sorted(positions)).sql}'
    rows = database.rows(sql, result_id)
    return {position: {"cluster": cluster, "x": x, "y": y} for position, cluster, x, y in rows}


def behaviour(result_id: int, position: int) -> dict[str, Any]:
    """Return the behaviour of one wallet, keys as in measures.md.

    Raises NotFound (code `no_behaviour`) when the wallet was not read, or the result has none.
    """
    sql = 'SELECT behaviour FROM result_wallet WHERE result_id = ? AND "position" = ?'
    rows = database.rows(sql, result_id, position)
    if not rows or rows[0][0] is None:
        raise NotFound("There is no behaviour of this wallet in the result.", code="no_behaviour")
    return dict(orjson.loads(rows[0][0]))


def encode_cursor(values: Sequence[int]) -> str:
    """Return a cursor that says where a page ended, fit for a URL."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(text: str, length: int) -> list[int]:
    """Read a cursor back. Raises InputError for anything that `encode_cursor` did not make."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    places = isinstance(values, list) and all(type(value) is int and 0 <= value < 2**53 for value in values)
    if not places or len(values) != length:
        raise InputError("The page mark `after` is not one of ours; start again from the first page.")
    return list(values)


def allocation(result_id: int, position: int) -> dict[int, dict[str, Any]]:
    """Return mint id → allocation row of one wallet, keys as ALLOCATION_FIELDS."""
    rows = database.rows(ALLOCATION_READ, result_id, position)
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
    """Return the mints of a result's allocation, those that most wallets traded first, ties by id."""
    m = ResultMint
    query = m.select(m.mint_id).where(m.result_id == result_id).order_by(m.wallets.desc(), m.mint_id)
    # By the plain cursor: peewee's rows cost three times that, and a page waits for these.
    return [row[0] for row in database.db.execute(query)]


def token_counts(result_id: int) -> dict[str, int]:
    """Return how many mints of a result's allocation are pending, resolved, unlisted and failed; 0 where none is."""
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
