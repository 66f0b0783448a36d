"""Static assets: their version, htmx from its package, the favicon."""

from __future__ import annotations

import hashlib
import pathlib
from functools import cache
from importlib.metadata import files

from flask import Response, current_app, send_file

HTMX_PACKAGE = "django-js-lib-htmx"


def vendor_htmx() -> Response:
    return send_file(htmx_path(), mimetype="text/javascript", conditional=True)


def favicon() -> Response:
    return current_app.send_static_file("favicon.svg")


@cache
def htmx_path() -> pathlib.Path:
    """Return where the installed package keeps htmx."""
    found = next(path for path in files(HTMX_PACKAGE) or () if path.name == "htmx.min.js")
    return pathlib.Path(str(found.locate()))


def asset_version(static: pathlib.Path) -> str:
    """Return a mark that changes whenever a file that browsers keep changes."""
    digest = hashlib.sha256(htmx_path().read_bytes())
    for path in sorted(static.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
