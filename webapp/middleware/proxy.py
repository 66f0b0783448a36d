"""Reads client address, scheme and host from the headers of the proxies in front, as many as the settings name."""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from tasks.settings import Settings


def register(app: Flask, settings: Settings) -> None:
    """Believe the headers of the proxies, of none without `proxy_hops`."""
    if hops := settings.proxy_hops:
        proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops)
        app.wsgi_app = proxied  # type: ignore[method-assign]
