"""The tokens of a result, page by page. A result does not change: the last token of a page says where it ended."""

from __future__ import annotations

from typing import Any

from peewee import JOIN

from tasks.errors import InputError
from tasks.records.models import ResultMint, Token
from tasks.records.results import decode_cursor, encode_cursor

SORTS = ("wallets", "spent_sol")
GONE = "The list was replaced by a newer one; start again from its first page."


def page(
    result_id: int, *, sort: str = "wallets", after: str | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], str | None]:
    """Return tokens, each {"mint_id", "mint", "wallets", "spent_sol"}, the highest first, and the next page's cursor.

    `sort` is one of SORTS; ties go by the other one, then by id. Raises InputError for an `after` that is not ours.
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
        raise InputError(GONE)
    higher, lower = last
    tied = (second < lower) | ((second == lower) & (m.mint_id > mint_id))
    return (first < higher) | ((first == higher) & tied)
