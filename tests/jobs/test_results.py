"""The mints of a result (`tasks/records/results.py`): stored with its allocation, in its order, dropped with it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from tasks.records import database, results, tokens
from tasks.records.models import Allocation, Analysis, Job, ResultMint, Token
from tasks.simulator.server import Simulator
from tests.conftest import both_databases
from tests.jobs.conftest import settle


def whole(rows: int) -> None:
    """Called before each transaction's rows; here nobody has a claim to check."""


def store(result_id: int, *rows: tuple[str, int, float]) -> dict[str, int]:
    """Store (mint, wallets, SOL) of a result, registering the mints in the order given; return their ids."""
    ids = {mint: tokens.ensure_mints({mint: 6})[mint] for mint, _, _ in rows}
    results.store_mints(((result_id, ids[mint], wallets, sol) for mint, wallets, sol in rows), whole)
    return ids


def plain_top(result_id: int) -> list[dict[str, Any]]:
    """The order of top_tokens in the plainest way, from the allocation."""
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


@both_databases
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
    assert job.done == job.total == Allocation.select().count() + len(wanted) + len(results.pairs_page(result_id)[0])


@both_databases
@pytest.mark.usefixtures("records")
def test_top_tokens_are_ordered_by_wallets_then_sol_then_mint() -> None:
    store(1, ("z", 2, 1.0), ("few", 1, 9.0), ("y", 2, 1.0), ("rich", 2, 3.0), ("most", 5, 0.0))
    store(2, ("other", 9, 9.0))
    assert [row["mint"] for row in results.top_tokens(1)] == ["most", "rich", "y", "z", "few"]


@both_databases
@pytest.mark.usefixtures("records")
def test_mint_ids_are_ordered_by_wallets_then_id() -> None:
    ids = store(1, ("z", 2, 1.0), ("few", 1, 9.0), ("y", 2, 2.0), ("most", 5, 0.0))
    store(2, ("other", 9, 9.0))
    assert results.mint_ids(1) == [ids[mint] for mint in ("most", "z", "y", "few")]
    assert results.mint_ids(3) == []


@both_databases
@pytest.mark.usefixtures("records")
def test_token_counts_are_over_the_mints_of_the_result_alone() -> None:
    store(1, *((mint, 1, 0.0) for mint in "abcdef"))
    store(2, ("a", 1, 0.0), ("other", 1, 0.0))
    for mint, status in zip("abcd", ["resolved", "resolved", "unlisted", "failed"], strict=True):
        Token.update(status=status).where(Token.mint == mint).execute()
    assert results.token_counts(1) == {"pending": 2, "resolved": 2, "unlisted": 1, "failed": 1}
    assert results.token_counts(2) == {"pending": 1, "resolved": 1, "unlisted": 0, "failed": 0}
    assert results.token_counts(3) == {"pending": 0, "resolved": 0, "unlisted": 0, "failed": 0}


@both_databases
@pytest.mark.usefixtures("records")
def test_dropping_a_result_drops_its_mints_and_no_others() -> None:
    many = results.ROWS_PER_WRITE + 10
    parts: list[int] = []
    results.store_mints(((1, mint_id, 1, 0.0) for mint_id in range(1, many + 1)), parts.append)
    assert parts == [results.ROWS_PER_WRITE, 10]
    store(2, ("other", 9, 9.0))
    results.drop_result(1)
    assert [row[0] for row in ResultMint.select(ResultMint.result_id).tuples()] == [2]


@both_databases
@pytest.mark.usefixtures("records")
def test_a_row_that_is_refused_leaves_no_half_of_its_part() -> None:
    def refused(rows: int) -> None:
        raise LookupError(rows)

    with pytest.raises(LookupError):
        results.store_mints([(1, 1, 1, 0.0)], refused)
    assert ResultMint.select().count() == 0
    assert not database.db.in_transaction()
