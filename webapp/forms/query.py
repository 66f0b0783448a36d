"""Query parameters read and checked: choices, limits, cursors, mints."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import request

from tasks.errors import InputError
from tasks.storage.cursors import decode_cursor, encode_cursor
from webapp.forms.parameters import to_number
from webapp.urls import Address

MIN_AT_MOST = 1e9
MOST_MINTS = 150
MINT = re.compile(Address.regex)


def read_choice(name: str, choices: Sequence[str], default: str | None = None) -> str | None:
    """Return the value of a query parameter that has a few values. Raises InputError naming them."""
    value = request.args.get(name, "").strip() or default
    if value is not None and value not in choices:
        raise InputError(f"“{name}” can be {', '.join(choices)}.")
    return value


def read_least(*, score: bool = True) -> float | None:
    """Return the query's `min`, None without one. Raises InputError unless it is a number from 0 (to 1 for a score)."""
    text = request.args.get("min", "").strip()
    if not text:
        return None
    value = to_number(text, None)
    if not (isinstance(value, int | float) and 0 <= value <= (1 if score else MIN_AT_MOST)):
        raise InputError(f"“min” must be a number from 0 {'to 1' if score else 'up'}.")
    return float(value)


def read_cluster() -> int | None:
    """Return the query's `cluster`, None without one. Raises InputError unless it is a number from 1."""
    text = request.args.get("cluster", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) >= 1):
        raise InputError("“cluster” must be the number of a cluster.")
    return int(text[:9])


def read_limit(default: int, most: int) -> int:
    """Return the query's `limit`. Raises InputError unless it is a whole number from 1 to `most`."""
    text = request.args.get("limit", "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        raise InputError(f"“limit” must be a whole number from 1 to {most:,}.")
    return int(text)


def read_offset() -> int:
    """Return the offset in the query's `after`, 0 without one. Raises InputError for an invalid cursor."""
    text = request.args.get("after", "").strip()
    if not text:
        return 0
    (offset,) = decode_cursor(text, 1)
    if not (isinstance(offset, int) and 0 <= offset < 10_000_000):
        raise InputError("Invalid `after` cursor. Start again from the first page.")
    return offset


def offset_cursor(offset: int, total: int) -> str | None:
    """Return the cursor of the page that starts at an offset, None beyond the end of the list."""
    return encode_cursor([offset]) if offset < total else None
