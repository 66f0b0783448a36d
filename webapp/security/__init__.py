"""Access, CSRF and headers, registered on the app."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Flask, request

from tasks.settings import Settings
from webapp.errors import Problem
from webapp.security.csrf import CookieSession, MaskedCSRF, refuse_forged
from webapp.security.headers import SecurityHeaders

MAX_BYTES = 2_500_000
MAX_PARTS = 1_000


def register(app: Flask, settings: Settings) -> None:
    """Set limits, cookie, CSRF protection, host check and headers."""
    app.config.update(_config(settings))
    app.session_interface = CookieSession()
    csrf = MaskedCSRF(app)
    app.before_request(_refuse_nul)
    app.before_request(lambda: refuse_forged(csrf))
    app.after_request(SecurityHeaders(settings, str(app.jinja_env.globals["asset_version"])))


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
        # Its check needs a Referer, which the pages do not send; tokens and Origin do the work.
        WTF_CSRF_SSL_STRICT=False,
    )


def _refuse_nul() -> None:
    """Refuse a NUL in the query, which PostgreSQL cannot store."""
    if any("\x00" in value for values in request.args.listvalues() for value in values):
        raise Problem(400, "bad_request", "The address contains an invalid character (NUL).")
