"""JSON by orjson; times as ISO 8601."""

from __future__ import annotations

import json
from typing import Any

import orjson
from flask.json.provider import JSONProvider

from webapp.markup.filters import iso

TIMES = frozenset(
    ("created_at", "finished_at", "started_at", "enqueued_at", "computed_at", "at", "last_updated")
    + ("first_buy_a", "first_buy_b", "time", "time_a", "time_b", "window_from", "window_to")
)


class FastJSON(JSONProvider):
    """JSON by orjson: exact for 64-bit integers, and null for what is not a number."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        try:
            return orjson.dumps(obj).decode()
        except TypeError:
            # A sum of token amounts may be larger than 64 bits, which only the slower encoder writes.
            return json.dumps(obj, ensure_ascii=False, separators=(",", ":"))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


def jsonable(shape: Any) -> Any:
    """Return a shape with every time in it written as ISO 8601."""
    if isinstance(shape, dict):
        return {key: iso(value) if key in TIMES else jsonable(value) for key, value in shape.items()}
    return [jsonable(one) for one in shape] if isinstance(shape, list | tuple) else shape
