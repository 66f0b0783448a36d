"""Cursors of paged lists: opaque text in URLs, checked when it is read."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from tasks.errors import InputError

INVALID = "Invalid `after` cursor. Start again from the first page."


def encode_cursor(values: Sequence[int]) -> str:
    """Return a cursor of these values, safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(text: str, length: int) -> list[int]:
    """Return the values of a cursor. Raises InputError for any other text."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    valid = isinstance(values, list) and all(type(value) is int and 0 <= value < 2**53 for value in values)
    if not valid or len(values) != length:
        raise InputError(INVALID)
    return list(values)
