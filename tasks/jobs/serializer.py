"""How a queue's messages are written: as JSON, which can say nothing but what they say.

Huey's own way is pickle, which runs whatever it is told to when it is read: whoever could write to the Redis of the
queues could have done anything on every machine that works for them.
"""

from __future__ import annotations

import datetime
from typing import Any

import orjson
from huey.registry import Message
from huey.serializer import Serializer

TIMES = ("eta", "expires_resolved")


class JsonSerializer(Serializer):
    """Writes messages, and the few values beside them that Huey keeps; raises TypeError for what JSON cannot hold."""

    def _serialize(self, data: Any) -> bytes:
        if isinstance(data, Message):
            said = {name: value for name, value in data._asdict().items() if value is not None}
            return orjson.dumps({"message": said})
        return orjson.dumps({"value": data})

    def _deserialize(self, data: bytes) -> Any:
        """Read it back; ValueError for anything that was not written here, such as a message of an earlier version.

        Such a message is lost, which the next look at the jobs without one makes good (`tasks/jobs/recovery.py`).
        """
        try:
            read = orjson.loads(data)
            return _message(read["message"]) if "message" in read else read["value"]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a message of ours ({type(error).__name__})") from None


def _message(said: dict[str, Any]) -> Message:
    times = {name: datetime.datetime.fromisoformat(said[name]) for name in TIMES if name in said}
    return Message(**said | times | {"args": tuple(said.get("args", ())), "kwargs": said.get("kwargs", {})})
