"""For the operator, the browser and the probes: is it up, can it work, how does it fare; and files not in `static`."""

from __future__ import annotations

import hashlib
import pathlib
from functools import cache
from importlib.metadata import files

from flask import Blueprint, Flask, Response, current_app, make_response, send_file, url_for
from prometheus_client import CONTENT_TYPE_LATEST

from tasks import health
from webapp import errors, metrics, security, watched
from webapp.errors import Problem
from webapp.pages import data, page, see_other
from webapp.shapes import settings

pages = Blueprint("operations", __name__)

HTMX_PACKAGE = "django-js-lib-htmx"


@pages.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return data({"status": "ok"})


@pages.get("/readyz")
def readyz() -> Response:
    """Say whether database, queues and workers do their work; 503 with the reasons when they do not."""
    found = health.check()
    shape = {
        "status": "ok" if found.is_well else "unavailable",
        "checks": found.checks,
        "oldest_waiting_s": found.oldest_waiting_s,
        "reasons": found.reasons,
    }
    return data(shape, 200 if found.is_well else 503)


@pages.get("/metrics")
def show_metrics() -> Response:
    """Give the operator all metrics in Prometheus's text format."""
    _refuse_strangers()
    return make_response(metrics.exposition(), {"Content-Type": CONTENT_TYPE_LATEST})


@pages.get("/operations")
def show() -> Response:
    """Show the operator the same in tables and small charts."""
    _refuse_strangers()
    shown = {"watched": watched.view(), "keep_days": settings().keep_days}
    return page("operations", "operations", section="operations", **shown)


@pages.get("/operator")
def enter() -> Response:
    """Let a browser ask its user for the operator token (any name, the token as password), then show the operator page.

    At the top of all paths, so that the browser sends it with each of them.
    """
    if is_operator():
        return see_other(url_for("operations.show"))
    response = errors.answer(401, "unauthorized", "Only the operator may enter: any name, and the operator token.")
    response.headers["WWW-Authenticate"] = 'Basic realm="Walletkin operator", charset="UTF-8"'
    return response


def is_operator() -> bool:
    """Whether whoever asks may see everything."""
    return security.reader(settings()).sees_all


def _refuse_strangers() -> None:
    if not is_operator():
        raise Problem(403, "forbidden", "Only the operator may see this: send the token, or enter it at /operator.")


def register_files(app: Flask) -> None:
    """Serve htmx out of its installed package, and the icon where browsers ask for it unasked."""
    app.jinja_env.globals["is_operator"] = is_operator
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
