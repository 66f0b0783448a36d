"""What the fuzzers found, one plain test each."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conftest import both_databases
from tests.support.site import address, finish, post_form
from webapp.intake.rows import read

A, B = address("a"), address("b")


@pytest.mark.parametrize("sent", [-1, 7, True, {"a": 1}, 1.5])
def test_a_refresh_whose_mints_are_no_list_is_refused(client: FlaskClient, five_wallets: list[str], sent: Any) -> None:
    """It was a 500: whatever was there was walked through."""
    key = finish(client, five_wallets)
    answer = client.post(f"/analyses/{key}/refresh", json={"mints": sent})
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "wrong_type"


@pytest.mark.parametrize(("sent", "status"), [(60.0, 202), (1e3, 202), (60.5, 400), (float("1e300"), 422), (0.0, 422)])
def test_a_whole_number_may_be_written_with_a_point(client: FlaskClient, sent: float, status: int) -> None:
    """60.0 is an integer to JSON Schema and to most who write JSON, and was refused."""
    answer = client.post("/analyses", json={"wallets": [A, B], "timing_window_s": sent})
    assert answer.status_code == status
    if status == 202:
        made = client.get(f"/analyses/{answer.json['id']}.json").json["parameters"]
        assert made["timing_window_s"] == int(sent)


def test_a_list_of_nothing_but_comments_is_empty() -> None:
    """1.2 million of them took twice as long as any other list of that size."""
    assert read("#\n" * 100_000).rows == ()
    assert read("\u200b#\n  # x\n\ufeff#y\n").rows == ()


@pytest.mark.parametrize("url", ["http://[::1", "//[", "\\", "http://a]b/"])
def test_a_header_that_is_no_url_is_none(client: FlaskClient, five_wallets: list[str], url: str) -> None:
    """A poll of what has ended was a 500 when htmx's header could not be split, and so was a JSON post."""
    key = finish(client, five_wallets)
    poll = client.get(f"/analyses/{key}/progress", headers={"HX-Request": "true", "HX-Current-URL": url})
    assert poll.status_code == 286
    assert client.post("/analyses", json={"wallets": [A, B]}, headers={"Origin": url}).status_code == 403


@both_databases
@pytest.mark.parametrize("value", ["\x00", "a\x00b"])
def test_a_nul_in_a_query_is_refused(client: FlaskClient, five_wallets: list[str], value: str) -> None:
    """PostgreSQL takes no NUL in a text: it was a 500 there, and nothing on SQLite."""
    key = finish(client, five_wallets)
    paths = [f"/analyses/{key}/pairs", f"/analyses/{key}/wallets", "/activity.json", "/activity", "/tokens"]
    for path in paths:
        answer = client.get(path, query_string={"mints": A, "wallet": value, "state": value, "analysis": value})
        assert answer.status_code == 400, path


@both_databases
@pytest.mark.parametrize("value", ["%00", "\ud7ff", "\uffff", "'; --", "9" * 5000])
def test_a_strange_text_in_a_filter_finds_nothing(client: FlaskClient, five_wallets: list[str], value: str) -> None:
    key = finish(client, five_wallets)
    for name in ("pairs", "wallets"):
        path = f"/analyses/{key}/{name}"
        assert client.get(path, query_string={"wallet": value, "find": value}).status_code == 200
    assert client.get("/activity.json", query_string={"analysis": value}).json["jobs"] == []


@both_databases
@pytest.mark.parametrize("value", [{"addresses": "\x00"}, {"addresses": f"{A}\x00,x\x00\n{B}\x00", "label": "\x00x"}])
def test_a_nul_in_a_form_spoils_its_line_alone(client: FlaskClient, value: dict[str, str]) -> None:
    for path in ("/analyses/preview", "/analyses"):
        assert post_form(client, path, value).status_code in (200, 303, 422)
