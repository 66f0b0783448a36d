"""Everything a browser touches: asks and shows. It calls no outside service and computes no analysis."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile

from flask import Flask, g, request
from flask_compress import Compress
from htmx_flask import Htmx
from jinja2 import FileSystemBytecodeCache, StrictUndefined

from tasks.enrichment import cache
from tasks.jobs import queues
from tasks.pipeline import start
from tasks.settings import Settings, configure
from tasks.storage import database, signing_key
from tasks.storage.models.base import db
from webapp import errors, json_provider, pages, security
from webapp.assets import asset_version
from webapp.markup import components, filters, rows
from webapp.markup.token_cells import Cells
from webapp.middleware import load_shedding, micro_cache, request_log
from webapp.presenters import charts
from webapp.security import rate_limits

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMPRESSED = ["text/html", "text/css", "text/javascript", "application/javascript", "application/json", "image/svg+xml"]
WITHOUT_DATABASE = ("static", "vendor_htmx", "favicon", "operations.healthz", "operations.readyz")


def create_app(settings: Settings) -> Flask:
    """Build the app: database opened and migrated, pages, errors, security.

    Raises SettingsError when the database cannot be used.
    """
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    configure(settings)
    app.json = json_provider.FastJSON(app)
    app.url_map.strict_slashes = False
    request_log.register(app)
    rate_limits.register(app, settings)  # first: who is refused costs no connection to the database
    _open_database(app, settings)
    settings = configure(dataclasses.replace(settings, given_secret_key=signing_key.signing_key(settings)))
    _prepare_templates(app, settings)
    Htmx(app)
    app.config.update(COMPRESS_MIMETYPES=COMPRESSED, COMPRESS_ALGORITHM=["br", "gzip"])
    Compress(app)
    security.register(app, settings)
    errors.register(app)
    pages.register(app)
    load_shedding.register(app, settings)
    micro_cache.register(app)
    return app


def warm_up(app: Flask) -> None:
    """Load every template, which the first visitor would else wait for."""
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)


def _open_database(app: Flask, settings: Settings) -> None:
    """Bind and migrate the database; each request that needs it holds a connection of its own."""
    database.open_database(settings)
    database.migrate()
    cache.open_cache(settings)
    queues.open_queues(settings)
    queues.use_short_timeouts()

    @app.before_request
    def connect() -> None:
        if request.endpoint not in WITHOUT_DATABASE and db.is_closed():
            db.connect()
            g.connected = True

    @app.teardown_request
    def disconnect(error: BaseException | None) -> None:
        if g.pop("connected", False) and not db.is_closed():
            db.close()


def _keep_compiled(app: Flask, folder: pathlib.Path) -> None:
    """Keep compiled templates in a folder: compiling is most of a start, and who was killed should be back soon."""
    with contextlib.suppress(OSError):  # nothing can be kept there, and a slow start is all that comes of it
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(folder))


def _prepare_templates(app: Flask, settings: Settings) -> None:
    _keep_compiled(app, settings.data_dir / "templates")
    app.jinja_env.undefined = StrictUndefined
    filters.register(app)
    components.register(app)
    rows.register(app)
    rows.register_evidence(app)
    cells = app.extensions["cells"] = Cells(app.jinja_env, settings)
    app.jinja_env.globals["ui"].keep(  # type: ignore[attr-defined]
        token_cell=cells.token_cell, token_price=cells.token_price, token_place=cells.token_place
    )
    app.jinja_env.globals.update(
        demo=settings.is_demo,
        version=start.VERSION,
        asset_version=asset_version(pathlib.Path(str(app.static_folder))),
        charts=charts,
    )
