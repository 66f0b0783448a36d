"""Rows and cells that Python draws: what they show, what they hide, and that nobody's text becomes markup."""

from __future__ import annotations

import re
from typing import Any

import pytest
from markupsafe import Markup

from webapp.markup import components
from webapp.markup.rows import Evidence
from webapp.markup.token_cells import Tokens

HOSTILE = "\"><b onclick='x'>&"
MINT = "So11111111111111111111111111111111111111112"
TOKEN = {
    "mint": MINT, "status": "resolved", "symbol": "NAPS", "name": "Nap Season", "price_usd": 0.5, "stale": False,
    "awaited": False, "last_updated": 1_773_843_725.0,
}  # fmt: skip
SHARED = {
    "token": TOKEN, "contribution_capital": 0.25, "contribution_behavioural": None, "weight_a": 0.5, "weight_b": 0.063,
    "spent_sol_a": 2.5, "spent_sol_b": 147.42, "first_buy_a": 1_773_843_725, "first_buy_b": 1_773_843_739, "gap_s": 14,
    "signatures_a": ["first of a", "second of a"], "signatures_b": ["only of b"],
}  # fmt: skip


def icon(name: str, size: int = 16) -> Markup:
    return Markup(f"<svg>{name}</svg>")


def plain(token: Any) -> Markup:
    return Markup(token["symbol"])


ROWS = Evidence(icon, lambda signature: Markup(f"<tx>{signature}</tx>"), plain, plain)
CELLS = Tokens(icon)


def cells_of(row: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)]


def test_a_shared_token_tells_both_sides_and_opens_every_transaction() -> None:
    row = ROWS.token_row(SHARED, "capital", 0.5)
    assert cells_of(row)[:5] == ["0.250", "50.0\u00a0%", "6.3\u00a0%", "2.50", "147.4"]
    assert cells_of(row)[5:8] == ["18 Mar 14:22:05", "14:22:19", "+14\u00a0s"]
    assert 'max="0.5" value="0.25"' in row
    links = re.findall(r'href="https://solscan.io/tx/([^"]+)"', row)
    assert links == ["first of a", "only of b", "first of a", "second of a", "only of b"]
    assert "3<svg>chevron-down</svg>" in row


def test_what_a_shared_token_lacks_is_a_dash() -> None:
    unknown = dict.fromkeys(("first_buy_a", "first_buy_b", "gap_s", "weight_a", "spent_sol_a"))
    row = ROWS.token_row(SHARED | unknown | {"signatures_a": [], "signatures_b": []}, "behavioural", 0)
    assert cells_of(row) == ["–", "–", "6.3\u00a0%", "–", "147.4", "–", "–", "–", "NAPS", "–"]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [(1_773_843_725, 1_773_930_125, "19 Mar 14:22:05"), (None, 1_773_843_739, "18 Mar 14:22:19")],
)
def test_the_second_time_has_its_day_unless_it_is_the_same(first: float | None, second: float, shown: str) -> None:
    row = ROWS.token_row(SHARED | {"first_buy_a": first, "first_buy_b": second}, "capital", 1)
    assert cells_of(row)[6] == shown


def test_two_matched_trades_stand_side_by_side() -> None:
    match = {
        "token": TOKEN, "side": "buy", "time_a": 1_773_843_725, "time_b": 1_773_843_719, "lag_s": -6,
        "signature_a": "a", "signature_b": "b",
    }  # fmt: skip
    assert cells_of(ROWS.match_row(match)) == [
        "buy", "18 Mar 14:22:05", "18 Mar 14:21:59", "−6\u00a0s", "a", "b",
    ]  # fmt: skip


def test_a_signature_from_the_chain_is_text() -> None:
    row = ROWS.token_row(SHARED | {"signatures_a": [HOSTILE], "signatures_b": []}, "capital", 1)
    assert "<b" not in row.replace("<bdi", "")
    assert row.count("&lt;b onclick=") == 3


@pytest.mark.parametrize("status", ["resolved", "pending", "unlisted", "failed"])
@pytest.mark.parametrize("logo", [None, HOSTILE])
def test_a_strangers_name_is_text_in_a_cell(status: str, logo: str | None) -> None:
    token = TOKEN | {"status": status, "symbol": HOSTILE, "name": HOSTILE, "mint": HOSTILE}
    cell = CELLS.token_cell(token, logo, HOSTILE, oob=True)
    for markup in (cell, CELLS.token_price(token, oob=True), CELLS.token_place(token, cell)):
        assert "<b " not in markup
        assert "'x'" not in markup


def test_a_price_says_its_age_and_when_it_is_stale() -> None:
    fresh, stale = (CELLS.token_price(TOKEN | {"stale": stale}) for stale in (False, True))
    assert "$0.50" in fresh
    assert "stale" not in fresh
    assert "is-stale" in stale
    assert "stale, <time" in stale


def test_a_token_that_only_looks_like_another_says_so() -> None:
    assert "not USDC" in CELLS.token_cell(TOKEN, imitates="USDC")
    assert "imitation" not in CELLS.token_cell(TOKEN)


def test_a_bar_without_a_scale_or_a_value_is_empty() -> None:
    assert 'max="1" value="0"' in components.bar(None, None, "Wallets", text="none")
    assert 'max="4" value="3"' in components.bar(3, 4, "Wallets")
    assert ">3</span>" in components.bar(3, 4, "Wallets")
