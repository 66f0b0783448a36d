"""Cursors of paged lists: opaque text in URLs, checked when it is read."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from tasks.errors import InputError


def encode_cursor(values: Sequence[int]) -> str:
    """Return a cursor that says where a page ended, fit for a URL."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(text: str, length: int) -> list[int]:
    """Read a cursor back. Raises InputError for anything that `encode_cursor` did not make."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    places = isinstance(values, list) and all(type(value) is int and 0 <= value < 2**53 for value in values)
    if not places or len(values) != length:
        raise InputError("The page mark `after` is not one of ours; start again from the first page.")
    return list(values)
