"""The mints that a request to refresh prices names."""

from __future__ import annotations

from typing import TypedDict

import msgspec
from flask import request

from webapp.errors import Problem
from webapp.forms.query import MINT, MOST_MINTS


class Refresh(TypedDict, total=False):
    """The mints on the reader's screen, which are looked up first: a list, or a text with commas."""

    mints: list[str] | str


def mints() -> list[str]:
    """Return the mints that the request names, at most 150; anything else in the list is ignored. Raises Problem."""
    sent = request.form.getlist("mints") if request.mimetype != "application/json" else _sent_json()
    words = (word.strip() for text in sent for word in text.split(","))
    return list(dict.fromkeys(word for word in words if MINT.fullmatch(word)))[:MOST_MINTS]


def _sent_json() -> list[str]:
    body = request.get_json(silent=True) if request.content_length else {}
    if not isinstance(body, dict):
        raise Problem(400, "bad_request", 'Send a JSON object, such as {"mints": []}.')
    try:
        sent = msgspec.convert(body.get("mints") or [], list[object] | str)
    except msgspec.ValidationError:
        message = "“mints” must be a list of mints, or a text of them."
        raise Problem(400, "wrong_type", message, [{"key": "mints"}]) from None
    return [text for text in ([sent] if isinstance(sent, str) else sent) if isinstance(text, str)]
