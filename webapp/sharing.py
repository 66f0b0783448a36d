"""Answers that browsers share: many watch one analysis, and each of them asks every two seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from cachetools import TTLCache, cached
from flask import Response, request

from webapp import security

SHARED_S, MOST_SHARED = 1.0, 512

_bodies: TTLCache[Hashable, str] = TTLCache(MOST_SHARED, SHARED_S)


def shared(make: Callable[[], Response], *key: Hashable) -> Response:
    """Answer a poll with what another reader got within the last second, else with what `make` gives.

    `key` names all that the answer depends on beside the request's address and target; the token of its forms is each
    reader's own. Many watch one analysis, and each asks every two seconds.
    """
    whole = (*key, request.full_path, request.script_root, request.htmx.target)
    return Response(security.with_token(_body(whole, make)), mimetype="text/html")


# Who wants what is just being made waits for it, and makes nothing; what is there is given at once.
@cached(_bodies, key=lambda key, make: key, condition=threading.Condition())
def _body(key: Hashable, make: Callable[[], Response]) -> str:
    with security.without_token():
        return make().get_data(as_text=True)
