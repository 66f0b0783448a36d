"""The two Huey queues. A message holds a job's id and is only a hint: the job's row is the truth (`claims.py`).

Huey takes the highest number first and, of equal ones, the oldest. The number is a priority (`priority.py`), exact as a
double on SQLite and on Redis.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from typing import Any

import redis
from huey import PriorityRedisExpireHuey, SqliteHuey
from huey.exceptions import HueyException

from tasks.errors import SettingsError, WalletkinError
from tasks.jobs.priority import TIER_STEP
from tasks.jobs.serializer import JsonSerializer
from tasks.settings import Settings

# Periodic tasks stand above every tier; without a priority they would wait forever.
TOP_PRIORITY = 9 * TIER_STEP
# A queue that hangs must not hang a page with it; a worker's wait for a message is one second.
TIMEOUT_S, PAGE_TIMEOUT_S = 5.0, 0.3
ANNOUNCE = "announce"  # instead of a job id: announce the jobs of the queue that have no message

NAMES = ("pipeline", "enrichment")
QUEUES: dict[str, Any] = {}  # name to Huey instance, filled by open_queues
_messages: dict[str, Any] = {}  # name to the Huey task that carries a job's id


def make_queue(name: str, settings: Settings) -> Any:
    """Return the Huey instance of a queue: on Redis if the settings name one, otherwise on an SQLite file."""
    if settings.redis_url:
        pool = redis.ConnectionPool.from_url(
            settings.redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        return PriorityRedisExpireHuey(
            f"walletkin_{name}", connection_pool=pool, results=False, serializer=JsonSerializer()
        )
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"The data folder {settings.data_dir} cannot be made: {error.strerror}.") from None
    return SqliteHuey(
        f"walletkin_{name}",
        filename=str(settings.queue_path),
        results=False,
        timeout=15,
        strict_fifo=True,
        serializer=JsonSerializer(),
    )


def open_queues(settings: Settings, receive: Callable[[str, str], None] | None = None) -> None:
    """Open both queues. `receive` is called with the queue and the job id of each message; only workers have one."""
    for name in NAMES:
        QUEUES[name] = huey = make_queue(name, settings)
        _messages[name] = huey.task(name=f"work_{name}")(functools.partial(receive or _refuse, name))


def _refuse(queue: str, job_id: str) -> None:
    raise RuntimeError(f"This process takes no messages from the queue {queue}.")


def use_short_timeouts() -> None:
    """Limit how long this process waits for a hanging Redis; for processes that take no messages."""
    for huey in QUEUES.values():
        pool = getattr(huey.storage, "pool", None)
        if pool is not None:
            pool.connection_kwargs |= {"socket_timeout": PAGE_TIMEOUT_S, "socket_connect_timeout": PAGE_TIMEOUT_S}


class QueueUnavailable(WalletkinError):
    """The queue cannot be written to now; `recovery.py` announces the jobs later."""


def send(queue: str, job_id: str, number: int, delay_s: float | None = None) -> None:
    """Put a message for a job into its queue, to be received at once or after a delay. Raises QueueUnavailable."""
    try:
        QUEUES[queue].enqueue(_messages[queue].s(job_id, priority=number, delay=delay_s))
    except (redis.RedisError, sqlite3.Error) as error:
        raise QueueUnavailable(f"The queue {queue} does not answer ({type(error).__name__}).") from None


def ask_to_announce(queue: str) -> None:
    """Have a worker of the queue announce the jobs without a message; for more than a page can wait for."""
    send(queue, ANNOUNCE, TOP_PRIORITY)


def waiting_ids(queue: str) -> set[str]:
    """Return the ids of the jobs that have a message without a delay. Raises QueueUnavailable."""
    return _ids(queue, "enqueued_items")


def scheduled_ids(queue: str) -> set[str]:
    """Return the ids of the jobs that have a delayed message. Raises QueueUnavailable."""
    return _ids(queue, "scheduled_items")


def _ids(queue: str, which: str) -> set[str]:
    huey = QUEUES[queue]
    try:
        written = list(getattr(huey.storage, which)())
    except (redis.RedisError, sqlite3.Error) as error:
        raise QueueUnavailable(f"The queue {queue} does not answer ({type(error).__name__}).") from None
    return {message.args[0] for message in filter(None, map(functools.partial(_read, huey), written)) if message.args}


def _read(huey: Any, data: bytes) -> Any:
    """Return a message; None for a foreign one, which no worker can read either."""
    try:
        return huey.deserialize_task(data)
    except (ValueError, HueyException):
        return None
