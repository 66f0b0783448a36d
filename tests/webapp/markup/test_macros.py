"""Rows and cells of the macros: what they show, what they hide, and that foreign text never becomes markup."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable

import pytest
from flask import Flask

from tasks.settings import read_settings
from tests.support.site import one_line
from webapp.markup import filters, logos
from webapp.markup.fragment_cache import frozen

TEMPLATES = pathlib.Path(__file__).parents[3] / "templates"
HOSTILE = "\"><b onclick='x'>&"
MINT = "7C3948k27F6r9qe1HhDyxxRgy9rUUNE7P35kgoPSQqJC"
TOKEN = {
    "mint": MINT, "status": "resolved", "symbol": "NAPS", "name": "Nap Season", "price_usd": 0.5, "stale": False,
    "awaited": False, "image_url": None, "last_updated": 1_773_843_725.0,
}  # fmt: skip
SHARED = {
    "token": TOKEN, "contribution_capital": 0.25, "contribution_behavioural": None, "weight_a": 0.5, "weight_b": 0.063,
    "spent_sol_a": 2.5, "spent_sol_b": 147.42, "first_buy_a": 1_773_843_725, "first_buy_b": 1_773_843_739, "gap_s": 14,
    "signatures_a": ["first of a", "second of a"], "signatures_b": ["only of b"],
}  # fmt: skip


Macro = Callable[..., str]


@pytest.fixture(scope="module")
def macro() -> Callable[[str, str], Macro]:
    """Return a function that gives a macro by its file and name."""
    app = Flask("walletkin", template_folder=str(TEMPLATES))
    filters.register(app)
    logos.register(app, read_settings({}))

    def find(file: str, name: str) -> Macro:
        found: Macro = getattr(app.jinja_env.get_template(f"macros/{file}.html").module, name)
        return lambda *args, **kwargs: one_line(found(*args, **kwargs))

    return find


@pytest.fixture
def token_row(macro: Callable[[str, str], Macro]) -> Macro:
    return macro("evidence", "token_row")


@pytest.fixture
def token_cell(macro: Callable[[str, str], Macro]) -> Macro:
    return macro("tokens", "token_cell")


@pytest.fixture
def token_price(macro: Callable[[str, str], Macro]) -> Macro:
    return macro("tokens", "token_price")


def cells_of(row: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)]


def test_a_shared_token_tells_both_sides_and_opens_every_transaction(token_row: Macro) -> None:
    row = token_row(SHARED, "capital", 0.5)
    assert cells_of(row)[:5] == ["0.250", "50.0\u00a0%", "6.3\u00a0%", "2.50", "147.4"]
    assert cells_of(row)[5:8] == ["18 Mar 14:22:05", "14:22:19", "+14\u00a0s"]
    assert 'max="0.5" value="0.25"' in row
    links = re.findall(r'href="https://solscan.io/tx/([^"]+)"', row)
    assert links == ["first of a", "only of b", "first of a", "second of a", "only of b"]
    assert ">All transactions, in the explorer: </span>3<svg" in row


def test_what_a_shared_token_lacks_is_a_dash(token_row: Macro) -> None:
    unknown = dict.fromkeys(("first_buy_a", "first_buy_b", "gap_s", "weight_a", "spent_sol_a"))
    row = token_row(SHARED | unknown | {"signatures_a": [], "signatures_b": []}, "behavioural", 0)
    assert cells_of(row)[:-2] + cells_of(row)[-1:] == ["–", "–", "6.3\u00a0%", "–", "147.4", "–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [(1_773_843_725, 1_773_930_125, "19 Mar 14:22:05"), (None, 1_773_843_739, "18 Mar 14:22:19")],
)
def test_the_second_time_has_its_day_unless_it_is_the_same(
    token_row: Macro, first: float | None, second: float, shown: str
) -> None:
    row = token_row(SHARED | {"first_buy_a": first, "first_buy_b": second}, "capital", 1)
    assert cells_of(row)[6] == shown


def test_two_matched_trades_stand_side_by_side(macro: Callable[[str, str], Macro]) -> None:
    match = {
        "token": TOKEN, "side": "buy", "time_a": 1_773_843_725, "time_b": 1_773_843_719, "lag_s": -6,
        "signature_a": "a", "signature_b": "b",
    }  # fmt: skip
    assert cells_of(macro("evidence", "match_row")(match)) == [
        "buy", "18 Mar 14:22:05", "18 Mar 14:21:59", "−6\u00a0s", "a (opens the explorer)", "b (opens the explorer)",
    ]  # fmt: skip


def test_a_signature_from_the_chain_is_text(token_row: Macro) -> None:
    row = token_row(SHARED | {"signatures_a": [HOSTILE], "signatures_b": []}, "capital", 1)
    assert "<b" not in row.replace("<bdi", "")
    assert row.count("&lt;b onclick=") == 3


@pytest.mark.parametrize("status", ["resolved", "pending", "unlisted", "failed"])
@pytest.mark.parametrize("logo", [None, HOSTILE])
def test_a_strangers_name_is_text_in_a_cell(macro: Callable[[str, str], Macro], status: str, logo: str | None) -> None:
    token = TOKEN | {"status": status, "symbol": HOSTILE, "name": HOSTILE, "mint": HOSTILE, "image_url": logo}
    for name, oob in (("token_cell", True), ("token_price", True), ("token_place", False)):
        markup = macro("tokens", name)(token, **({"oob": True} if oob else {}))
        assert "<b " not in markup
        assert "'x'" not in markup


def test_a_price_says_its_age_and_when_it_is_stale(token_price: Macro) -> None:
    fresh, stale = (token_price(TOKEN | {"stale": stale}) for stale in (False, True))
    assert "$0.50" in fresh
    assert "stale" not in fresh
    assert "is-stale" in stale
    assert "stale, <time" in stale


def test_a_token_that_only_looks_like_another_says_so(token_cell: Macro) -> None:
    assert "not USDC" in token_cell(TOKEN | {"symbol": "USDC"})
    assert "imitation" not in token_cell(TOKEN)


def test_a_bar_without_a_scale_or_a_value_is_empty(macro: Callable[[str, str], Macro]) -> None:
    bar = macro("figures", "bar")
    assert 'max="1" value="0"' in bar(None, None, "Wallets", text="none")
    assert 'max="4" value="3"' in bar(3, 4, "Wallets")
    assert ">3</span>" in bar(3, 4, "Wallets")


def test_a_cached_cell_changes_with_its_token(token_cell: Macro) -> None:
    assert token_cell(TOKEN) == token_cell(dict(TOKEN))
    assert "Other" in token_cell(TOKEN | {"name": "Other"})


def test_a_cached_price_changes_with_its_age(token_price: Macro, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "2026" in token_price(TOKEN)
    monkeypatch.setattr("time.time", lambda: TOKEN["last_updated"] + 30)
    assert "30\u00a0s ago" in token_price(TOKEN)


def test_values_of_a_key_can_be_hashed() -> None:
    first, second = {"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}
    assert len({frozen(first), frozen(dict(first)), frozen(second)}) == 2
