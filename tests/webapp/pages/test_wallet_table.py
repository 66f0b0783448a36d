"""The table of the wallets of an analysis: on its page, and all of them sorted, narrowed and paged."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.storage import database, results, wallet_lists
from tasks.storage.models.analyses import AnalysisWallet
from tasks.storage.wallet_lists import WalletFilters
from tests.conftest import both_databases
from tests.support.site import address, buys, finish, row, start, sync, work
from webapp.presenters import wallet_table

HTMX = {"HX-Request": "true", "HX-Target": "wallets"}


def listed(page: str) -> list[str]:
    """Return the addresses of the rows in their order."""
    page = page[page.index('id="wallets"') :]
    return re.findall(r'<tr><th scope="row">.*?title="(\w+)"', page, re.DOTALL)


def cells(page: str, wallet: str) -> list[str]:
    found = next(
        one for one in re.findall(r"<tr><th scope=\"row\">.*?</tr>", page, re.DOTALL) if wallet in one.split("</th>")[0]
    )
    return [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in re.findall(r"<td.*?</td>", found, re.DOTALL)]


def broken(client: FlaskClient, key: str, wallet: str, state: str = "failed") -> None:
    """Have a wallet of an analysis as if it could not be read."""
    with database.session(), database.write():
        position = next(p for p, a in addresses(key).items() if a == wallet)
        where = (AnalysisWallet.analysis_id == row(key).id) & (AnalysisWallet.position == position)
        AnalysisWallet.update(state=state, reason="It refused.").where(where).execute()


def addresses(key: str) -> dict[int, str]:
    return {position: found for position, (found, _) in results.addresses(row(key).id).items()}


def test_the_page_of_an_analysis_shows_the_first_wallets_and_leads_to_all(client: FlaskClient) -> None:
    wallets = [sync(f"many {i}", buys(1, 2, 3)) for i in range(14)]
    key = finish(client, wallets)
    page = client.get(f"/analyses/{key}").text
    assert listed(page) == wallets[: wallet_table.FIRST_ROWS]
    assert f'<a href="/analyses/{key}/wallets">All wallets</a>' in page


def test_a_row_says_what_the_result_found(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    page = client.get(f"/analyses/{key}/wallets").text
    alike, other, few = address("alike 1"), address("alike 2"), address("few")
    state, transactions, trades, tokens, spent, style, cluster, closest, overall, _ = cells(page, alike)
    assert (state, transactions, trades, tokens, spent) == ("Read", "4", "4", "4", "10.00")
    assert (style, cluster) == ("Low activity", "None")
    assert closest == f"{other[:4]}…{other[-4:]}"
    assert overall.endswith("1.00")
    assert cells(page, few)[7:9] == ["–", "–"], "one token is not enough to be close to anybody"


@both_databases
@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("list", ["one", "two", "three", "none"]),
        ("trades", ["three", "one", "two", "none"]),
        ("tokens", ["one", "two", "three", "none"]),
        ("spent", ["two", "one", "three", "none"]),
        ("overall", ["one", "two", "three", "none"]),
    ],
)
def test_the_wallets_are_sorted_with_the_unknown_last(client: FlaskClient, sort: str, names: list[str]) -> None:
    sync("one", buys(1, 2, 3, 4))
    sync("two", buys(2, 4, 6, 8))
    sync("three", [*buys(1, 1, 1), *buys(1, 1, 1, at=900)])
    sync("none", [])
    key = finish(client, [address(name) for name in ("one", "two", "three", "none")])
    page = client.get(f"/analyses/{key}/wallets?sort={sort}").text
    assert listed(page) == [address(name) for name in names]
    assert page.count("aria-sort=") == (0 if sort == "list" else 1)


def test_the_list_is_narrowed_by_state_cluster_label_and_address(client: FlaskClient) -> None:
    group = [sync(f"group {i}", buys(1, 2, 3, 4, at=i)) for i in range(4)]
    apart = sync("apart", buys(1, 1, 1, first=40))
    labels = ["a 100 %", "b_c", "C d", None, "e"]
    key = start(client, [], wallets=[{"address": a, "label": b} for a, b in zip([*group, apart], labels, strict=True)])
    work()
    path = f"/analyses/{key}/wallets"
    assert set(listed(client.get(f"{path}?cluster=1").text)) == set(group)
    assert group[2] in listed(client.get(f"{path}?wallet=c D").text), "capitals do not matter"
    assert listed(client.get(f"{path}?wallet=0 %25").text) == [group[0]], "a sign of the search is a letter"
    assert listed(client.get(f"{path}?wallet=b_c").text) == [group[1]]
    assert listed(client.get(f"{path}?wallet={apart[5:30]}").text) == [apart]
    broken(client, key, apart)
    assert listed(client.get(f"{path}?state=incomplete").text) == [apart]
    assert listed(client.get(f"{path}?state=incomplete&sort=overall").text) == [apart]
    assert listed(client.get(f"{path}?state=synced&sort=spent").text) == group
    assert "No matching wallets." in client.get(f"{path}?state=partial").text
    for query in ("state=lost", "sort=name", "cluster=x", "limit=0", "limit=201", "after=x"):
        assert client.get(f"{path}?{query}").status_code == 400


def test_the_list_is_paged_and_keeps_what_it_was_asked(client: FlaskClient) -> None:
    wallets = [sync(f"many {i}", buys(1, 2, 3)) for i in range(30)]
    key = finish(client, wallets)
    found: list[str] = []
    url = f"/analyses/{key}/wallets?sort=trades&limit=11"
    while url:
        page = client.get(url, headers=HTMX).text
        assert "<html" not in page
        found += listed(page)
        more = re.search(r'href="([^"]+)" rel="next"|rel="next"[^>]*href="([^"]+)"|href="([^"]+)"[^>]*rel="next"', page)
        url = next(one for one in more.groups() if one).replace("&amp;", "&") if more else ""
        assert not url or "sort=trades" in url
    assert found == wallets


def test_a_wallet_that_failed_offers_a_retry_and_no_page(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    broken(client, key, five_wallets[0])
    page = client.get(f"/analyses/{key}/wallets").text
    assert f'action="/analyses/{key}/wallets/{five_wallets[0]}/retry"' in page
    assert f'href="/analyses/{key}/wallets/{five_wallets[0]}"' not in page.split("<tbody>")[1].split("</tr>")[0]
    assert "It refused." in page


def test_labels_are_text(client: FlaskClient) -> None:
    wallets = [{"address": sync(f"l {i}", buys(1, 2, 3)), "label": f"<i>{i}</i>"} for i in range(3)]
    key = start(client, [], wallets=wallets)
    assert "<i>" not in client.get(f"/analyses/{key}/wallets").text
    assert "<bdi>&lt;i&gt;0&lt;/i&gt;</bdi>" in client.get(f"/analyses/{key}/wallets").text


def test_before_a_result_there_is_a_list_without_figures(client: FlaskClient) -> None:
    unread = [address("u 1"), address("u 2")]
    key = start(client, unread)
    for query in ("", "?sort=overall", "?sort=cluster"):
        page = client.get(f"/analyses/{key}/wallets{query}").text
        assert listed(page) == unread
        assert "Waiting" in page
    assert listed(client.get(f"/analyses/{key}/wallets?cluster=1").text) == []


def test_the_closest_pair_of_each_wallet(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session():
        analysis = row(key)
        found: dict[int, dict[str, Any]] = wallet_lists.closest(analysis.result_id, range(5))
        ranked, total = wallet_lists.wallets(analysis, WalletFilters("overall"), 0, 2)
    shown = addresses_by(key)
    alike = {shown[address("alike 1")], shown[address("alike 2")]}
    assert [found[position]["overall"] for position in sorted(alike)] == pytest.approx([1.0, 1.0])
    assert set(ranked) == alike
    assert total == 5
    assert shown[address("few")] not in found


def addresses_by(key: str) -> dict[str, int]:
    with database.session():
        return {found: position for position, found in addresses(key).items()}
