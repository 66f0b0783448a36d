"""Builds the Flask app for a WSGI server, nothing else."""

from __future__ import annotations

import sys

from tasks.cli import FORESEEN, explain
from tasks.settings import read_settings

APP_LOAD_ERROR = 4  # gunicorn's: with any other code it would start worker after worker

try:
    from webapp import create_app

    app = create_app(read_settings())
except FORESEEN as error:
    print(f"walletkin: {explain(error)}", file=sys.stderr)
    raise SystemExit(APP_LOAD_ERROR) from None
