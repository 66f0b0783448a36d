"""The price of SOL (`tasks/sources/market/sources.py`) and the reading of numbers (`numbers.py`)."""

from __future__ import annotations

import json
import logging
import pathlib

import pytest

from tasks.errors import SourceError
from tasks.measures.well_known import USDC, USDT, WSOL
from tasks.sources.market.dexscreener import DexScreener
from tasks.sources.market.jupiter import Jupiter
from tasks.sources.market.numbers import read_amount, read_decimals, read_price
from tasks.sources.market.pools import deepest_pair
from tasks.sources.market.sources import sol_price_usd
from tasks.sources.rate_limit.clock import Stopped
from tests.support.scripted_service import KEY, MINT, Answer, FakeClock, ScriptedService

BOTH = ("dexscreener", "jupiter")


def pair(
    price: object, usd: object = 1000, quote: str = USDC, base: str = WSOL, chain: str = "solana"
) -> dict[str, object]:
    return {
        "chainId": chain,
        "baseToken": {"address": base},
        "quoteToken": {"address": quote},
        "priceUsd": price,
        "liquidity": {"usd": usd},
    }


def without(entry: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in entry.items() if key != name}


@pytest.mark.parametrize(
    ("value", "price"), [("150.1", 150.1), (147.48, 147.48), (150, 150), ("1e-17", 1e-17), ("1000000000", 1e9)]
)
def test_a_price_is_a_number_or_a_string_of_one(value: object, price: float) -> None:
    assert read_price(value) == price


NO_DECIMALS: list[object] = [-1, 256, 9.0, "9", True, None, 10**400, [9]]
UNPRICED: list[object] = ["", "x", "0", "1_0", "٣", "1" * 500, "-1", "NaN", "Infinity", "1e10", "1000000001", "1e-400"]
UNPRICED += [None, True, [], {}, 0, -1, 1e10, 10**400, float("nan"), float("inf")]


@pytest.mark.parametrize("value", UNPRICED)
def test_what_is_no_price_is_none(value: object) -> None:
    assert read_price(value) is None


@pytest.mark.parametrize(("value", "amount"), [(0, 0.0), (12, 12.0), (0.5, 0.5), (10**15, 1e15)])
def test_an_amount_is_a_number_from_nothing_up(value: object, amount: float) -> None:
    assert read_amount(value) == amount


@pytest.mark.parametrize("value", ["1", -1, 1e15 * 1.01, 10**400, float("nan"), float("inf"), True, None, [1]])
def test_what_is_no_amount_is_none(value: object) -> None:
    assert read_amount(value) is None


@pytest.mark.parametrize(("value", "decimals"), [(0, 0), (9, 9), (255, 255)] + [(v, None) for v in NO_DECIMALS])
def test_decimals_fit_a_byte(value: object, decimals: int | None) -> None:
    assert read_decimals(value) == decimals


def test_dexscreener_takes_the_deepest_pool_against_dollars(dexscreener: DexScreener, service: ScriptedService) -> None:
    service.answers += [
        Answer(
            [
                pair("150.1", 5000),
                pair("151.2", 9000, USDT),
                pair("1", 10**12, MINT),  # any quote
                pair("2", 10**12, base=MINT),  # another token
                pair("3", 10**12, chain="ethereum"),
                "nonsense",
                {"chainId": "solana"},
            ]
        )
    ]
    assert dexscreener.sol_usd() == 151.2
    assert service.requests[0].path == f"/tokens/v1/solana/{WSOL}"


@pytest.mark.parametrize("price", [None, "", "x", "0", "-1", "NaN", "1e10", [], True])
def test_dexscreener_skips_an_invalid_price(dexscreener: DexScreener, service: ScriptedService, price: object) -> None:
    service.answers += [Answer([pair(price, 10**9), pair("150")])]
    assert dexscreener.sol_usd() == 150


@pytest.mark.parametrize("usd", [None, "9999", True, -1, [], 0])
def test_dexscreener_counts_a_missing_liquidity_as_none(
    dexscreener: DexScreener, service: ScriptedService, usd: object
) -> None:
    service.answers += [Answer([pair("1", usd), without(pair("2"), "liquidity"), pair("150", 0.1)])]
    assert dexscreener.sol_usd() == 150


@pytest.mark.parametrize("body", [[], [pair("1", quote=MINT)], {"pairs": []}, None, 5])
def test_dexscreener_may_have_no_price(dexscreener: DexScreener, service: ScriptedService, body: object) -> None:
    service.answers += [Answer(body)]
    with pytest.raises(SourceError) as caught:
        dexscreener.sol_usd()
    assert not caught.value.permanent
    assert caught.value.source == "dexscreener"


def test_the_deepest_pair_of_recorded_answers(samples: pathlib.Path) -> None:
    recorded = json.loads((samples / "dexscreener/latest_dex_tokens_bonk_wif_popcat_2026-09_subset.json").read_text())
    pairs = [entry for entry in recorded["pairs"] if entry["chainId"] == "solana"]
    for mint in {entry["baseToken"]["address"] for entry in pairs}:
        chosen = deepest_pair(pairs, mint, {WSOL, USDC, USDT})
        assert chosen is None or chosen["baseToken"]["address"] == mint
    assert deepest_pair(pairs, MINT, {WSOL, USDC, USDT}) is not None
    assert deepest_pair([], MINT, {USDC}) is None


def test_dexscreener_keeps_its_rate(dexscreener: DexScreener, service: ScriptedService, clock: FakeClock) -> None:
    service.default = lambda request: Answer([pair("150")])
    start = clock.now()
    for _ in range(301):
        dexscreener.sol_usd()
    assert 60 < clock.now() - start < 63


def test_jupiter_reads_the_recorded_answer(jupiter: Jupiter, service: ScriptedService, samples: pathlib.Path) -> None:
    service.answers += [Answer((samples / "jupiter/price_v3_docs_example.json").read_bytes())]
    assert jupiter.sol_usd() == 147.48
    assert service.requests[0].path == f"/price/v3?ids={WSOL}"
    assert service.requests[0].headers["x-api-key"] == KEY


@pytest.mark.parametrize(
    "body", [{}, [], None, {WSOL: None}, {WSOL: {}}] + [{WSOL: {"usdPrice": p}} for p in ("x", True, 0, -1, 1e10, None)]
)
def test_jupiter_may_have_no_price(jupiter: Jupiter, service: ScriptedService, body: object) -> None:
    service.answers += [Answer(body)]
    with pytest.raises(SourceError) as caught:
        jupiter.sol_usd()
    assert not caught.value.permanent
    assert caught.value.source == "jupiter"


def test_jupiter_keeps_its_rate(service: ScriptedService, clock: FakeClock) -> None:
    service.default = lambda request: Answer({WSOL: {"usdPrice": 149}})
    keyless = Jupiter(service.url, clock=clock.clock)
    start = clock.now()
    for _ in range(31):
        keyless.sol_usd()
    assert 60 < clock.now() - start < 63
    assert "x-api-key" not in service.requests[0].headers
    keyless.close()


def test_sources_stop_on_request(service: ScriptedService) -> None:
    with pytest.raises(Stopped):
        DexScreener(service.url, stop=lambda: True).sol_usd()
    with pytest.raises(Stopped):
        Jupiter(service.url, stop=lambda: True).sol_usd()


def price_from(service: ScriptedService, order: tuple[str, ...] = BOTH) -> float | None:
    return sol_price_usd(order, service.url, service.url, KEY)


def test_the_first_source_with_a_price_is_believed(service: ScriptedService) -> None:
    service.answers += [Answer([pair("150")])]
    assert price_from(service) == 150


def test_the_next_source_is_used_after_a_fault(service: ScriptedService, caplog: pytest.LogCaptureFixture) -> None:
    service.answers += [Answer({}, 503), Answer({WSOL: {"usdPrice": 149}})]
    assert price_from(service) == 149
    assert "no price of SOL: DexScreener answered 503" in caplog.text


def test_the_order_is_the_callers(service: ScriptedService) -> None:
    service.answers += [Answer({WSOL: {"usdPrice": 149}})]
    assert price_from(service, ("jupiter", "dexscreener")) == 149


def test_no_source_has_a_price(service: ScriptedService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service.answers += [Answer([]), Answer({}, 401)]
    assert price_from(service) is None
    assert price_from(service, ()) is None
    assert price_from(service, ("coingecko",)) is None
    assert "'coingecko'" in caplog.text
    assert KEY not in caplog.text
