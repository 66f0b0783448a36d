"""The card of pairs: the same on its page and in the result, its links and places; what a score is made of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.site import address, buys, finish, one_line, start, sync, work

HTMX = {"HX-Request": "true"}
CARD = {**HTMX, "HX-Target": "pairs-card"}
SHARES = {**HTMX, "HX-Target": "shares"}
ONE, TWO = sorted([address("alike 1"), address("alike 2")])


def card_of(text: str) -> str:
    found = re.search(r'<section class="card" id="pairs-card".*?</section>', text, re.DOTALL)
    assert found
    return found[0]


def positions(text: str) -> list[int]:
    return [int(place) for place in re.findall(r'aria-posinset="(\d+)"', text)]


def many(client: FlaskClient, count: int = 9) -> str:
    """Make an analysis whose wallets all have the same tokens: `count` over two pairs."""
    return finish(client, [sync(f"many {i}", buys(1, 2, 3)) for i in range(count)])


def test_result_and_list_show_the_same_card(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    query = "?sort=capital&min=0.5"
    inside = card_of(client.get(f"/analyses/{key}{query}").text)
    alone = card_of(client.get(f"/analyses/{key}/pairs{query}").text)
    assert re.findall(r'<li class="pair" id="([\w-]+)"', inside) == re.findall(r'<li class="pair" id="([\w-]+)"', alone)
    links = re.findall(r'href="(\?[^"]*)"', inside)
    assert links == re.findall(r'href="(\?[^"]*)"', alone)
    assert links, "every link of the list is a query alone, so that it leads to the page on which it stands"
    assert "data-endless" in alone
    assert "data-endless" not in inside


def test_htmx_gets_the_card_alone(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    text = client.get(f"/analyses/{key}/pairs?insight=very_high_similarity", headers=CARD).text
    assert text.strip().startswith("<section")
    assert positions(text) == [1]


def test_a_list_of_a_running_analysis_has_no_filters(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, five_wallets)
    work(["provisional"])
    text = card_of(client.get(f"/analyses/{key}").text)
    assert "pair-filter" not in text
    assert "skeleton" in text


def test_pages_lead_on_and_back_and_say_their_places(client: FlaskClient) -> None:
    key = many(client)
    path = f"/analyses/{key}/pairs"
    first = client.get(f"{path}?limit=10").text
    assert positions(first) == list(range(1, 11))
    assert 'aria-setsize="36"' in first
    assert 'rel="prev"' not in first
    following = link(first, "next")
    second = client.get(path + following).text
    assert positions(second) == list(range(11, 21))
    third = client.get(path + link(second, "next")).text
    assert positions(third) == list(range(21, 31))
    assert positions(client.get(path + link(third, "prev")).text) == list(range(11, 21))
    assert positions(client.get(path + link(second, "prev")).text) == list(range(1, 11))
    assert "10 of 36" in re.sub(r"\s|&nbsp;", " ", first)


def link(text: str, rel: str) -> str:
    found = re.search(rf'href="([^"]+)" rel="{rel}"', text)
    assert found
    return found[1].replace("&amp;", "&")


def test_another_sort_forgets_the_least_of_the_old_one(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    text = client.get(f"/analyses/{key}/pairs?sort=matched&min=2&insight=very_high_similarity").text
    heads = re.findall(r'pair-head-\d"><a href="([^"]+)"', text)
    assert heads
    assert not any("min=" in one for one in heads)
    assert all("insight=very_high_similarity" in one for one in heads)


def test_edges_are_marked_inside_of_a_cluster_only(client: FlaskClient) -> None:
    key = many(client, 4)
    assert ">edge<" not in client.get(f"/analyses/{key}/pairs").text


# What a score is made of


def shares(client: FlaskClient, key: str, score: str) -> Any:
    return client.get(f"/analyses/{key}/pairs/{ONE}/{TWO}/contributions?score={score}", headers=SHARES)


@pytest.mark.parametrize("score", ["capital", "behavioural", "overall"])
def test_the_parts_of_a_score_add_up_to_it(client: FlaskClient, score: str) -> None:
    wallets = [sync("alike 1", buys(*range(1, 12))), sync("alike 2", buys(*range(12, 1, -1)))]
    key = finish(client, wallets)
    text = shares(client, key, score).text
    assert "<html" not in text
    parts = [float(one) for one in re.findall(r">(\d\.\d{3})<", text)]
    assert len(parts) == 7
    assert parts[:6] == sorted(parts[:6], reverse=True)
    whole = client.get(f"/analyses/{key}/pairs/{ONE}/{TWO}.json").json[score]
    assert round(sum(parts), 3) == round(whole, 3)
    assert "5 more tokens" in text
    assert f"{score.capitalize()} {whole:.2f}, by token" in text or whole > 0.99


def test_without_htmx_a_score_leads_to_the_table_of_the_pair(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    answer = client.get(f"/analyses/{key}/pairs/{ONE}/{TWO}/contributions?score=behavioural")
    assert answer.status_code == 303
    assert answer.location == f"/analyses/{key}/pairs/{ONE}/{TWO}?sort=behavioural#tokens"
    page = client.get(answer.location).text
    assert "Adds to behavioural" in page
    assert client.get(f"/analyses/{key}/pairs/{ONE}/{TWO}/contributions?score=magic").status_code == 400
    assert client.get(f"/analyses/{key}/pairs/{TWO}/{ONE}/contributions?score=capital").status_code == 308


def test_a_score_without_data_is_no_button(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    text = client.get(f"/analyses/{key}/pairs?wallet={address('few')}").text
    assert "score-button" not in text
    assert text.count("not enough data") >= 4


# One pair


def test_the_tokens_of_a_pair_may_be_asked_for_alone(client: FlaskClient) -> None:
    wallets = [sync("alike 1", buys(*range(1, 26))), sync("alike 2", buys(*range(1, 26)))]
    key = finish(client, wallets)
    path = f"/analyses/{key}/pairs/{ONE}/{TWO}"
    page = client.get(f"{path}?sort=behavioural", headers=HTMX).text
    following = link_to(page, "next")
    text = client.get(following, headers={**HTMX, "HX-Target": "tokens"}).text
    assert text.strip().startswith('<div class="pair-tokens"')
    assert "Tokens 11 to 20 of 25" in text
    assert "Adds to behavioural" in text, "the order is kept"


def link_to(text: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}" hx-get="([^"]+)"', one_line(text))
    assert found
    return found[1].replace("&amp;", "&")


def test_an_opened_pair_knows_its_tokens_and_its_lone_trades(client: FlaskClient) -> None:
    wallets = [sync("alike 1", buys(1, 2, 3, 4)), sync("alike 2", [*buys(1, 2, 3), *buys(4, first=3, at=9_000)])]
    key = finish(client, wallets)
    text = client.get(f"/analyses/{key}/pairs/{ONE}/{TWO}", headers=HTMX).text
    marks = re.search(r'data-marks="([^"]+)"', text)
    assert marks
    assert len(marks[1].split()) == 4
    lone = re.search(r'class="strip-lone" d="([^"]*)"', one_line(text))
    assert lone
    assert lone[1].count("M") == 2, "one of either wallet has no match"
    assert "match-table" not in text, "the table of the matches is on the pair's own page"
    assert "match-table" in client.get(f"/analyses/{key}/pairs/{ONE}/{TWO}").text
