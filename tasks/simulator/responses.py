"""An HTTP response, for all made-up services; sends nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response before it is written."""

    body: bytes
    status: int = 200
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def json_response(content: object, status: int = 200) -> Response:
    """Return a response whose body is JSON."""
    return Response(orjson.dumps(content), status)


def error_response(status: int, text: str, retry_after_s: int = 0) -> Response:
    """Return a plain HTTP error as a gateway writes it, not JSON-RPC."""
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return Response(orjson.dumps({"error": text}), status, JSON, headers)
