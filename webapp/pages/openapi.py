"""The description of the JSON surface, as JSON."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from webapp import openapi

bp = Blueprint("description", __name__)


@bp.get("/openapi.json")
def show_json() -> Response:
    """Give the OpenAPI description of everything that answers with JSON."""
    return jsonify({**openapi.document(), "servers": [{"url": request.script_root or "/"}]})
