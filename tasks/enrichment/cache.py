"""What a page shows of a token: read from Redis if there is one, otherwise from the token table.

Before: `fetcher.py` calls `write_through` once outcomes are recorded; `triggers.py` calls `mark_loading` on enqueueing.
After: the price cells of `webapp` and their polls. Redis holds copies only: it may be emptied or go away at any time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
import redis
from peewee import chunked
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.settings import Settings, timing
from tasks.sources.rate_limit.redis_guard import RedisGuard
from tasks.storage import database
from tasks.storage.models.base import db

log = logging.getLogger(__name__)

Cell = dict[str, Any]
T = TypeVar("T")

CHUNK = 500
# How long a write that Redis missed can stay unseen, even if the process that made it dies.
MOST_TTL_S = 60
# From this priority on a page waits for the token: the start of the analysis tier (`jobs/queues.py`).
LOADING_PRIORITY = 2 * 10**13
SETTLED = frozenset({"resolved", "unlisted", "failed"})
PENDING = "pending"

TIMEOUT_S = 0.14  # to connect and to answer: a hanging Redis costs less than 0.3 s in all
MOST_MISSED = 20_000

TEXT, NUMBER, WHOLE = (str, type(None)), (float, int, type(None)), (int, type(None))
TYPES: dict[str, tuple[type, ...]] = {
    "mint": (str,),
    "name": TEXT,
    "symbol": TEXT,
    "decimals": WHOLE,
    "image_url": TEXT,
    "price_usd": NUMBER,
    "liquidity_usd": NUMBER,
    "volume_24h_usd": NUMBER,
    "market_cap_usd": NUMBER,
    "price_source": TEXT,
    "last_updated": NUMBER,
    "attempts": (int,),
    "last_error": TEXT,
}
FIELDS = tuple(TYPES)
SELECT = f"SELECT {', '.join(FIELDS)}, status, priority FROM token WHERE mint IN "

# One command for up to a thousand keys, because a page waits for it.
MARK = """
for key = 1, #KEYS, 2 do
    redis.call('DEL', KEYS[key])
    redis.call('SET', KEYS[key + 1], 'pending', 'EX', ARGV[1])
end
return #KEYS
"""


class TokenCache:
    """The copies in Redis. While Redis is away it is not used, and missed writes are remembered. Raises no Redis error.

    A status that is not settled sends readers to the table, and keeps a reader that read the token just before it was
    queued from storing what it had read.
    """

    def __init__(self, redis_url: str, ttl_s: int):
        self._ttl_s = ttl_s
        self._pool = redis.ConnectionPool.from_url(
            redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._redis = redis.Redis(connection_pool=self._pool)
        self._lock = threading.Lock()
        self._guard = RedisGuard(
            log,
            redis.RedisError,
            away_s=timing().cache_away_s,
            without="the database answers for prices",
            again="prices are read from it again",
        )
        self._missed: dict[str, None] = {}

    def read(self, mints: Sequence[str]) -> dict[str, Cell]:
        """Return the cells of those mints whose price and status are present, valid and settled."""
        kept = self._ask(lambda client: client.mget(_keys(mints))) or ()
        read = (_cell_from(*one) for one in zip(mints, kept[::2], kept[1::2], strict=bool(kept)))
        return {cell["mint"]: cell for cell in read if cell}

    def fill(self, cells: Mapping[str, Cell]) -> None:
        """Store cells that a reader took from the table, unless a writer has stored newer ones."""
        self._ask(lambda client: self._set(client, cells, only_new=True))

    def replace(self, cells: Mapping[str, Cell]) -> None:
        """Store cells that a writer has committed."""
        if not self._ask(lambda client: self._set(client, cells, only_new=False)):
            self._miss(cells)

    def mark(self, mints: Sequence[str]) -> None:
        """Remove the prices of queued mints, and send their readers to the table."""
        keys = _keys(mints)
        if not self._ask(lambda client: client.eval(MARK, len(keys), *keys, self._ttl_s)):
            self._miss(mints)

    def close(self) -> None:
        self._pool.disconnect()

    def _set(self, client: Any, cells: Mapping[str, Cell], *, only_new: bool) -> bool:
        pipeline = client.pipeline()
        for mint, cell in cells.items():
            price, status = _keys([mint])
            value = orjson.dumps({name: cell[name] for name in FIELDS})
            pipeline.set(price, value, ex=self._ttl_s, nx=only_new)
            pipeline.set(status, cell["status"], ex=self._ttl_s, nx=only_new)
        pipeline.execute()
        return True

    def _ask(self, question: Callable[[Any], T]) -> T | None:
        """Ask Redis; None while it is away."""

        def ask() -> T:
            self._drop_missed()
            return question(self._redis)

        return self._guard.call(ask)

    def _miss(self, mints: Iterable[str]) -> None:
        with self._lock:
            self._missed.update(dict.fromkeys(mints))
            for mint in list(self._missed)[: max(0, len(self._missed) - MOST_MISSED)]:
                del self._missed[mint]

    def _drop_missed(self) -> None:
        """Delete the copies of mints whose writes Redis missed; raises `redis.RedisError`."""
        with self._lock:
            missed, self._missed = list(self._missed), {}
        try:
            for part in chunked(missed, CHUNK):
                self._redis.delete(*_keys(part))
        except redis.RedisError:
            self._miss(missed)
            raise


_cache: TokenCache | None = None


def open_cache(settings: Settings) -> None:
    """Use the Redis of the settings, if any. Connects on first use."""
    global _cache
    close_cache()
    if settings.redis_url:
        _cache = TokenCache(settings.redis_url, min(settings.price_ttl_s, MOST_TTL_S))


def close_cache() -> None:
    """Close the connections to Redis; until the next `open_cache` the database answers alone."""
    global _cache
    cache, _cache = _cache, None
    if cache:
        cache.close()


def cells(mints: Iterable[str]) -> dict[str, Cell]:
    """Return mint → cell of the mints that are in the token table; no mints give an empty dict.

    A cell has the keys of a token in docs/json.md (without `stale`; `last_updated` in Unix seconds) and `awaited`:
    whether a lookup for a page is under way. Copies in Redis are up to `MOST_TTL_S` old.
    """
    cache = _cache
    found: dict[str, Cell] = {}
    for part in chunked(dict.fromkeys(mints), CHUNK):
        known = cache.read(part) if cache else {}
        read = _from_table([mint for mint in part if mint not in known])
        if cache and (settled := _settled(read)):
            cache.fill(settled)
        found |= known | read
    return found


def write_through(mints: Iterable[str]) -> None:
    """Update Redis with the committed state of the mints. Call after the commit; does nothing without Redis."""
    cache = _cache
    if cache is None:
        return
    for part in chunked(dict.fromkeys(mints), CHUNK):
        if settled := _settled(_from_table(part)):
            cache.replace(settled)
        if rest := [mint for mint in part if mint not in settled]:
            cache.mark(rest)


def mark_loading(mints: Iterable[str]) -> None:
    """Send the readers of queued mints to the table. Call after the commit that queued them."""
    cache = _cache
    if cache is None:
        return
    for part in chunked(dict.fromkeys(mints), CHUNK):
        cache.mark(part)


def _from_table(mints: Sequence[str]) -> dict[str, Cell]:
    """Read cells from the token table: plain SQL and tuples cost a fifth of a peewee query."""
    if not mints:
        return {}
    marks = ", ".join(["?" if database.is_sqlite() else "%s"] * len(mints))
    rows = db.execute_sql(f"{SELECT} ({marks})", tuple(mints)).fetchall()
    return {row[0]: _cell(row[:-2], row[-2], row[-1]) for row in rows}


def _cell(values: Sequence[Any], status: str, priority: int | None) -> Cell:
    cell = dict(zip(FIELDS, values, strict=True))
    cell["status"] = status
    cell["awaited"] = status == PENDING or (priority is not None and priority >= LOADING_PRIORITY)
    return cell


def _settled(found: Mapping[str, Cell]) -> dict[str, Cell]:
    return {mint: cell for mint, cell in found.items() if not cell["awaited"]}


def _keys(mints: Iterable[str]) -> list[str]:
    """Return the two keys of each mint: price and status."""
    return [f"token:{what}:{mint}" for mint in mints for what in ("price", "status")]


def _cell_from(mint: str, price: bytes | None, status: bytes | None) -> Cell | None:
    """Return the cell that Redis holds; None unless it is present, settled and valid, since Redis is outside."""
    settled = (status or b"").decode(errors="replace")
    if price is None or settled not in SETTLED:
        return None
    try:
        read = orjson.loads(price)
    except ValueError:
        return None
    if not isinstance(read, dict) or read.get("mint") != mint:
        return None
    if any(name not in read or type(read[name]) not in types for name, types in TYPES.items()):
        return None
    return {name: read[name] for name in FIELDS} | {"status": settled, "awaited": False}
