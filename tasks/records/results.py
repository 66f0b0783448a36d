"""Results: what was computed for an analysis, stored as a whole and read back by page."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from peewee import JOIN, chunked, fn

from tasks.errors import InputError, NotFound
from tasks.records import database
from tasks.records.models import (
    LIVE_JOB,
    Allocation,
    Analysis,
    AnalysisWallet,
    Job,
    Pair,
    Result,
    ResultMint,
    Token,
    Wallet,
)

MEASURES = ("overall", "behavioural", "capital", "jaccard", "overlap", "coverage_a", "coverage_b", "holdings")
SORTS = ("overall", "behavioural", "capital", "overlap")
STATUSES = ("pending", "resolved", "unlisted", "failed")
ROWS_PER_WRITE = 2_000
PAIR_FIELDS = (Pair.result_id, Pair.wallet_a, Pair.wallet_b, Pair.shared, *(getattr(Pair, name) for name in MEASURES))
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


def store_pairs(rows: Iterable[tuple[Any, ...]], before: Callable[[int], None]) -> None:
    """Insert pairs in short transactions; `before` is called inside each with the number of rows that it stores.

    A row is (result id, a, b, shared, the measures in the order of MEASURES); NaN is stored as None.
    """
    _store(Pair, PAIR_FIELDS, (tuple(_none_if_nan(value) for value in row) for row in rows), before)


def store_allocation(rows: Iterable[tuple[Any, ...]], before: Callable[[int], None]) -> None:
    """Insert allocation rows in short transactions; `before` as in `store_pairs`."""
    _store(Allocation, ALLOCATION_FIELDS, rows, before)


def store_mints(rows: Iterable[tuple[int, int, int, float]], before: Callable[[int], None]) -> None:
    """Insert (result id, mint id, wallets, SOL spent), one for each mint of the allocation; `before` as above."""
    _store(ResultMint, MINT_FIELDS, rows, before)


def _store(model: Any, fields: Sequence[Any], rows: Iterable[tuple[Any, ...]], before: Callable[[int], None]) -> None:
    for part in chunked(rows, ROWS_PER_WRITE):
        with database.write():
            before(len(part))
            database.insert_rows(model, fields, part)


def _none_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def close_result(result_id: int, summary: Mapping[str, Any], rates: Mapping[str, Any], duration_s: float) -> None:
    """Write what a result says in sum; its pairs and allocation are stored by now."""
    Result.update(summary=json.dumps(summary), rates=json.dumps(rates), duration_s=duration_s).where(
        Result.id == result_id
    ).execute()


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
    for model in (Pair, Allocation):
        _drop_rows(model, result_id)
    _drop_mints(result_id)
    with database.write():
        Result.update(dropped=True).where(Result.id == result_id).execute()


def _drop_rows(model: Any, result_id: int) -> None:
    """Delete by ranges of the first position, so that no single transaction holds the lock for long."""
    column = Pair.wallet_a if model is Pair else Allocation.position
    last = model.select(fn.max(column)).where(model.result_id == result_id).scalar()
    for low in range(0, (last or 0) + 1, 100):
        with database.write():
            model.delete().where(model.result_id == result_id, column >= low, column < low + 100).execute()


def _drop_mints(result_id: int) -> None:
    m = ResultMint
    first = m.select(m.mint_id).where(m.result_id == result_id).order_by(m.mint_id).limit(ROWS_PER_WRITE)
    while part := [mint_id for (mint_id,) in first.tuples()]:
        with database.write():
            m.delete().where(m.result_id == result_id, m.mint_id <= part[-1]).execute()


def result(result_id: int) -> dict[str, Any]:
    """Return a result's row with `summary` and `rates` read."""
    row: dict[str, Any] = Result.select().where(Result.id == result_id).dicts().get()
    return row | {"summary": json.loads(row["summary"]), "rates": json.loads(row["rates"])}


def encode_cursor(values: Sequence[Any]) -> str:
    """Return a cursor that says where a page ended, fit for a URL."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(text: str, length: int) -> list[Any]:
    """Read a cursor back. Raises InputError for anything that `encode_cursor` did not make."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    numbers = isinstance(values, list) and all(
        value is None or (type(value) in (int, float) and abs(value) < 2**53) for value in values
    )
    if not numbers or len(values) != length or any(type(value) is not int for value in values[1:]):
        raise InputError("The page mark `after` is not one of ours; start again from the first page.")
    return list(values)


def pairs_page(
    result_id: int,
    *,
    sort: str = "overall",
    least: float | None = None,
    position: int | None = None,
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of pairs, best first and None last (ties by address order), and the cursor of the next page.

    `least` leaves out what scores lower (and None) by the measure sorted by; `position` keeps one wallet's pairs.
    """
    column = getattr(Pair, sort)
    query = _filtered(result_id, column, least, position)
    rows: list[dict[str, Any]] = []
    for place, order in _places(column, after):
        if len(rows) <= limit:
            part = query.where(place).order_by(*order, Pair.wallet_a, Pair.wallet_b)
            rows.extend(part.limit(limit + 1 - len(rows)).dicts())
    more = len(rows) > limit
    rows = rows[:limit]
    last = encode_cursor([rows[-1][sort], rows[-1]["wallet_a"], rows[-1]["wallet_b"]]) if more else None
    return rows, last


def count_pairs(result_id: int, *, sort: str, least: float | None = None, position: int | None = None) -> int:
    """Return how many pairs the filters leave."""
    return int(_filtered(result_id, getattr(Pair, sort), least, position).count())


def _filtered(result_id: int, column: Any, least: float | None, position: int | None) -> Any:
    query = Pair.select().where(Pair.result_id == result_id)
    if least is not None:
        query = query.where(column >= least)
    if position is not None:
        query = query.where((Pair.wallet_a == position) | (Pair.wallet_b == position))
    return query


def _places(column: Any, after: str | None) -> list[tuple[Any, Sequence[Any]]]:
    """The rows behind a place in the order, as conditions to be asked one after the other, each with its order.

    First the numbers, lower or equal and later by address, then None; apart, so that each is a range of the index.
    """
    numbers: list[Any] = [column.desc()]
    if after is None:
        return [(column.is_null(False), numbers), (column.is_null(), [])]
    value, a, b = decode_cursor(after, 3)
    later = (Pair.wallet_a > a) | ((Pair.wallet_a == a) & (Pair.wallet_b > b))
    if value is None:
        return [(column.is_null() & later, [])]
    return [((column <= value) & ((column < value) | later), numbers), (column.is_null(), [])]


def pair(result_id: int, a: int, b: int) -> dict[str, Any]:
    """Return one pair. Raises NotFound (code `not_kept`) when it is not among the kept ones."""
    row = Pair.select().where(Pair.result_id == result_id, Pair.wallet_a == a, Pair.wallet_b == b).dicts().get_or_none()
    if row is None:
        raise NotFound("This pair was not kept: it is not among either wallet's closest.", code="not_kept")
    return dict(row)


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
