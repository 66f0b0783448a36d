"""What an analysis found, as readers see it: insights with their proof, clusters, behaviour, and the downloads."""

from __future__ import annotations

import csv
import io
import re
from typing import Any
from xml.etree import ElementTree

import igraph
import pytest
from flask.testing import FlaskClient

from tasks.storage import database, pairs
from tasks.storage.models.base import db
from tasks.storage.models.results import Pair, Result, ResultCluster, ResultWallet
from tests.support.site import address, buys, finish, mint, one_line, row, start, sync, work

HTMX = {"HX-Request": "true"}
DAY_S = 86_400
LEAD, FOLLOW, LATE, APART = (address(name) for name in ("lead", "follow", "late", "apart"))
A, B = sorted([LEAD, FOLLOW])


def gather() -> list[str]:
    """Three wallets with the same portfolio, the second 20 s behind the first, the third 40 days; and one apart."""
    sizes = (1, 2, 3, 4, 5, 6)
    sells = [("sell", mint(0), 3.0, 7_200), ("sell", mint(1), 1.5, 30_000)]
    return [
        sync("lead", [*buys(*sizes), *sells], holdings=[mint(2)]),
        sync("follow", buys(*sizes, at=20)),
        sync("late", buys(*sizes, at=40 * DAY_S)),
        sync("apart", buys(1, 1, 1, first=20)),
    ]


@pytest.fixture
def flock(client: FlaskClient) -> str:
    """A complete analysis of these four."""
    return finish(client, gather())


def rows_of(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


# Insights and their proof


def test_the_insights_of_an_analysis_name_the_strongest_pair_in_a_sentence(flock: str, client: FlaskClient) -> None:
    found = {one["insight"]: one for one in client.get(f"/analyses/{flock}.json").json["insights"]}
    led = found["leader_and_follower"]
    assert set(led) == {"insight", "pairs", "text", "wallet_a", "wallet_b"}
    assert (led["pairs"], led["wallet_a"], led["wallet_b"]) == (1, A, B)
    assert "was first in 6 of 6 matched trades" in led["text"]
    assert "20\u00a0s later" in led["text"]
    assert found["very_high_similarity"]["pairs"] == 3


def test_from_the_sentence_to_both_transactions_in_two_clicks(flock: str, client: FlaskClient) -> None:
    page = client.get(f"/analyses/{flock}").text
    link = re.search(r'class="insight-proof" href="([^"]+)">[^<]*was first in 6 of 6', page)
    assert link
    assert link[1] == f"/analyses/{flock}/pairs/{A}/{B}#matches"
    pair, shape = client.get(link[1]).text, client.get(f"/analyses/{flock}/pairs/{A}/{B}.json").json
    proof = pair[pair.index('id="matches"') :]
    for one in shape["matches"]:
        assert f"https://solscan.io/tx/{one['signature_a']}" in proof
        assert f"https://solscan.io/tx/{one['signature_b']}" in proof


def test_an_insight_about_tokens_leads_to_the_first_transaction_of_each(flock: str, client: FlaskClient) -> None:
    page = client.get(f"/analyses/{flock}").text
    link = re.search(r'class="insight-proof" href="([^"]+)#tokens">', page)
    assert link
    pair, shape = client.get(link[1]).text, client.get(f"{link[1]}.json").json
    shown = re.findall(r'class="explorer proof-first" href="https://solscan.io/tx/(\w+)"', pair)
    firsts = [one[f"signatures_{side}"][0] for one in shape["tokens"] for side in "ab"]
    assert shown == firsts


def test_a_pair_tells_its_matches_and_both_sides_of_the_case(flock: str, client: FlaskClient) -> None:
    shape = client.get(f"/analyses/{flock}/pairs/{A}/{B}.json").json
    lag = 20 if A == LEAD else -20
    assert [one["mint"] for one in shape["matches"]] == [mint(i) for i in range(6)]
    first = shape["matches"][0]
    assert set(first) == {"mint", "side", "time_a", "time_b", "lag_s", "signature_a", "signature_b"}
    assert (first["side"], first["lag_s"]) == ("buy", lag)
    assert first["time_a" if A == LEAD else "time_b"] == "2025-10-09T08:53:20Z"
    assert shape["leader"] == LEAD
    assert (shape["matched"], shape["lead_share"], shape["median_lag_s"]) == (6, 1.0, lag)
    assert [one["insight"] for one in shape["for"]] == shape["insights"]
    assert all(set(one) == {"text"} for one in shape["against"])
    assert shape["expected"] is None


def test_the_page_of_a_pair_says_what_is_not_known(flock: str, client: FlaskClient) -> None:
    text = client.get(f"/analyses/{flock}/pairs/{A}/{B}").text
    assert "Whether chance explains the shared tokens is not known" in text
    assert "needs 30 wallets" in text or "30" in text
    assert 'class="chart time-strip"' in text
    assert 'class="chart lag-bars"' in text


def test_known_chance_is_said_in_words(flock: str, client: FlaskClient) -> None:
    with database.session():
        known = {"expected": 0.04, "lift": 150.0, "p_value": 1e-9, "q_value": 1e-8}
        Pair.update(**known).where(Pair.result_id == row(flock).result_id).execute()
    text = one_line(client.get(f"/analyses/{flock}/pairs/{A}/{B}").text)
    assert "share &lt; 0.1 by chance; these share 6, 150.0\u00a0× as many. That is beyond chance" in text


def test_the_list_can_be_narrowed_to_an_insight_and_a_cluster(flock: str, client: FlaskClient) -> None:
    path = f"/analyses/{flock}/pairs"
    led = client.get(f"{path}.json?insight=leader_and_follower").json
    assert [(one["wallet_a"], one["wallet_b"]) for one in led["pairs"]] == [(A, B)]
    assert client.get(f"{path}.json?cluster=1").json["total"] == 3
    assert client.get(f"{path}.json?cluster=1&wallet={LATE}").json["total"] == 2
    assert client.get(f"{path}.json?cluster=7").json["total"] == 0
    rows = rows_of(client.get(f"{path}.csv?insight=leader_and_follower"))
    assert len(rows) == 1
    assert "leader_and_follower" in rows[0]["insights"].split()
    assert (rows[0]["leader"], rows[0]["q_value"]) == (LEAD, "")
    page = client.get(f"{path}?insight=leader_and_follower").text
    assert page.count('<li class="pair"') == 1
    assert "insight-leader_and_follower" in page
    assert re.search(r'class="chip" href="\?[^"]*"', page), "each chip leads to the same list, narrowed otherwise"


@pytest.mark.parametrize("query", ["sort=lift", "sort=matched&min=3", "sort=overlap&min=0.33", "cluster=9"])
def test_every_list_has_a_page(flock: str, client: FlaskClient, query: str) -> None:
    assert client.get(f"/analyses/{flock}/pairs?{query}").status_code == 200


# Clusters and the map


def test_clusters_and_places_in_json(flock: str, client: FlaskClient) -> None:
    shape = client.get(f"/analyses/{flock}.json").json
    (cluster,) = shape["clusters"]
    assert list(cluster) == ["number", "wallets", "cohesion", "shared_mints", "weak_bridges", "held_by"]
    assert [one["wallet"] for one in cluster["held_by"]] == cluster["wallets"]
    for one in cluster["held_by"]:
        assert one["by"] in set(cluster["wallets"]) - {one["wallet"]}
        assert (one["overall"], one["edges"]) == (pytest.approx(1.0), 2)
    edges = client.get(f"/analyses/{flock}/pairs.json?cluster=1&edges=yes").json["pairs"]
    assert {one for pair in edges for one in (pair["wallet_a"], pair["wallet_b"])} == set(cluster["wallets"])
    assert all(one["cluster_edge"] for one in edges)
    everywhere = client.get(f"/analyses/{flock}/pairs.json").json["pairs"]
    assert [one for one in everywhere if one["cluster_edge"]] == edges
    assert cluster["wallets"] == sorted([LEAD, FOLLOW, LATE])
    assert cluster["cohesion"] == pytest.approx(1.0)
    assert sorted(cluster["shared_mints"]) == sorted(mint(i) for i in range(6))
    assert cluster["weak_bridges"] == []
    places = {one["address"]: one for one in shape["wallets"]}
    assert [places[one]["cluster"] for one in (LEAD, FOLLOW, LATE, APART)] == [1, 1, 1, None]
    assert places[LEAD]["x"] == pytest.approx(places[LATE]["x"])
    assert places[LEAD]["x"] != pytest.approx(places[APART]["x"])
    assert len(shape["explained"]) == 2


def test_the_page_shows_clusters_map_and_insights(flock: str, client: FlaskClient) -> None:
    page = client.get(f"/analyses/{flock}").text
    assert f"/analyses/{flock}/pairs?cluster=1" in page
    assert page.count('class="held-by note"') == 3
    assert f"/analyses/{flock}/pairs?cluster=1&amp;edges=yes" in page
    assert page.count('class="dot dot-') == 4
    assert page.count('class="dot dot-circle cluster-1"') == 3
    assert f"/analyses/{flock}/pairs?insight=leader_and_follower" in page


def test_clusters_as_csv(client: FlaskClient) -> None:
    wallets = [sync(f"csv {i}", buys(1, 2, 3)) for i in range(3)]
    body = [{"address": wallets[0], "label": "=cmd()"}, {"address": wallets[1]}, {"address": wallets[2]}]
    key = client.post("/analyses", json={"wallets": body}).json["id"]
    work()
    rows = rows_of(client.get(f"/analyses/{key}/clusters.csv"))
    assert [one["wallet"] for one in rows] == sorted(wallets)
    assert {one["label"] for one in rows} == {"'=cmd()", ""}
    assert {(one["cluster"], one["wallets"], one["weak_bridge"]) for one in rows} == {("1", "3", "false")}
    assert set(rows[0]["shared_mints"].split()) == {mint(i) for i in range(3)}
    assert [one["shared_mints"] for one in rows[1:]] == ["", ""], "a long list is not repeated"
    assert all(one["held_by"] in wallets and one["held_by"] != one["wallet"] for one in rows)
    assert {(one["held_by_overall"], one["edges"]) for one in rows} == {("1.0", "2")}
    assert rows[0]["tau"] == "0.5"


# The graph


def test_the_graph_is_read_by_others(client: FlaskClient, tmp_path: Any) -> None:
    wallets = [sync(f"graph {i}", buys(1, 2, 3)) for i in range(3)] + [sync("few", buys(1))]
    body = [{"address": one, "label": f'<b> & "{i}"'} for i, one in enumerate(wallets)]
    key = client.post("/analyses", json={"wallets": body}).json["id"]
    work()
    answer = client.get(f"/analyses/{key}/graph.graphml")
    assert answer.mimetype == "application/graphml+xml"
    assert ElementTree.fromstring(answer.data).tag.endswith("graphml")
    path = tmp_path / "graph.graphml"
    path.write_bytes(answer.data)
    graph = igraph.Graph.Read_GraphML(str(path))
    assert (graph.vcount(), graph.ecount(), graph.is_directed()) == (4, 6, False)
    nodes = {vertex["id"]: vertex.attributes() for vertex in graph.vs}
    assert nodes[wallets[0]]["label"] == '<b> & "0"'
    assert nodes[wallets[0]]["cluster"] == 1
    edge = graph.es[graph.get_eid(*(graph.vs.find(id=one).index for one in wallets[:2]))]
    assert edge["overall"] == pytest.approx(1.0)
    assert "very_high_similarity" in edge["insights"].split()
    assert (graph["tau"], graph["analysis"]) == ("0.5", key)
    holding = client.get(f"/analyses/{key}/pairs.json?cluster=1&edges=yes").json["pairs"]
    marked = [{graph.vs[end]["id"] for end in one.tuple} for one in graph.es if one["cluster_edge"]]
    assert 0 < len(marked) < graph.ecount()
    assert all({one["wallet_a"], one["wallet_b"]} in marked for one in holding)
    assert len(marked) == len(holding)
    assert db.is_closed()


# Behaviour


def test_behaviour_in_json(flock: str, client: FlaskClient) -> None:
    shape = client.get(f"/analyses/{flock}/wallets/{LEAD}.json").json
    assert list(shape)[0] == "wallet"
    assert {
        "trades", "buys", "sells", "mints", "mints_both_sides", "buy_sell_ratio", "median_hold_s", "mean_hold_s",
        "hold_bins", "realised_profit_sol", "unrealised_profit_sol", "win_rate", "sessions", "trades_per_session",
        "median_session_s", "trades_by_hour", "reentry_rate", "style", "unmatched_sold_share",
    } <= set(shape)  # fmt: skip
    assert (shape["wallet"], shape["buys"], shape["sells"], shape["mints"]) == (LEAD, 6, 2, 6)
    # Mint 0: 1 SOL, sold for 3 after 7,200 s; mint 1: 2 SOL a minute later, sold for 1.5 at 30,000 s.
    assert shape["realised_profit_sol"] == pytest.approx(1.5)
    assert shape["median_hold_s"] == (7_200 + 29_940) / 2
    assert shape["win_rate"] == 0.5
    assert len(shape["trades_by_hour"]) == 24


def test_the_page_of_a_wallet_shows_how_it_trades(flock: str, client: FlaskClient) -> None:
    page = client.get(f"/analyses/{flock}/wallets/{LEAD}").text
    assert 'id="behaviour"' in page
    assert "+1.50" in page
    assert "Cluster 1" in page
    assert 'id="audit"' in page
    assert "The unrealised profit is not known" in page


def test_a_wallet_that_is_not_there_has_no_behaviour(flock: str, client: FlaskClient) -> None:
    assert client.get(f"/analyses/{flock}/wallets/{address('nobody')}.json").status_code == 404


# What is missing, and how it was made


def test_every_answer_says_how_it_was_made(flock: str, client: FlaskClient) -> None:
    base = f"/analyses/{flock}"
    for path in ("pairs.json", f"pairs/{A}/{B}.json", f"wallets/{LEAD}.json", f"wallets/{LEAD}/capital.json"):
        made = client.get(f"{base}/{path}").json["provenance"]
        assert made["analysis"] == flock
        assert made["parameters"]["timing_window_s"] == 60
        assert made["computed_at"].endswith("Z")
        assert made["window_to"].endswith("Z")
        assert (made["window_from"], made["provisional"]) == (None, False)
        assert made["version"]
    for path in ("", "/pairs", f"/pairs/{A}/{B}", f"/wallets/{LEAD}"):
        footer = client.get(base + path).text.split("<footer", 1)[1]
        assert "trades matched within 60\u00a0s" in footer or "trades matched within 1\u00a0min" in footer
        assert "threshold 0.50" in footer
        assert "by version" in footer


def test_a_result_of_an_older_version_stays_readable(client: FlaskClient) -> None:
    flock = start(client, gather())
    work()
    result_id = row(flock).result_id
    with database.session():
        Pair.update(dict.fromkeys(pairs.TIMING) | {"insights": 0}).execute()
        Result.update(insights="[]", background="{}", explained="[]", missing="[]").execute()
        for model in (ResultWallet, ResultCluster):
            model.delete().where(model.result_id == result_id).execute()
    assert client.get(f"/analyses/{flock}").status_code == 200
    shape = client.get(f"/analyses/{flock}.json").json
    assert (shape["clusters"], shape["insights"], shape["background"]) == ([], [], None)
    assert "was not compared" in client.get(f"/analyses/{flock}/pairs/{A}/{B}").text
    assert "How this wallet trades is not known" in client.get(f"/analyses/{flock}/wallets/{LEAD}").text
    answer = client.get(f"/analyses/{flock}/wallets/{LEAD}.json")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "no_behaviour")
    assert client.get(f"/analyses/{flock}/graph.graphml").status_code == 200


def test_a_provisional_result_says_what_it_lacks(client: FlaskClient) -> None:
    wallets = [sync(f"soon {i}", buys(1, 2, 3)) for i in range(2)]
    key = start(client, [*wallets, address("not yet")])
    work(["provisional"])
    shape = client.get(f"/analyses/{key}.json").json
    assert (shape["state"], shape["provisional"]) == ("provisional", True)
    assert any("final result" in one for one in shape["missing"])
    assert client.get(f"/analyses/{key}/pairs").status_code == 200
    assert client.get(f"/analyses/{key}").status_code == 200
