"""Rows → CSV that a spreadsheet can open without running anything in it; rows come and go a page at a time."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flask import Response, url_for

from tasks.storage.models.analyses import Analysis

RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
SOURCE_COLUMNS = ("analysis", "computed_at", "version", "provisional", "window_days", "window_from", "window_to") + (
    "timing_window_s", "tau", "excluded_mints", "history_limit", "sol_usd_source",
)  # fmt: skip
FIRST_COLUMNS = ("missing", "excluded")
"""What is too long to be repeated: it stands in the first row alone."""
ROWS_PER_CHUNK = 500
PLAIN = (float, int)

# Where a spreadsheet splits at semicolons or tabs, a formula may also begin inside a cell, quoted or not.
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
    """Put an apostrophe before whatever could be the beginning of a formula.

    Also before "-2": numbers are not written as text, so this is a label or a token's name.
    """
    if text.isalnum():  # an address, a mint, a hash: most cells of long files
        return text
    text = INNER_RISK.sub(r"\1'\2", text)
    return f"'{text}" if text.startswith(RISKY) else text


def response(
    analysis: Analysis, provenance: Mapping[str, Any], name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> Response:
    """Return a CSV download; each row ends with what its result was made with, as far as a cell can hold it.

    What the result lacks and the excluded mints are in the first row alone; where there are no rows, that row
    has nothing else. The rates of each day are in the analysis's JSON, which the answer's `Link` names.
    """
    header = (*columns, *SOURCE_COLUMNS, *FIRST_COLUMNS)
    chunks = _chunks(
        header,
        _whole(rows, len(columns)),
        _source(provenance),
        [provenance["missing"], provenance["parameters"]["exclude"]],
    )
    return download(analysis, chunks, f"{name}.csv", "text/csv")


def download(analysis: Analysis, chunks: Iterator[str], name: str, mimetype: str) -> Response:
    """Return a file that is written while it is sent."""
    answer = Response(chunks, mimetype=mimetype)
    answer.headers["Content-Disposition"] = f'attachment; filename="walletkin-{analysis.key[:8]}-{name}"'
    answer.headers["Link"] = f'<{url_for("analyses.show_json", key=analysis.key)}>; rel="describedby"'
    return answer


def _source(made: Mapping[str, Any]) -> list[Any]:
    chosen = made["parameters"]
    facts = {**made, **chosen, "excluded_mints": len(chosen["exclude"])}
    return [facts[name] for name in SOURCE_COLUMNS]


def _whole(rows: Iterable[Sequence[Any]], width: int) -> Iterator[Sequence[Any]]:
    """Yield the rows, or where there is none an empty one, which carries what the result was made with."""
    given = iter(rows)
    yield next(given, [None] * width)
    yield from given


def _chunks(
    header: Sequence[str], rows: Iterable[Sequence[Any]], source: Sequence[Any], first: Sequence[Any]
) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    ending = [cell(value) for value in source]
    once = [cell(value) for value in first]
    for count, row in enumerate(rows, start=1):
        writer.writerow([*map(cell, row), *ending, *once])
        once = [""] * len(first)
        if count % ROWS_PER_CHUNK == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
