"""For the operator, the browser and the probes: is it up, can it work, how does it fare; and files not in `static`."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, make_response, url_for
from prometheus_client import CONTENT_TYPE_LATEST

from tasks.settings import current
from webapp import assets, errors
from webapp.context import is_operator
from webapp.errors import Problem
from webapp.exports import prometheus
from webapp.pages import json_response, render_page, see_other
from webapp.presenters import operations

bp = Blueprint("operations", __name__)


@bp.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return json_response({"status": "ok"})


@bp.get("/readyz")
def readyz() -> Response:
    """Say whether database, queues and workers do their work; 503 with the reasons when they do not."""
    found = operations.readiness()
    return json_response(found, 200 if found["status"] == "ok" else 503)


@bp.get("/metrics")
def show_metrics() -> Response:
    """Give the operator all metrics in Prometheus's text format."""
    _refuse_strangers()
    return make_response(prometheus.exposition(), {"Content-Type": CONTENT_TYPE_LATEST})


@bp.get("/operations")
def show() -> Response:
    """Show the operator the same in tables and small charts."""
    _refuse_strangers()
    shown, keep_days = operations.view(), current().keep_days
    return render_page("operations", "operations", section="operations", watched=shown, keep_days=keep_days)


@bp.get("/operator")
def enter() -> Response:
    """Let a browser ask its user for the operator token (any name, the token as password), then show the operator page.

    At the top of all paths, so that the browser sends it with each of them.
    """
    if is_operator():
        return see_other(url_for("operations.show"))
    response = errors.answer(401, "unauthorized", "Only the operator may enter: any name, and the operator token.")
    response.headers["WWW-Authenticate"] = 'Basic realm="Walletkin operator", charset="UTF-8"'
    return response


def _refuse_strangers() -> None:
    if not is_operator():
        raise Problem(403, "forbidden", "Only the operator may see this: send the token, or enter it at /operator.")


def register_files(app: Flask) -> None:
    """Serve htmx out of its installed package, and the icon where browsers ask for it unasked."""
    app.add_url_rule("/vendor/htmx.min.js", "vendor_htmx", assets.vendor_htmx)
    app.add_url_rule("/favicon.ico", "favicon", assets.favicon)
