"""What a result stores (`tasks/storage/results.py`, `pairs.py`): its mints and its pairs, in order, dropped with it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from tasks.errors import InputError, NotFound
from tasks.measures import insights
from tasks.simulator.server import Simulator
from tasks.storage import cursors, pairs, results, retention, sql, tokens
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.base import db
from tasks.storage.models.jobs import Job
from tasks.storage.models.results import Allocation, Pair, PairOrder, ResultMint
from tasks.storage.models.tokens import Token
from tests.conftest import both_databases
from tests.tasks.conftest import settle


def whole(rows: int) -> None:
    """Called before each transaction's rows; there is no claim to check here."""


def store(result_id: int, *rows: tuple[str, int, float]) -> dict[str, int]:
    """Store (mint, wallets, SOL) of a result, registering the mints in the order given; return their ids."""
    ids = {mint: tokens.ensure_mints({mint: 6})[mint] for mint, _, _ in rows}
    results.store_mints(((result_id, ids[mint], wallets, sol) for mint, wallets, sol in rows), whole)
    return ids


def plain_top(result_id: int) -> list[dict[str, Any]]:
    """The order of top_tokens by a plain computation, from the allocation."""
    sums: dict[int, list[float]] = defaultdict(list)
    for mint_id, spent in (
        Allocation.select(Allocation.mint_id, Allocation.spent_sol).where(Allocation.result_id == result_id).tuples()
    ):
        sums[mint_id].append(spent)
    names = tokens.mint_names(sums)
    rows = [
        {"mint_id": mint_id, "mint": names[mint_id], "wallets": len(parts), "spent_sol": sum(parts)}
        for mint_id, parts in sums.items()
    ]
    return sorted(rows, key=lambda row: (-row["wallets"], -row["spent_sol"], row["mint"]))


@pytest.mark.usefixtures("reading")
def test_a_stored_result_names_the_mints_of_its_allocation(chain: Simulator) -> None:
    analysis = settle(chain.world.addresses[:3])
    result_id = Analysis.get_by_id(analysis.id).result_id
    wanted = plain_top(result_id)
    found = results.top_tokens(result_id, len(wanted) + 1)
    assert [row["mint"] for row in found] == [row["mint"] for row in wanted]
    for row, plain in zip(found, wanted, strict=True):
        assert row == plain | {"spent_sol": pytest.approx(plain["spent_sol"])}
    assert results.top_tokens(result_id, 2) == found[:2]
    assert sorted(results.mint_ids(result_id)) == sorted(row["mint_id"] for row in wanted)
    job = Job.get(Job.kind == "similarity")
    assert job.done == job.total == Allocation.select().count() + len(wanted) + len(pairs.page(result_id)[0])


@pytest.mark.usefixtures("records")
def test_top_tokens_are_ordered_by_wallets_then_sol_then_mint() -> None:
    store(1, ("z", 2, 1.0), ("few", 1, 9.0), ("y", 2, 1.0), ("rich", 2, 3.0), ("most", 5, 0.0))
    store(2, ("other", 9, 9.0))
    assert [row["mint"] for row in results.top_tokens(1)] == ["most", "rich", "y", "z", "few"]


@pytest.mark.usefixtures("records")
def test_mint_ids_are_ordered_by_wallets_then_id() -> None:
    ids = store(1, ("z", 2, 1.0), ("few", 1, 9.0), ("y", 2, 2.0), ("most", 5, 0.0))
    store(2, ("other", 9, 9.0))
    assert results.mint_ids(1) == [ids[mint] for mint in ("most", "z", "y", "few")]
    assert results.mint_ids(3) == []


@pytest.mark.usefixtures("records")
def test_token_counts_are_over_the_mints_of_the_result_alone() -> None:
    store(1, *((mint, 1, 0.0) for mint in "abcdef"))
    store(2, ("a", 1, 0.0), ("other", 1, 0.0))
    for mint, status in zip("abcd", ["resolved", "resolved", "unlisted", "failed"], strict=True):
        Token.update(status=status).where(Token.mint == mint).execute()
    assert results.token_counts(1) == {"pending": 2, "resolved": 2, "unlisted": 1, "failed": 1}
    assert results.token_counts(2) == {"pending": 1, "resolved": 1, "unlisted": 0, "failed": 0}
    assert results.token_counts(3) == {"pending": 0, "resolved": 0, "unlisted": 0, "failed": 0}


@pytest.mark.usefixtures("records")
def test_dropping_a_result_drops_its_mints_and_no_others() -> None:
    many = sql.ROWS_PER_WRITE + 10
    parts: list[int] = []
    results.store_mints(((1, mint_id, 1, 0.0) for mint_id in range(1, many + 1)), parts.append)
    assert parts == [sql.ROWS_PER_WRITE, 10]
    store(2, ("other", 9, 9.0))
    retention.drop_result(1)
    assert [row[0] for row in ResultMint.select(ResultMint.result_id).tuples()] == [2]


@both_databases
@pytest.mark.usefixtures("records")
def test_a_row_that_is_refused_leaves_no_half_of_its_part() -> None:
    def refused(rows: int) -> None:
        raise LookupError(rows)

    with pytest.raises(LookupError):
        results.store_mints([(1, 1, 1, 0.0)], refused)
    assert ResultMint.select().count() == 0
    assert not db.in_transaction()


# Pairs ------------------------------------------------------------------------------------------------------------

COUNT = 230
INSIGHTS = [rule.slug for rule in insights.RULES]


def drawn(random: np.random.Generator, unknown: float) -> Any:
    """Scores with ties and, for some, none."""
    scores = np.round(random.random(COUNT), 2)
    scores[random.random(COUNT) < unknown] = np.nan
    return scores


@pytest.fixture
def stored(records: None, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Pairs of 40 wallets in the order of their numbers, stored as result 1, and another result beside it."""
    monkeypatch.setattr(pairs, "CHUNK", 32)  # so that the lists have many chunks
    random = np.random.default_rng(3)
    a, b = (index[:COUNT] for index in np.triu_indices(40, 1))
    columns: dict[str, Any] = {name: drawn(random, 0.2) for name in pairs.MEASURES}
    columns |= {name: random.integers(0, 4, COUNT) for name in ("matched", "same_slot", "leader")}
    columns |= {"wallet_a": a, "wallet_b": b, "shared": random.integers(0, 9, COUNT)}
    columns["insights"] = random.integers(0, 2 ** len(INSIGHTS), COUNT)
    order = np.lexsort((b, a, np.nan_to_num(-columns["overall"], nan=np.inf)))
    columns = {name: column[order] for name, column in columns.items()}
    clusters = random.integers(0, 3, COUNT)
    for result_id, part in ((1, slice(None)), (2, slice(0, 50))):
        some = {name: column[part] for name, column in columns.items()}
        pairs.store(result_id, some, whole)
        held = np.arange(0, COUNT, 5)
        pairs.store_orders(result_id, some, clusters[part], whole, held[held < len(some["shared"])])
    return [
        {name: None if value != value else value for name, value in zip(columns, row, strict=True)}
        | {"number": number, "cluster": cluster, "bits": row[-1]}
        for number, (*row, cluster) in enumerate(
            zip(*(column.tolist() for column in columns.values()), clusters.tolist(), strict=True)
        )
    ]


def plain(rows: list[dict[str, Any]], sort: str = "overall", **filters: Any) -> list[int]:
    """The numbers of the pairs that match filters, by a plain computation."""
    least, position, insight, cluster = (filters.get(name) for name in ("least", "position", "insight", "cluster"))
    chosen = [
        row
        for row in rows
        if (least is None or (row[sort] is not None and row[sort] >= least))
        and (position is None or position in (row["wallet_a"], row["wallet_b"]))
        and (insight is None or row["insights"] >> INSIGHTS.index(insight) & 1)
        and (cluster is None or row["cluster"] == cluster)
        and (not filters.get("edges") or row["number"] % 5 == 0)
    ]
    chosen.sort(key=lambda row: (row[sort] is None, -(row[sort] or 0), row["wallet_a"], row["wallet_b"]))
    return [row["number"] for row in chosen]


FILTERS: list[dict[str, Any]] = [
    {},
    {"least": 0.5},
    {"least": 0.0},
    {"least": 9.0},
    {"position": 3},
    {"position": 99},
    {"insight": "leader_and_follower"},
    {"cluster": 2},
    {"cluster": 7},
    {"edges": True},
    {"cluster": 1, "edges": True},
    {"least": 0.3, "position": 2, "insight": "shared_zero_holdings"},
    {"position": 1, "cluster": 1},
    {"insight": "very_high_similarity", "cluster": 2, "least": 0.25},
]


@both_databases
def test_pages_go_through_every_sort_and_filter_in_order(stored: list[dict[str, Any]]) -> None:
    for sort in pairs.SORTS:
        for filters in FILTERS:
            wanted, found, after = plain(stored, sort, **filters), [], None
            while True:
                rows, after = pairs.page(1, sort=sort, **filters, after=after, limit=37)
                found += [row["number"] for row in rows]
                if after is None:
                    break
                assert len(rows) == 37
            assert found == wanted, (sort, filters)
            assert pairs.count(1, sort=sort, **filters) == len(wanted)
            assert [row["number"] for row in pairs.stream(1, sort=sort, **filters)] == wanted


def test_a_row_of_a_page_has_every_column_and_its_insights_by_name(stored: list[dict[str, Any]]) -> None:
    rows, _ = pairs.page(1, limit=COUNT)
    for row, wanted in zip(rows, stored, strict=True):
        assert {name: row[name] for name in ("wallet_a", "wallet_b", "shared", *pairs.MEASURES)} == pytest.approx(
            {name: wanted[name] for name in ("wallet_a", "wallet_b", "shared", *pairs.MEASURES)}
        )
        assert row["edge"] is (row["number"] % 5 == 0)
        assert row["insights"] == [slug for bit, slug in enumerate(INSIGHTS) if wanted["insights"] >> bit & 1]
        assert pairs.pair(1, row["wallet_a"], row["wallet_b"]) == row
    assert pairs.numbered(1, [7, 3, 10_000]) == [rows[7], rows[3]]


def test_dropped_pairs_and_invalid_cursors_are_refused(stored: list[dict[str, Any]]) -> None:
    with pytest.raises(NotFound) as caught:
        pairs.pair(1, 38, 39)
    assert caught.value.code == "not_kept"
    for mark in ("", "x", cursors.encode_cursor([1, 2]), cursors.encode_cursor([-1])):
        with pytest.raises(InputError):
            pairs.page(1, after=mark)
    after = pairs.page(1, sort="lift", cluster=1, limit=5)[1]
    assert after
    assert len(pairs.page(1, sort="lift", cluster=1, after=after)[0]) == 50
    for result_id, filters in ((2, {"sort": "lift", "cluster": 1}), (1, {"sort": "lift", "cluster": 2}), (1, {})):
        with pytest.raises(pairs.Outdated):
            pairs.page(result_id, **filters, after=after)
    assert pairs.page(3) == ([], None)
    assert pairs.count(3, sort="lift", least=0.1) == 0


def test_dropping_a_result_drops_its_pairs_and_lists_and_no_others(stored: list[dict[str, Any]]) -> None:
    before = pairs.page(2, sort="lift", limit=99)
    retention.drop_result(1)
    assert {row[0] for row in Pair.select(Pair.result_id).distinct().tuples()} == {2}
    assert {row[0] for row in PairOrder.select(PairOrder.result_id).distinct().tuples()} == {2}
    assert pairs.page(2, sort="lift", limit=99) == before
