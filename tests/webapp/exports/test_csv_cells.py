"""No cell of a CSV is taken for a formula by a spreadsheet, and no number is spoilt."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from webapp.exports.csv_export import cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t1", "\r1", "\n1", "=", "-", "+", "＝1+1", "-1e5x", "--1"]
    # What reads as a number is still what somebody wrote: our own numbers are no text.
    + ["-2", "+1.5", "-2e-9", "-1", "@1", "＋1"],
)
def test_what_begins_like_a_formula_is_made_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('x;=HYPERLINK("http://evil.example")', """x;'=HYPERLINK("http://evil.example")"""),
        ("x; +1;-2", "x; '+1;'-2"),
        ('x;"@SUM(A1)"', """x;"'@SUM(A1)\""""),
        ("x\t＝1", "x\t'＝1"),
        ("x\r\n-1", "x\r\n'-1"),
        ("\t=1", "'\t'=1"),
        ("x;;=1", "x;;'=1"),
    ],
)
def test_what_begins_like_a_formula_behind_a_separator_is_made_text(text: str, made: str) -> None:
    assert cell(text) == made


@pytest.mark.parametrize("text", ["x;=1+1", 'x;"=1+1"', "x\t=1+1", "x\n=1+1", 'a"b;=1', "x;'=1"])
@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_no_spreadsheet_finds_a_formula_however_it_splits(text: str, separator: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerow(["address", cell(text), "end"])
    for row in csv.reader(io.StringIO(written.getvalue()), delimiter=separator):
        for found in row:
            assert not found.strip().startswith(("=", "+", "-", "@")), row


@pytest.mark.parametrize("value", ["3", "plain", "a=b", "a;b", "a; b-c", "a, -b", "", 0, -1, -0.5, 1e-12])
def test_numbers_and_plain_text_stay(value: Any) -> None:
    assert cell(value) == value


def test_unknown_is_empty_and_lists_are_joined() -> None:
    assert cell(None) == ""
    assert cell(["a", "b"]) == "a b"
    assert cell(["=a", "b"]) == "'=a b"
    assert (cell(True), cell(False)) == ("true", "false")
