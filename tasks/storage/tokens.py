"""The token registry: ids of mints, and lists of tokens. The queue of tokens to look up is in `enrichment`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from peewee import JOIN, chunked

from tasks.errors import InputError
from tasks.storage import database, sql
from tasks.storage.cursors import decode_cursor, encode_cursor
from tasks.storage.models.base import db
from tasks.storage.models.results import ResultMint
from tasks.storage.models.tokens import Token

CHUNK = 500
NO_MINT = 0  # the mint id of a row without a token, such as a failed transaction
SORTS = ("wallets", "spent_sol")
REPLACED = "The list was replaced by a newer one. Start again from the first page."


def ensure_mints(mints: Mapping[str, int | None]) -> dict[str, int]:
    """Register mints (mint → decimals, None when unknown) and return the id of each."""
    ids = mint_ids(mints)
    # Sorted; otherwise, on PostgreSQL, two syncs registering the same mints would deadlock.
    missing = sorted(mint for mint in mints if mint not in ids)
    if missing:
        now = database.now_s()
        rows = [(mint, mints[mint], now) for mint in missing]
        with database.write():
            sql.insert_rows(Token, (Token.mint, Token.decimals, Token.first_seen_at), rows)
        ids.update(mint_ids(missing))
    return ids


def mint_ids(mints: Iterable[str]) -> dict[str, int]:
    """Return mint → id of those mints that are registered."""
    found: dict[str, int] = {}
    for part in chunked(sorted(set(mints)), CHUNK):
        found.update(Token.select(Token.mint, Token.id).where(Token.mint.in_(part)).tuples())
    return found


def known_mints(addresses: Collection[str]) -> set[str]:
    """Return the addresses that are registered mints."""
    return set(mint_ids(addresses))


def mint_names(ids: Iterable[int]) -> dict[int, str]:
    """Return id → mint."""
    found: dict[int, str] = {}
    for part in chunked(sorted(set(ids)), CHUNK):
        found.update(sql.rows(f"SELECT id, mint FROM token WHERE id IN {sql.sql_in(part).sql}"))
    return found


def prices(ids: Iterable[int]) -> Iterator[tuple[int, float | None, int | None]]:
    """Yield (id, price in USD, decimals), in no order; None is unknown."""
    for part in chunked(sorted(set(ids)), CHUNK):
        yield from list(Token.select(Token.id, Token.price_usd, Token.decimals).where(Token.id.in_(part)).tuples())


def mints(result_id: int, status: str, most: int) -> Sequence[str]:
    """Return the mints of a result's allocation whose token has this status, those that most wallets traded first."""
    m = ResultMint
    query = m.select(Token.mint).join(Token, JOIN.INNER, on=(Token.id == m.mint_id))
    query = query.where(m.result_id == result_id, Token.status == status)
    return [row[0] for row in db.execute(query.order_by(m.wallets.desc(), Token.mint).limit(most))]


def page(
    result_id: int, *, sort: str = "wallets", after: str | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], str | None]:
    """Return tokens, each {"mint_id", "mint", "wallets", "spent_sol"}, the highest first, and the next page's cursor.

    `sort` is one of SORTS; ties by the other one, then by id. Raises InputError for an invalid `after`.
    """
    m = ResultMint
    first, second = (m.wallets, m.spent_sol) if sort == "wallets" else (m.spent_sol, m.wallets)
    query = (
        m.select(m.mint_id, Token.mint, m.wallets, m.spent_sol)
        .join(Token, JOIN.INNER, on=(Token.id == m.mint_id))
        .where(m.result_id == result_id)
        .order_by(first.desc(), second.desc(), m.mint_id)
        .limit(limit + 1)
    )
    if after:
        query = query.where(_behind(result_id, after, first, second))
    rows = list(query.dicts())
    return rows[:limit], encode_cursor([rows[limit - 1]["mint_id"]]) if len(rows) > limit else None


def _behind(result_id: int, after: str, first: Any, second: Any) -> Any:
    (mint_id,) = decode_cursor(after, 1)
    m = ResultMint
    last = m.select(first, second).where(m.result_id == result_id, m.mint_id == mint_id).tuples().first()
    if last is None:
        raise InputError(REPLACED)
    higher, lower = last
    tied = (second < lower) | ((second == lower) & (m.mint_id > mint_id))
    return (first < higher) | ((first == higher) & tied)
