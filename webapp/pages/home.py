"""The front page: the form that brings wallets, and this browser's recent analyses."""

from __future__ import annotations

from flask import Blueprint, Response

from webapp.pages import render_page
from webapp.presenters import home

bp = Blueprint("home", __name__)


@bp.get("/")
def index() -> Response:
    """Show the empty form."""
    return render_page("home", "content", **home.context())
