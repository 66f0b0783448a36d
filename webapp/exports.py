"""Rows → CSV that a spreadsheet can open without running anything in it; rows come and go a page at a time."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flask import Response

from tasks.records.models import Analysis
from webapp.display import iso

RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
SOURCE_COLUMNS = ("analysis", "computed_at", "version")
ROWS_PER_CHUNK = 500

# Where a spreadsheet splits at semicolons or tabs, a formula may also begin inside of our cell, quoted or not.
INNER_RISK = re.compile(r"""([;\t\r\n][\s"']*)([=+\-@＝＋－＠])""")


def cell(value: Any) -> Any:
    """Return a value as it is written: None empty, a list joined, no text that a spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return cell(" ".join(map(str, value)))
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Put an apostrophe before whatever could be the beginning of a formula."""
    text = INNER_RISK.sub(r"\1'\2", text)
    return f"'{text}" if text.startswith(RISKY) and not NUMBER.fullmatch(text) else text


def response(
    analysis: Analysis, result: Mapping[str, Any], name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> Response:
    """Return a CSV download; each row ends with the analysis, the time of its result and the version that made it."""
    source = (analysis.key, iso(result["computed_at"]), result["version"])
    answer = Response(_chunks((*columns, *SOURCE_COLUMNS), rows, source), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="walletkin-{analysis.key[:8]}-{name}.csv"'
    return answer


def _chunks(header: Sequence[str], rows: Iterable[Sequence[Any]], source: Sequence[Any]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for count, row in enumerate(rows, start=1):
        writer.writerow([cell(value) for value in (*row, *source)])
        if count % ROWS_PER_CHUNK == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
