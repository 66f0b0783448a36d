"""Pairs: the list in every form, paging through ties and unknowns, and the evidence of one pair."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.storage import database, pairs, retention
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.base import db
from tasks.storage.models.results import Pair, Result
from tasks.storage.models.tokens import Token
from tests.conftest import both_databases
from tests.support.site import address, buys, finish, mint, row, start, sync, work

HTMX = {"HX-Request": "true"}
A, B = sorted([address("a"), address("b")])
A_IS_FIRST = address("alike 1") < address("alike 2")


def rows_of(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


def walk(client: FlaskClient, path: str) -> list[tuple[str, str]]:
    """Follow `next` to the end."""
    found: list[tuple[str, str]] = []
    after = ""
    while after is not None:
        shape = client.get(f"{path}&after={after}").json
        found += [(one["wallet_a"], one["wallet_b"]) for one in shape["pairs"]]
        after = shape["next"]
    return found


# The list


def test_pairs_in_json(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    shape = client.get(f"/analyses/{key}/pairs.json").json
    assert set(shape) == {"pairs", "next", "total", "provenance"}
    assert shape["total"] == 10
    assert shape["next"] is None
    best = shape["pairs"][0]
    assert list(best) == [
        "wallet_a", "wallet_b", "shared", "overall", "behavioural", "capital", "jaccard", "overlap", "coverage_a",
        "coverage_b", "holdings", "expected", "lift", "p_value", "q_value", "matched", "matched_share", "same_slot",
        "median_lag_s", "leader", "lead_share", "timing_p_value", "insights", "cluster_edge",
    ]  # fmt: skip
    assert {best["wallet_a"], best["wallet_b"]} == {address("alike 1"), address("alike 2")}
    assert best["wallet_a"] < best["wallet_b"]
    assert best["overall"] == pytest.approx(1.0)
    assert best["holdings"] == pytest.approx(0.5)
    assert best["lift"] is None  # fewer than 30 wallets are known here
    assert best["insights"][0] == "very_high_similarity"
    assert (best["matched"], best["matched_share"], best["median_lag_s"]) == (4, 1.0, 30.0 if A_IS_FIRST else -30.0)
    assert best["leader"] == address("alike 1")
    assert shape["pairs"][-1]["overall"] is None


@pytest.mark.parametrize("limit", [1, 3, 7, 200])
@pytest.mark.parametrize("sort", ["overall", "behavioural", "capital", "overlap", "lift", "matched"])
def test_paging_gives_every_pair_once_under_ties_and_unknowns(client: FlaskClient, limit: int, sort: str) -> None:
    wallets = [sync(f"tie {i}", buys(1, 2, 3)) for i in range(4)] + [sync(f"none {i}", buys(1)) for i in range(4)]
    key = finish(client, wallets)
    found = walk(client, f"/analyses/{key}/pairs.json?sort={sort}&limit={limit}")
    assert len(found) == len(set(found)) == 28
    assert found == walk(client, f"/analyses/{key}/pairs.json?sort={sort}&limit=200")


def test_pairs_may_be_narrowed(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    path = f"/analyses/{key}/pairs.json"
    mine = client.get(f"{path}?wallet={five_wallets[0]}").json
    assert mine["total"] == len(mine["pairs"]) == 4
    high = client.get(f"{path}?min=0.9").json
    assert high["total"] == 1
    assert client.get(f"{path}?min=0.01&sort=capital").json["total"] == 3
    none = client.get(f"{path}?insight=capital_divergence").json
    assert (none["pairs"], none["next"], none["total"]) == ([], None, 0)
    assert client.get(f"{path}?insight=very_high_similarity").json["total"] == 1
    assert client.get(f"{path}?insight=very_high_similarity&wallet={address('apart')}").json["total"] == 0
    assert client.get(f"{path}?cluster=1").json["total"] == 0
    matched = client.get(f"{path}?sort=matched&min=4").json["pairs"]
    assert [{one["wallet_a"], one["wallet_b"]} for one in matched] == [{address("alike 1"), address("alike 2")}]
    assert client.get(f"{path}?sort=lift&min=0").json["total"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "sort=shared", "sort=result_id", "min=x", "min=2", "min=nan", "min=-0.1",
        "sort=lift&min=-1", "sort=matched&min=x", "cluster=0", "cluster=-1",
        "limit=0", "limit=201", "limit=x", "limit=-1", "limit=000000200999999",
        "after=zzz", "after=W10", "after=WyJhIiwgMSwgMl0",
        "insight=magic", "cluster=x",
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_is_refused(client: FlaskClient, five_wallets: list[str], query: str) -> None:
    key = finish(client, five_wallets)
    answer = client.get(f"/analyses/{key}/pairs.json?{query}")
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "invalid_input"
    assert client.get(f"/analyses/{key}/pairs?{query}").status_code == 400


def test_a_refused_sort_names_those_there_are(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    message = client.get(f"/analyses/{key}/pairs.json?sort=shared").json["error"]["message"]
    assert "overall, behavioural, capital, overlap, lift, matched" in message


def test_a_wallet_that_is_not_in_the_analysis(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    assert client.get(f"/analyses/{key}/pairs.json?wallet={A}").status_code == 404
    page = client.get(f"/analyses/{key}/pairs?wallet={A}")
    assert page.status_code == 200
    assert '<li class="pair"' not in page.text


def test_without_a_result_there_are_no_pairs_yet(client: FlaskClient) -> None:
    key = start(client, [A, B])
    for suffix in (".json", ".csv"):
        assert client.get(f"/analyses/{key}/pairs{suffix}", headers={"Accept": "application/json"}).status_code == 404
    assert client.get(f"/analyses/{key}/pairs.json").json["error"]["code"] == "no_result"
    assert "No pair yet" in client.get(f"/analyses/{key}/pairs").text


def test_the_page_of_pairs_and_its_rows_for_htmx(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    page = client.get(f"/analyses/{key}/pairs?limit=4").text
    assert page.count('<li class="pair"') == 4
    assert "limit=4" in page
    rows = client.get(f"/analyses/{key}/pairs?limit=4", headers=HTMX).text
    assert "<html" not in rows
    assert rows.count('<li class="pair"') == 4


def test_the_page_finds_a_wallet_by_its_label(client: FlaskClient, five_wallets: list[str]) -> None:
    wallets = [{"address": one, "label": f"Desk {i}"} for i, one in enumerate(five_wallets)]
    key = client.post("/analyses", json={"wallets": wallets}).json["id"]
    work()
    page = client.get(f"/analyses/{key}/pairs?wallet=desk%203").text
    assert page.count('<li class="pair"') == 4
    assert "Desk 3" in page


def test_links_of_a_page_keep_nothing_but_list_parameters(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    answer = client.get(f"/analyses/{key}/pairs?limit=2&_external=1&_scheme=x&endpoint=y&key=z&_anchor=q")
    assert answer.status_code == 200


# CSV


def test_pairs_as_csv(client: FlaskClient) -> None:
    wallets = [sync(f"csv {i}", buys(1, 2, 3)) for i in range(3)]
    body = [{"address": wallets[0], "label": "=cmd()"}, {"address": wallets[1], "label": "+1"}, {"address": wallets[2]}]
    key = client.post("/analyses", json={"wallets": body}).json["id"]
    work()
    answer = client.get(f"/analyses/{key}/pairs.csv")
    assert answer.mimetype == "text/csv"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    rows = rows_of(answer)
    assert len(rows) == 3
    assert list(rows[0])[:6] == ["wallet_a", "wallet_b", "label_a", "label_b", "shared", "overall"]
    assert rows[0]["analysis"] == key
    assert rows[0]["computed_at"].endswith("Z")
    labels = {one[name] for one in rows for name in ("label_a", "label_b")}
    assert labels == {"'=cmd()", "'+1", ""}
    shape = client.get(f"/analyses/{key}/pairs.json").json["pairs"]
    assert [(one["wallet_a"], float(one["overall"])) for one in rows] == [(p["wallet_a"], p["overall"]) for p in shape]


def test_a_long_csv_holds_every_pair_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.storage.pairs.PAIRS_A_READ", 7)
    wallets = [sync(f"long {i}", buys(1, 2, 3)) for i in range(6)] + [sync(f"short {i}", buys(1)) for i in range(3)]
    key = finish(client, wallets)
    rows = [(one["wallet_a"], one["wallet_b"]) for one in rows_of(client.get(f"/analyses/{key}/pairs.csv"))]
    assert len(rows) == len(set(rows)) == 36
    assert len(rows_of(client.get(f"/analyses/{key}/pairs.csv?min=0.5"))) == 15
    (empty,) = rows_of(client.get(f"/analyses/{key}/pairs.csv?cluster=2"))
    assert (empty["wallet_a"], empty["overall"], empty["analysis"], empty["tau"]) == ("", "", key, "0.5")
    assert empty["missing"] == "", "nothing is missing"


def _replaced(key: str) -> int:
    """Put a newer result, a copy without pairs, in the place of the shown one; return the id of the old one."""
    with database.session():
        old = Analysis.get(Analysis.key == key).result_id
        values = Result.select().where(Result.id == old).dicts().get()
        new = Result.insert({name: value for name, value in values.items() if name != "id"}).execute()
        Analysis.update(result_id=new).where(Analysis.key == key).execute()
    return int(old)


@both_databases
@pytest.mark.parametrize("path", ["pairs.csv", "pairs.csv?wallet={wallet}", "graph.graphml"])
def test_a_file_whose_result_is_deleted_meanwhile_breaks_off(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("tasks.storage.pairs.PAIRS_A_READ", 2)
    monkeypatch.setattr("webapp.exports.csv_export.ROWS_PER_CHUNK", 1)
    monkeypatch.setattr("webapp.exports.graphml.ROWS_PER_CHUNK", 1)
    wallets = [sync(f"gone {i}", buys(1, 2, 3)) for i in range(5)]
    key = finish(client, wallets)
    answer = client.get(f"/analyses/{key}/{path.format(wallet=wallets[0])}", buffered=False)
    chunks = iter(answer.response)
    next(chunks)
    old = _replaced(key)
    with database.session():
        assert retention.delete_unreferenced(older_than_s=100) == [], "the delay counts from when it was replaced"
        assert retention.delete_unreferenced(older_than_s=0) == [old]
    with pytest.raises(pairs.Gone):
        list(chunks)


def test_a_file_whose_result_was_deleted_before_its_first_row_is_no_empty_file(
    client: FlaskClient, five_wallets: list[str]
) -> None:
    key = finish(client, five_wallets)
    with database.session():
        retention.drop_result(int(row(key).result_id))
    with pytest.raises(pairs.Gone):
        client.get(f"/analyses/{key}/pairs.csv")


def test_a_cursor_of_another_list_is_refused_and_the_page_starts_again(
    client: FlaskClient, five_wallets: list[str]
) -> None:
    key = finish(client, five_wallets)
    path = f"/analyses/{key}/pairs"
    after = client.get(f"{path}.json?limit=4").json["next"]
    assert client.get(f"{path}.json?limit=4&after={after}").status_code == 200
    for other in ("sort=capital", "min=0.1", f"wallet={five_wallets[0]}", "cluster=1", "edges=yes"):
        answer = client.get(f"{path}.json?{other}&after={after}")
        assert answer.status_code == 400
        assert "Start again" in answer.json["error"]["message"]
    other_key = finish(client, five_wallets[:4])
    assert client.get(f"/analyses/{other_key}/pairs.json?after={after}").status_code == 400
    page = client.get(f"/analyses/{other_key}/pairs?limit=4&after={after}")
    assert page.status_code == 200
    assert "replaced by a newer one" in page.text
    assert page.text.count('<li class="pair"') == 4
    rows = client.get(f"/analyses/{other_key}/pairs?limit=4&after={after}", headers=HTMX).text
    assert '<li class="pair"' not in rows, "they would stand below those of the old result"
    assert "Start again" in rows
    assert db.is_closed()


# One pair


def test_a_pair_in_json(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    a, b = sorted([address("alike 1"), address("half")])
    shape = client.get(f"/analyses/{key}/pairs/{a}/{b}.json").json
    assert {"tokens", "matches", "for", "against", "next", "insights", "overall"} <= set(shape)
    assert shape["for"] == []
    assert shape["matches"][0]["mint"] == mint(0)
    assert any("share" in one["text"] for one in shape["against"])
    assert shape["next"] is None
    assert [one["mint"] for one in shape["tokens"]] == sorted(
        [mint(0), mint(1)], key=lambda m: (-shape_part(shape, m), m)
    )
    assert sum(one["contribution_capital"] for one in shape["tokens"]) == pytest.approx(shape["capital"], abs=1e-9)
    total = sum(one["contribution_behavioural"] for one in shape["tokens"])
    assert total == pytest.approx(shape["behavioural"], abs=1e-9)
    first = shape["tokens"][0]
    assert set(first) == {
        "mint", "weight_a", "weight_b", "contribution_capital", "contribution_behavioural", "spent_sol_a",
        "spent_sol_b", "first_buy_a", "first_buy_b", "gap_s", "signatures_a", "signatures_b", "token",
    }  # fmt: skip
    assert first["first_buy_a"].startswith("2025-10-09T")
    assert first["token"]["status"] == "pending"
    assert first["token"]["stale"] is False
    assert len(first["signatures_a"]) == 1


def shape_part(shape: Any, which: str) -> float:
    return float(next(one["contribution_capital"] for one in shape["tokens"] if one["mint"] == which))


def test_a_token_is_stale_after_its_time(client: FlaskClient, five_wallets: list[str]) -> None:
    with database.session():
        now = database.now_s()
        Token.update(status="resolved", last_updated=now - 5).where(Token.mint == mint(0)).execute()
        Token.update(status="resolved", last_updated=now - 901).where(Token.mint == mint(1)).execute()
    key = finish(client, five_wallets)
    a, b = sorted([address("alike 1"), address("alike 2")])
    found = {one["mint"]: one["token"] for one in client.get(f"/analyses/{key}/pairs/{a}/{b}.json").json["tokens"]}
    assert (found[mint(0)]["stale"], found[mint(1)]["stale"]) == (False, True)
    assert found[mint(1)]["last_updated"].endswith("Z")


@pytest.mark.parametrize("suffix", ["", ".json", ".csv"])
def test_a_reversed_pair_leads_to_the_pair(client: FlaskClient, five_wallets: list[str], suffix: str) -> None:
    key = finish(client, five_wallets)
    a, b = five_wallets[:2]
    answer = client.get(f"/analyses/{key}/pairs/{b}/{a}{suffix}?limit=3&key=x&a=y")
    assert answer.status_code == 308
    assert answer.location == f"/analyses/{key}/pairs/{a}/{b}{suffix}?limit=3&key=x&a=y"
    assert client.get(answer.location).status_code == 200


def test_a_pair_that_was_not_kept_is_said_to_be_so(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session():
        Pair.delete().where(Pair.result_id == row(key).result_id, Pair.wallet_a == 0, Pair.wallet_b == 1).execute()
    answer = client.get(f"/analyses/{key}/pairs/{five_wallets[0]}/{five_wallets[1]}.json")
    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "not_kept"
    assert client.get(f"/analyses/{key}/pairs/{five_wallets[0]}/{five_wallets[1]}.csv").status_code == 404


def test_a_pair_needs_two_wallets_of_the_analysis(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    for a, b in (
        (five_wallets[0], five_wallets[0]),
        (five_wallets[0], A) if five_wallets[0] < A else (A, five_wallets[0]),
    ):
        assert client.get(f"/analyses/{key}/pairs/{a}/{b}.json").json["error"]["code"] == "not_found"
    assert client.get(f"/analyses/{key}/pairs/short/{A}.json").status_code == 404


def test_the_tokens_of_a_pair_come_ten_at_a_time(client: FlaskClient) -> None:
    wallets = sorted(sync(f"wide {i}", buys(*range(1, 26))) for i in range(2))
    key = finish(client, wallets)
    path = f"/analyses/{key}/pairs/{wallets[0]}/{wallets[1]}"
    first = client.get(f"{path}.json").json
    assert len(first["tokens"]) == 10
    second = client.get(f"{path}.json?after={first['next']}").json
    third = client.get(f"{path}.json?after={second['next']}").json
    assert len(third["tokens"]) == 5
    assert third["next"] is None
    mints = [one["mint"] for page in (first, second, third) for one in page["tokens"]]
    assert len(set(mints)) == 25
    assert len(client.get(f"{path}.json?limit=200").json["tokens"]) == 25
    assert client.get(f"{path}.json?limit=201").status_code == 400
    assert client.get(f"{path}.json?after=WzEuNV0").status_code == 400
    page = client.get(f"{path}?after={first['next']}").text
    assert 'rel="next"' in page
    assert 'rel="prev"' in page


def test_the_page_of_a_pair_and_its_blocks(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    path = f"/analyses/{key}/pairs/{five_wallets[0]}/{five_wallets[1]}"
    page = client.get(path).text
    assert "<html" in page
    assert five_wallets[0] in page
    opened = client.get(path, headers=HTMX).text
    assert 'class="evidence"' in opened
    assert "<html" not in opened


def test_a_pair_as_csv(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session():
        Token.update(symbol="=EVIL", name="@me").where(Token.mint == mint(0)).execute()
    a, b = sorted([address("alike 1"), address("alike 2")])
    rows = rows_of(client.get(f"/analyses/{key}/pairs/{a}/{b}.csv"))
    assert len(rows) == 4
    evil = next(one for one in rows if one["mint"] == mint(0))
    assert (evil["symbol"], evil["name"]) == ("'=EVIL", "'@me")
    assert abs(float(evil["gap_s"])) == 30
