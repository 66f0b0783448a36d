"""What an HTTP answer consists of, for all made-up services; sends nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer before it is written."""

    body: bytes
    status: int = 200
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(content: object, status: int = 200) -> Answer:
    """Return an answer whose body is JSON."""
    return Answer(orjson.dumps(content), status)


def refusal(status: int, text: str, retry_after_s: int = 0) -> Answer:
    """Return a plain HTTP error as a gateway writes it, not JSON-RPC."""
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return Answer(orjson.dumps({"error": text}), status, JSON, headers)
