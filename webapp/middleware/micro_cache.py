"""The cache of shared polls: many browsers watch one analysis, and each polls every two seconds.

One cache, with two entries for a poll: the body, made once for all readers whatever their headers, and whole answers,
compressed and with headers, which are sent before Flask sees the request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from cachetools import TLRUCache, cached
from flask import Flask, Response, current_app, request

from webapp.middleware import request_log
from webapp.middleware.wsgi import Application, BufferedResponse, Environ, close
from webapp.polling import htmx_headers
from webapp.security import csrf

SHARED_S, MOST_ENTRIES = 1.0, 1024
MARK = "walletkin.shared"
"""Set in the environment of a request whose answer may be shared: until when, and its endpoint."""
ADDRESS = ("wsgi.url_scheme", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING")
"""Names of the environment: where a request goes. Beside these, an answer that is shared depends on headers alone:"""
DEPENDS_ON = (
    "HTTP_HOST", "HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING", "HTTP_HX_REQUEST", "HTTP_HX_TARGET", "HTTP_HX_BOOSTED",
    "HTTP_HX_HISTORY_RESTORE_REQUEST", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_PREFIX",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A body or a whole answer, shared until a moment on the monotonic clock.

    Of a whole answer `endpoint`, `status` and `headers` (without the id of the request) are set.
    """

    until: float
    body: bytes
    endpoint: str = ""
    status: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def _until(key: Hashable, entry: CacheEntry, now: float) -> float:
    return entry.until


def register(app: Flask) -> None:
    """Answer shared polls before the application sees the request; the outermost middleware."""
    app.extensions["micro_cache"] = app.wsgi_app = MicroCache(app.wsgi_app)  # type: ignore[method-assign]


def cached_for_all(make: Callable[[], Response], *key: Hashable) -> Response:
    """Answer a poll with the body that another reader got within the last second, otherwise with that of `make`.

    `key` names all that the answer depends on beside the request's address and target. It is the same for all readers:
    its forms have no token, which htmx sends as a header.
    """
    cache: MicroCache = current_app.extensions["micro_cache"]
    entry = cache.body((*key, request.full_path, request.script_root, htmx_headers().target), make)
    request.environ[MARK] = (entry.until, request.endpoint)
    return Response(entry.body, mimetype="text/html")


def _make_body(key: Hashable, make: Callable[[], Response]) -> CacheEntry:
    with csrf.without_token():
        body = make().get_data()
    return CacheEntry(time.monotonic() + SHARED_S, body)


class MicroCache:
    """Caches shared polls for a second.

    Half of what a poll costs is routing, access and compressing the same text again. Whole answers from here count
    against no client's limit, since counting would cost more.
    """

    def __init__(self, inner: Application):
        self.inner = inner
        self.entries: TLRUCache[Hashable, CacheEntry] = TLRUCache(MOST_ENTRIES, _until, timer=time.monotonic)
        self._condition = threading.Condition()
        # Requests for a body that is being made wait for it; bodies that are there are returned at once.
        self.body = cached(self.entries, key=lambda key, make: ("body", *key), condition=self._condition)(_make_body)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or "HTTP_HX_REQUEST" not in environ:
            return self.inner(environ, start_response)
        begun, key = time.perf_counter(), ("answer", *map(environ.get, ADDRESS + DEPENDS_ON))
        with self._condition:
            found = self.entries.get(key)
        if found is None:
            return self._forward(key, environ, start_response)
        request_id = request_log.count_cached(found.endpoint, time.perf_counter() - begun)
        start_response(found.status, [*found.headers, (request_log.REQUEST_ID, request_id)])
        return [found.body]

    def _forward(self, key: Hashable, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Let the application answer, and cache the answer if readers may share it."""
        head = BufferedResponse()
        body = self.inner(environ, head.start)
        if MARK not in environ:
            head.send(start_response)
            return body
        whole = b"".join([*head.written, *body])
        close(body)
        self._store(key, environ[MARK], head, whole)
        start_response(head.status, head.headers)
        return [whole]

    def _store(self, key: Hashable, mark: tuple[float, str], head: BufferedResponse, body: bytes) -> None:
        until, endpoint = mark
        if not head.status.startswith("200") or any(name.lower() == "set-cookie" for name, _ in head.headers):
            return
        headers = tuple((name, value) for name, value in head.headers if name != request_log.REQUEST_ID)
        with self._condition:
            self.entries[key] = CacheEntry(until, body, endpoint, head.status, headers)
