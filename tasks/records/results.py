"""Results as a whole: what was computed for an analysis, stored and read back; their pairs are in `pairs.py`."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from typing import Any

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
    """Delete the rows of results that no reader sees any more; return their ids.

    A result that was replaced stays for a while, for those who are in the middle of reading it. The result's own row is
    kept, so that no later result takes its number.
    """
    busy = Job.select(Job.subject).where(Job.kind.in_(("provisional", "similarity")), Job.state.in_(LIVE_JOB))
    query = (
        Result.select(Result.id)
        .join(Analysis, JOIN.INNER, on=(Analysis.id == Result.analysis_id))
        .where(
            ~Result.dropped,
            Analysis.result_id.is_null() | (Analysis.result_id != Result.id),
            Result.computed_at < database.now_s() - older_than_s,
            Analysis.key.not_in(busy),
        )
    )
    over = [row[0] for row in query.tuples()]
    for result_id in over:
        drop_result(result_id)
    return over


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
    return row | {name: json.loads(row[name]) for name in JSON_FIELDS}


def clusters(result_id: int) -> list[dict[str, Any]]:
    """Return the clusters, the largest first: number, cohesion, edges, and the lists that their row holds."""
    c = ResultCluster
    lists = ("members", "weak_bridges", "shared_mints")
    rows = c.select().where(c.result_id == result_id).order_by(c.number).dicts()
    return [row | {name: json.loads(row[name]) for name in lists} for row in rows]


def wallets(result_id: int) -> dict[int, dict[str, Any]]:
    """Return position → {"cluster", "x", "y"} of every wallet that took part; empty while that is not computed."""
    w = ResultWallet
    query = w.select(w.position, w.cluster, w.x, w.y).where(w.result_id == result_id)
    return {position: {"cluster": cluster, "x": x, "y": y} for position, cluster, x, y in query.tuples()}


def behaviour(result_id: int, position: int) -> dict[str, Any]:
    """Return the behaviour of one wallet, keys as in measures.md.

    Raises NotFound (code `no_behaviour`) when the wallet was not read, or the result has none.
    """
    w = ResultWallet
    text = w.select(w.behaviour).where(w.result_id == result_id, w.position == position).scalar()
    if text is None:
        raise NotFound("There is no behaviour of this wallet in the result.", code="no_behaviour")
    return dict(json.loads(text))


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
    """Return mint id → allocation row of one wallet."""
    query = Allocation.select().where(Allocation.result_id == result_id, Allocation.position == position)
    return {row["mint_id"]: row for row in query.dicts()}


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
