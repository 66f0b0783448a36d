"""Builds the Flask app for a WSGI server, with the log and the pulse of its process; nothing else."""

from __future__ import annotations

import sys

from tasks.cli import FORESEEN, explain
from tasks.settings import read_settings

APP_LOAD_ERROR = 4  # gunicorn's: with any other code it would start worker after worker

try:
    from tasks import logs, pulse
    from webapp import create_app, warm_up

    settings = read_settings()
    logs.configure(settings)
    app = create_app(settings)
    warm_up(app)
    pulse.start("web")
except FORESEEN as error:
    print(f"walletkin: {explain(error)}", file=sys.stderr)
    raise SystemExit(APP_LOAD_ERROR) from None
