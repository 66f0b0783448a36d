"""For the operator and the browser: is the process up, can it work, and the files that are not in `static`."""

from __future__ import annotations

import hashlib
import logging
import pathlib
from functools import cache
from importlib.metadata import files

from flask import Blueprint, Flask, Response, current_app, send_file

from tasks import queues
from tasks.records import database
from webapp.pages import data

pages = Blueprint("operations", __name__)
log = logging.getLogger("walletkin.web")

HTMX_PACKAGE = "django-js-lib-htmx"


@pages.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return data({"status": "ok"})


@pages.get("/readyz")
def readyz() -> Response:
    """Say whether database and queues can be reached; 503 when one cannot."""
    checks = {"database": _database_answers(), "queue": _queues_answer()}
    good = all(checks.values())
    return data({"status": "ok" if good else "unavailable", "checks": checks}, 200 if good else 503)


def _database_answers() -> bool:
    try:
        with database.session():
            return database.now_s() > 0
    except Exception:
        log.exception("the database cannot be reached")
        return False


def _queues_answer() -> bool:
    try:
        return all(queue.pending_count() >= 0 for queue in queues.QUEUES.values())
    except Exception:
        log.exception("the queues cannot be reached")
        return False


def register_files(app: Flask) -> None:
    """Serve htmx out of its installed package, and the icon where browsers ask for it unasked."""
    app.add_url_rule("/vendor/htmx.min.js", "vendor_htmx", vendor_htmx)
    app.add_url_rule("/favicon.ico", "favicon", favicon)


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
