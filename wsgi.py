"""Builds the Flask app for a WSGI server, nothing else."""

from __future__ import annotations

import sys

from tasks.errors import SettingsError
from tasks.settings import read_settings

APP_LOAD_ERROR = 4  # gunicorn's: with any other code it would start worker after worker

try:
    from webapp import create_app

    app = create_app(read_settings())
except SettingsError as error:
    print(f"walletkin: {error}", file=sys.stderr)
    raise SystemExit(APP_LOAD_ERROR) from None
