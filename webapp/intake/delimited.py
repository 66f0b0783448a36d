"""Takes a pasted list or a CSV apart: from bytes to text, and from text to what stands on each line.

It finds where an address and its label stand; whether the address is one is judged in `webapp/intake/addresses.py`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from webapp.intake.addresses import CANDIDATE_FROM, INVISIBLE, is_address, looks_like_address, trimmed

DELIMITERS = "\t,;|"

# Preferred first: an export that has a wallet and a token account means the wallet.
_ADDRESS_NAMES = [
    "walletaddress",
    "solanaaddress",
    "wallet",
    "walletid",
    "addresses",
    "wallets",
    "address",
    "owner",
    "owneraddress",
    "pubkey",
    "publickey",
    "trader",
    "holder",
    "account",
    "accountaddress",
    "addr",
]
_LABEL_NAMES = [
    "label",
    "name",
    "walletname",
    "tag",
    "nickname",
    "alias",
    "title",
    "note",
    "notes",
    "comment",
    "description",
    "memo",
    "labels",
    "tags",
]
_LINE_END = re.compile(r"\r\n|\r|\n")
_SEPARATORS = re.compile(r"[\s,;|]+")
_NOT_NAME = re.compile(r"[\W_]+")
_SEP_LINE = re.compile(r'"?sep=.?"?', re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\$?\d[\d.,_]*(?:[eE][+-]?\d+)?%?")
_BULLET = re.compile(r"[-*•]|#?\d+[.):]?")
_OPENING = re.compile(r'(?:^|[,;\t|]) *"')
_QUOTED = re.compile(r'(?:^|[,;\t|]) *"((?:[^"]|"")*)" *(?=[,;\t|]|$)')

_RECORD_LINES = 20
_RECORD_CHARACTERS = 2_000
_HEAD = 4_000
_LIST_FROM = 10
"""A line with this many address-like words, and few others, is a list whatever else it holds."""


class Entry(NamedTuple):
    """What stands on one line, or one of several on it: `address` as written, "" when there is none."""

    line: int
    address: str
    label: str
    whole: str


class _Columns(NamedTuple):
    """The columns of addresses and labels in a header; `label` is None when it names none."""

    delimiter: str
    address: int
    label: int | None


def entries(text: str) -> Iterator[Entry]:
    """Yield what stands on each line, in order; blank lines, comments (#) and a header yield nothing.

    Lines count from 1 and end with LF, CR or CRLF; a quoted field over several lines counts as its first.
    """
    columns, first = None, True
    for line, record in _records(_LINE_END.split(text)):
        if _says_nothing(record) or (first and _SEP_LINE.fullmatch(record.strip())):
            continue
        is_header, columns = _header(record) if first else (False, columns)
        first = False
        if is_header:
            continue
        yield from _by_columns(line, record, columns) if columns else _freely(line, record)


def _says_nothing(record: str) -> bool:
    """Say whether the line is blank, to the eye at least, or a comment."""
    start = record[:_HEAD].lstrip()
    if start[:1].isalnum():
        return False
    if start.startswith("#"):  # before the slower look at what cannot be seen: a list may be all comments
        return True
    visible = INVISIBLE.sub("", start).lstrip()
    return visible.startswith("#") or not (visible or record[_HEAD:].strip())


def _records(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Join the lines of a quoted field; a quote that never closes, or swallows addresses, joins nothing."""
    index = 0
    while index < len(lines):
        record, end = lines[index], index + 1
        if '"' in record and record.count('"') % 2 and len(record) < _RECORD_CHARACTERS and _OPENING.search(record):
            record, end = _joined(lines, index)
        if record:
            yield index + 1, record
        index = end


def _joined(lines: Sequence[str], start: int) -> tuple[str, int]:
    """Return the record that begins at `start` and the index after it."""
    quotes, characters = lines[start].count('"'), len(lines[start])
    for end in range(start + 1, min(start + _RECORD_LINES, len(lines))):
        quotes, characters = quotes + lines[end].count('"'), characters + len(lines[end])
        if characters > _RECORD_CHARACTERS:
            break
        if quotes % 2 == 0:
            record = "\n".join(lines[start : end + 1])
            return (record, end + 1) if _closes(record) else (lines[start], start + 1)
    return lines[start], start + 1


def _closes(record: str) -> bool:
    """Say whether every line break lies inside a quoted field that holds no address beside other text."""
    fields = _QUOTED.findall(record)
    if sum(field.count("\n") for field in fields) != record.count("\n"):
        return False
    broken = [field for field in fields if "\n" in field.strip()]
    return not any(looks_like_address(word) for field in broken for word in _SEPARATORS.split(field))


def _header(record: str) -> tuple[bool, _Columns | None]:
    """Say whether this is a header, and where its columns are; a header of one column needs none."""
    for delimiter in DELIMITERS:
        fields = _fields(record[:_HEAD], delimiter)
        names = [_NOT_NAME.sub("", field.casefold()) for field in fields]
        address = _position(names, _ADDRESS_NAMES)
        if len(names) > 1 and address is not None and not any(map(looks_like_address, fields)):
            return True, _Columns(delimiter, address, _position(names, _LABEL_NAMES))
    words = [_NOT_NAME.sub("", word.casefold()) for word in record[:_HEAD].split()]
    named = len(words) > 1 and words[0] in _ADDRESS_NAMES and set(words) <= {*_ADDRESS_NAMES, *_LABEL_NAMES}
    return named or "".join(words) in _ADDRESS_NAMES, None


def _position(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def _by_columns(line: int, record: str, columns: _Columns) -> Iterator[Entry]:
    """Read a row under a header; a row without the header's delimiter is read as if there were none."""
    fields = _fields(record, columns.delimiter)
    if len(fields) == 1:
        yield from _freely(line, record)
        return
    address = fields[columns.address] if columns.address < len(fields) else ""
    has_label = columns.label is not None and columns.label < len(fields)
    yield Entry(line, address, fields[columns.label or 0] if has_label else "", record)


def _freely(line: int, record: str) -> Iterator[Entry]:
    """Read a line that no header explains: a list of addresses, or one address and its label."""
    words = [word for word in _SEPARATORS.split(record) if word not in '"[]{}()']
    meant = [word for word in words if len(word) >= CANDIDATE_FROM and looks_like_address(word)]
    if meant and (len(meant) == len(words) or (len(meant) >= _LIST_FROM and len(meant) * 2 > len(words))):
        yield from (Entry(line, word, "", word) for word in words)
    elif meant:
        yield from _one_line(line, record[:_HEAD], meant)
    else:
        yield _without_address(line, record[:_HEAD], words)


def _one_line(line: int, record: str, meant: Sequence[str]) -> Iterator[Entry]:
    """Read a line with an address among other text: by delimiter if a field is an address, otherwise by words."""
    fields = _best_fields(record)
    found = [field for field in fields if looks_like_address(field) and not any(map(str.isspace, field.strip()))]
    if found:
        address = _likeliest(found)
        others = (field for field in fields if field not in found and field and not _NUMBER.fullmatch(field))
        yield Entry(line, address, next(others, ""), record)
        return
    holding = [field for field in fields if any(word in field for word in meant[:_LIST_FROM])]
    for part in filter(None, fields) if len(holding) > 1 else [record]:
        yield _spoken(line, part, _likeliest([word for word in meant[:_LIST_FROM] if word in part]))


def _likeliest(found: Sequence[str]) -> str:
    """Choose the first valid address, otherwise the first attempt at one; "" of none."""
    if len(found) < 2:
        return found[0] if found else ""
    return next((word for word in found if is_address(trimmed(word))), found[0])


def _spoken(line: int, part: str, address: str) -> Entry:
    """Read `address label with spaces` or `label with spaces address`; bullets and lone numbers are no label."""
    if not address:
        return Entry(line, "", part, part)
    before, _, after = part.partition(address)
    words = [word for word in before.split() if not _BULLET.fullmatch(word)] + after.split()
    label = "" if all(map(_NUMBER.fullmatch, words)) else " ".join(words)
    return Entry(line, address, _unjoined(label), part)


def _unjoined(label: str) -> str:
    """Drop the dash, colon or delimiter that stood between an address and its label."""
    label = label.strip(DELIMITERS + " ")
    first, _, rest = label.partition(" ")
    return rest if first in {"-", "–", "—", ":", "=", "→"} else label


def _without_address(line: int, record: str, words: Sequence[str]) -> Entry:
    """Point at what was most likely meant as the address of a line on which nothing looks like one."""
    long = next((word for word in words if len(word) >= CANDIDATE_FROM), None)
    first, *others = _best_fields(record)
    label = next((field for field in others if field and field != long), "")
    if long is None and not any(map(str.isspace, first)):
        return Entry(line, first, label, record)
    return Entry(line, long or "", label, record)


def _best_fields(record: str) -> list[str]:
    """Split at the delimiter that leaves most addresses standing alone; the whole record if it has none."""
    splits = [_fields(record, delimiter) for delimiter in DELIMITERS if delimiter in record]
    return max(splits or [[record.strip()]], key=lambda fields: sum(map(looks_like_address, fields)))


def _fields(record: str, delimiter: str) -> list[str]:
    """Split at one delimiter, quotes respected where they are in order and dropped where they are not."""
    if '"' in record:
        try:
            row = next(csv.reader([record], delimiter=delimiter, strict=True, skipinitialspace=True))
            return [field.strip() for field in row]
        except csv.Error:
            pass
    return [field.strip(' "') for field in (part.strip() for part in record.split(delimiter))]
