"""Token listings of both markets (`tasks/sources/market/`): reading answers, choosing pools, failures."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import SourceError
from tasks.measures.well_known import USDC, USDT, WSOL
from tasks.sources.http import HttpError
from tasks.sources.market.dexscreener import DexScreener
from tasks.sources.market.jupiter import Jupiter
from tasks.sources.market.jupiter import listings_of as jupiter_listings
from tasks.sources.market.listing import TokenListing, read_image_url
from tasks.sources.market.pools import listings_of
from tasks.sources.market.sources import market_sources
from tasks.sources.rate_limit.circuit import circuit_for
from tests.support.scripted_service import KEY, MINT, WALLET, Answer, FakeClock, ScriptedService

JUNK = "7GCihgDB8fe6KNjn2MYtkzZcRjQy3t9GHdC8uHYmW2hr"
IMAGE = "https://cdn.example.com/a.png?width=800"
PAST = object()


def side(mint: object, name: object = "Bonk", symbol: object = "BONK") -> dict[str, object]:
    return {"address": mint, "name": name, "symbol": symbol}


def pair(base: object = MINT, quote: object = WSOL, **changes: object) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "chainId": "solana",
        "baseToken": side(base),
        "quoteToken": side(quote, "Wrapped SOL", "SOL"),
        "priceNative": "0.01",
        "priceUsd": "1.5",
        "volume": {"h24": 300.5, "h1": 1},
        "liquidity": {"usd": 5000, "base": 1, "quote": 1},
        "fdv": 900,
        "marketCap": 800,
        "info": {"imageUrl": IMAGE},
    } | changes
    return {key: value for key, value in whole.items() if value is not PAST}


def entry(mint: object = MINT, **changes: object) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": mint,
        "name": "Bonk",
        "symbol": "BONK",
        "icon": IMAGE,
        "decimals": 5,
        "usdPrice": 1.5,
        "liquidity": 5000,
        "mcap": 800,
        "fdv": 900,
        "stats24h": {"buyVolume": 100.5, "sellVolume": 200},
    } | changes
    return {key: value for key, value in whole.items() if value is not PAST}


LISTED = TokenListing(MINT, "Bonk", "BONK", None, IMAGE, 1.5, 5000, 300.5, 800, "dexscreener")


def chosen(*pairs: object, mints: tuple[str, ...] = (MINT,)) -> dict[str, TokenListing]:
    return listings_of([each for each in pairs if isinstance(each, dict)], mints, "dexscreener")


def test_dexscreener_lists_what_it_knows(dexscreener: DexScreener, service: ScriptedService) -> None:
    foreign = pair(chainId="ethereum", priceUsd="9", liquidity={"usd": 10**9})
    service.answers += [Answer([foreign, pair(), pair(JUNK), "nonsense", None, 5, [], {}, {"chainId": "solana"}])]
    assert dexscreener.listings([MINT, WALLET, MINT]) == {MINT: LISTED}
    assert service.requests[0].path == f"/tokens/v1/solana/{MINT},{WALLET}"
    assert len(service.requests) == 1


def test_jupiter_lists_what_it_knows(jupiter: Jupiter, service: ScriptedService) -> None:
    service.answers += [Answer([entry(), entry(JUNK), "nonsense", None, {}, entry(MINT, usdPrice=7)])]
    listed = dataclasses.replace(LISTED, decimals=5, source="jupiter")
    assert jupiter.listings([MINT, WALLET, MINT]) == {MINT: listed}
    asked = urlsplit(service.requests[0].path)
    assert asked.path == "/tokens/v2/search"
    assert parse_qs(asked.query) == {"query": [f"{MINT},{WALLET}"]}
    assert service.requests[0].headers["x-api-key"] == KEY
    assert len(service.requests) == 1


def test_another_chains_pair_is_none(dexscreener: DexScreener, service: ScriptedService) -> None:
    service.answers += [Answer([pair(chainId="base"), pair(chainId=["solana"]), pair(chainId=PAST)])]
    assert dexscreener.listings([MINT]) == {}


@pytest.mark.parametrize("source", ["dexscreener", "jupiter"])
def test_sources_bound_their_requests(source: str, service: ScriptedService, request: pytest.FixtureRequest) -> None:
    asking = request.getfixturevalue(source)
    service.answers += [Answer([])]
    mints = [str(number) for number in range(asking.mints_per_request + 1)]
    with pytest.raises(ValueError, match=f"{asking.label} takes {asking.mints_per_request} mints"):
        asking.listings(mints)
    assert asking.listings([]) == {}
    assert service.requests == []
    assert asking.listings([*mints[1:], *mints[1:]]) == {}
    assert len(service.requests) == 1


def test_the_deepest_pool_against_money_counts() -> None:
    pairs = [
        pair(priceUsd="1", liquidity={"usd": 10}),
        pair(priceUsd="2", liquidity={"usd": 30}, quote=USDC),
        pair(priceUsd="3", liquidity={"usd": 20}, quote=USDT),
        pair(priceUsd="4", liquidity=PAST),
        pair(priceUsd="5", liquidity={"usd": 10**9}, quote=JUNK),  # only the creator of the junk says so
        pair(JUNK, MINT, priceUsd="6", liquidity={"usd": 10**9}),  # the other token's price
        pair(priceUsd="NaN", liquidity={"usd": 10**9}),
        pair(priceUsd="-7", liquidity={"usd": 10**9}),
        pair(priceUsd=PAST, liquidity={"usd": 10**9}),
    ]
    for turn in range(len(pairs)):
        listing = chosen(*pairs[turn:], *pairs[:turn])[MINT]
        assert (listing.price_usd, listing.liquidity_usd) == (2, 30)


def test_a_pool_against_money_counts_without_liquidity() -> None:
    listing = chosen(pair(priceUsd="0.000000000000002566", liquidity=PAST))[MINT]
    assert (listing.price_usd, listing.liquidity_usd) == (2.566e-15, None)


def test_another_quote_needs_liquidity_and_trade() -> None:
    deep = pair(quote=JUNK, priceUsd="2", liquidity={"usd": 1000})
    assert chosen(deep, pair(quote=JUNK, priceUsd="1", liquidity={"usd": 900}))[MINT].price_usd == 2
    for shallow in (
        {"liquidity": {"usd": 999.99}},
        {"liquidity": PAST},
        {"volume": {"h24": 0}},
        {"volume": PAST},
        {"volume": {"h24": -5}},
        {"liquidity": {"usd": "88000000"}},
    ):
        listing = chosen(deep | shallow if PAST not in shallow.values() else pair(quote=JUNK, **shallow))[MINT]
        assert listing == dataclasses.replace(
            LISTED, price_usd=None, liquidity_usd=None, volume_24h_usd=None, market_cap_usd=None
        )


def test_the_market_cap_is_not_the_diluted_value() -> None:
    assert chosen(pair(marketCap=PAST))[MINT].market_cap_usd is None


def test_a_token_that_is_only_a_quote_has_a_name_and_a_price() -> None:
    deep = pair(JUNK, MINT, priceUsd="3", priceNative="2", liquidity={"usd": 9})
    deep["quoteToken"] = side(MINT, "Quoted", "QQ")
    listing = chosen(pair(JUNK, MINT, priceUsd="1", priceNative="1", liquidity={"usd": 8}), deep)[MINT]
    assert listing == TokenListing(MINT, "Quoted", "QQ", None, None, 1.5, None, None, None, "dexscreener")


@pytest.mark.parametrize("native", ["0", "-1", "NaN", "x", None, "1e-300", "1e-400", [], True])
def test_a_quotes_price_is_guarded(native: object) -> None:
    listing = chosen(pair(JUNK, MINT, priceNative=native))[MINT]
    assert (listing.name, listing.price_usd) == ("Wrapped SOL", None)


def test_a_token_that_is_sold_is_never_priced_as_a_quote() -> None:
    assert chosen(pair(priceUsd="x"), pair(JUNK, MINT))[MINT].price_usd is None


def test_missing_fields_come_from_other_pairs() -> None:
    bare = pair(info=PAST, liquidity={"usd": 10**6}, baseToken={"address": MINT, "name": None, "symbol": "\u200b"})
    listing = chosen(pair(info={"imageUrl": "javascript:alert(1)"}), pair(), bare)[MINT]
    assert (listing.name, listing.symbol, listing.image_url) == ("Bonk", "BONK", IMAGE)
    assert listing.liquidity_usd == 10**6


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, True, [{}], {"usd": []}, -1, 10**400, math.nan, "\ud800"])
@pytest.mark.parametrize("field", [*pair(), "baseToken.name", "baseToken.symbol", "quoteToken.address"])
def test_one_bad_pair_harms_only_itself(field: str, bad: object) -> None:
    spoilt = pair(JUNK)
    place, _, rest = field.partition(".")
    spoilt[place] = spoilt[place] | {rest: bad} if rest else bad
    listings = chosen(spoilt, pair(), mints=(MINT, JUNK))
    assert listings[MINT] == LISTED
    assert_valid(listings)


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, True, [{}], -1, 10**400, math.nan, math.inf, "\ud800"])
@pytest.mark.parametrize("field", [*entry()])
def test_one_bad_entry_harms_only_itself(field: str, bad: object) -> None:
    listings = jupiter_listings([entry(JUNK, **{field: bad}), entry()], {MINT, JUNK})
    assert listings[MINT] == dataclasses.replace(LISTED, decimals=5, source="jupiter")
    assert_valid(listings)


@pytest.mark.parametrize(
    ("stats", "volume"),
    [
        ({"buyVolume": 1, "sellVolume": 2}, 3),
        ({"buyVolume": 1}, 1),
        ({"sellVolume": 2, "buyVolume": "x"}, 2),
        ({}, None),
        (None, None),
        ({"buyVolume": 1e15, "sellVolume": 1e15}, None),
    ],
)
def test_jupiters_volume_is_both_sides(stats: object, volume: float | None) -> None:
    assert jupiter_listings([entry(stats24h=stats)], {MINT})[MINT].volume_24h_usd == volume


def test_a_listing_without_name_and_price_is_unknown() -> None:
    nothing = {"name": "\u200b", "symbol": None, "usdPrice": -1}
    assert jupiter_listings([entry(**nothing)], {MINT}) == {}
    assert jupiter_listings([entry(**nothing), entry()], {MINT})[MINT].name == "Bonk"
    assert chosen(pair(baseToken={"address": MINT}, priceUsd=None)) == {}


@pytest.mark.parametrize(
    "url",
    [IMAGE, "http://example.com", "HTTPS://example.com/ü.png", "https://[::1]:8080/x", "https://e.com/" + "a" * 486],
)
def test_an_image_may_be_anywhere_on_the_web(url: str) -> None:
    assert read_image_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:image/svg+xml,<svg/>",
        "ftp://example.com/a",
        "//example.com/a",
        "/a.png",
        "https:///a.png",
        "https://",
        "https:example.com",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://example.com\\@evil.com/",
        "https://example.com\\.evil.com/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://example.com/\u202egnp",
        "https://example.com/\ud800",
        "https://[::1",
        "https://example.com:99999/",
        "https://e.com/" + "a" * 487,
        "",
        None,
        5,
        ["https://example.com"],
    ],
)
def test_what_is_no_address_of_an_image_is_none(url: object) -> None:
    assert read_image_url(url) is None


def assert_valid(listings: dict[str, TokenListing]) -> None:
    for mint, listing in listings.items():
        assert listing.mint == mint
        assert listing.name or listing.symbol or listing.price_usd
        assert listing.name is None or 0 < len(listing.name) <= 80
        assert listing.symbol is None or 0 < len(listing.symbol) <= 24
        assert listing.decimals is None or (type(listing.decimals) is int and 0 <= listing.decimals <= 255)
        assert listing.image_url is None or listing.image_url.lower().startswith(("http://", "https://"))
        assert listing.price_usd is None or 0 < listing.price_usd <= 1e9
        for amount in (listing.liquidity_usd, listing.volume_24h_usd, listing.market_cap_usd):
            assert amount is None or (type(amount) is float and 0 <= amount <= 1e15)
        json.dumps(dataclasses.asdict(listing), allow_nan=False).encode()


numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), "1e400", "-1", "1e-17"])
scalars = (
    st.none() | st.booleans() | numbers | st.text(st.characters()) | st.sampled_from([MINT, WSOL, IMAGE, "solana"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
sides = anything | st.fixed_dictionaries(
    {}, optional={"address": anything | st.just(MINT), "name": anything, "symbol": anything}
)
holders = anything | st.fixed_dictionaries(
    {}, optional={"usd": anything, "h24": anything, "imageUrl": anything, "buyVolume": anything, "sellVolume": anything}
)
special = {"baseToken": sides, "quoteToken": sides, "volume": holders, "liquidity": holders, "info": holders}
special |= {"stats24h": holders, "id": anything | st.just(MINT), "chainId": anything | st.just("solana")}
items = anything | st.fixed_dictionaries(
    {}, optional={key: special.get(key, anything) for key in {**pair(), **entry()}}
)


@given(st.lists(items, max_size=4))
def test_any_json_yields_only_valid_listings(answer: list[Any]) -> None:
    for listings in (chosen(*answer, mints=(MINT, WSOL)), jupiter_listings(answer, {MINT, WSOL})):
        assert set(listings) <= {MINT, WSOL}
        assert_valid(listings)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=st.lists(items, max_size=2))
def test_any_list_over_http_is_read(
    answer: object, service: ScriptedService, dexscreener: DexScreener, jupiter: Jupiter
) -> None:
    service.default = lambda request: Answer(answer)
    for source in (dexscreener, jupiter):
        assert_valid(source.listings([MINT, WSOL]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=anything.filter(lambda value: not isinstance(value, list)))
def test_anything_but_a_list_is_a_temporary_fault(
    answer: object, service: ScriptedService, dexscreener: DexScreener, jupiter: Jupiter
) -> None:
    service.default = lambda request: Answer(answer)
    for source in (dexscreener, jupiter):
        with pytest.raises(SourceError, match="no list") as caught:
            source.listings([MINT])
        assert not caught.value.permanent


@pytest.mark.parametrize("source", ["dexscreener", "jupiter"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer({"pairs": []}),
        Answer("x"),
        Answer(None),
        Answer(b"[{]"),
        Answer(b"<html>", headers={"Content-Type": "text/html"}),
        Answer([], missing=9),
        Answer(drop=True),
        Answer({}, 503),
        Answer({}, 429),
    ],
)
def test_temporary_faults_open_the_circuit(
    source: str, answer: Answer, service: ScriptedService, clock: FakeClock, request: pytest.FixtureRequest
) -> None:
    asking = request.getfixturevalue(source)
    for _ in range(2):
        assert asking.circuit.try_acquire(urgent=True) == 0
        service.answers += [answer]
        with pytest.raises(SourceError) as caught:
            asking.listings([MINT])
        assert not caught.value.permanent
        assert (caught.value.source, str(caught.value).split()[0]) == (asking.name, asking.label)
        clock.time += 1.0 if answer.status == 429 else 0
    assert asking.circuit.try_acquire(urgent=True) > 0
    clock.time += 2
    assert asking.circuit.try_acquire(urgent=True) == 0
    service.answers += [Answer([])]
    assert asking.listings([MINT]) == {}
    assert [asking.circuit.try_acquire(urgent=True) for _ in range(2)] == [0, 0]


def test_a_permanent_refusal_leaves_the_circuit_closed(dexscreener: DexScreener, service: ScriptedService) -> None:
    service.default = lambda request: Answer({"error": "no"}, 400)
    for _ in range(3):
        assert dexscreener.circuit.try_acquire(urgent=True) == 0
        with pytest.raises(HttpError) as caught:
            dexscreener.listings([MINT])
        assert caught.value.permanent


def test_a_429_pauses_all_users_of_the_circuit(
    dexscreener: DexScreener, service: ScriptedService, clock: FakeClock
) -> None:
    other = DexScreener(service.url, clock=clock.clock)
    assert other.circuit is dexscreener.circuit
    service.answers += [Answer({}, 429, {"Retry-After": "9"})]
    with pytest.raises(HttpError):
        dexscreener.listings([MINT])
    clock.time += 8.9
    assert other.circuit.try_acquire(urgent=True) > 0
    clock.time += 0.2
    assert other.circuit.try_acquire(urgent=True) == 0
    other.close()


def test_a_bad_number_harms_only_its_item(dexscreener: DexScreener, jupiter: Jupiter, service: ScriptedService) -> None:
    for number in ("NaN", "Infinity", "1e400", "1" + "0" * 400, "9" * 6000, "-1"):
        pairs = json.dumps([pair(JUNK, priceUsd="@"), pair()]).replace('"@"', number)
        entries = json.dumps([entry(JUNK, usdPrice="@"), entry()]).replace('"@"', number)
        service.answers += [Answer(pairs.encode()), Answer(entries.encode())]
        for source in (dexscreener, jupiter):
            listings = source.listings([MINT, JUNK])
            assert (listings[MINT].price_usd, listings[JUNK].price_usd) == (1.5, None)


def test_recorded_answers_of_dexscreener(
    dexscreener: DexScreener, service: ScriptedService, samples: pathlib.Path
) -> None:
    whole = json.loads((samples / "dexscreener/latest_dex_tokens_bonk_wif_popcat_2026-09_subset.json").read_text())
    wif = "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm"
    service.answers += [Answer(whole["pairs"])]
    listings = dexscreener.listings([MINT, wif, JUNK, USDC])
    found = {mint: (each.name, each.symbol, each.price_usd, each.liquidity_usd) for mint, each in listings.items()}
    assert found[MINT] == ("Bonk", "Bonk", 0.000002944, 305711.79)
    assert found[wif] == ("dogwifhat", "$WIF", 0.2043, 5970959.65)
    assert found[JUNK] == ("Popcat", "POPCAT", 0.04878, 611676.3)
    assert found[USDC][:2] == ("USD Coin", "USDC")
    assert found[USDC][2] == pytest.approx(1, abs=0.01)
    assert listings[wif].image_url is not None
    assert listings[wif].market_cap_usd == 204152485
    assert listings[USDC].image_url is listings[USDC].liquidity_usd is listings[JUNK].image_url is None


def test_recorded_answers_without_liquidity(
    dexscreener: DexScreener, service: ScriptedService, samples: pathlib.Path
) -> None:
    name = "dexscreener/tokens_v1_rugged_and_no_liquidity_2026-10_subset.json"
    recorded = json.loads((samples / name).read_text())
    service.answers += [Answer(recorded)]
    mints = [each["baseToken"]["address"] for each in recorded]
    listings = dexscreener.listings(mints)
    assert list(listings) == mints
    rugged, curve = listings[mints[0]], listings[mints[1]]
    assert (rugged.liquidity_usd, rugged.volume_24h_usd, rugged.price_usd) == (0, 64900928.79, 0.001449)
    assert (curve.liquidity_usd, curve.volume_24h_usd, curve.price_usd) == (None, 0, 2.566e-15)


def test_recorded_answers_of_jupiter(jupiter: Jupiter, service: ScriptedService, samples: pathlib.Path) -> None:
    recorded = samples / "jupiter/tokens_v2_search_SOL_2025_BONK_2026_stats_dropped.json"
    service.answers += [Answer(recorded.read_bytes())]
    listings = jupiter.listings([WSOL, MINT, WALLET])
    assert set(listings) == {WSOL, MINT}
    assert (listings[WSOL].symbol, listings[WSOL].decimals) == ("SOL", 9)
    bonk = listings[MINT]
    assert (bonk.decimals, bonk.price_usd, bonk.liquidity_usd) == (5, 2.949382133024654e-06, 1268385.1429124828)
    assert (bonk.market_cap_usd, bonk.volume_24h_usd) == (259529284.8127964, None)


def test_sources_come_in_the_order_of_the_settings(service: ScriptedService, caplog: pytest.LogCaptureFixture) -> None:
    sources = market_sources(("jupiter", "coingecko", "dexscreener"), service.url, service.url, KEY)
    assert [source.name for source in sources] == ["jupiter", "dexscreener"]
    assert [source.label for source in sources] == ["Jupiter", "DexScreener"]
    assert [source.mints_per_request for source in sources] == [100, 30]
    assert "'coingecko'" in caplog.text
    for source in sources:
        source.close()


@pytest.mark.parametrize(("key", "per_s"), [(None, 0.5), (KEY, 1.0)])
def test_the_shared_name_holds_no_key(
    service: ScriptedService, clock: FakeClock, key: str | None, per_s: float
) -> None:
    source = Jupiter(service.url, api_key=key, clock=clock.clock)
    port = urlsplit(service.url).port
    name = source.circuit.name
    assert name.startswith(f"jupiter-127.0.0.1-{port}")
    assert KEY not in name
    assert source.circuit is circuit_for(name, per_s, 60, clock=clock.clock)
    source.close()
