"""Token cells: on every page, as the answer to a poll, and as JSON; whatever the market says of a token."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.enrichment.cache import LOADING_PRIORITY
from tasks.measures.well_known import USDC
from tasks.storage import database, tokens
from tasks.storage.models.tokens import Token
from tests.support.site import address, buys, finish, mint, one_line, sync

HTMX = {"HX-Request": "true"}
CELL = re.compile(r'hx-swap-oob="outerHTML:\.(token|price)-(\w+)"')
LOGO = "https://cdn.dexscreener.com/one.png"
HOSTILE = {
    "markup": ("<b>X</b>", '"><img src=x onerror=alert(1)>'),
    "quotes": ("'\"`", "' autofocus onfocus='alert(1)"),
    "direction": ("\u202eCDSU", "\u2066\u202eesrever"),
    "unseen": ("\u200b\u200d", "\u200b\ufeffZero\u200bWidth"),
    "long": ("L" * 10_000, "long " * 2_000),
    "template": ("{{ 9973*9967 }}", "{% raw %}"),
    "lines": ("A\nB", "one\r\ntwo\tthree"),
}


def register(**facts: dict[str, Any]) -> None:
    """Put tokens into the registry: mint → what is known of it; last_updated is given as an age in seconds."""
    with database.session():
        tokens.ensure_mints(dict.fromkeys(facts))
        now = database.now_s()
        for one, known in facts.items():
            known = dict(known)
            if "age_s" in known:
                known["last_updated"] = now - known.pop("age_s")
            if known:
                Token.update(**known).where(Token.mint == one).execute()


RESOLVED: dict[str, Any] = {"status": "resolved", "symbol": "NAPS", "name": "Nap Season", "price_usd": 0.5, "age_s": 20}


def poll(client: FlaskClient, *mints: str) -> Any:
    return client.get(f"/tokens?mints={','.join(mints)}", headers=HTMX)


def swapped(answer: Any) -> dict[str, set[str]]:
    """Return mint → which of its cells an answer swaps."""
    found: dict[str, set[str]] = {}
    for which, one in CELL.findall(answer.text):
        found.setdefault(one, set()).add(which)
    return found


# The poll


def test_a_poll_brings_the_cells_that_are_no_longer_awaited(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED, mint(1): {}, mint(2): {"status": "unlisted"}, mint(3): {"status": "failed"}})
    answer = poll(client, mint(0), mint(1), mint(2), mint(3))
    assert answer.status_code == 200
    assert swapped(answer) == {mint(i): {"token", "price"} for i in (0, 2, 3)}
    assert "NAPS" in answer.text
    assert "No market found" in answer.text
    assert "Lookup failed" in answer.text
    assert "data-awaited" not in answer.text


def test_a_poll_while_nothing_has_changed_swaps_nothing(client: FlaskClient) -> None:
    register(**{mint(0): {}, mint(1): {}})
    answer = poll(client, mint(0), mint(1))
    assert answer.status_code == 204
    assert answer.data == b""


def test_the_last_poll_says_that_it_is_the_last(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED, mint(1): {"status": "unlisted"}})
    answer = poll(client, mint(0), mint(1))
    assert answer.status_code == 286
    assert set(swapped(answer)) == {mint(0), mint(1)}


def test_a_refresh_under_way_is_awaited_though_the_token_is_known(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED | {"priority": LOADING_PRIORITY + 1}, mint(1): RESOLVED | {"priority": 5}})
    answer = poll(client, mint(0), mint(1))
    assert answer.status_code == 200
    assert set(swapped(answer)) == {mint(1)}, "what the background wants is nobody's to wait for"


def test_a_mint_that_nobody_registered_keeps_no_poll_alive(client: FlaskClient) -> None:
    answer = poll(client, mint(9))
    assert answer.status_code == 286
    assert "not looked up" in answer.text
    assert "no price" in answer.text


def test_a_mint_asked_for_twice_comes_once(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED})
    answer = poll(client, mint(0), mint(0))
    assert len(CELL.findall(answer.text)) == 2


def test_a_cell_looks_the_same_wherever_it_is(client: FlaskClient, five_wallets: list[str]) -> None:
    register(**{mint(i): RESOLVED | {"symbol": f"S{i}"} for i in range(6)})
    key, (a, b) = finish(client, five_wallets), sorted([address("alike 1"), address("alike 2")])
    pages = [client.get(f"/analyses/{key}{path}").text for path in ("", f"/pairs/{a}/{b}", f"/wallets/{a}")]
    swap = poll(client, mint(0)).text.replace(f' hx-swap-oob="outerHTML:.token-{mint(0)}"', "")
    cell = swap[: swap.index('<span class="price')]
    assert "S0" in cell
    for page in pages:
        assert cell in page


@pytest.mark.parametrize("suffix", ["", ".json"])
@pytest.mark.parametrize(
    "mints", ["", ",,", "short", "0" * 40, f"{USDC},<b>", ",".join(address(f"many {i}") for i in range(151))]
)
def test_what_is_no_list_of_mints_is_refused(client: FlaskClient, mints: str, suffix: str) -> None:
    answer = client.get(f"/tokens{suffix}", query_string={"mints": mints}, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json["error"]) == {"code", "message", "details"}
    assert answer.json["error"]["code"] == "invalid_input"
    assert client.get(f"/tokens{suffix}").status_code == 400


def test_150_mints_may_be_asked_for(client: FlaskClient) -> None:
    mints = [address(f"many {i}") for i in range(150)]
    shapes = client.get(f"/tokens.json?mints={','.join(mints)}&mints={mints[0]}").json["tokens"]
    assert [one["mint"] for one in shapes] == mints


# The page and the JSON


def test_tokens_in_json_come_in_the_order_asked(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED | {"decimals": 6, "price_source": "jupiter"}, mint(1): {}})
    shapes = client.get(f"/tokens.json?mints={mint(1)},{mint(0)},{mint(2)}").json["tokens"]
    assert [one["mint"] for one in shapes] == [mint(1), mint(0), mint(2)]
    assert list(shapes[0]) == [
        "mint", "status", "name", "symbol", "decimals", "image_url", "price_usd", "liquidity_usd", "volume_24h_usd",
        "market_cap_usd", "price_source", "last_updated", "stale", "attempts", "last_error",
    ]  # fmt: skip
    assert shapes[1]["last_updated"].endswith("Z")
    assert (shapes[1]["price_usd"], shapes[1]["decimals"], shapes[1]["price_source"]) == (0.5, 6, "jupiter")
    assert [one["status"] for one in shapes] == ["pending", "resolved", "pending"]
    assert shapes[2]["price_usd"] is None


def test_the_page_of_tokens_works_without_javascript(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED, mint(1): {}})
    page = client.get(f"/tokens?mints={mint(0)},{mint(1)}").text
    assert "<html" in page
    assert "NAPS" in page
    assert 'http-equiv="refresh"' in page
    assert "hx-swap-oob" not in page
    assert f'hx-get="/tokens?mints={mint(1)}"' in page, "only the awaited one is asked for again"
    assert 'http-equiv="refresh"' not in client.get(f"/tokens?mints={mint(0)}").text


@pytest.mark.parametrize(
    ("age_s", "stale"), [(0, False), (899, False), (950, True), (-30, False), (-120, True), (86_400 * 400, True)]
)
def test_a_price_past_its_time_is_said_to_be_stale(client: FlaskClient, age_s: float, stale: bool) -> None:
    register(**{mint(0): RESOLVED | {"age_s": age_s}})
    assert client.get(f"/tokens.json?mints={mint(0)}").json["tokens"][0]["stale"] is stale
    answer = poll(client, mint(0)).text
    assert ("stale, " in answer) is stale
    assert "<time" in answer


def test_a_kept_cell_changes_with_everything_that_it_shows(client: FlaskClient) -> None:
    texts = []
    for change in (
        {},
        {"symbol": "OTHER"},
        {"name": "Other"},
        {"price_usd": 0.25},
        {"price_usd": None},
        {"image_url": LOGO},
        {"age_s": 90},
        {"age_s": 5_000},
        {"status": "unlisted"},
        {"status": "failed"},
    ):
        register(**{mint(0): RESOLVED | {"image_url": None} | change})
        texts.append(poll(client, mint(0)).text)
    assert len(set(texts)) == len(texts)


# Logos


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (LOGO, True),
        ("http://cdn.dexscreener.com/one.png", False),
        ("https://evil.example/one.png", False),
        ("javascript:alert(1)", False),
        ("http://127.0.0.1:8899/logos/one.svg", False),
    ],
)
def test_a_logo_is_shown_from_an_allowed_host_and_a_monogram_else(client: FlaskClient, url: str, shown: bool) -> None:
    register(**{mint(0): RESOLVED | {"image_url": url}})
    text = poll(client, mint(0)).text
    assert ("<img" in text) is shown
    assert ("monogram-" in text.replace("data-monogram", "")) is not shown
    assert (url in text) is shown
    if shown:
        for attribute in ('width="24"', 'height="24"', 'loading="lazy"', 'referrerpolicy="no-referrer"', 'alt=""'):
            assert attribute in text


def test_the_demo_shows_the_simulators_logos(make_app: Callable[..., Flask]) -> None:
    client = make_app(SIMULATOR_SEED="7").test_client()
    register(**{mint(0): RESOLVED | {"image_url": "http://127.0.0.1:8899/logos/one.svg"}})
    assert "http://127.0.0.1:8899/logos/one.svg" in poll(client, mint(0)).text


# Hostile names


class Elements(HTMLParser):
    """The elements of a page and their attributes, as a browser would read them."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_name_stays_a_name(client: FlaskClient, kind: str) -> None:
    symbol, name = HOSTILE[kind]
    wallets = sorted(sync(f"h {i}", buys(1, 2, 3)) for i in range(2))
    register(**{mint(0): RESOLVED | {"symbol": symbol, "name": name}})
    key = finish(client, wallets)
    paths = (
        f"/analyses/{key}",
        f"/analyses/{key}/pairs/{wallets[0]}/{wallets[1]}",
        f"/analyses/{key}/wallets/{wallets[0]}",
        f"/tokens?mints={mint(0)}",
    )
    for text in (*(client.get(path).text for path in paths), poll(client, mint(0)).text):
        elements = Elements(text).found
        assert not [one for one in elements if any(key.startswith("on") or key == "autofocus" for key in one[1])]
        assert not [one for one in elements if one[0] == "b" or one[1].get("src") == "x"]
        assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", text)
        assert "L" * 90 not in text
        assert "99400891" not in text
    shape = client.get(f"/tokens.json?mints={mint(0)}").json["tokens"][0]
    assert (shape["symbol"], shape["name"]) == (symbol, name), "JSON says what the registry holds"


def test_names_are_isolated_and_escaped(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED | {"symbol": "<i>S</i>", "name": "<u>N</u>"}})
    text = poll(client, mint(0)).text
    assert "<bdi>&lt;i&gt;S&lt;/i&gt;</bdi>" in text
    assert "<bdi>&lt;u&gt;N&lt;/u&gt;</bdi>" in text


@pytest.mark.parametrize(
    ("one", "symbol", "name", "marked"),
    [
        (mint(0), "USDC", "USD Coin", True),
        (mint(0), "U\u200bSDC", "Whatever", True),
        (mint(0), "OK", "USD Coin", True),
        (USDC, "USDC", "USD Coin", False),
        (mint(0), "NAPS", "Nap Season", False),
    ],
)
def test_who_passes_for_a_well_known_token_is_marked(
    client: FlaskClient, one: str, symbol: str, name: str, marked: bool
) -> None:
    register(**{one: RESOLVED | {"symbol": symbol, "name": name}})
    text = poll(client, one).text
    assert ("not USDC" in text) is marked
    assert ('class="imitation"' in text) is marked


# Where cells are


def test_nothing_in_a_swapped_cell_takes_the_focus_but_retry(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED, mint(1): {"status": "unlisted"}, mint(2): {"status": "failed"}})
    elements = Elements(poll(client, mint(0), mint(1), mint(2)).text).found
    focusable = [one for one in elements if one[0] in ("a", "button", "input", "summary") or "tabindex" in one[1]]
    assert [one[1].get("value") for one in focusable] == [mint(2)]
    assert focusable[0][1]["form"] == "refresh-form"


def test_pages_ask_for_the_cells_that_they_show_as_awaited(client: FlaskClient, five_wallets: list[str]) -> None:
    register(**{mint(i): RESOLVED for i in range(4)})
    key, (a, b) = finish(client, five_wallets), sorted([address("alike 1"), address("half")])
    page = client.get(f"/analyses/{key}").text
    asked = re.search(r'hx-get="/tokens\?mints=([^"]+)" hx-trigger="every 2s, ask" hx-swap="none"', one_line(page))
    assert asked
    assert set(asked[1].split(",")) == {mint(i) for i in (4, 5, 20, 21, 22)}
    pair = client.get(f"/analyses/{key}/pairs/{a}/{b}").text
    assert 'data-tokens="/tokens"' in pair
    assert 'hx-get="/tokens' not in pair, "everything there is known"
    assert 'http-equiv="refresh"' not in pair
    assert f'hx-get="/tokens?mints={mint(4)}' in client.get(f"/analyses/{key}/wallets/{address('half')}").text


def test_scores_are_on_the_page_before_any_token_is_known(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session():
        assert {row.status for row in Token.select(Token.status)} == {"pending"}
    page = client.get(f"/analyses/{key}").text
    assert page.count('<li class="pair"') == 10
    assert 'aria-valuetext="1.00"' in page
    assert "resolving…" in page


def test_a_poll_does_not_touch_the_cookie(client: FlaskClient) -> None:
    register(**{mint(0): RESOLVED})
    assert "Set-Cookie" not in poll(client, mint(0)).headers


def test_the_list_of_tokens_counts_them_and_offers_a_retry_only_where_it_can_be_sent(
    client: FlaskClient, five_wallets: list[str]
) -> None:
    failed = {"status": "failed", "last_error": "the market answered 503"}
    register(**{mint(0): RESOLVED | {"liquidity_usd": 1_234.0}, mint(1): failed})
    path = f"/tokens?mints={mint(0)},{mint(1)},{mint(2)}"
    page = client.get(path).text
    assert "1 resolved, 0 without a market, 1 failed, 1 not known yet" in one_line(page)
    assert "The market answered 503." in page
    assert "$1,234" in page
    assert 'id="refresh-form"' not in page
    assert "price-retry" not in page, "the button would have no form"
    key = finish(client, five_wallets)
    named = client.get(f"{path}&analysis={key}").text
    assert f'action="/analyses/{key}/refresh"' in named
    assert "price-retry" in named
    assert client.get(f"{path}&analysis={'0' * 32}").status_code == 404
