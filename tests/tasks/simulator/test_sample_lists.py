"""The demo's lists: quick to make, and with every kind of line that a preview must tell apart."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from tasks.simulator.world.addresses import is_base58
from tasks.simulator.world.sample_lists import sample_lists
from tasks.simulator.world.scenario import Scenario, plain_scenario
from tasks.simulator.world.tokens import USDC_MINT, Token
from tasks.simulator.world.wallets import failing_address
from tasks.simulator.world.words import HOSTILE_NAMES
from tasks.simulator.world.world import build_world


def _rows(text: str) -> list[list[str]]:
    return [line.split(",") for line in text.splitlines()]


def test_the_lists_are_made_without_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.simulator.world.world.build_world", None)
    lists = sample_lists(Scenario())
    assert [entry.name for entry in lists] == ["Launch cohort", "Two desks", "Copy traders", "Whole village"]
    assert all(entry.description and entry.text.endswith("\n") for entry in lists)


def test_the_lists_do_not_depend_on_the_time() -> None:
    assert sample_lists(Scenario(end_at=1_795_000_000)) == sample_lists(Scenario(end_at=1_796_000_000))


def test_the_cohort_shows_every_verdict() -> None:
    scenario = Scenario()
    addresses = [row[0] for row in _rows(sample_lists(scenario)[0].text)]
    valid = [address for address in addresses if is_base58(address, 32)]
    assert len(addresses) - len(valid) == 1
    assert USDC_MINT in valid
    assert failing_address(scenario) in valid
    assert sorted(Counter(valid).values())[-2:] == [1, 2]
    assert len(set(valid) - {USDC_MINT}) == 60


def test_the_lists_mix_groups_with_independents() -> None:
    scenario = Scenario()
    truth = build_world(scenario).truth
    cohort, desks, copiers, village = (
        [truth[row[0]] for row in _rows(entry.text) if row[0] in truth] for entry in sample_lists(scenario)
    )
    assert {role.kind for role in cohort} == {"copies", "mixed", "owner", "independent", "long"}
    assert [role.group for role in desks] == ["Twin desk", "Twin desk"]
    assert Counter(role.kind for role in copiers) == {"followers": 15, "independent": 9}
    assert len(village) == 399
    assert "long" not in {role.kind for role in village}


def test_every_row_has_a_label_of_its_own() -> None:
    rows = _rows(sample_lists(Scenario())[3].text)
    assert all(len(row) == 2 and row[1] for row in rows)
    assert len({row[1] for row in rows}) == len(rows)


def test_a_small_world_has_lists_too() -> None:
    lists = sample_lists(plain_scenario(3, 20))
    assert len(_rows(lists[1].text)) == 2
    assert len(_rows(lists[3].text)) == 3


def _traded(place: int) -> list[Token]:
    """Return the tokens that a list's wallets traded."""
    scenario = Scenario()
    world = build_world(scenario)
    wallets = {row[0] for row in _rows(sample_lists(scenario)[place].text)} & set(world.addresses)
    mints = {trade.mint for wallet in wallets for _, trade in world.planned_trades(wallet)}
    return [world.catalogue.by_mint[mint] for mint in mints]


def test_the_first_list_shows_hostile_names_and_what_no_market_knows() -> None:
    traded = _traded(0)
    names = {(token.name, token.symbol) for token in traded}
    assert names >= set(HOSTILE_NAMES.values())
    listings = Counter(token.listing for token in traded)
    assert 0.02 <= listings["none"] / len(traded) <= 0.06
    assert 0.07 <= listings["second"] / len(traded) <= 0.14


def test_hostile_names_are_of_every_kind() -> None:
    texts = [text for pair in HOSTILE_NAMES.values() for text in pair]
    for sign in ("<img", '" autofocus', "'\"><svg", "\u202e", "\u200b", "\u0000"):
        assert any(sign in text for text in texts), sign
    assert any(len(name) == 10_000 for name, _ in HOSTILE_NAMES.values())
    assert {"USDC", "USD\u0421"} <= set(texts)
    assert any(all(unicodedata.category(letter).startswith("M") for letter in text) for text in texts)
    assert any(all(unicodedata.category(letter) in ("So", "Cf") for letter in text) for text in texts)
