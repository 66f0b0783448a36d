"""Access: the browser's cookie, the operator, and what a reader may see (docs/operations/threats.md)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field

from flask import request, session

from tasks.settings import Settings
from webapp import urls
from webapp.errors import Problem


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
    """Return how a request's Idempotency-Key is stored, None without one.

    Separate for each browser (without a cookie: each address) and each content: going back, editing the list and
    sending the form again starts a new analysis.
    """
    if not sent:
        return None
    if len(sent) > 200:
        raise Problem(400, "invalid_input", "The Idempotency-Key is longer than 200 characters.")
    scope = browser_id() or request.remote_addr or ""
    return hashlib.sha256("\n".join((scope, sent, content)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Viewer:
    """A reader: the browser's id, the analyses that the request names, and whether everything is visible."""

    browser: str | None = None
    named: frozenset[str] = field(default_factory=frozenset)
    sees_all: bool = False

    def may_see(self, key: str, owner: str | None) -> bool:
        """Whether the reader may see and cancel what belongs to this analysis."""
        return self.sees_all or key in self.named or (owner is not None and owner == self.browser)


def viewer(settings: Settings, *keys: str) -> Viewer:
    """Return the reader of this request; `keys` are analyses that its path names."""
    named = frozenset(filter(None, [*keys, *request.args.getlist("analysis"), *request.form.getlist("analysis")]))
    return Viewer(browser_id(), named, is_operator(settings))


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
    name = urls.parts_of(f"//{request.host}").hostname or ""
    return _is_loopback(request.remote_addr or "") and (name == "localhost" or _is_loopback(name))


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
