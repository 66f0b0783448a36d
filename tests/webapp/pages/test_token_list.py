"""All tokens of an analysis, page by page, in either order."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.storage import database
from tasks.storage.models.tokens import Token
from tests.conftest import both_databases
from tests.support.site import address, finish, mint, start

HTMX = {"HX-Request": "true"}


@pytest.fixture
def key(client: FlaskClient, five_wallets: list[str]) -> str:
    return finish(client, five_wallets)


def walked(client: FlaskClient, path: str) -> list[dict[str, Any]]:
    """Return the rows of all pages, two on each."""
    rows, after = [], ""
    while after is not None:
        shape = client.get(f"{path}{'&' if '?' in path else '?'}limit=2{'&after=' + after if after else ''}").json
        assert len(shape["tokens"]) <= 2
        rows += shape["tokens"]
        after = shape["next"]
    return rows


@both_databases
def test_pages_hold_every_token_once_in_order(client: FlaskClient, key: str) -> None:
    for sort, other in (("wallets", "spent_sol"), ("spent_sol", "wallets")):
        rows = walked(client, f"/analyses/{key}/tokens.json?sort={sort}")
        assert len({row["mint"] for row in rows}) == len(rows) == 9
        ranks = [(row[sort], row[other]) for row in rows]
        assert ranks == sorted(ranks, reverse=True)
    assert rows[0]["token"]["status"] == "pending"


def test_the_most_common_come_first_as_in_the_summary(client: FlaskClient, key: str) -> None:
    top = client.get(f"/analyses/{key}.json").json["summary"]["top_tokens"]
    listed = client.get(f"/analyses/{key}/tokens.json").json["tokens"]
    assert [row["wallets"] for row in listed] == [row["wallets"] for row in top]
    assert listed[0]["mint"] == top[0]["mint"]


def test_the_page_has_live_cells_and_leads_on(client: FlaskClient, key: str) -> None:
    page = client.get(f"/analyses/{key}/tokens?limit=4").text
    assert page.count("data-mint=") == 2 * 4
    assert "data-tokens=" in page
    assert "Next 50" in page
    assert re.search(rf'href="/analyses/{key}/tokens\?[^"]*sort=spent_sol', page)
    with database.session():
        Token.update(status="resolved", symbol="<i>X</i>").where(Token.mint == mint(0)).execute()
    page = client.get(f"/analyses/{key}/tokens").text
    assert "&lt;i&gt;X&lt;/i&gt;" in page
    assert "Next 50" not in page


def test_htmx_gets_the_rows_alone(client: FlaskClient, key: str) -> None:
    text = client.get(f"/analyses/{key}/tokens?limit=3", headers=HTMX).text
    assert text.strip().startswith("<tr>")
    assert text.count("<tr>") == 3
    assert "<html" not in text


def test_without_a_result_it_says_what_comes(client: FlaskClient) -> None:
    key = start(client, [address("a"), address("b")])
    assert "as soon as two wallets are read" in client.get(f"/analyses/{key}/tokens").text
    assert client.get(f"/analyses/{key}/tokens.json").json == {"tokens": [], "next": None}


@pytest.mark.parametrize("query", ["sort=name", "after=nonsense", "after=WzBd", "limit=0", "limit=201"])
def test_what_cannot_be_asked_is_refused(client: FlaskClient, key: str, query: str) -> None:
    for path in ("tokens", "tokens.json"):
        assert client.get(f"/analyses/{key}/{path}?{query}").status_code == 400
