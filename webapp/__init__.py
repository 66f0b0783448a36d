"""Everything a browser touches: takes requests and shows results; calls no outside service, computes no analysis."""

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
from tasks.settings import Settings, configure
from tasks.storage import database, signing_key
from tasks.storage.models.base import db
from webapp import context, errors, json_provider, pages, security
from webapp.markup import filters, logos
from webapp.middleware import load_shedding, micro_cache, proxy, request_log
from webapp.security import rate_limits

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMPRESSED = ["text/html", "text/css", "text/javascript", "application/javascript", "application/json", "image/svg+xml"]
WITHOUT_DATABASE = ("static", "vendor_htmx", "favicon", "operations.healthz", "operations.readyz")


def create_app(settings: Settings) -> Flask:
    """Build the app: database opened and migrated, pages, errors, security.

    Raises SettingsError when the database cannot be used.
    """
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    settings = _open_storage(settings)
    app.json = json_provider.FastJSON(app)
    app.url_map.strict_slashes = False
    app.config.update(COMPRESS_MIMETYPES=COMPRESSED, COMPRESS_ALGORITHM=["br", "gzip"])
    _prepare_templates(app, settings)
    # Before a request in this order, after it in the reverse.
    request_log.register(app)
    rate_limits.register(app, settings)  # 429 before a connection to the database is taken
    _connect_by_request(app)
    Htmx(app)
    Compress(app)
    security.register(app, settings)  # NUL and CSRF before; headers after
    # Routes, and what their errors look like.
    errors.register(app)
    pages.register(app)
    # WSGI middleware, from the inside out.
    proxy.register(app, settings)
    load_shedding.register(app, settings)
    micro_cache.register(app)
    return app


def warm_up(app: Flask) -> None:
    """Load every template, so that the first visitor does not wait for it."""
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)


def _open_storage(settings: Settings) -> Settings:
    """Open database, token cache and queues; return the settings with the signing key, which the database may hold."""
    configure(settings)
    database.open_database(settings)
    database.migrate()
    cache.open_cache(settings)
    queues.open_queues(settings)
    queues.use_short_timeouts()
    return configure(dataclasses.replace(settings, given_secret_key=signing_key.signing_key(settings)))


def _connect_by_request(app: Flask) -> None:
    """Give each request that needs the database a connection of its own."""

    @app.before_request
    def connect() -> None:
        if request.endpoint not in WITHOUT_DATABASE and db.is_closed():
            db.connect()
            g.connected = True

    @app.teardown_request
    def disconnect(error: BaseException | None) -> None:
        if g.pop("connected", False) and not db.is_closed():
            db.close()


def _store_compiled(app: Flask, folder: pathlib.Path) -> None:
    """Store compiled templates in a folder: a start takes 2.2 s of processor time instead of 4.6."""
    with contextlib.suppress(OSError):  # a folder that cannot be written only makes the start slow
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        app.jinja_env.bytecode_cache = FileSystemBytecodeCache(str(folder))


def _prepare_templates(app: Flask, settings: Settings) -> None:
    _store_compiled(app, settings.data_dir / "templates")
    app.jinja_env.undefined = StrictUndefined
    filters.register(app)
    logos.register(app, settings)
    context.register(app, settings)
