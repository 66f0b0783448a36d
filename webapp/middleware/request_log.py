"""Logs and counts each request; gives it an id."""

from __future__ import annotations

import logging
import secrets
import time

from flask import Flask, Response, g, request

from tasks import logs, metrics
from tasks.metrics import REQUEST_BOUNDS_S

log = logging.getLogger("walletkin.web")

REQUEST_ID = "X-Request-ID"
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")


def register(app: Flask) -> None:
    """Count every request and give it an id; to be registered first."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(lambda error: logs.without_request())


def _begin() -> None:
    g.begun_at = time.perf_counter()
    g.request_id = secrets.token_hex(8)
    logs.with_request(g.request_id)


def _end(response: Response) -> Response:
    response.headers[REQUEST_ID] = g.request_id
    method = request.method if request.method in METHODS else "other"
    _count(method, request.endpoint or "none", response.status_code, time.perf_counter() - g.begun_at)
    return response


def count_cached(endpoint: str, took_s: float) -> str:
    """Count a request that the micro-cache answered before Flask saw it; return its id."""
    request_id = secrets.token_hex(8)
    logs.with_request(request_id)
    _count("GET", endpoint, 200, took_s)
    logs.without_request()
    return request_id


def _count(method: str, endpoint: str, status: int, took_s: float) -> None:
    metrics.observe(
        "requests", method, endpoint, f"{status // 100}xx", seconds=took_s, bounds=REQUEST_BOUNDS_S
    )  # the endpoint and never the path, which may hold the key to an analysis
    level = logging.DEBUG if method in ("GET", "HEAD") and status < 400 else logging.INFO
    fields = {"method": method, "endpoint": endpoint, "status": status, "duration_ms": round(took_s * 1000, 1)}
    log.log(level, "request", extra=fields)
