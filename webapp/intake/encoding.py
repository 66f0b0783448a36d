"""Turns the bytes of an uploaded file into text, whatever program wrote them; it does not read the text."""

from __future__ import annotations

import re

from tasks.errors import InputError

_SAVE_AS_CSV = "save it as CSV and choose that file."
_OTHER_FILES = (
    (b"\xd0\xcf\x11\xe0", f"This is an Excel workbook; {_SAVE_AS_CSV}"),
    (b"%PDF", "This is a PDF; paste the addresses instead."),
    (b"\x89PNG", "This is a picture; paste the addresses instead."),
    (b"\xff\xd8\xff", "This is a picture; paste the addresses instead."),
    (b"GIF8", "This is a picture; paste the addresses instead."),
    (b"{\\rtf", f"This is a formatted document; {_SAVE_AS_CSV}"),
    (b"\x1f\x8b", "This file is compressed; unpack it and choose the CSV inside."),
)
_NOT_TEXT = "This file is not text; save the list as CSV or plain text and choose that file."
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_SAMPLE = 4096
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_CONTROLS_AT_MOST = 0.05


def decode(data: bytes) -> str:
    """Decode UTF-8, UTF-16 (marked or not) or else Windows-1252, without the byte order mark.

    Empty bytes give an empty text. Single damaged characters become U+FFFD, so that they spoil only their line.

    Raises:
        InputError: the file is a workbook, a picture or otherwise not text; the reason names it.
    """
    _refuse_other_files(data)
    text = _decoded(data)
    damage = len(_CONTROLS.findall(text))
    if "\x00" in text or damage > max(1, len(text) * _CONTROLS_AT_MOST):
        raise InputError(_NOT_TEXT)
    return text


def _refuse_other_files(data: bytes) -> None:
    if data.startswith(b"PK\x03\x04"):
        raise InputError(_archive(data))
    for magic, reason in _OTHER_FILES:
        if data.startswith(magic):
            raise InputError(reason)


def _archive(data: bytes) -> str:
    """Tell the workbooks among ZIP archives by the names of what they hold."""
    if b"opendocument.spreadsheet" in data[:_SAMPLE]:
        return f"This is a spreadsheet; {_SAVE_AS_CSV}"
    if b"xl/" in data or b"[Content_Types].xml" in data[:_SAMPLE]:
        return f"This is an Excel workbook; {_SAVE_AS_CSV}"
    return "This is a ZIP archive; unpack it and choose the CSV inside."


def _decoded(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    if b"\x00" in data[:_SAMPLE]:
        return data.decode(_unmarked_utf_16(data[:_SAMPLE]), errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _unmarked_utf_16(sample: bytes) -> str:
    """Guess the byte order: in addresses every other byte is NUL; anything else keeps its NULs and is refused."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 5 < len(sample) or min(even, odd) * 10 > max(even, odd):
        return "latin-1"
    return "utf-16-le" if odd > even else "utf-16-be"
