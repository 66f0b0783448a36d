"""Who is asking and what is let in: the browser's cookie, the reader's rights, forged posts, and headers.

It decides what a reader may see (design.md, "Who may see what"); it does not fetch it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import ipaddress
import secrets
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, g, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf
from werkzeug.middleware.proxy_fix import ProxyFix

from tasks.settings import Settings
from webapp import logos
from webapp.errors import Problem

MAX_BYTES = 2_500_000
MAX_PARTS = 1_000
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
YEAR_S = 31_536_000
FILES = ("static", "vendor_htmx")
SECRET_PATHS = ("/analyses", "/jobs", "/activity")
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class CookieSession(SecureCookieSessionInterface):
    """The signed cookie; over https it is sent over https only."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


class MaskedCSRF(CSRFProtect):
    """Flask-WTF's tokens, each answer with another mask over them.

    Pages are compressed, and the length of a compressed page tells whoever can put text into it and watch the line what
    it repeats (BREACH): letter by letter, over many answers. What looks different in each answer cannot be told so.
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
    """Let what is rendered in the block have no CSRF token, so that browsers may share it."""
    own = g.pop("masked_token", None)
    g.masked_token = ""
    try:
        yield
    finally:
        del g.masked_token
        if own is not None:
            g.masked_token = own


def unmasked(sent: str) -> str:
    """Return the token under the mask, for anything that `masked_token` did not make a text that is no token."""
    try:
        both = base64.urlsafe_b64decode(sent)
    except (ValueError, binascii.Error):
        return ""
    half = len(both) // 2
    return _combined(both[:half], both[half:]).decode("ascii", "replace") if len(both) == 2 * half else ""


def _combined(mask: bytes, text: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(mask, text, strict=True))


def register(app: Flask, settings: Settings) -> None:
    """Set limits, cookie, CSRF protection, host check, proxy handling and headers."""
    app.config.update(_config(settings))
    app.session_interface = CookieSession()
    csrf = MaskedCSRF(app)
    app.before_request(_refuse_nul)
    app.before_request(lambda: _refuse_forged(csrf))
    app.after_request(_Headers(settings, app.jinja_env.globals["asset_version"]))
    if settings.proxy_hops:
        hops = settings.proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)


def _config(settings: Settings) -> dict[str, Any]:
    return dict(
        SECRET_KEY=settings.secret_key,
        # Named after the key, so that two instances on one machine do not overwrite each other's cookie.
        SESSION_COOKIE_NAME=f"walletkin_{hashlib.sha256(settings.secret_key.encode()).hexdigest()[:8]}",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=settings.keep_days * 86_400,
        MAX_CONTENT_LENGTH=MAX_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BYTES,
        MAX_FORM_PARTS=MAX_PARTS,
        TRUSTED_HOSTS=list(settings.trusted_hosts) or None,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        # Its check needs a Referer, which our pages do not send; tokens and Origin do the work.
        WTF_CSRF_SSL_STRICT=False,
    )


def _refuse_nul() -> None:
    """Refuse an address with a NUL in its query: nothing here has one, and PostgreSQL takes none."""
    if any("\x00" in value for values in request.args.listvalues() for value in values):
        raise Problem(400, "bad_request", "The address holds a character (NUL) that nothing here has.")


def _refuse_forged(csrf: CSRFProtect) -> None:
    """Let a form in with its token, and JSON from our own pages or from no page at all."""
    if request.method not in UNSAFE or request.routing_exception is not None:
        return  # what leads nowhere is answered 404 or 405
    if request.mimetype == "application/json":
        _refuse_foreign_origin()
    elif request.mimetype in FORMS or not request.mimetype:
        csrf.protect()
    else:
        raise Problem(415, "unsupported_media_type", "Send a form, or JSON with Content-Type: application/json.")


def _refuse_foreign_origin() -> None:
    origin = request.headers.get("Origin")
    if origin is not None and parts_of(origin).netloc.lower() != request.host.lower():
        raise Problem(403, "foreign_origin", "Requests from pages of another site are refused.")


def parts_of(url: str) -> urllib.parse.SplitResult:
    """Split a URL that somebody sent; one that cannot be split has no parts."""
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        return urllib.parse.urlsplit("")


class _Headers:
    """Adds the headers that every answer has."""

    def __init__(self, settings: Settings, asset_version: str):
        self.policy = content_policy(settings)
        self.asset_version = asset_version

    def __call__(self, response: Response) -> Response:
        headers = response.headers
        headers["Content-Security-Policy"] = self.policy
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = PERMISSIONS
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if request.is_secure:
            headers["Strict-Transport-Security"] = f"max-age={YEAR_S}"
        if response.mimetype == "text/html":
            response.vary.update(("HX-Request", "HX-Target"))
        self._set_cache(response)
        return response

    def _set_cache(self, response: Response) -> None:
        if request.endpoint in FILES:
            if response.status_code == 200 and request.args.get("v") == self.asset_version:
                response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        elif request.path.startswith(SECRET_PATHS):
            response.headers["Cache-Control"] = "no-store"
        elif "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private, no-cache"


def content_policy(settings: Settings) -> str:
    """Return the Content-Security-Policy: everything from here, token logos from the hosts that the settings name."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(["img-src 'self' data:", *logos.origins(settings)]),
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def browser_id() -> str | None:
    """Return the random id in this browser's signed cookie, None when it has none."""
    value = session.get("browser")
    return value if isinstance(value, str) else None


def ensure_browser_id() -> str:
    """Return this browser's id, giving it one first where it has none, and renew the cookie's life."""
    session.permanent = True
    session.setdefault("browser", secrets.token_hex(16))
    session.modified = True
    return str(session["browser"])


def idempotency_key(sent: str | None, content: str) -> str | None:
    """Return how a request's Idempotency-Key is kept, None without one.

    Apart for each browser (without a cookie: for each address), and for each content: who goes back, edits the list and
    sends the form again, sends the same key with another wish.
    """
    if not sent:
        return None
    if len(sent) > 200:
        raise Problem(400, "invalid_input", "The Idempotency-Key is longer than 200 characters.")
    scope = browser_id() or request.remote_addr or ""
    return hashlib.sha256("\n".join((scope, sent, content)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks: the browser's id, the analysis that the request names, and whether all may be seen."""

    browser: str | None = None
    named: frozenset[str] = field(default_factory=frozenset)
    sees_all: bool = False

    def may_see(self, key: str, owner: str | None) -> bool:
        """Whether the reader may see and cancel what belongs to this analysis."""
        return self.sees_all or key in self.named or (owner is not None and owner == self.browser)


def reader(settings: Settings, *keys: str) -> Reader:
    """Return who makes this request; `keys` are analyses that its path names."""
    named = frozenset(filter(None, [*keys, *request.args.getlist("analysis"), *request.form.getlist("analysis")]))
    return Reader(browser_id(), named, is_operator(settings))


def is_operator(settings: Settings) -> bool:
    """Whether the request carries the operator's token; without one set, whether it comes from this very machine."""
    if settings.operator_token is None:
        return not settings.proxy_hops and _is_local()
    # A program sends it as a bearer token, a browser as the password that it asks the operator for.
    given = request.authorization
    sent = request.headers.get("X-Operator-Token") or (given and (given.token or given.password)) or ""
    return hmac.compare_digest(sent.encode(), settings.operator_token.encode())


def _is_local() -> bool:
    """Whether client and host name are this machine's and no proxy stands between (a foreign name may be rebound)."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    name = parts_of(f"//{request.host}").hostname or ""
    return _is_loopback(request.remote_addr or "") and (name == "localhost" or _is_loopback(name))


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
