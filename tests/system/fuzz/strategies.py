"""Hostile inputs: valid ones with a few things wrong in them, which get further than noise does, and some noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import base58
from hypothesis import strategies as st

MEGABYTES = 2_400_000
A, B, C = (base58.b58encode(bytes([number]) * 32).decode() for number in (201, 202, 203))
SIGNATURE = base58.b58encode(b"7" * 64).decode()

# Pieces of JSON as text: most of them are no values that a program could write.
RAW = st.sampled_from(
    ["null", "true", "-1", "0.5", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "18446744073709551616", "9" * 400]
    + ["9" * 5000, "-" + "9" * 5000, "1." + "0" * 5000, '""', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"\ufffe"']
    + ["[]", "{}", "[[]]", '{"a":1,"a":2}', '{"":{"":{"":0}}}', "[" * 40 + "]" * 40, "[" * 2000 + "]" * 2000]
    + ['{"a":' * 1500 + "0" + "}" * 1500, "[" + "0," * 3000 + "0]", '"' + "x" * 20_000 + '"', '"' + "é\\n" * 3000 + '"']
    + [
        '"=cmd()"',
        '"../../etc/passwd"',
        '"<script>"',
        '"legacy"',
        f'"{A}"',
        '"1e400"',
        '"-0"',
        '"٣"',
        "tru",
        "[,]",
        "'",
    ]
)
HUGE = st.sampled_from(
    ["[" * 200_000 + "]" * 200_000, "[" * 600_000, '{"a":' * 300_000, "9" * MEGABYTES, '"' + "x" * MEGABYTES + '"']
    + [
        "[" + "0," * (MEGABYTES // 2 - 2) + "0]",
        "[" + "{}," * (MEGABYTES // 3 - 2) + "{}]",
        '"' + "\\u0000" * 400_000 + '"',
    ]
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1", "shift_jis") + (
    "gb18030", "utf-7", "cp037", "mac_roman", "koi8-r",
)  # fmt: skip


def paths_of(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every member and item of a JSON value, at any depth."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for step, inner in steps for found in ((*way, step), *paths_of(inner, (*way, step)))]


@st.composite
def mutated(draw: st.DrawFn, valid: Sequence[Any]) -> bytes:
    """Draw the text of one of these values with up to three things in it replaced, doubled or left out."""
    text = draw(st.sampled_from([json.dumps(value) for value in valid]))
    value, marks = json.loads(text), {}
    for number in range(draw(st.integers(0, 3))):
        ways = paths_of(value)
        if not ways:
            break
        *way, last = draw(st.sampled_from(ways))
        place = value
        for step in way:
            place = place[step]
        mark = f"@@{number}@@"
        marks[json.dumps(mark)] = draw(RAW)
        match draw(st.sampled_from(["replace", "double", "delete", "rename"])):
            case "replace":
                place[last] = mark
            case "double" if isinstance(place, list):
                place.insert(0, place[last])
            case "double":
                marks[json.dumps(f"#{mark}")] = json.dumps(last)  # the same name twice
                place[f"#{mark}"] = mark
            case "rename" if isinstance(place, dict):
                place[last.upper()] = place.pop(last)
            case _:
                del place[last]
    made = json.dumps(value)
    for mark, raw in marks.items():
        made = made.replace(mark, raw)
    return draw(damaged(made.encode("utf-8", "surrogatepass")))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw the bytes as they are, or now and then cut, with a byte changed, with something before or behind them."""
    kind = draw(st.integers(0, 15))
    place = draw(st.integers(0, max(0, len(data) - 1))) if kind in (1, 2, 3) else 0
    if kind == 1:
        return data[:place]
    if kind == 2:
        return data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    if kind == 3:
        return data[:place] + draw(st.binary(max_size=8)) + data[place:]
    return {4: b"\xef\xbb\xbf" + data, 5: data + b"\x00", 6: data * 2, 7: b"[" + data + b"]"}.get(kind, data)


def wire(valid: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Return hostile bodies of an answer: mutated, now and then enormous or mere noise."""
    common = mutated(valid)
    return st.integers(0, 199).flatmap(
        lambda kind: HUGE.map(str.encode) if kind == 0 else st.binary(max_size=200) if kind < 6 else common
    )


# Lists of wallets -------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [A, B, C, A[:-1], A + "0", SIGNATURE, f"https://solscan.io/account/{A}", "desk", "7", "#", "address", "label"]
    + ["wallet address;name", ",", ";", "\t", "|", " ", '"', '""', "'", "\n", "\r", "\r\n", "\u2028", "\x00", "\ud800"]
    + ["\u200b", "\u202e", "А", "=1+1", "\x85", "\x1a", "\ufeff", "e\u0301" * 50, "[", "]", "{", "}", '["', '":']
)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=60).map("".join)
ENDLESS = st.sampled_from(
    ["a", ",", "a,", '"', ',"', '"a\n', "a.b/", "a\u0301", "\u200b", "\x00", "\n", "[", "{", '["', A + "\n", A + ",x\n"]
    + ['"\n', "1" * 44 + " ", "https://", "é", ";\t", "#\n", "0x" + "a" * 40 + " ", '{"address":"' + A + '"},', '"",']
).map(lambda piece: (piece * (MEGABYTES // len(piece.encode("utf-8", "replace")) + 1))[:MEGABYTES])


def _encoded(text_and_encoding: tuple[str, str]) -> bytes:
    text, encoding = text_and_encoding
    return text.encode(encoding, "replace" if encoding != "utf-7" else "ignore")


PASTES = st.integers(0, 299).flatmap(lambda kind: ENDLESS if kind == 0 else TEXTS)
SOUND = TEXTS.map(lambda text: text.replace("\ud800", "?"))
FILES = (
    st.tuples(SOUND, st.sampled_from(ENCODINGS)).map(_encoded).flatmap(damaged)
    | st.binary(max_size=400)
    | st.tuples(st.sampled_from([b"PK\x03\x04", b"%PDF", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b"]), st.binary()).map(
        b"".join
    )
)
LONG_FILES = st.integers(0, 299).flatmap(
    lambda kind: (
        st.tuples(ENDLESS, st.sampled_from(ENCODINGS)).map(lambda both: _encoded(both)[:MEGABYTES])
        if kind == 0
        else FILES
    )
)

# Queries, cursors, forms ------------------------------------------------------------------------------------------

VALUES = st.sampled_from(
    [
        "",
        " ",
        "0",
        "1",
        "-1",
        "+1",
        "1.5",
        "1e400",
        "nan",
        "inf",
        "٣",
        "１",
        "9" * 30,
        "9" * 3000,
        "0x10",
        "1_000",
        "yes",
    ]
    + [
        "all",
        "overall",
        "-overall",
        "x",
        "capital",
        "\x00",
        "\ud7ff",
        "%00",
        "%",
        "../..",
        "'",
        '"',
        "' OR 1=1--",
        "{{7*7}}",
    ]
    + [
        "<script>alert(1)</script>",
        "é" * 200,
        "a" * 4000,
        "\u202e",
        "null",
        "[]",
        "WzUwXQ",
        "WzEwXQ==",
        "LTE",
        "W10",
        "W1tdXQ",
    ]
    + [
        "WzEsMiwzXQ",
        "1760000000.5-" + "a" * 32,
        "1e9-ff",
        "none",
        "queued",
        "sync",
        A,
        B,
        f"{A},{B}",
        "0" * 32,
        "f" * 32,
    ]
) | st.text(max_size=12)
NAMES = ("sort", "min", "insight", "wallet", "cluster", "edges", "limit", "after", "show", "weights", "state") + (
    "kind", "analysis", "mints", "score", "v", "q", "page",
)  # fmt: skip
QUERIES = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5)
FIELDS = ("addresses", "label", "window_days", "timing_window_s", "tau", "exclude", "idempotency_key", "next") + (
    "all", "mints", "analysis",
)  # fmt: skip
FORMS = st.dictionaries(st.sampled_from(FIELDS), VALUES | SOUND, max_size=6)
CURSORS = VALUES | st.lists(
    st.integers() | st.sampled_from([2**53, -1, 10**40, 1.5, None, True, "1", [1]]), max_size=4
).map(json.dumps)
