"""Rows → CSV that a spreadsheet can open without running anything in it; rows come and go a page at a time."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flask import Response, url_for

from tasks import lifecycle
from tasks.records.models import Analysis
from webapp.display import iso

RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
SOURCE_COLUMNS = ("analysis", "computed_at", "version", "window_days", "timing_window_s", "tau", "excluded_mints") + (
    "history_limit", "sol_usd_source",
)  # fmt: skip
ROWS_PER_CHUNK = 500
PLAIN = (float, int)

# Where a spreadsheet splits at semicolons or tabs, a formula may also begin inside of our cell, quoted or not.
INNER_RISK = re.compile(r"""([;\t\r\n][\s"']*)([=+\-@＝＋－＠])""")


def cell(value: Any) -> Any:
    """Return a value as it is written: None empty, a list joined, no text that a spreadsheet takes for a formula."""
    if value is None:
        return ""
    if type(value) in PLAIN:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return cell(" ".join(map(str, value)))
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Put an apostrophe before whatever could be the beginning of a formula."""
    if text.isalnum():  # an address, a mint, a hash: most cells of long files
        return text
    text = INNER_RISK.sub(r"\1'\2", text)
    return f"'{text}" if text.startswith(RISKY) and not NUMBER.fullmatch(text) else text


def response(
    analysis: Analysis, result: Mapping[str, Any], name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> Response:
    """Return a CSV download; each row ends with what its result was made with, as far as a cell can hold it.

    The whole of it (excluded mints, rates of each day) is in the analysis's JSON, which the answer's `Link` names.
    """
    chunks = _chunks((*columns, *SOURCE_COLUMNS), rows, _source(analysis, result))
    return download(analysis, chunks, f"{name}.csv", "text/csv")


def download(analysis: Analysis, chunks: Iterator[str], name: str, mimetype: str) -> Response:
    """Return a file that is written while it is sent."""
    answer = Response(chunks, mimetype=mimetype)
    answer.headers["Content-Disposition"] = f'attachment; filename="walletkin-{analysis.key[:8]}-{name}"'
    answer.headers["Link"] = f'<{url_for("analyses.show_json", key=analysis.key)}>; rel="describedby"'
    return answer


def _source(analysis: Analysis, result: Mapping[str, Any]) -> tuple[Any, ...]:
    chosen = lifecycle.parameters_of(analysis)
    made = (analysis.key, iso(result["computed_at"]), result["version"])
    window = (chosen.window_days, chosen.timing_window_s, chosen.tau, len(chosen.exclude))
    return (*made, *window, analysis.history_limit, result["rates"]["source"])


def _chunks(header: Sequence[str], rows: Iterable[Sequence[Any]], source: Sequence[Any]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    ending = [cell(value) for value in source]
    for count, row in enumerate(rows, start=1):
        writer.writerow([*map(cell, row), *ending])
        if count % ROWS_PER_CHUNK == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
