"""Everything a browser touches: asks and shows. It calls no outside service and computes no analysis."""

from __future__ import annotations

import pathlib

from flask import Flask, g, request
from htmx_flask import Htmx
from jinja2 import StrictUndefined

from tasks import lifecycle, queues
from tasks.records import database, prices
from tasks.records.models import db
from tasks.settings import Settings
from webapp import charts, display, errors, pages, security, shapes
from webapp.cells import Cells
from webapp.pages.operations import asset_version

ROOT = pathlib.Path(__file__).resolve().parents[1]
WITHOUT_DATABASE = ("static", "vendor_htmx", "favicon", "operations.healthz", "operations.readyz")


def create_app(settings: Settings) -> Flask:
    """Build the app: database opened and migrated, pages, errors, security.

    Raises SettingsError when the database cannot be used.
    """
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    app.extensions["walletkin"] = settings
    app.json = shapes.FastJSON(app)
    app.url_map.strict_slashes = False
    _open_database(app, settings)
    _prepare_templates(app, settings)
    Htmx(app)
    security.register(app, settings)
    errors.register(app)
    pages.register(app)
    return app


def _open_database(app: Flask, settings: Settings) -> None:
    """Bind and migrate the database; each request that needs it holds a connection of its own."""
    database.open_database(settings)
    database.migrate()
    database.keep_open()
    prices.open_prices(settings)
    queues.hurry()

    @app.before_request
    def connect() -> None:
        if request.endpoint not in WITHOUT_DATABASE and db.is_closed():
            db.connect()
            g.connected = True

    @app.teardown_request
    def disconnect(error: BaseException | None) -> None:
        if g.pop("connected", False) and not db.is_closed():
            db.close()


def _prepare_templates(app: Flask, settings: Settings) -> None:
    app.jinja_env.undefined = StrictUndefined
    display.register(app)
    cells = app.extensions["cells"] = Cells(app.jinja_env, settings)
    app.jinja_env.globals["ui"].keep(token_cell=cells.token_cell, token_price=cells.token_price)
    app.jinja_env.globals.update(
        demo=settings.is_demo,
        version=lifecycle.VERSION,
        asset_version=asset_version(pathlib.Path(str(app.static_folder))),
        charts=charts,
    )
