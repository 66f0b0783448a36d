"""Answers that browsers share: many watch one analysis, and each of them asks every two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cachetools import TLRUCache, cached
from flask import Flask, Response, request

from webapp.middleware import request_log
from webapp.middleware.wsgi import Application, BufferedResponse, Environ, close
from webapp.polling import htmx_headers
from webapp.security import csrf

T = TypeVar("T")

SHARED_S, MOST_SHARED = 1.0, 512
MARK = "walletkin.shared"
ADDRESS = ("wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")
"""Names of the environment: where a request goes. Beside these, an answer that is shared depends on headers alone:"""
DEPENDS_ON = (
    "HTTP_HOST", "HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_HX_REQUEST", "HTTP_HX_TARGET", "HTTP_HX_BOOSTED",
    "HTTP_HX_HISTORY_RESTORE_REQUEST", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_PREFIX",
)  # fmt: skip


Whole = tuple[str, str, list[tuple[str, str]], bytes]
"""An answer as it is sent: its endpoint, status, headers but for the id of the request, and body."""


@dataclass(frozen=True, slots=True)
class CacheEntry(Generic[T]):
    """Something that readers share until a moment on the monotonic clock."""

    until: float
    what: T


def _until(key: Hashable, kept: CacheEntry[T], now: float) -> float:
    return kept.until


_bodies: TLRUCache[Hashable, CacheEntry[str]] = TLRUCache(MOST_SHARED, _until, timer=time.monotonic)


def cached_for_all(make: Callable[[], Response], *key: Hashable) -> Response:
    """Answer a poll with what another reader got within the last second, else with what `make` gives.

    `key` names all that the answer depends on beside the request's address and target. It is the same for all readers:
    its forms have no token, which htmx sends as a header.
    """
    whole = (*key, request.full_path, request.script_root, htmx_headers().target)
    found = _body(whole, make)
    request.environ[MARK] = (found.until, request.endpoint)
    return Response(found.what, mimetype="text/html")


# Who wants what is just being made waits for it, and makes nothing; what is there is given at once.
@cached(_bodies, key=lambda key, make: key, condition=threading.Condition())
def _body(key: Hashable, make: Callable[[], Response]) -> CacheEntry[str]:
    with csrf.without_token():
        body = make().get_data(as_text=True)
    return CacheEntry(time.monotonic() + SHARED_S, body)


def register(app: Flask) -> None:
    """Answer what is shared before the application sees the request; to be called last."""
    app.wsgi_app = MicroCache(app.wsgi_app)  # type: ignore[method-assign]


class MicroCache:
    """Keeps whole answers that are shared, compressed and with their headers, and gives them out again.

    Half of what a poll costs is finding out what is asked, who asks, and compressing the same text once more. What is
    given out here counts against no client's limit, for counting would cost more.
    """

    def __init__(self, inner: Application):
        self.inner = inner
        self._lock = threading.Lock()
        self._answers: TLRUCache[Hashable, CacheEntry[Whole]] = TLRUCache(MOST_SHARED, _until, timer=time.monotonic)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or "HTTP_HX_REQUEST" not in environ:
            return self.inner(environ, start_response)
        begun, key = time.perf_counter(), tuple(map(environ.get, ADDRESS + DEPENDS_ON))
        with self._lock:
            found = self._answers.get(key)
        if found is None:
            return self._ask(key, environ, start_response)
        endpoint, status, headers, body = found.what
        request_id = request_log.tell_shared(endpoint, time.perf_counter() - begun)
        start_response(status, [*headers, (request_log.REQUEST_ID, request_id)])
        return [body]

    def _ask(self, key: Hashable, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Let the application answer, and keep the answer when it says that readers may share it."""
        head = BufferedResponse()
        body = self.inner(environ, head.start)
        if MARK not in environ:
            head.send(start_response)
            return body
        whole = b"".join([*head.written, *body])
        close(body)
        self._keep(key, environ[MARK], head, whole)
        start_response(head.status, head.headers)
        return [whole]

    def _keep(self, key: Hashable, mark: tuple[float, str], head: BufferedResponse, body: bytes) -> None:
        until, endpoint = mark
        if not head.status.startswith("200") or any(name.lower() == "set-cookie" for name, _ in head.headers):
            return
        headers = [(name, value) for name, value in head.headers if name != request_log.REQUEST_ID]
        with self._lock:
            self._answers[key] = CacheEntry(until, (endpoint, head.status, headers, body))
