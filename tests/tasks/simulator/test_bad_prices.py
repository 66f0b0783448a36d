"""What the market says wrong of chosen mints reaches the wire as it is meant to, and harms no other mint."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
import requests

from tasks.simulator.faults import BAD_PRICES
from tasks.simulator.server import Simulator
from tasks.simulator.world.tokens import QUOTES, Token

LITERALS = {"nan": b"NaN", "infinite": b"Infinity", "huge": b"1" + b"0" * 400}
PRICES: dict[str, Any] = {
    "negative": -1.5,
    "zero": 0,
    "infinite": math.inf,
    "huge": 10**400,
    "text": "a lot",
    "null": None,
    "nan_text": "NaN",
    "infinite_text": "Infinity",
    "huge_text": "1e400",
}


def _listed(simulator: Simulator, listing: str) -> Token:
    """Return a token that is priced by both services, or by the second alone."""
    tokens = simulator.world.catalogue.tokens[QUOTES:]
    return next(t for t in tokens if t.listing == listing and t.rugged_s is None and t.index % 29 not in (4, 5))


def _pairs(simulator: Simulator, *tokens: Token) -> bytes:
    mints = ",".join(token.mint for token in tokens)
    return requests.get(f"{simulator.url}/tokens/v1/solana/{mints}", timeout=5).content


def _entries(simulator: Simulator, *tokens: Token) -> bytes:
    mints = ",".join(token.mint for token in tokens)
    return requests.get(f"{simulator.url}/tokens/v2/search?query={mints}", timeout=5).content


@pytest.mark.parametrize(("wrong", "price"), PRICES.items())
def test_a_price_is_wrong_with_both_services(simulator: Simulator, wrong: str, price: Any) -> None:
    token = _listed(simulator, "both")
    right = json.loads(_pairs(simulator, token))
    simulator.set_faults(bad_prices={token.mint: wrong})
    pairs = json.loads(_pairs(simulator, token))
    assert [pair["priceUsd"] for pair in pairs] == [price] * len(right)
    assert [pair | {"priceUsd": 0} for pair in pairs] == [pair | {"priceUsd": 0} for pair in right]
    assert json.loads(_entries(simulator, token))[0]["usdPrice"] == price
    prices = json.loads(requests.get(f"{simulator.url}/price/v3?ids={token.mint}", timeout=5).content)
    assert prices[token.mint]["usdPrice"] == price


@pytest.mark.parametrize(("wrong", "literal"), LITERALS.items())
def test_what_is_no_json_number_is_written_bare(simulator: Simulator, wrong: str, literal: bytes) -> None:
    token = _listed(simulator, "both")
    simulator.set_faults(bad_prices={token.mint: wrong})
    for body, name in ((_pairs(simulator, token), b'"priceUsd":'), (_entries(simulator, token), b'"usdPrice":')):
        assert name + literal + b"," in body
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(body)


@pytest.mark.parametrize("wrong", BAD_PRICES)
def test_other_mints_of_the_request_are_unharmed(simulator: Simulator, wrong: str) -> None:
    token = _listed(simulator, "both")
    other = next(t for t in simulator.world.catalogue.tokens[token.index + 2 :] if t.listing == "both")
    pairs, entries = json.loads(_pairs(simulator, other)), json.loads(_entries(simulator, other))
    simulator.set_faults(bad_prices={token.mint: wrong})
    assert json.loads(_pairs(simulator, token, other))[-len(pairs) :] == pairs
    assert json.loads(_entries(simulator, token, other))[-len(entries) :] == entries


def test_only_another_chain_has_a_pair_and_the_second_service_the_right_price(simulator: Simulator) -> None:
    token = _listed(simulator, "both")
    right = _entries(simulator, token)
    simulator.set_faults(bad_prices={token.mint: "other_chain"})
    assert {pair["chainId"] for pair in json.loads(_pairs(simulator, token))} == {"base"}
    assert json.loads(_entries(simulator, token)) == json.loads(right)


def test_a_mint_is_there_twice_with_two_prices(simulator: Simulator) -> None:
    token = _listed(simulator, "both")
    right = json.loads(_pairs(simulator, token))
    simulator.set_faults(bad_prices={token.mint: "twice"})
    pairs, entries = json.loads(_pairs(simulator, token)), json.loads(_entries(simulator, token))
    assert pairs[::2] == right
    assert [pair["priceUsd"] for pair in pairs[1::2]] == ["123.4"] * len(right)
    assert [entry["id"] for entry in entries] == [token.mint] * 2
    assert entries[0]["usdPrice"] != entries[1]["usdPrice"]


def test_a_list_stands_where_a_mint_should(simulator: Simulator) -> None:
    token = _listed(simulator, "both")
    simulator.set_faults(bad_prices={token.mint: "list"})
    assert all(isinstance(pair, list) for pair in json.loads(_pairs(simulator, token)))
    assert json.loads(_entries(simulator, token)) == [[token.mint]]


def test_only_addresses_are_left(simulator: Simulator) -> None:
    token = _listed(simulator, "second")
    other = _listed(simulator, "both")
    simulator.set_faults(bad_prices={token.mint: "bare", other.mint: "bare"})
    assert json.loads(_entries(simulator, token)) == [{"id": token.mint}]
    pair = json.loads(_pairs(simulator, other))[0]
    assert set(pair) == {"chainId", "pairAddress", "baseToken", "quoteToken"}
    assert pair["baseToken"] == {"address": other.mint}


def test_a_rejected_mint_has_the_whole_request_refused(simulator: Simulator) -> None:
    token, other = _listed(simulator, "both"), _listed(simulator, "second")
    simulator.set_faults(rejected_mints=[token.mint])
    for path in ("/tokens/v1/solana/", "/tokens/v2/search?query=", "/price/v3?ids="):
        answer = requests.get(f"{simulator.url}{path}{other.mint},{token.mint}", timeout=5)
        assert answer.status_code == 400
        assert requests.get(f"{simulator.url}{path}{other.mint}", timeout=5).status_code == 200
    assert simulator.stats()["largest_mint_count"] == {"dexscreener": 2, "jupiter": 4}
