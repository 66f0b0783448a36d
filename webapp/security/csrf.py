"""CSRF protection: a masked token in forms, and the Origin of JSON requests."""

from __future__ import annotations

import base64
import binascii
import contextlib
import secrets
from collections.abc import Iterator

from flask import Flask, g, request
from flask.sessions import SecureCookieSessionInterface
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf

from webapp import urls
from webapp.errors import Problem

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


class CookieSession(SecureCookieSessionInterface):
    """The signed cookie; over https it is sent over https only."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


class MaskedCSRF(CSRFProtect):
    """Flask-WTF's tokens, each answer with another mask over them.

    Pages are compressed, and the length of a compressed page reveals repeated text to an attacker who can insert
    text and watch the line (BREACH): letter by letter, over many answers. A token that differs in each is safe.
    """

    def init_app(self, app: Flask) -> None:
        super().init_app(app)
        app.jinja_env.globals["csrf_token"] = masked_token
        app.context_processor(lambda: {"csrf_token": masked_token})  # over the library's own

    def _get_csrf_token(self) -> str | None:
        sent = super()._get_csrf_token()
        return sent and unmasked(sent)


def masked_token() -> str:
    """Return this browser's CSRF token under the mask of this answer."""
    if "masked_token" not in g:
        token = generate_csrf().encode()
        mask = secrets.token_bytes(len(token))
        g.masked_token = base64.urlsafe_b64encode(mask + _combined(mask, token)).decode()
    return str(g.masked_token)


@contextlib.contextmanager
def without_token() -> Iterator[None]:
    """Render without a CSRF token inside the block, so that browsers may share the result."""
    own = g.pop("masked_token", None)
    g.masked_token = ""
    try:
        yield
    finally:
        del g.masked_token
        if own is not None:
            g.masked_token = own


def unmasked(sent: str) -> str:
    """Return the token under the mask; for anything else a text that is no token."""
    try:
        both = base64.urlsafe_b64decode(sent)
    except (ValueError, binascii.Error):
        return ""
    half = len(both) // 2
    return _combined(both[:half], both[half:]).decode("ascii", "replace") if len(both) == 2 * half else ""


def _combined(mask: bytes, text: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(mask, text, strict=True))


def refuse_forged(csrf: CSRFProtect) -> None:
    """Accept a form with its token, and JSON from this site's pages or from no page at all."""
    if request.method not in UNSAFE or request.routing_exception is not None:
        return  # answered with 404 or 405
    if request.mimetype == "application/json":
        _refuse_foreign_origin()
    elif request.mimetype in FORMS or not request.mimetype:
        csrf.protect()
    else:
        raise Problem(415, "unsupported_media_type", "Send a form, or JSON with Content-Type: application/json.")


def _refuse_foreign_origin() -> None:
    origin = request.headers.get("Origin")
    if origin is not None and urls.parts_of(origin).netloc.lower() != request.host.lower():
        raise Problem(403, "foreign_origin", "Requests from pages of another site are refused.")
