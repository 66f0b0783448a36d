"""The token registry: which mints were ever seen, and what is known of them. Asks no market."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from peewee import chunked

from tasks.records import database
from tasks.records.models import Token

CHUNK = 500
NO_MINT = 0  # the mint id of a row that names no token, such as a failed transaction


def ensure_mints(mints: Mapping[str, int | None]) -> dict[str, int]:
    """Register mints (mint → decimals, where known) and return the id of each; an empty mapping gives an empty one."""
    ids = mint_ids(mints)
    # In one order for everybody: on PostgreSQL two syncs that register the same mints would else wait for each other.
    missing = sorted(mint for mint in mints if mint not in ids)
    if missing:
        now = database.now_s()
        rows = [(mint, mints[mint], now) for mint in missing]
        with database.write():
            database.insert_rows(Token, (Token.mint, Token.decimals, Token.first_seen_at), rows)
        ids.update(mint_ids(missing))
    return ids


def mint_ids(mints: Iterable[str]) -> dict[str, int]:
    """Return the ids of those mints that are registered."""
    found: dict[str, int] = {}
    for part in chunked(sorted(set(mints)), CHUNK):
        found.update(Token.select(Token.mint, Token.id).where(Token.mint.in_(part)).tuples())
    return found


def known_mints(addresses: Collection[str]) -> set[str]:
    """Return those of the addresses that the registry knows as mints."""
    return set(mint_ids(addresses))


def mint_names(ids: Iterable[int]) -> dict[int, str]:
    """Return id → mint for the ids given."""
    found: dict[int, str] = {}
    for part in chunked(sorted(set(ids)), CHUNK):
        found.update(database.rows(f"SELECT id, mint FROM token WHERE id IN {database.listed(part).sql}"))
    return found


def prices(ids: Iterable[int]) -> Iterator[tuple[int, float | None, int | None]]:
    """Yield (id, price in USD, decimals) of the ids given, in no order; None is unknown."""
    for part in chunked(sorted(set(ids)), CHUNK):
        yield from list(Token.select(Token.id, Token.price_usd, Token.decimals).where(Token.id.in_(part)).tuples())
