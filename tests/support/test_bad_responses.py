"""Wrong data of chosen mints reach the wire, and other mints stay as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import requests

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import market_scenario
from tests.support.bad_responses import PRICES, misquote
from tests.support.waiting import HANG_S

LITERALS = {"nan": b"NaN", "infinite": b"Infinity", "huge": b"1" + b"0" * 400}


@pytest.fixture
def market() -> Iterator[Simulator]:
    with Simulator(market_scenario(30, end_at=1_795_000_000)) as simulator:
        yield simulator


def _get(market: Simulator, path: str) -> bytes:
    return requests.get(market.url + path, timeout=HANG_S).content


def _entries(market: Simulator, mint: str) -> Any:
    return json.loads(_get(market, f"/tokens/v1/solana/{mint}")) + json.loads(
        _get(market, f"/tokens/v2/search?query={mint}")
    )


def _mints(market: Simulator) -> list[str]:
    return [token.mint for token in market.world.catalogue.tokens if token.listing == "both" and token.index > 7]


@pytest.mark.parametrize("kind", [*PRICES, "other_chain", "twice", "list", "bare"])
def test_only_the_chosen_mint_is_wrong(market: Simulator, kind: str) -> None:
    wrong, other = _mints(market)[:2]
    before = {mint: _entries(market, mint) for mint in (wrong, other)}
    misquote(market, {wrong: kind})
    assert _entries(market, wrong) != before[wrong]
    assert _entries(market, other) == before[other]


@pytest.mark.parametrize(("kind", "literal"), LITERALS.items())
def test_a_price_that_is_no_json_number_is_written_bare(market: Simulator, kind: str, literal: bytes) -> None:
    mint = _mints(market)[0]
    misquote(market, {mint: kind})
    for path, name in (("/tokens/v1/solana/", b'"priceUsd":'), ("/tokens/v2/search?query=", b'"usdPrice":')):
        body = _get(market, path + mint)
        assert name + literal + b"," in body
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(body)


def test_a_rejected_mint_fails_the_whole_request(market: Simulator) -> None:
    rejected, other = _mints(market)[:2]
    misquote(market, {}, rejected)
    for path in ("/tokens/v1/solana/", "/tokens/v2/search?query="):
        assert requests.get(f"{market.url}{path}{other},{rejected}", timeout=HANG_S).status_code == 400
        assert requests.get(market.url + path + other, timeout=HANG_S).status_code == 200
