"""Builds the Flask app for a WSGI server, with the log and the heartbeat of its process; nothing else."""

from __future__ import annotations

import sys

from tasks import logs
from tasks.operations import heartbeat
from tasks.settings import FORESEEN, configure, explain, read_settings
from webapp import create_app, warm_up

APP_LOAD_ERROR = 4  # gunicorn's: with any other code it would start worker after worker

try:
    settings = configure(read_settings())
    logs.configure(settings)
    app = create_app(settings)
    warm_up(app)
    heartbeat.start("web")
except FORESEEN as error:
    print(f"walletkin: {explain(error)}", file=sys.stderr)
    raise SystemExit(APP_LOAD_ERROR) from None
