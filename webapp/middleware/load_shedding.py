"""What happens past capacity: so many requests are worked on, some wait for a moment, the rest is refused at once.

The server (Procfile) has more threads than requests are worked on: the others hold those that wait, and refuse quickly
what is too much. Without that every request would be taken, all would be late, and nobody would know why.
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
"""So many requests may wait for each that is worked on: what comes in while the processor is busy elsewhere for a
quarter of a second. gunicorn has more threads than that (Procfile: sixteen a place), which refuse the rest.
"""
PATIENCE_S = 2.0
RETRY_AFTER_S = 2
ALWAYS = ("/healthz", "/readyz", "/metrics")
"""What tells an operator that there is too much to do must be answered then above all."""
FULL = "Walletkin has more to answer than it can just now; try again in a moment."
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
    """Bound what is worked on at once, and answer when the queue of jobs is full."""
    app.wsgi_app = LoadShedder(app.wsgi_app, settings.web_threads)  # type: ignore[method-assign]
    app.register_error_handler(Busy, _busy)


def _busy(error: Busy) -> Response:
    response = errors.answer(503, "busy", str(error))
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


class LoadShedder:
    """Lets `places` requests into an application at once, lets twelve times as many wait a second, refuses the others.

    An answer that is sent bit by bit (a large CSV) leaves its place when it begins, since it goes on as slowly as its
    reader takes it; of those there are as many again.
    """

    def __init__(self, inner: Application, places: int, patience_s: float = PATIENCE_S):
        self.inner = inner
        self.patience_s = patience_s
        self._places = threading.BoundedSemaphore(places)
        self._waiting = threading.BoundedSemaphore(places * WAITING)
        self._streams = threading.BoundedSemaphore(places)

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
            self._places.release()

    def _enter(self) -> bool:
        """Take a place, waiting for it a moment where few wait."""
        if self._places.acquire(blocking=False):
            return True
        if not self._waiting.acquire(blocking=False):
            return False
        try:
            return self._places.acquire(timeout=self.patience_s)
        finally:
            self._waiting.release()


class _Stream:
    """A body whose place among the streams is free again when it is closed, which servers do in any case."""

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
    """Answer 503 without the application, in the form that is asked for."""
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
