"""The icons as a stylesheet that a browser keeps: each is one element, or none where a class draws it before its text.

Drawn in the page an icon is three elements and more; a list of pairs has hundreds of them.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from urllib.parse import quote
from xml.etree import ElementTree
from zipfile import ZipFile

from flask import Flask, Response

# All that pages show.
SHEET_ICONS = (
    *("arrow-down", "arrow-left", "arrow-left-right", "arrow-right", "arrow-up", "ban", "chart-scatter", "check"),
    *("chevron-down", "chevron-right", "circle-alert", "circle-check", "circle-dashed", "circle-x", "clock", "coins"),
    *("copy", "download", "equal", "external-link", "file-text", "footprints", "grid-3x3", "handshake", "link"),
    *(
        "loader",
        "menu",
        "minus",
        "plus",
        "refresh-cw",
        "scale",
        "search",
        "sliders-horizontal",
        "square-arrow-out-up-right",
    ),
    *("sun-moon", "table", "timer", "triangle-alert", "upload", "users-round", "wallet-cards", "x"),
)
SVG = "http://www.w3.org/2000/svg"
DRAWN_AS = {
    **{"viewBox": "0 0 24 24", "fill": "none", "stroke": "#000", "stroke-width": "1.75"},
    **{"stroke-linecap": "round", "stroke-linejoin": "round"},
}
ElementTree.register_namespace("", SVG)
A_YEAR = "public, max-age=31536000, immutable"


@cache
def sheet() -> str:
    """Return the stylesheet: `--i-<name>` for each of SHEET_ICONS, and the class `i-<name>` that chooses it."""
    # The package's own function opens its archive, and reads what is in it, for every icon: a third of a start.
    with (resources.files("lucide") / "lucide.zip").open("rb") as file, ZipFile(file) as archive:
        drawings = "".join(f'--i-{name}:url("{_address(archive.read(f"{name}.svg"))}");' for name in SHEET_ICONS)
    return f":root{{{drawings}}}" + "".join(f".i-{name}{{--icon:var(--i-{name})}}" for name in SHEET_ICONS)


def _address(svg: bytes) -> str:
    """Return an icon of the installed Lucide package as a data address; the shapes count, not the colour."""
    root = ElementTree.fromstring(svg)
    root.attrib = dict(DRAWN_AS)
    drawing = ElementTree.tostring(root, encoding="unicode").replace('"', "'")
    return "data:image/svg+xml," + quote(re.sub(r"\s*\n\s*| (?=/>)", "", drawing), safe=" '=/:,;.-")


@cache
def version() -> str:
    """Return a mark that changes whenever the stylesheet does."""
    return hashlib.sha256(sheet().encode()).hexdigest()[:12]


def icon_sheet() -> Response:
    """Give the stylesheet; its address says which version of it."""
    return Response(sheet(), mimetype="text/css", headers={"Cache-Control": A_YEAR})


def register(app: Flask) -> None:
    """Serve the stylesheet, and tell templates its version and its icons."""
    app.add_url_rule("/vendor/icons.css", "icon_sheet", icon_sheet)
    app.jinja_env.globals.update(icons_version=version(), SHEET_ICONS=frozenset(SHEET_ICONS))
