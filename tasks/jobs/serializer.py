"""Serialises queue messages as JSON.

Huey's default is pickle, which runs code when it is read: write access to the queues' Redis would mean control of every
worker's machine.
"""

from __future__ import annotations

import datetime
from typing import Any

import orjson
from huey.registry import Message
from huey.serializer import Serializer

TIMES = ("eta", "expires_resolved")


class JsonSerializer(Serializer):
    """Writes messages, and the few other values that Huey stores. Raises TypeError for what JSON cannot hold."""

    def _serialize(self, data: Any) -> bytes:
        if isinstance(data, Message):
            fields = {name: value for name, value in data._asdict().items() if value is not None}
            return orjson.dumps({"message": fields})
        return orjson.dumps({"value": data})

    def _deserialize(self, data: bytes) -> Any:
        """Read it back. ValueError for anything else, such as a message of an earlier version.

        Such a message is lost; `recovery.py` sends another.
        """
        try:
            read = orjson.loads(data)
            return _message(read["message"]) if "message" in read else read["value"]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a queue message ({type(error).__name__})") from None


def _message(fields: dict[str, Any]) -> Message:
    times = {name: datetime.datetime.fromisoformat(fields[name]) for name in TIMES if name in fields}
    return Message(**fields | times | {"args": tuple(fields.get("args", ())), "kwargs": fields.get("kwargs", {})})
