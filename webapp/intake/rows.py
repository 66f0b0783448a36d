"""Turns a pasted list, a CSV or a JSON list into rows, each judged alone: accepted, duplicate or rejected.

It reads no database: `known_mints` supplies the mints of the registry.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Literal, NamedTuple

from tasks.errors import InputError
from tasks.measures.well_known import DEFAULT_EXCLUDED, PROGRAMS
from webapp.intake.addresses import INVISIBLE, ParsedAddress, read_address, trimmed
from webapp.intake.delimited import DELIMITERS, Entry, entries

LABEL_AT_MOST = 80
TEXT_AT_MOST = 120
ROWS_AT_MOST = 50_000
"""More rows than any list of allowed size and length has; what follows them is counted as one rejected row."""

# Cut before anything that is slower than linear (Unicode normalisation is, on long runs of combining marks).
_CUT = 400
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KINDS = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}

Verdict = Literal["accepted", "duplicate", "rejected"]


@dataclass(frozen=True, slots=True)
class Row:
    """One wallet of the input, and its verdict.

    `line` counts physical lines from 1. `text` is what stood in the address's place (the whole line when nothing did),
    shortened and free of control characters. `address` is set whenever one could be read, even if it was rejected
    (a mint, a program, one too many). `reason` is a sentence, None for an accepted row.
    """

    line: int
    text: str
    address: str | None
    label: str | None
    verdict: Verdict
    reason: str | None


@dataclass(frozen=True)
class Intake:
    """All rows in the order they were written."""

    rows: tuple[Row, ...]

    @cached_property
    def accepted(self) -> tuple[Row, ...]:
        """The rows to analyse, addresses unique."""
        return tuple(row for row in self.rows if row.verdict == "accepted")

    @cached_property
    def duplicates(self) -> tuple[Row, ...]:
        """The rows whose address stands on an earlier accepted row."""
        return tuple(row for row in self.rows if row.verdict == "duplicate")

    @cached_property
    def rejected(self) -> tuple[Row, ...]:
        """The rows that cannot be used, each with its reason."""
        return tuple(row for row in self.rows if row.verdict == "rejected")


KnownMints = Callable[[Collection[str]], Collection[str]]


def no_mints(addresses: Collection[str]) -> Collection[str]:
    """Know no mint: the stand-in for a registry."""
    return ()


def read(
    text: str,
    *,
    most: int = 10_000,
    known_mints: KnownMints = no_mints,
    programs: Mapping[str, str] = PROGRAMS,
    mints: Mapping[str, str] = DEFAULT_EXCLUDED,
) -> Intake:
    """Read a pasted list or the text of a CSV; a text without content gives an intake without rows.

    `known_mints` is called at most once, with every address that is good so far (none: not at all), and returns those
    that the token registry has as mints. `programs` and `mints` map an address to its name and its symbol.
    Nothing is raised: whatever stands on a line becomes a row.
    """
    found = _cut_off(map(_judge_entry, entries(text)))
    return _settle([_not_special(one, programs, mints) for one in found], most, known_mints)


def read_json_wallets(
    items: object,
    *,
    most: int = 10_000,
    known_mints: KnownMints = no_mints,
    programs: Mapping[str, str] = PROGRAMS,
    mints: Mapping[str, str] = DEFAULT_EXCLUDED,
) -> Intake:
    """Read the `wallets` of a JSON body: addresses, or objects with `address` and maybe `label`; `line` is index + 1.

    The rest is as in `read`; an empty list gives no rows.

    Raises:
        InputError: `items` is not a list.
    """
    if not isinstance(items, list):
        raise InputError("“wallets” must be a list of addresses, or of objects with “address” and “label”.")
    found = _cut_off(_judge_item(line, item) for line, item in enumerate(items, start=1))
    return _settle([_not_special(one, programs, mints) for one in found], most, known_mints)


class _Found(NamedTuple):
    """A row before it is compared with the others and with the registry; it has an address, a reason or both."""

    line: int
    text: str
    label: str | None
    address: str | None
    reason: str | None


def _judge_entry(entry: Entry) -> _Found:
    reading, label = read_address(entry.address), _label(entry.label)
    if reading.reason and not trimmed(entry.address):
        return _found(entry.line, entry.whole, label, ParsedAddress(None, _nothing_there(entry, label)))
    return _found(entry.line, entry.address, label, reading)


def _nothing_there(entry: Entry, label: str | None) -> str:
    if label:
        return "No address on this line; only a label."
    if entry.whole[:_CUT].strip(DELIMITERS + ' "'):
        return "No address on this line."
    return "This line is empty but for its separators."


def _judge_item(line: int, item: object) -> _Found:
    address, label = (item.get("address"), item.get("label")) if isinstance(item, dict) else (item, None)
    if not isinstance(address, str):
        reading = ParsedAddress(None, "Each wallet is an address, or an object with “address” and “label”, both text.")
        return _found(line, f"({_KINDS.get(type(address), 'nothing')})", None, reading)
    if not isinstance(label, str | None):
        return _found(line, address, None, ParsedAddress(None, "The label must be text."))
    reading, label = read_address(address.strip()), _label(label or "")
    if not trimmed(address.strip()):
        reading = ParsedAddress(None, "No address here; only a label." if label else "No address here.")
    return _found(line, address, label, reading)


def _found(line: int, text: str, label: str | None, reading: ParsedAddress) -> _Found:
    text = _shown(text)
    if reading.secret:
        text = f"{text[:4]}…{text[-4:]}"
    return _Found(line, text, label, reading.address, reading.reason)


def _cut_off(found: Iterator[_Found]) -> Iterator[_Found]:
    """Bound the number of rows, and with it memory; the next one is rejected with a sentence about the rest."""
    yield from islice(found, ROWS_AT_MOST)
    for one in islice(found, 1):
        reason = f"More than {ROWS_AT_MOST:,} rows; nothing from here on was read."
        yield one._replace(address=None, reason=reason)


def _not_special(found: _Found, programs: Mapping[str, str], mints: Mapping[str, str]) -> _Found:
    """Reject the addresses that everybody knows to be no wallets."""
    if found.address is None:
        return found
    if found.address in mints:
        return found._replace(reason=f"This is a token mint ({mints[found.address]}), not a wallet.")
    if found.address in programs:
        return found._replace(reason=f"This is a program ({programs[found.address]}), not a wallet.")
    return found


def _settle(found: Iterable[_Found], most: int, known_mints: KnownMints) -> Intake:
    """Compare the rows with the registry and with each other, in order."""
    found = list(found)
    good = dict.fromkeys(one.address for one in found if one.address and not one.reason)
    known = frozenset(known_mints(tuple(good))) if good else frozenset()
    settled = _Settled(most)
    for one in found:
        if one.address in known and not one.reason:
            one = one._replace(reason="This is a token mint, not a wallet.")
        settled.add(one)
    return Intake(tuple(settled.rows))


@dataclass
class _Settled:
    """The rows so far, and where each accepted address stands among them."""

    most: int
    rows: list[Row] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def add(self, one: _Found) -> None:
        """Judge one more row against those before it."""
        if one.reason or one.address is None:
            self._append(one, "rejected", one.reason)
        elif one.address in self.places:
            self._append(one, "duplicate", self._same_as(self.places[one.address], one.label))
        elif len(self.places) >= self.most:
            self._append(one, "rejected", f"Over the limit of {self.most:,} wallets; left out.")
        else:
            self.places[one.address] = len(self.rows)
            self._append(one, "accepted", None)

    def _append(self, one: _Found, verdict: Verdict, reason: str | None) -> None:
        self.rows.append(Row(one.line, one.text, one.address, one.label, verdict, reason))

    def _same_as(self, place: int, label: str | None) -> str:
        """Say which row a duplicate repeats and which label stays; a row without label takes the duplicate's."""
        earlier = self.rows[place]
        same = f"Same as line {earlier.line}"
        if label and not earlier.label:
            self.rows[place] = replace(earlier, label=label)
            return f"{same}, which takes this label."
        if label and label != earlier.label:
            return f"{same}; the label “{earlier.label}” is kept."
        return f"{same}, whose label is kept." if earlier.label and not label else f"{same}."


def _label(raw: str) -> str | None:
    """Clean a label: NFC, one line, no control, direction or invisible characters, 80 characters; None when empty."""
    if not raw:
        return None
    spaced = " ".join(raw[:_CUT].split())
    kept = _HARMFUL.sub("", INVISIBLE.sub("", spaced))
    label = " ".join(unicodedata.normalize("NFC", kept).split())
    return (label if len(label) <= LABEL_AT_MOST else label[: LABEL_AT_MOST - 1].rstrip() + "…") or None


def _shown(text: str) -> str:
    """Make input fit to show: one line, shortened, U+FFFD for what would not show or would do harm."""
    if len(text) <= TEXT_AT_MOST and text.isascii() and text.isprintable():
        return text.strip()
    shown = _HARMFUL.sub("\ufffd", INVISIBLE.sub("\ufffd", " ".join(text[:_CUT].split())))
    return shown if len(shown) <= TEXT_AT_MOST else shown[: TEXT_AT_MOST - 1] + "…"
