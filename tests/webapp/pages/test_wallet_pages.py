"""A wallet: its capital audit as page, JSON and CSV."""

from __future__ import annotations

import csv
import html
import io
import re
import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.measures.well_known import DEFAULT_EXCLUDED, USDS
from tests.support.site import START_AT, address, buys, finish, mint, start, sync

HTMX = {"HX-Request": "true"}


@pytest.fixture
def mixed(client: FlaskClient) -> tuple[str, str]:
    """A wallet with rows of every kind, in a complete analysis: (key, address)."""
    trades = [*buys(1, 2, 3), ("sell", mint(0), 5, 400), ("in", mint(1), 0, 500), ("buy", USDS, 2, 600)]
    wallet = sync("mixed", trades, failed=2)
    return finish(client, [wallet, sync("other", buys(1, 2, 3))]), wallet


def test_the_audit_in_json(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, wallet = mixed
    shape = client.get(f"/analyses/{key}/wallets/{wallet}/capital.json").json
    assert set(shape) == {"wallet", "rows", "weights", "checks", "next", "provenance"}
    assert shape["wallet"] == wallet
    assert shape["next"] is None
    assert [row["reason"] for row in shape["rows"]] == [
        "failed", "failed", None, None, None, "sell", "transfer", "excluded mint",
    ]  # fmt: skip
    bought = shape["rows"][2]
    assert list(bought) == [
        "signature", "slot", "time", "side", "mint", "amount", "decimals", "quote", "quote_amount", "sol_usd",
        "value_sol", "counted", "reason", "approximate",
    ]  # fmt: skip
    assert bought["time"] == "2025-10-09T08:53:20Z"
    assert (bought["side"], bought["mint"], bought["amount"]) == ("buy", mint(0), 1_000_000)
    assert (bought["quote"], bought["quote_amount"], bought["value_sol"]) == ("SOL", 10**9, 1.0)
    assert bought["counted"] is True
    assert (shape["rows"][0]["side"], shape["rows"][0]["mint"]) == (None, None)
    assert shape["weights"][0] == {"mint": mint(2), "spent_sol": 3.0, "weight": 0.5}
    assert shape["checks"] == {"weights_sum": pytest.approx(1.0), "spent_sol_total": 6.0, "ok": True}


def test_the_audit_is_paged_on_request(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, wallet = mixed
    path = f"/analyses/{key}/wallets/{wallet}/capital.json"
    whole = client.get(path).json["rows"]
    rows: list[Any] = []
    after = ""
    while after is not None:
        shape = client.get(f"{path}?limit=3&after={after}").json
        assert len(shape["rows"]) <= 3
        rows += shape["rows"]
        after = shape["next"]
    assert rows == whole
    assert client.get(f"{path}?limit=1001").status_code == 400


def test_the_audit_as_csv(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, wallet = mixed
    answer = client.get(f"/analyses/{key}/wallets/{wallet}/capital.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 8
    assert list(rows[0])[:3] == ["wallet", "label", "signature"]
    assert list(rows[0])[-14:] == [
        "analysis", "computed_at", "version", "provisional", "window_days", "window_from", "window_to",
        "timing_window_s", "tau", "excluded_mints", "history_limit", "sol_usd_source", "missing", "excluded",
    ]  # fmt: skip
    assert rows[0]["provisional"] == "false"
    assert rows[0]["window_to"].endswith("Z")
    assert set(rows[0]["excluded"].split()) == set(DEFAULT_EXCLUDED)
    assert {row["excluded"] for row in rows[1:]} == {""}, "a long list is not repeated"
    assert (rows[0]["timing_window_s"], rows[0]["tau"], rows[0]["excluded_mints"]) == ("60", "0.5", "11")
    assert answer.headers["Link"] == f'</analyses/{key}.json>; rel="describedby"'
    assert sum(float(row["value_sol"]) for row in rows if row["counted"] == "true") == pytest.approx(6.0)


def test_the_page_of_a_wallet(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, wallet = mixed
    page = client.get(f"/analyses/{key}/wallets/{wallet}").text
    assert 'id="audit"' in page
    assert f"/analyses/{key}/wallets/{wallet}/capital.csv" in page
    assert client.get(f"/analyses/{key}/wallets/{wallet}/capital").status_code == 200


@pytest.mark.parametrize(("show", "rows"), [("all", 8), ("counted", 3), ("left-out", 5)])
def test_the_audit_shows_what_counted_or_what_was_left_out(
    client: FlaskClient, mixed: tuple[str, str], show: str, rows: int
) -> None:
    key, wallet = mixed
    text = client.get(f"/analyses/{key}/wallets/{wallet}?show={show}", headers=HTMX).text
    assert "<html" not in text
    assert text.count("<tr") == rows + 1
    assert client.get(f"/analyses/{key}/wallets/{wallet}?show=x").status_code == 400


def test_a_long_audit_is_paged_on_its_page(client: FlaskClient) -> None:
    wallet = sync("busy", [("buy", mint(i % 9), 1, i) for i in range(120)])
    key = finish(client, [wallet, sync("other", buys(1, 2, 3))])
    page = client.get(f"/analyses/{key}/wallets/{wallet}").text
    assert 'rel="next"' in page
    assert "Rows 1 to 12 of 120" in page
    longer = client.get(f"/analyses/{key}/wallets/{wallet}/capital").text
    assert "Rows 1 to 25 of 120" in longer
    rest = html.unescape(re.search(r'href="([^"]+)"[^>]* rel="next"', longer)[1])
    assert "Rows 26 to 50 of 120" in client.get(rest).text


def test_a_wallet_without_a_result_or_of_another_analysis(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, _ = mixed
    a, b = address("a"), address("b")
    assert client.get(f"/analyses/{key}/wallets/{a}/capital.json").json["error"]["code"] == "not_found"
    other = start(client, [a, b])
    assert client.get(f"/analyses/{other}/wallets/{a}/capital.json").json["error"]["code"] == "no_result"
    assert client.get(f"/analyses/{other}/wallets/{a}").status_code == 404


def test_the_tabs_of_a_wallet_are_links(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, wallet = mixed
    base = f"/analyses/{key}/wallets/{wallet}"
    for path, here in ((base, "Behaviour and capital"), (f"{base}/trades", "Trades")):
        tabs = re.search(r'<nav class="tabs".*?</nav>', client.get(path).text, re.DOTALL)
        assert tabs
        assert re.findall(r'href="([^"]+)"', tabs[0]) == [
            base,
            f"/analyses/{key}/pairs?wallet={wallet}",
            f"{base}/trades",
        ]
        assert re.findall(r'aria-current="page">([^<]+?) ?<', tabs[0]) == [here]
        assert re.findall(r'tab-count">(\d+)<', tabs[0]) == ["1", "4"]


def test_the_trades_are_those_that_the_measures_know(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, wallet = mixed
    page = client.get(f"/analyses/{key}/wallets/{wallet}/trades").text
    rows = re.findall(r'<span class="side side-(\w+)">', page)
    assert rows == ["sell", "buy", "buy", "buy"], "the newest first; no transfer, no failure, no excluded mint"
    assert len(rows) == client.get(f"/analyses/{key}/wallets/{wallet}.json").json["trades"]
    assert page.count("https://solscan.io/tx/") == 4


def test_trades_outside_of_the_window_are_not_listed(client: FlaskClient) -> None:
    long_ago = ("buy", mint(5), 1.0, -400 * 86_400)
    now = int(time.time()) - START_AT - 3_600
    wallet = sync("windowed", [long_ago, *buys(1, 2, 3, at=now)])
    key = finish(client, [wallet, sync("other", buys(1, 2, 3, at=now))], window_days=30)
    page = client.get(f"/analyses/{key}/wallets/{wallet}/trades").text
    assert page.count('class="side ') == 3
    assert "in 30 days" in page


def test_many_trades_are_paged(client: FlaskClient) -> None:
    wallet = sync("busy", [("buy", mint(i % 9), 1, i) for i in range(70)])
    path = f"/analyses/{finish(client, [wallet, sync('other', buys(1, 2, 3))])}/wallets/{wallet}/trades"
    first = client.get(path, headers={"HX-Request": "true", "HX-Target": "trades"}).text
    assert "<html" not in first
    assert first.count('class="side ') == 50
    following = re.search(r'href="([^"]+after=[^"]+)"', first)
    assert following
    last = client.get(following[1].replace("&amp;", "&")).text
    assert last.count('class="side ') == 20
    assert "Trades 51 to 70 of 70" in last


def test_the_largest_weights_are_shown_and_all_on_demand(client: FlaskClient) -> None:
    wallet = sync("wide", buys(*range(1, 13)))
    path = f"/analyses/{finish(client, [wallet, sync('other', buys(1, 2, 3))])}/wallets/{wallet}"
    first = client.get(path).text
    assert first.count("weight-row") == 9
    assert "9 of 12" in first
    assert 'href="' + path + '?weights=all#weights"' in first
    everything = client.get(f"{path}?weights=all").text
    assert everything.count("weight-row") == 12
    assert "9 of 12" not in everything


def test_a_wallet_without_trades_says_so(client: FlaskClient) -> None:
    idle = sync("idle", [("in", mint(1), 0, 5)])
    key = finish(client, [idle, sync("one", buys(1, 2, 3)), sync("two", buys(1, 2, 3))])
    assert "made no trade in all history" in client.get(f"/analyses/{key}/wallets/{idle}/trades").text
    page = client.get(f"/analyses/{key}/wallets/{idle}").text
    assert page.count("Not enough data") == 2
    assert "No buy with a known price, so no weights." in page


def test_the_closest_wallets_carry_their_insight(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    page = client.get(f"/analyses/{key}/wallets/{address('alike 1')}").text
    rows = re.findall(r'<li class="row closest-row">.*?</li>', page, re.DOTALL)
    assert len(rows) == 4
    assert 'aria-label="Very high similarity"' in rows[0]
    assert "4 of 4&nbsp;pairs" in page


def test_a_wallet_without_data_has_an_empty_audit(client: FlaskClient) -> None:
    idle = sync("idle", [])
    key = finish(client, [idle, sync("one", buys(1, 2, 3)), sync("two", buys(1, 2, 3))])
    shape = client.get(f"/analyses/{key}/wallets/{idle}/capital.json").json
    assert shape["rows"] == shape["weights"] == []
    assert shape["checks"]["ok"] is True
    assert client.get(f"/analyses/{key}/wallets/{idle}").status_code == 200
