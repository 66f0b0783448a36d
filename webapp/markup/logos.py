"""Which token logos a page may load: from the hosts that the settings name, and from nowhere else. It fetches none."""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection
from functools import partial

from flask import Flask

from tasks.settings import Settings

LONGEST_URL = 2_000


def origins(settings: Settings) -> tuple[str, ...]:
    """Return the origins of logos, such as "https://cdn.dexscreener.com"."""
    hosts = tuple(f"https://{host}" for host in settings.logo_hosts)
    # The demo's images come from the simulator, which speaks plain http on this machine; a real market never does.
    return (*hosts, f"http://{settings.simulator_bind}") if settings.is_demo else hosts


def allowed(url: str | None, among: Collection[str]) -> str | None:
    """Return a logo's address when its origin is exactly one of those, else None.

    A port, a user name or a backslash before the path make it another origin.
    """
    if not url or len(url) > LONGEST_URL:
        return None
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return None
    return url if f"{parts.scheme}://{parts.netloc}".lower() in among else None


def register(app: Flask, settings: Settings) -> None:
    """Give an app's templates the filter `allowed_logo`: a logo's address, or None for one of another host."""
    app.jinja_env.filters["allowed_logo"] = partial(allowed, among=frozenset(origins(settings)))
