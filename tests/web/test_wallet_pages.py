"""A wallet: its capital audit as page, JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.analysis.addresses import USDS
from tests.web.conftest import address, buys, finish, mint, start, sync

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
    assert list(rows[0])[-9:] == [
        "analysis", "computed_at", "version", "window_days", "timing_window_s", "tau", "excluded_mints",
        "history_limit", "sol_usd_source",
    ]  # fmt: skip
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
    assert 'rel="next"' not in client.get(f"/analyses/{key}/wallets/{wallet}/capital").text


def test_a_wallet_without_a_result_or_of_another_analysis(client: FlaskClient, mixed: tuple[str, str]) -> None:
    key, _ = mixed
    a, b = address("a"), address("b")
    assert client.get(f"/analyses/{key}/wallets/{a}/capital.json").json["error"]["code"] == "not_found"
    other = start(client, [a, b])
    assert client.get(f"/analyses/{other}/wallets/{a}/capital.json").json["error"]["code"] == "no_result"
    assert client.get(f"/analyses/{other}/wallets/{a}").status_code == 404


def test_a_wallet_without_data_has_an_empty_audit(client: FlaskClient) -> None:
    idle = sync("idle", [])
    key = finish(client, [idle, sync("one", buys(1, 2, 3)), sync("two", buys(1, 2, 3))])
    shape = client.get(f"/analyses/{key}/wallets/{idle}/capital.json").json
    assert shape["rows"] == shape["weights"] == []
    assert shape["checks"]["ok"] is True
    assert client.get(f"/analyses/{key}/wallets/{idle}").status_code == 200
