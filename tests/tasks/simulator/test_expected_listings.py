"""What is expected of the market is what a reader that keeps the rules finds, and a large market is made at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import market_scenario
from tasks.simulator.world.tokens import QUOTES, USDC_MINT, USDT_MINT, WSOL_MINT
from tasks.simulator.world.world import build_world
from tests.support.expected_listings import expected_listing
from tests.support.waiting import HANG_S

TRUSTED = (WSOL_MINT, USDC_MINT, USDT_MINT)
Found = tuple[str, str, str, float | None, str | None]


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with Simulator(market_scenario(1_500)) as simulator:
        yield simulator


def _packs(mints: list[str], most: int) -> Iterator[str]:
    for start in range(0, len(mints), most):
        yield ",".join(mints[start : start + most])


def _believable(pair: dict[str, Any]) -> bool:
    liquidity = pair.get("liquidity", {}).get("usd", 0)
    return bool(pair["quoteToken"]["address"] in TRUSTED or (liquidity >= 1_000 and pair["volume"]["h24"] > 0))


def _from_pairs(mint: str, pairs: list[dict[str, Any]]) -> Found | None:
    """Read one mint out of all pairs, by section 3 of the notes on the services."""
    based = [pair for pair in pairs if pair["baseToken"]["address"] == mint]
    if based:
        named = based[0]["baseToken"]
        ranked = sorted(
            filter(_believable, based),
            key=lambda p: (p["quoteToken"]["address"] in TRUSTED, p.get("liquidity", {}).get("usd", 0)),
        )
        price = float(ranked[-1]["priceUsd"]) if ranked else None
        return "resolved", named["name"], named["symbol"], price, "dexscreener" if ranked else None
    quoted = [p for p in pairs if p["quoteToken"]["address"] == mint and p["volume"]["h24"] > 0]
    if not quoted:
        return None
    named, price = quoted[0]["quoteToken"], float(quoted[0]["priceUsd"]) / float(quoted[0]["priceNative"])
    return "resolved", named["name"], named["symbol"], price, "dexscreener"


def _read_everything(simulator: Simulator, mints: list[str]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for pack in _packs(mints, 30):
        pairs = requests.get(f"{simulator.url}/tokens/v1/solana/{pack}", timeout=HANG_S).json()
        found |= {mint: read for mint in pack.split(",") if (read := _from_pairs(mint, pairs))}
    for pack in _packs([mint for mint in mints if mint not in found or found[mint][3] is None], 100):
        for entry in requests.get(f"{simulator.url}/tokens/v2/search?query={pack}", timeout=HANG_S).json():
            price = entry.get("usdPrice")
            source = None if price is None else "jupiter"
            found[entry["id"]] = ("resolved", entry["name"], entry["symbol"], price, source)
    return found


def test_a_careful_reader_finds_what_is_expected(market: Simulator) -> None:
    mints = [token.mint for token in market.world.catalogue.tokens]
    found = _read_everything(market, mints)
    for mint in mints:
        wanted = expected_listing(market.world, mint)
        status, name, symbol, price, source = found.get(mint, ("unlisted", None, None, None, None))
        assert wanted == {"status": status, "name": name, "symbol": symbol, "source": source} | {
            "price_usd": None if price is None else pytest.approx(price, rel=2e-3)
        }, mint


def test_every_outcome_is_expected_of_some_token(market: Simulator) -> None:
    listings = [expected_listing(market.world, token.mint) for token in market.world.catalogue.tokens[QUOTES:]]
    outcomes = Counter((each["status"], each["source"]) for each in listings)
    assert set(outcomes) == {
        ("resolved", "dexscreener"),
        ("resolved", "jupiter"),
        ("resolved", None),
        ("unlisted", None),
    }
    assert 0.03 < outcomes["unlisted", None] / len(listings) < 0.07
    assert 0.05 < outcomes["resolved", "jupiter"] / len(listings) < 0.15


def test_a_stranger_is_expected_to_be_unlisted(market: Simulator) -> None:
    assert expected_listing(market.world, "nothing")["status"] == "unlisted"


def test_a_market_has_as_many_tokens_as_asked_for_and_hardly_a_wallet() -> None:
    world = build_world(market_scenario(20_000, seed=3))
    assert len({token.mint for token in world.catalogue.tokens}) == QUOTES + 20_000
    assert len(world.addresses) == 1
    assert world.scenario.seed == 3
