"""JSON by orjson."""

from __future__ import annotations

import json
from typing import Any

import orjson
from flask.json.provider import JSONProvider


class FastJSON(JSONProvider):
    """JSON by orjson: exact for 64-bit integers, null for NaN and infinities.

    Token amounts are integers, also above 2^53: readers with doubles lose digits.
    """

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        try:
            return orjson.dumps(obj).decode()
        except TypeError:
            # A sum of token amounts may be larger than 64 bits, which only the slower encoder writes.
            return json.dumps(obj, ensure_ascii=False, separators=(",", ":"))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)
