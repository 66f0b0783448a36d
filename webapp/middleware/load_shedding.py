"""Load shedding: a bounded number of requests runs at once, some wait for a moment, the rest gets 503.

The server (Procfile) has more threads than run requests: the others hold waiting requests and refuse the rest quickly.
Otherwise every request would be accepted, and all would be late.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from flask import Flask, Response

from tasks import metrics
from tasks.errors import Busy
from tasks.settings import Settings
from webapp import errors
from webapp.middleware import wsgi
from webapp.middleware.wsgi import Application, BufferedResponse, Environ

WAITING = 12
"""How many requests may wait for each that runs: what arrives while the processor is busy for a quarter of a second.
gunicorn has more threads than that (Procfile: sixteen a slot), which refuse the rest.
"""
WAIT_S = 2.0
RETRY_AFTER_S = 2
ALWAYS = ("/healthz", "/readyz", "/metrics")
"""What an operator needs most under overload."""
FULL = "Walletkin is overloaded. Try again in a moment."
PAGE = (
    f"<!doctype html><html lang=en><meta charset=utf-8><title>Busy - Walletkin</title><h1>Busy</h1><p>{FULL}</p></html>"
)

REFUSAL = (
    ("Retry-After", str(RETRY_AFTER_S)),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


def register(app: Flask, settings: Settings) -> None:
    """Bound how many requests run at once, and answer 503 when the queue of jobs is full."""
    app.wsgi_app = LoadShedder(app.wsgi_app, settings.web_threads)  # type: ignore[method-assign]
    app.register_error_handler(Busy, _busy)


def _busy(error: Busy) -> Response:
    response = errors.answer(503, "busy", str(error))
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


class LoadShedder:
    """Runs `slots` requests at once, lets twelve times as many wait for `wait_s`, refuses the others.

    A streamed answer (a large CSV) frees its slot when it begins, since it is sent as slowly as its reader takes it;
    there may be as many streams again.
    """

    def __init__(self, inner: Application, slots: int, wait_s: float = WAIT_S):
        self.inner = inner
        self.wait_s = wait_s
        self._slots = threading.BoundedSemaphore(slots)
        self._waiting = threading.BoundedSemaphore(slots * WAITING)
        self._streams = threading.BoundedSemaphore(slots)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in ALWAYS:
            return self.inner(environ, start_response)
        if not self._enter():
            return _refuse(environ, start_response)
        try:
            answer = BufferedResponse()
            body = self.inner(environ, answer.start)
            if answer.is_stream:
                if not self._streams.acquire(blocking=False):
                    wsgi.close(body)
                    return _refuse(environ, start_response)
                body = _Stream(body, self._streams)
            answer.send(start_response)
            return body
        finally:
            self._slots.release()

    def _enter(self) -> bool:
        """Take a slot, waiting for it unless too many wait."""
        if self._slots.acquire(blocking=False):
            return True
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._slots.acquire(timeout=self.wait_s)
        finally:
            self._waiting.release()


class _Stream:
    """A body that frees its slot among the streams when it is closed, which servers always do."""

    def __init__(self, body: Iterable[bytes], streams: threading.BoundedSemaphore):
        self._body, self._streams, self._closed = body, streams, False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._streams.release()
            wsgi.close(self._body)


def _refuse(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer 503 without the application, as JSON or HTML."""
    metrics.add("refused")
    status = HTTPStatus.SERVICE_UNAVAILABLE
    as_json = environ.get("PATH_INFO", "").endswith(".json") or "json" in (
        environ.get("HTTP_ACCEPT", "") + environ.get("CONTENT_TYPE", "")
    )
    body = json.dumps({"error": {"code": "busy", "message": FULL, "details": []}}) if as_json else PAGE
    kind = "application/json" if as_json else "text/html; charset=utf-8"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), *REFUSAL]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body.encode()]
