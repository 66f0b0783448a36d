"""The polls of htmx: which requests are polls, and how to stop one."""

from __future__ import annotations

from typing import cast

from flask import Response, request
from htmx_flask.requests import HtmxAwareRequest, HtmxHeaders

STOP = 286
"""On this status htmx swaps the answer in and stops polling."""

POLLED = ("analyses.progress", "analyses.enrichment", "jobs.activity", "jobs.show", "tokens.show")


def htmx_headers() -> HtmxHeaders:
    """Return what htmx sent with this request: `request.htmx`, which Flask's types do not know."""
    return cast(HtmxAwareRequest, request).htmx


def is_poll() -> bool:
    """Whether htmx polls a part of a page (not loads a whole page, as on going back)."""
    htmx = htmx_headers()
    whole = htmx.boosted or htmx.history_restore_request
    return bool(htmx) and not whole and request.endpoint in POLLED


def stop_polling(answer: Response) -> Response:
    """Stop the poll with this answer."""
    answer.status_code = STOP
    return answer


def stop_with_error(answer: Response) -> Response:
    """Stop the poll of something that is gone; otherwise htmx would keep polling. The error replaces the content."""
    answer.headers.update({"HX-Retarget": "#content", "HX-Reswap": "innerHTML", "HX-Reselect": ".error-page"})
    return stop_polling(answer)
