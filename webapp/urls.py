"""URL converters, links of analyses and pages, and the parts of a URL."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from flask import (
    request,
    url_for,
)
from werkzeug.routing import BaseConverter

from tasks.storage.models.analyses import Analysis

LIST_PARAMETERS = ("sort", "min", "insight", "wallet", "cluster", "edges") + (
    "show", "state", "kind", "analysis", "limit", "after"
)  # fmt: skip
LOCAL_PATH = re.compile(r"/(?:[!-.0-\[\]-~][!-\[\]-~]*)?")  # no second slash, backslash or space: those leave the site


class Key(BaseConverter):
    """The public id of an analysis or a job."""

    regex = "[0-9a-f]{32}"


class Address(BaseConverter):
    """A wallet's address: base58, at a length that 32 bytes can have."""

    regex = "[1-9A-HJ-NP-Za-km-z]{32,44}"


def back_to(url: str) -> str:
    """Return the page of this site that a form names in `next`, otherwise `url`."""
    sent = request.form.get("next", "")
    return sent if LOCAL_PATH.fullmatch(sent) else url


def page_url(endpoint: str, **changes: Any) -> str:
    """Return the address of a page, with the list parameters of this request but for the changes (None drops one)."""
    kept = {name: request.args[name] for name in LIST_PARAMETERS if name in request.args}
    return url_for(endpoint, **{name: value for name, value in {**kept, **changes}.items() if value not in (None, "")})


def parts_of(url: str) -> urllib.parse.SplitResult:
    """Split a URL from a request; one that cannot be split has no parts."""
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        return urllib.parse.urlsplit("")


def analysis_url(analysis: Analysis) -> str:
    """Return the page of an analysis. Written out: a page has hundreds of links below it, and each one counts."""
    return f"{request.script_root}/analyses/{analysis.key}"
