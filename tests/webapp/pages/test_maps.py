"""The map and the heat map of an analysis: what is drawn, what the tables say, and their sorts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from flask import render_template_string
from flask.testing import FlaskClient

from tasks.storage import database, map_queries
from tasks.storage.models.results import Pair, Result, ResultWallet
from tests.support.site import buys, finish, one_line, row, start, sync, work
from webapp.presenters import maps

HTMX = {"HX-Request": "true"}
HOSTILE = "<b>\u202eevil</b>"


def gather() -> list[str]:
    """Four wallets that trade alike, three others that do, five loners, and one with too few tokens to compare."""
    sizes = (1, 2, 3, 4, 5, 6)
    return [
        *(sync(f"one {i}", buys(*sizes, at=20 * i)) for i in range(4)),
        *(sync(f"two {i}", buys(1, 1, 2, 2, first=20)) for i in range(3)),
        *(sync(f"loner {i}", buys(1, 1 + i, 2, 2, first=40 + 3 * i)) for i in range(5)),
        sync("few", buys(1)),
    ]


@pytest.fixture
def crowd(client: FlaskClient) -> str:
    return finish(client, gather())


def figures(text: str) -> list[float]:
    """Return the overall scores of a table, in its order."""
    return [float(one) for one in re.findall(r'<span class="figure" aria-hidden="true">([\d.]+)</span>', text)]


def rows_of(text: str) -> list[str]:
    return re.findall(r"<tr><th scope=\"row\">.*?</tr>", text, re.DOTALL)


class Tree(HTMLParser):
    """Finds links and buttons inside of links and buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.nested = 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("a", "button"):
            self.nested += self.open > 0
            self.open += 1

    def handle_endtag(self, tag: str) -> None:
        self.open -= tag in ("a", "button")


def test_every_dot_leads_to_its_wallet_and_says_who_it_is(client: FlaskClient) -> None:
    wallets = gather()
    body = [{"address": one, "label": HOSTILE if one == wallets[0] else None} for one in wallets]
    key = str(client.post("/analyses", json={"wallets": body}).json["id"])
    work()
    page = one_line(client.get(f"/analyses/{key}").text)
    dots = re.findall(r'<a class="dot [^"]*" href="([^"]+)" aria-label="([^"]+)" xlink:title="\2">', page)
    placed = client.get(f"/analyses/{key}.json").json["wallets"]
    assert {href.rsplit("/", 1)[1] for href, _ in dots} == {one["address"] for one in placed if one["x"] is not None}
    names = dict((href.rsplit("/", 1)[1], name) for href, name in dots)
    assert names[wallets[0]] == "&lt;b&gt;evil&lt;/b&gt;, cluster 1"
    assert names[wallets[7]].endswith(", no cluster")
    assert client.get(dots[0][0]).status_code == 200


def test_a_small_map_links_the_first_dots_and_draws_the_others_as_few_elements(client: FlaskClient) -> None:
    spots = [(i / 10, i % 7 / 10, 1 if i < 8 else None) for i in range(20)]
    wallets = [{"url": f"/{i}", "label": f"w{i}", "address": f"a{i}"} for i in range(20)]
    text = "{% from 'macros/maps.html' import scatter %}{{ scatter(found, wallets, [0.5, 0.2], 'Map', linked) }}"
    with client.application.test_request_context():
        few = render_template_string(text, found=maps.scatter(spots), wallets=wallets, linked=5)
        all_of_them = render_template_string(text, found=maps.scatter(spots), wallets=wallets, linked=20)
    assert few.count('<a class="dot ') == 5
    assert few.count('<use class="dot cluster-1"') == 3, "who is in a cluster keeps its colour and shape"
    assert len(re.findall(r'class="dots-inside" d="((?:M[\d.]+ [\d.]+h0){12})"', few)) == 1, "one path for the rest"
    assert all_of_them.count('<a class="dot ') == 20
    assert "dots-inside" not in all_of_them


def test_clusters_have_hulls_names_and_keys(crowd: str, client: FlaskClient) -> None:
    page = client.get(f"/analyses/{crowd}").text
    card = page[page.index('id="map"') : page.index('id="heat"')]
    assert card.count('class="hull ') == 2
    assert card.count(">Cluster 1</text>") == card.count(">Cluster 2</text>") == 2  # for a wide and a narrow drawing
    assert re.search(r"Component 1 · [\d.]+\xa0% of variance", card)
    assert "</span>none</li>" in card


def test_the_heat_map_draws_steps_unknowns_and_brackets(crowd: str, client: FlaskClient) -> None:
    page = client.get(f"/analyses/{crowd}").text
    card = page[page.index('id="heat"') : page.index('id="heat-table"')]
    assert 'viewBox="0 0 13 13"' in card
    assert card.count('class="heat-box ') == 2
    assert '<path class="heat-6"' in card
    assert 'stroke="url(#heat-hatch)"' in card  # the wallet with one token
    assert "not enough data" in card
    assert "not kept" not in card
    assert card.count(">no cluster<") == 1
    assert card.count("<path") < 20


def test_a_pair_that_was_not_kept_is_blank_and_the_key_says_so(crowd: str, client: FlaskClient) -> None:
    with database.session():
        worst = Pair.select(Pair.number).where(Pair.overall == 0).limit(1).scalar()
        Pair.delete().where(Pair.number == worst).execute()
    assert "not kept" in client.get(f"/analyses/{crowd}/heat").text


def test_the_tables_say_the_same_as_the_drawings(crowd: str, client: FlaskClient) -> None:
    shape = client.get(f"/analyses/{crowd}.json").json
    places = {one["address"]: one for one in shape["wallets"] if one["x"] is not None}
    rows = rows_of(client.get(f"/analyses/{crowd}/map?limit=200").text)
    assert len(rows) == len(places)
    for text in rows:
        one = places[re.search(r'/wallets/(\w+)"', text)[1]]
        assert f"{one['x']:.3f}".replace("-", "\u2212") in text or abs(one["x"]) < 0.0005
    pairs = client.get(f"/analyses/{crowd}/pairs.json?limit=200").json["pairs"]
    rows = rows_of(client.get(f"/analyses/{crowd}/heat?limit=200").text)
    assert len(rows) == len(pairs) == 78
    assert sum("not enough data" in one for one in rows) == 12
    links = [re.search(r'href="(/analyses/\w+/pairs/[^"]+)"', one)[1] for one in rows]
    assert links[0].endswith(f"/pairs/{pairs[0]['wallet_a']}/{pairs[0]['wallet_b']}")
    assert client.get(links[0]).status_code == 200


@pytest.mark.parametrize("sort", ["overall", "-overall", "a", "-b"])
def test_pairs_are_sorted_by_real_links_and_what_is_unknown_comes_last(
    crowd: str, client: FlaskClient, sort: str
) -> None:
    page = one_line(client.get(f"/analyses/{crowd}/heat?sort={sort}&limit=200").text)
    heads = re.findall(r'<th[^>]*?(?: aria-sort="(\w+)")?><a id="heat-table-(\w+)" href="([^"]+)"', page)
    by = sort.lstrip("-")
    active = {name: direction for direction, name, _ in heads if direction}
    assert active == {by: "descending" if sort[0] == "-" else "ascending"}
    turned = next(href for _, name, href in heads if name == by)
    assert f"sort={by if sort[0] == '-' else '-' + by}&" in turned
    if by == "overall":
        found = figures(page)
        assert found == sorted(found, reverse=sort[0] == "-")
        assert "not enough data" in rows_of(page)[-1]
        assert "not enough data" not in rows_of(page)[0]


def test_places_are_sorted_and_those_in_no_cluster_come_last(crowd: str, client: FlaskClient) -> None:
    for sort in ("cluster", "-cluster"):
        cells = re.findall(r"</th><td>(.*?)</td>", client.get(f"/analyses/{crowd}/map?sort={sort}").text)
        assert "none" in cells[-1]
        assert cells[0] == ("1" if sort == "cluster" else "2")
    values = re.findall(
        r'<td class="num">(.*?)</td><td class="num">', client.get(f"/analyses/{crowd}/map?sort=-x").text
    )
    found = [float(one.replace("\u2212", "-")) for one in values]
    assert found == sorted(found, reverse=True)


def test_pages_of_a_table_follow_each_other(crowd: str, client: FlaskClient) -> None:
    url, seen = f"/analyses/{crowd}/heat?sort=a&limit=10", []
    while url:
        page = client.get(url, headers=HTMX | {"HX-Target": "heat-table"}).text
        seen += rows_of(page)
        following = re.search(r'href="([^"]+)" hx-target="#heat-table" hx-swap="outerHTML" rel="next"', page)
        url = following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == len(set(seen)) == 78


@pytest.mark.parametrize(("path", "table"), [("map", "places-table"), ("heat", "heat-table")])
def test_htmx_gets_the_table_alone(crowd: str, client: FlaskClient, path: str, table: str) -> None:
    part = client.get(f"/analyses/{crowd}/{path}?limit=10", headers=HTMX | {"HX-Target": table}).text.strip()
    assert part.startswith(f'<div class="map-rows" id="{table}" data-live="Sorted by ')
    assert '<svg class="chart' not in part
    assert f'hx-target="#{table}"' in part
    assert len(rows_of(part)) == 10


@pytest.mark.parametrize(("path", "table"), [("map", "places-table"), ("heat", "heat-table")])
def test_the_table_of_a_card_comes_when_it_is_to_be_seen(
    crowd: str, client: FlaskClient, path: str, table: str
) -> None:
    page = one_line(client.get(f"/analyses/{crowd}").text)
    place = re.search(rf'<div class="map-rows [^"]*" id="{table}" hx-get="([^"]+)" hx-trigger="intersect once"', page)
    assert place is not None
    assert len(rows_of(client.get(place[1], headers=HTMX | {"HX-Target": table}).text)) == 10
    assert f'<a href="/analyses/{crowd}/{path}#{table}">Open the table' in page, "without JavaScript"


def test_every_navigation_of_the_page_has_a_name_of_its_own(crowd: str, client: FlaskClient) -> None:
    ways = (("map", "places-table"), ("heat", "heat-table"))
    parts = "".join(client.get(f"/analyses/{crowd}/{one}", headers=HTMX | {"HX-Target": to}).text for one, to in ways)
    names = re.findall(r'<nav class="pager" aria-label="([^"]+)"', parts)
    assert names == ["Pages of wallets", "Pages of pairs"]


def test_no_control_is_inside_another(crowd: str, client: FlaskClient) -> None:
    for path in ("", "/map", "/heat"):
        tree = Tree()
        tree.feed(client.get(f"/analyses/{crowd}{path}").text)
        assert tree.nested == 0


@pytest.mark.parametrize("query", ["sort=size", "sort=--x", "after=x", "limit=0", "limit=1000"])
def test_a_query_that_cannot_be_is_refused(crowd: str, client: FlaskClient, query: str) -> None:
    assert client.get(f"/analyses/{crowd}/map?{query}").status_code == 400


def test_without_places_there_is_a_sentence(client: FlaskClient) -> None:
    key = finish(client, [sync("few 1", buys(1)), sync("few 2", buys(1))])
    page = client.get(f"/analyses/{key}").text
    assert "A map needs three wallets" in page
    assert client.get(f"/analyses/{key}/map").status_code == 200
    assert client.get(f"/analyses/{key}/map", headers=HTMX | {"HX-Target": "places-table"}).status_code == 200


def test_before_there_is_a_result_the_pages_say_so(client: FlaskClient) -> None:
    key = start(client, [sync("early 1", buys(1, 2, 3)), sync("early 2", buys(1, 2, 3))])
    for path in ("map", "heat"):
        assert "There is no result yet" in client.get(f"/analyses/{key}/{path}").text


def test_a_provisional_result_has_a_heat_map_and_its_map_is_coming(client: FlaskClient) -> None:
    crowd = start(client, gather())
    work()
    with database.session():
        ResultWallet.delete().execute()
        Result.update(provisional=True).execute()
    assert "The map comes with the final result." in client.get(f"/analyses/{crowd}/map").text
    assert 'class="heat-cells"' in client.get(f"/analyses/{crowd}/heat").text


def test_those_in_clusters_come_first_then_those_of_the_best_pairs(crowd: str, client: FlaskClient) -> None:
    result_id = row(crowd).result_id
    with database.session():
        clusters = dict(ResultWallet.select(ResultWallet.position, ResultWallet.cluster).tuples())
        chosen, total = map_queries.closest_wallets(result_id, 9)
        everybody, _ = map_queries.closest_wallets(result_id, 100)
        among = map_queries.among(result_id, chosen)
    assert total == 13
    assert [clusters[position] for position in chosen] == [1] * 4 + [2] * 3 + [None] * 2
    assert sorted(everybody) == list(range(13))
    assert len(among) == 36
    values = [-1 if overall is None else overall for _, _, overall in among]
    assert values == sorted(values, reverse=True)
    assert {position for a, b, _ in among for position in (a, b)} == set(chosen)


def test_nobody_is_among_no_wallets(crowd: str) -> None:
    with database.session():
        assert map_queries.among(row(crowd).result_id, []) == []


def test_addresses_of_nobody_have_no_map(client: FlaskClient) -> None:
    assert client.get(f"/analyses/{'0' * 32}/map").status_code == 404
