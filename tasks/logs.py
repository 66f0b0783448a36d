"""Logging: the format of a line, the context bound to it, and the secrets removed from it.

Modules use the standard library's `logging`; structlog formats the lines as JSON, or as text at a terminal. A request
or job bound here is part of every line of its thread.
"""

from __future__ import annotations

import logging
import re
import sys
import urllib.parse
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from tasks.settings import Settings

SHORTEST_SECRET = 8  # shorter parts of an address (v1, solana) are words, not keys
SHORTEST_PASSWORD = 4  # a shorter one would be cut out of ordinary words
HIDDEN = "…"
# Ids of analyses and of jobs look alike; only a job's may be logged, and only after the word "job".
ID = re.compile(r"(?<!\bjob )(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
LOGGED_IDS = ("job_id",)


def configure(settings: Settings) -> None:
    """Make every logger of this process write such lines to standard error; a second call changes the settings."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    words = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _Redactor(secrets_of(settings)),
                *_renderers(words),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    _quiet_libraries()


def _renderers(words: bool) -> list[Processor]:
    if words:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer(ensure_ascii=False)]


def _quiet_libraries() -> None:
    """Silence libraries that log addresses or repeat our lines; format gunicorn's lines like all others."""
    for name in ("huey", "urllib3", "requests", "peewee", "werkzeug"):
        logging.getLogger(name).setLevel(logging.WARNING)
    gunicorn = logging.getLogger("gunicorn.error")
    if gunicorn.handlers:
        gunicorn.handlers.clear()
        gunicorn.propagate = True


def with_request(request_id: str) -> None:
    """Bind a request id to the lines of this thread, and unbind the one before it."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)


def without_request() -> None:
    """Unbind the request id from the lines of this thread, when the request is over."""
    structlog.contextvars.clear_contextvars()


def with_job(job_id: str, kind: str, queue: str) -> AbstractContextManager[None]:
    """Bind a job to the lines of this thread, for the block."""
    return structlog.contextvars.bound_contextvars(job_id=job_id, kind=kind, queue=queue)


def secrets_of(settings: Settings) -> list[str]:
    """Return the secrets of the settings, longest first."""
    found = {settings.operator_token, settings.given_secret_key, settings.jupiter_api_key}
    for url in (settings.solana_rpc_url, settings.dexscreener_url, settings.jupiter_url):
        parts = urllib.parse.urlsplit(url)
        found |= {value for _, value in urllib.parse.parse_qsl(parts.query)} | set(parts.path.split("/"))
        found |= {parts.username, parts.password}
    passwords = {urllib.parse.urlsplit(url).password for url in (settings.database_url, settings.redis_url or "")}
    kept = {one for one in found if one and len(one) >= SHORTEST_SECRET}
    kept |= {one for one in passwords if one and len(one) >= SHORTEST_PASSWORD}
    # Written encoded in one place, and plain in another.
    return sorted(kept | {urllib.parse.unquote(one) for one in kept}, key=lambda one: (-len(one), one))


class _Redactor:
    """Removes secrets and the ids of analyses from a line."""

    def __init__(self, secrets: list[str]):
        self._secrets = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def __call__(self, logger: Any, method: str, event: EventDict) -> EventDict:
        return {name: value if name in LOGGED_IDS else self._without(value) for name, value in event.items()}

    def _without(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {self._without(name): self._without(one) for name, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._without(one) for one in value]
        if isinstance(value, int | float | None):
            return value
        text = str(value)
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        return ID.sub(HIDDEN, text)
