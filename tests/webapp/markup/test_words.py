"""Figures beside words: what chance explains, and places on an axis."""

from __future__ import annotations

import pytest

from webapp.markup.words import chance_count, signed


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (0.0, "< 0.1"), (0.04, "< 0.1"), (0.1, "0.1"), (3.04, "3.0"), (1234.5, "1,234.5")],
)
def test_what_chance_explains(value: float | None, text: str) -> None:
    assert chance_count(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.25, "0.25"), (-0.5, "\u22120.50"), (-0.001, "0.00")])
def test_places_on_an_axis(value: float | None, text: str) -> None:
    assert signed(value, 2) == text
