"""The made-up market: shapes, gaps and traps as the real ones have them."""

from __future__ import annotations

import json
import pathlib
from decimal import Decimal
from typing import Any

import pytest
import requests

from tasks.simulator.server import Simulator
from tasks.simulator.world.tokens import QUOTES, USDC_MINT, WSOL_MINT, Token, sol_usd
from tests.support.waiting import HANG_S


def _get(simulator: Simulator, path: str) -> Any:
    return requests.get(simulator.url + path, timeout=HANG_S).json()


def _tokens(simulator: Simulator, listing: str | None = None) -> list[Token]:
    tokens = simulator.world.catalogue.tokens[QUOTES:]
    return [token for token in tokens if listing in (None, token.listing)]


def _pairs(simulator: Simulator, *tokens: Token) -> list[dict[str, Any]]:
    pairs: list[dict[str, Any]] = _get(simulator, "/tokens/v1/solana/" + ",".join(t.mint for t in tokens))
    return pairs


def _all_pairs(simulator: Simulator) -> list[dict[str, Any]]:
    tokens = _tokens(simulator)
    return [pair for start in range(0, len(tokens), 30) for pair in _pairs(simulator, *tokens[start : start + 30])]


def test_pairs_have_only_recorded_keys(simulator: Simulator, samples: pathlib.Path) -> None:
    recorded: list[dict[str, Any]] = []
    for path in (samples / "dexscreener").glob("*.json"):
        content = json.loads(path.read_text())
        recorded += content["pairs"] if isinstance(content, dict) else content
    made = _all_pairs(simulator)
    always = set.intersection(*(set(pair) for pair in recorded))
    for pair in made:
        assert always <= set(pair) <= {key for pair in recorded for key in pair}
        assert set(pair["baseToken"]) == {"address", "name", "symbol"}
        assert isinstance(pair["priceUsd"], str)
        assert Decimal(pair["priceUsd"]) > 0
        assert "E" not in pair["priceUsd"].upper()


def test_answers_have_the_gaps_and_traps_of_real_ones(simulator: Simulator) -> None:
    made = _all_pairs(simulator)
    assert any("liquidity" not in pair for pair in made)
    assert any(pair.get("liquidity", {}).get("usd") == 0 and pair["volume"]["h24"] > 1e6 for pair in made)
    assert any("info" not in pair for pair in made)
    assert any("fdv" not in pair for pair in made)
    assert any(pair["priceChange"] == {} for pair in made)
    asked = {token.mint for token in _tokens(simulator)}
    bases = {pair["baseToken"]["address"] for pair in made}
    assert any(pair["quoteToken"]["address"] in asked - bases for pair in made), "no mint known only as a quote"


def test_a_fake_pool_claims_the_highest_liquidity_at_a_wrong_price(simulator: Simulator) -> None:
    token = next(t for t in _tokens(simulator, "both") if t.index % 9 == 0 and t.index % 11 and t.rugged_s is None)
    pairs = _pairs(simulator, token)
    richest = max(pairs, key=lambda pair: pair["liquidity"]["usd"])
    honest = next(pair for pair in pairs if pair["quoteToken"]["address"] in (WSOL_MINT, USDC_MINT))
    assert float(richest["priceUsd"]) / float(honest["priceUsd"]) == pytest.approx(41, rel=0.01)
    price = token.price_sol(simulator.world.scenario.span_s) * sol_usd(simulator.world.scenario.span_s)
    assert float(honest["priceUsd"]) == pytest.approx(price, rel=0.001)


def test_the_older_route_mixes_chains_and_wraps_its_pairs(simulator: Simulator) -> None:
    token = next(t for t in _tokens(simulator, "both") if t.index % 13 == 0)
    answer = _get(simulator, f"/latest/dex/tokens/{token.mint}")
    assert answer["schemaVersion"] == "1.0.0"
    assert {pair["chainId"] for pair in answer["pairs"]} == {"base", "solana"}
    assert {pair["chainId"] for pair in _pairs(simulator, token)} == {"solana"}
    assert _get(simulator, "/latest/dex/tokens/nothing")["pairs"] is None


def test_each_source_knows_its_own_tokens(simulator: Simulator) -> None:
    second, unlisted = _tokens(simulator, "second")[0], _tokens(simulator, "none")[0]
    assert _pairs(simulator, second, unlisted) == []
    found = _get(simulator, f"/tokens/v2/search?query={second.mint},{unlisted.mint}")
    assert [entry["id"] for entry in found] == [second.mint]
    assert unlisted.mint not in _get(simulator, f"/price/v3?ids={second.mint},{unlisted.mint}")


def test_jupiter_has_only_recorded_keys(simulator: Simulator, samples: pathlib.Path) -> None:
    recorded = json.loads((samples / "jupiter/tokens_v2_search_SOL_2025_BONK_2026_stats_dropped.json").read_text())
    mints = [token.mint for token in _tokens(simulator)[:99]]
    found = _get(simulator, f"/tokens/v2/search?query={','.join([WSOL_MINT, *mints])}")
    known = {key for entry in recorded for key in entry}
    assert all({"id", "name", "symbol", "decimals"} <= set(entry) <= known for entry in found)
    assert any("usdPrice" not in entry for entry in found)
    assert any("icon" not in entry for entry in found)
    recorded = json.loads((samples / "jupiter/price_v3_docs_example.json").read_text())
    priced = _get(simulator, f"/price/v3?ids={WSOL_MINT},{USDC_MINT}")
    assert {mint: set(entry) for mint, entry in priced.items()} == {m: set(e) for m, e in recorded.items()}


def test_sol_and_dollars_have_prices(simulator: Simulator) -> None:
    pairs = _get(simulator, f"/tokens/v1/solana/{WSOL_MINT},{USDC_MINT}")
    prices = {pair["baseToken"]["address"]: float(pair["priceUsd"]) for pair in pairs}
    assert prices[WSOL_MINT] == pytest.approx(sol_usd(simulator.world.scenario.span_s), rel=0.001)
    assert prices[USDC_MINT] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("path", "most"), [("/tokens/v1/solana/", 30), ("/tokens/v2/search?query=", 100), ("/price/v3?ids=", 50)]
)
def test_more_than_the_documented_number_is_refused(simulator: Simulator, path: str, most: int) -> None:
    mints = [token.mint for token in _tokens(simulator)]
    assert requests.get(simulator.url + path + ",".join(mints[:most]), timeout=HANG_S).status_code == 200
    assert requests.get(simulator.url + path + ",".join(mints[: most + 1]), timeout=HANG_S).status_code == 400


def test_images_are_there(simulator: Simulator) -> None:
    pair = next(pair for pair in _pairs(simulator, *_tokens(simulator, "both")[:5]) if "info" in pair)
    image = requests.get(pair["info"]["imageUrl"], timeout=HANG_S)
    assert image.headers["Content-Type"] == "image/svg+xml"
    assert requests.get(f"{simulator.url}/logos/nothing.svg", timeout=HANG_S).status_code == 404
    hostile = simulator.world.catalogue.tokens[12]
    assert "<img" in hostile.name
    assert "<b>" not in requests.get(f"{simulator.url}/logos/{hostile.mint}.svg", timeout=HANG_S).text
