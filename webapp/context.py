"""What a request's code asks of the app: its settings."""

from __future__ import annotations

from flask import current_app

from tasks.settings import Settings


def settings() -> Settings:
    """Return the settings of the app that answers."""
    found: Settings = current_app.extensions["walletkin"]
    return found
