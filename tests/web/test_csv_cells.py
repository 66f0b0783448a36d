"""No cell of a CSV is taken for a formula by a spreadsheet, and no number is spoilt."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.exports import cell


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=", "-", "+", "＝1+1", "-1e5x", "--1"],
)
def test_what_begins_like_a_formula_is_made_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1", "+1.5", "-2e-9", "3", "plain", "a=b", "", 0, -1, -0.5, 1e-12])
def test_numbers_and_plain_text_stay(value: Any) -> None:
    assert cell(value) == value


def test_unknown_is_empty_and_lists_are_joined() -> None:
    assert cell(None) == ""
    assert cell(["a", "b"]) == "a b"
    assert cell(["=a", "b"]) == "'=a b"
    assert (cell(True), cell(False)) == ("true", "false")
