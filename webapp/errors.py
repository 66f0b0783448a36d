"""Errors as JSON, as a page, or for htmx as its block; each kind has a status and a code.

Internal details are logged, never shown.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict

from flask import Flask, Response, jsonify, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from jinja2_fragments.flask import render_block
from markupsafe import escape
from msgspec import Meta
from peewee import InterfaceError, OperationalError
from playhouse.pool import MaxConnectionsExceeded
from werkzeug.exceptions import HTTPException

from tasks.errors import Conflict, InputError, NotFound, WalletkinError
from webapp import polling

log = logging.getLogger("walletkin.web")

CODES = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "too_large",
    414: "too_long",
    415: "unsupported_media_type",
    422: "invalid_input",
    429: "too_many_requests",
    503: "unavailable",
}
MESSAGES = {
    400: "The request could not be understood.",
    403: "You do not have access to this.",
    404: "Page not found.",
    405: "This address does not support this method.",
    413: "The request is larger than 2.5 MB, which holds 10,000 labelled wallets. Send fewer at a time.",
    429: "Too many requests. Wait a moment and try again.",
    500: "Something went wrong. The operator's log has the details.",
    503: "The database is not responding. Try again in a moment.",
}
HINTS = {
    404: "Check the address.",
    413: "A plain list of addresses, one a line, is smallest.",
    429: "Your input is not lost: go back and try again later.",
    500: "Your input is not lost: go back and try again.",
    503: "Your input is not lost: go back and try again.",
}
DATABASE_BACK_S = 3
STALE_FORM = "This form is out of date. Reload the page and send it again."


class ErrorBody(TypedDict):
    """`code` is for programs, `message` a sentence for people."""

    code: Annotated[str, Meta(pattern="^[a-z_]+$")]
    message: str
    details: list[Any]


class Error(TypedDict):
    """The answer to a request that is refused or fails."""

    error: ErrorBody


class Problem(WalletkinError):
    """A refused request: status, code, message and optionally details.

    `retry_after_s` is sent as the header Retry-After.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Any] = (),
        *,
        retry_after_s: float | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = list(details)
        self.retry_after_s = retry_after_s


def wants_json() -> bool:
    """Whether to answer with JSON: by path, body or Accept header."""
    if request.path.endswith((".json", "/healthz", "/readyz")) or request.mimetype == "application/json":
        return True
    return request.accept_mimetypes.best_match(("text/html", "application/json")) == "application/json"


def register(app: Flask) -> None:
    """Register a handler for every kind of error."""
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(InputError, _input_error)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(Conflict, lambda error: answer(409, "conflict", str(error)))
    app.register_error_handler(CSRFError, lambda error: answer(400, "csrf", STALE_FORM))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OperationalError, _no_database)
    app.register_error_handler(InterfaceError, _no_database)
    app.register_error_handler(MaxConnectionsExceeded, _no_database)
    app.register_error_handler(Exception, _unexpected)


def _problem(error: Problem) -> Response:
    response = answer(error.status, error.code, str(error), error.details)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(max(1.0, error.retry_after_s)))
    return response


def _input_error(error: InputError) -> Response:
    return answer(400, "invalid_input", error.reason, [{"line": error.line, "reason": error.reason}])


def _not_found(error: NotFound) -> Response:
    """Answer 404; a poll, which would go on after an error, is stopped."""
    response = answer(404, error.code, str(error))
    return polling.stop_with_error(response) if polling.is_poll() else response


def _http_error(error: HTTPException) -> Response:
    """Answer errors of Flask; redirects and ready responses pass through."""
    if error.response is not None or error.code is None or error.code < 400:
        return make_response(error.get_response())
    if error.code >= 500:
        return _unexpected(error)
    message = MESSAGES.get(error.code) or error.description or MESSAGES[400]
    response = answer(error.code, CODES.get(error.code, "bad_request"), message)
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _no_database(error: Exception) -> Response:
    log.error("database: %s", error, exc_info=error)
    response = answer(503, "unavailable", MESSAGES[503])
    response.headers["Retry-After"] = str(DATABASE_BACK_S)
    return response


def _unexpected(error: Exception) -> Response:
    log.error("%s %s", request.method, request.endpoint, exc_info=error)
    return answer(500, "internal", MESSAGES[500])


def answer(status: int, code: str, message: str, details: Sequence[Any] = ()) -> Response:
    """Return the answer to a failed request, as JSON or HTML."""
    if wants_json():
        body: Error = {"error": {"code": code, "message": message, "details": list(details)}}
        response = jsonify(body)
    else:
        response = make_response(_page(status, code, message, details))
    response.status_code = status
    return response


def _page(status: int, code: str, message: str, details: Sequence[Any]) -> str:
    """Render the error page, or for htmx its content; when even that fails, the sentence alone."""
    context = {"status": status, "code": code, "message": message, "details": list(details)}
    context |= {"hint": HINTS.get(status), "section": None}
    try:
        if request.headers.get("HX-Request") == "true":
            return render_block("pages/error.html", "content", **context)
        return render_template("pages/error.html", **context)
    except Exception:
        log.exception("the error page failed")
        return f"<!doctype html><title>Walletkin</title><p>{escape(message)}</p>"
