"""Hostile token names and impersonation (`tasks/sources/market/names.py`)."""

from __future__ import annotations

import unicodedata

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures.well_known import DEFAULT_EXCLUDED, USDC, WSOL
from tasks.sources.market.names import MOST_MARKS, WELL_KNOWN, clean_name, impersonated_token
from tests.support.scripted_service import WALLET


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Bonk", "Bonk"),
        ("  dog \t wif\u00a0\u2003hat\n", "dog wif hat"),
        ("Zero\u200bWidth\u0000Null\ufeff", "ZeroWidthNull"),
        ("\u202eniop eht esreveR\u202c", "niop eht esreveR"),
        ("\u2066A\u2069\u061c\u200f", "A"),
        ("a\ud800b\udfff", "ab"),
        ("a\x1b[31mred\x7f\x9b", "a[31mred"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u3164\u2800\u034f\U000e0041", None),
        ("\u0301\u0301", None),
        ("<img src=x>", "<img src=x>"),
        ("नमस्ते ไทยที่ עִבְרִית", unicodedata.normalize("NFC", "नमस्ते ไทยที่ עִבְרִית")),
        ("", None),
        (" \n", None),
        (None, None),
        (5, None),
        (["a"], None),
        (b"a", None),
    ],
)
def test_visible_characters_stay(text: object, cleaned: str | None) -> None:
    assert clean_name(text, 80) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("abcdef", "abcdef"),
        ("abcdefg", "abcde…"),
        ("abcd efg", "abcd…"),
        ("abcdx\u0323\u0302yz", "abcd…"),  # the letter and its marks go together
        ("abcd\U0001f44d\U0001f3fdxyz", "abcd…"),
        ("abcd" + "\U0001f1e8\U0001f1ed" * 3, "abcd…"),  # no half of a flag
        ("abc" + "\U0001f1e8\U0001f1ed" * 3, "abc\U0001f1e8\U0001f1ed…"),
    ],
)
def test_it_cuts_between_letters(text: str, cleaned: str) -> None:
    assert clean_name(text, 6) == cleaned


def test_marks_on_one_letter_are_limited() -> None:
    towers = clean_name("a" + "\u0335" * 200 + "b" + "\u0335" * 2, 80)
    assert towers == "a" + "\u0335" * MOST_MARKS + "b" + "\u0335" * 2


def test_it_looks_only_at_the_beginning_of_a_long_text() -> None:
    assert clean_name("A" * 10_000_000, 80) == "A" * 79 + "…"
    assert clean_name("\u200b" * 10_000_000 + "A", 80) is None


@given(st.text(st.characters()), st.integers(2, 90))
def test_any_text_becomes_short_visible_and_stable(text: str, most: int) -> None:
    cleaned = clean_name(text, most)
    if cleaned is None:
        return
    assert 0 < len(cleaned) <= most
    assert not {unicodedata.category(character) for character in cleaned} & {"Cc", "Cf", "Cs"}
    assert cleaned == " ".join(cleaned.split()) == unicodedata.normalize("NFC", cleaned) == clean_name(cleaned, most)
    assert cleaned.encode()


@given(st.one_of(st.none(), st.integers(), st.lists(st.text()), st.binary()))
def test_anything_but_text_is_no_name(value: object) -> None:
    assert clean_name(value, 80) is None


@pytest.mark.parametrize(
    ("symbol", "known"),
    [
        ("USDC", "USDC"),
        ("usdc", "USDC"),
        ("USD\u0421", "USDC"),  # Cyrillic
        ("\u0405OL", "SOL"),
        ("ЅОL", "SOL"),
        ("ВОΝК", "BONK"),
        ("ᴜsdс", "USDC"),
        ("ＵＳＤＣ", "USDC"),
        ("𝐔𝐒𝐃𝐂", "USDC"),
        ("Ⓤⓢⓓⓒ", "USDC"),
        ("S0L", "SOL"),
        ("SO1", "SOL"),
        ("s0l", "SOL"),
        ("B0NK", "BONK"),
        ("U5DC", "USDC"),
        ("W1F", "WIF"),
        ("WlF", "WIF"),
        ("WLF", None),
        ("$WIF", "WIF"),
        ("U.S.D.C", "USDC"),
        ("U\u200bS\u2060D\u00adC", "USDC"),
        ("USDC \U0001f525", "USDC"),
        ("ÚSDĆ", "USDC"),
        ("jitosol", "JitoSOL"),
        ("JITOSOL", "JitoSOL"),
        ("JlTOSOL", "JitoSOL"),
        ("jItosol", "JitoSOL"),
        ("usdт", "USDT"),
        ("PENGÜ", "PENGU"),
        ("W", "W"),
        ("w", "W"),
        ("WW", None),
        ("USDC2", None),
        ("USDCat", None),
        ("中USDC", None),
        ("DOGE", None),
        ("", None),
        ("\u200b", None),
        (None, None),
    ],
)
def test_a_symbol_may_impersonate_a_well_known_token(symbol: str | None, known: str | None) -> None:
    assert impersonated_token(symbol, None, WALLET) == known


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("USD Coin", "USDC"),
        ("USD-Co1n", "USDC"),
        ("USD \u0421oin", "USDC"),
        ("Tether USD", "USDT"),
        ("Wrapped SOL", "SOL"),
        ("solana", "SOL"),
        ("dogwifhat", "WIF"),
        ("Officia1 Trump", "TRUMP"),
        ("W", None),  # too short to compare names by
        ("w.", None),
        ("Usdcoin of the realm", None),
        ("Bold Badger", None),
    ],
)
def test_a_name_may_impersonate_a_well_known_token(name: str, known: str | None) -> None:
    assert impersonated_token("DOGE", name, WALLET) == known


def test_the_symbol_counts_before_the_name() -> None:
    assert impersonated_token("USDC", "Wrapped SOL", WALLET) == "USDC"


def test_a_well_known_token_impersonates_none() -> None:
    assert impersonated_token("USDC", "USD Coin", USDC) is None
    assert impersonated_token("USDC", "USD Coin", WSOL) is None
    for mint, (symbol, *others) in WELL_KNOWN.items():
        for word in (symbol, *others):
            assert impersonated_token(word, None, mint) is None
            assert impersonated_token(word, None, WALLET) == symbol


def test_well_known_addresses_are_addresses() -> None:
    assert {len(base58.b58decode(mint)) for mint in WELL_KNOWN} == {32}
    for mint in WELL_KNOWN.keys() & DEFAULT_EXCLUDED.keys():
        assert DEFAULT_EXCLUDED[mint] in WELL_KNOWN[mint]


@given(st.text(st.characters()) | st.none(), st.text(st.characters()) | st.none())
def test_any_text_can_be_compared(symbol: str | None, name: str | None) -> None:
    known = {words[0] for words in WELL_KNOWN.values()}
    assert impersonated_token(symbol, name, WALLET) in known | {None}
    assert impersonated_token("x" * 1_000_000, name, WALLET) == impersonated_token(None, name, WALLET)
