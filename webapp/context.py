"""What every template has beside the context of its page."""

from __future__ import annotations

import pathlib

from flask import Flask

from tasks.pipeline import start
from tasks.settings import Settings, current
from webapp.assets import asset_version
from webapp.presenters import charts
from webapp.security import access


def register(app: Flask, settings: Settings) -> None:
    """Add the globals of the templates; the CSRF token and htmx come from their libraries."""
    app.jinja_env.globals.update(
        demo=settings.is_demo,
        version=start.VERSION,
        asset_version=asset_version(pathlib.Path(str(app.static_folder))),
        charts=charts,
        is_operator=is_operator,
    )


def is_operator() -> bool:
    """Whether the reader of this request may see everything."""
    return access.viewer(current()).sees_all
