"""The measures of pairs, and which pairs are kept, against the slow reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures import pair_selection, similarity
from tasks.measures.similarity import Pairs, build_portfolios, clamp, compare, contributions, summary
from tests.tasks.measures import reference

MEASURES = ["behavioural", "jaccard", "capital", "overlap", "coverage_a", "coverage_b", "overall", "holdings"]
MINTS = 10
# Small whole numbers make many exact ties; 0 is a mint without weight.
WALLET = st.dictionaries(st.integers(0, MINTS - 1), st.sampled_from([0, 1, 1, 2, 5, 1000]), max_size=MINTS)
HELD = st.none() | st.sets(st.integers(0, MINTS - 1), max_size=4)


def _weights(amounts: dict[int, int]) -> dict[int, float]:
    total = sum(amounts.values())
    return {mint: amount / total if total else 0.0 for mint, amount in amounts.items()}


def _compare(world: reference.World, holdings: list[Any] | None = None, **changed: Any) -> Pairs:
    rows = [(wallet, mint, weight) for wallet, row in enumerate(world) for mint, weight in row.items()]
    columns = tuple(zip(*rows, strict=True)) if rows else ((), (), ())
    built = build_portfolios(*columns, wallet_count=len(world), mint_count=MINTS, holdings=holdings)
    return compare(built, **changed)


def _listed(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.wallet_a.tolist(), pairs.wallet_b.tolist(), strict=True))


def _row(pairs: Pairs, at: int) -> dict[str, Any]:
    row = {name: getattr(pairs, name)[at].item() for name in ["shared", *MEASURES]}
    return {name: None if math.isnan(value) else value for name, value in row.items()}


@given(st.lists(st.tuples(WALLET, HELD), max_size=8))
def test_every_measure_of_every_pair_agrees_with_the_reference(drawn: list[tuple[dict[int, int], Any]]) -> None:
    world, holdings = [_weights(amounts) for amounts, _ in drawn], [held for _, held in drawn]
    pairs = _compare(world, holdings)
    wanted, _ = reference.pairs(world, holdings, keep=50, threshold=0.3, all_below=500, most=10**6)
    assert _listed(pairs) == wanted
    assert pairs.pairs_total == len(wanted)
    for at, (a, b) in enumerate(wanted):
        expected = reference.measures(world[a], world[b], holdings[a], holdings[b])
        assert _row(pairs, at) == {
            name: value if value is None else pytest.approx(value, abs=1e-9) for name, value in expected.items()
        }
        assert all(value is None or 0 <= value <= 1 for name, value in _row(pairs, at).items() if name != "shared")


@given(st.lists(WALLET, max_size=14), st.integers(1, 3), st.sampled_from([0.3, 0.8, 1.1]), st.integers(1, 40))
def test_the_pairs_kept_above_the_limit_agree_with_the_reference(
    drawn: list[dict[int, int]], keep: int, threshold: float, most: int
) -> None:
    world = [_weights(amounts) for amounts in drawn]
    rule = {"keep": keep, "threshold": threshold, "all_below": 1, "most": most}
    pairs = _compare(world, **rule)
    wanted, cut = reference.pairs(world, [], **rule)  # type: ignore[arg-type]
    assert _listed(pairs) == wanted
    assert pairs.cut is cut


@given(st.lists(WALLET, min_size=2, max_size=10), st.randoms())
def test_the_order_of_the_wallets_changes_no_measure(drawn: list[dict[int, int]], shuffler: Any) -> None:
    world = [_weights(amounts) for amounts in drawn]
    order = list(range(len(world)))
    shuffler.shuffle(order)
    plain, shuffled = _compare(world), _compare([world[number] for number in order])
    found = {pair: _row(plain, at) for at, pair in enumerate(_listed(plain))}
    for at, (a, b) in enumerate(_listed(shuffled)):
        row, (first, second) = _row(shuffled, at), (order[a], order[b])
        if first > second:
            first, second = second, first
            row["coverage_a"], row["coverage_b"] = row["coverage_b"], row["coverage_a"]
        assert row == found[first, second]


@given(WALLET.filter(lambda amounts: sum(amount > 0 for amount in amounts.values()) >= 3))
def test_a_wallet_is_wholly_like_its_copy_and_never_more(amounts: dict[int, int]) -> None:
    held = set(amounts)
    row = _row(_compare([_weights(amounts)] * 2, [held, held]), 0)
    assert all(row[name] == pytest.approx(1, abs=1e-12) and row[name] <= 1 for name in MEASURES)


def test_wallets_that_share_nothing_are_alike_by_nothing() -> None:
    row = _row(_compare([_weights({0: 1, 1: 1, 2: 1}), _weights({3: 1, 4: 1, 5: 1})], [{1}, {2}]), 0)
    assert row == {"shared": 0} | dict.fromkeys(MEASURES, 0.0)


def test_too_few_mints_are_not_enough_data_and_not_zero() -> None:
    row = _row(_compare([_weights({0: 1, 1: 1}), _weights({0: 1, 1: 1, 2: 1})]), 0)
    assert row == {"shared": 2} | dict.fromkeys(MEASURES)


def test_too_few_weighted_mints_leave_behaviour_known_and_capital_unknown() -> None:
    row = _row(_compare([_weights({0: 1, 1: 1, 2: 0}), _weights({0: 1, 1: 1, 2: 1})]), 0)
    assert (row["behavioural"], row["jaccard"]) == (1.0, 1.0)
    assert [row[name] for name in ("capital", "overlap", "coverage_a", "coverage_b", "overall")] == [None] * 5


def test_two_empty_holdings_are_not_alike() -> None:
    wallets = [_weights({0: 1})] * 4
    pairs = _compare(wallets, [set(), set(), {1}, None])
    found = {pair: _row(pairs, at)["holdings"] for at, pair in enumerate(_listed(pairs))}
    assert found == {(0, 1): None, (0, 2): 0.0, (0, 3): None, (1, 2): 0.0, (1, 3): None, (2, 3): None}


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("all_below", [0, 500])
def test_fewer_than_two_wallets_have_no_pairs(count: int, all_below: int) -> None:
    pairs = _compare([{}] * count, all_below=all_below)
    assert (len(pairs), pairs.pairs_total, pairs.cut) == (0, 0, False)
    assert summary(pairs).median_overall is None


def _random_world(seed: int, wallets: int) -> reference.World:
    numbers = np.random.default_rng(seed)
    return [
        _weights({int(mint): int(numbers.integers(0, 4)) for mint in numbers.choice(MINTS, 6, replace=False)})
        for _ in range(wallets)
    ]


def test_small_blocks_and_chunks_give_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    world, rule = _random_world(1, 60), {"keep": 4, "threshold": 0.7, "all_below": 10, "most": 90}
    whole = _compare(world, **rule)
    monkeypatch.setattr(pair_selection, "BLOCK_CELLS", 7 * 60)
    monkeypatch.setattr(similarity, "CHUNK_PAIRS", 11)
    pieces = _compare(world, **rule)
    assert whole.cut
    assert len(whole) == 90
    assert _listed(pieces) == _listed(whole) == reference.pairs(world, [], **rule)[0]  # type: ignore[arg-type]
    assert all(_row(pieces, at) == _row(whole, at) for at in range(90))


def test_equal_wallets_above_the_limit_are_cut_in_address_order() -> None:
    pairs = _compare([_weights({0: 1, 1: 2, 2: 3})] * 30, all_below=5, most=40)
    assert pairs.cut
    assert _listed(pairs) == [(0, b) for b in range(1, 30)] + [(1, b) for b in range(2, 13)]


def test_a_pair_exactly_at_the_threshold_is_kept() -> None:
    # 6 of 8 mints shared and no common capital: 0.4 · 0.75 = 0.3. Each one's single best partner is its copy.
    one = _weights(dict.fromkeys([0, 1, 2], 1) | dict.fromkeys([3, 4, 5, 6, 7], 0))
    other = _weights(dict.fromkeys([3, 4, 5], 1) | dict.fromkeys([0, 1, 2, 8, 9], 0))
    pairs = _compare([one, one, other, other], keep=1, all_below=1)
    assert _listed(pairs) == [(0, 1), (2, 3), (0, 2), (0, 3), (1, 2), (1, 3)]
    assert len(_compare([one, one, other, other], keep=1, all_below=1, threshold=0.3 + 1e-9)) == 2


def test_rows_given_twice_and_impossible_weights_are_refused() -> None:
    for wallets, mints, weights in [
        ([0, 0], [1, 1], [0.5, 0.5]),
        ([0], [1], [-1.0]),
        ([0], [1], [math.nan]),
        ([0, 0], [1, 2], [0.5, 0.4]),
    ]:
        with pytest.raises(ValueError, match="weight|allocation"):
            build_portfolios(wallets, mints, weights, wallet_count=1, mint_count=3)


def test_only_rounding_error_is_clamped() -> None:
    rounded = clamp(np.array([-1e-13, 0.5, 1 + 1e-13, math.nan]))
    assert rounded[:3].tolist() == [0.0, 0.5, 1.0]
    assert math.isnan(rounded[3])
    for wrong in (-1e-11, 1 + 1e-11):
        with pytest.raises(ArithmeticError):
            clamp(np.array([wrong]))


@given(WALLET, WALLET)
def test_contributions_sum_to_the_scores(amounts_a: dict[int, int], amounts_b: dict[int, int]) -> None:
    a, b = ({str(mint): weight for mint, weight in _weights(amounts).items()} for amounts in (amounts_a, amounts_b))
    parts = contributions(a, b)
    wanted = reference.measures(_weights(amounts_a), _weights(amounts_b))
    assert list(parts) == sorted(a.keys() & b.keys())
    for column, score in (("contribution_capital", "capital"), ("contribution_behavioural", "behavioural")):
        values = [getattr(part, column) for part in parts.values()]
        if wanted[score] is None:
            assert values == [None] * len(parts)
        else:
            assert sum(values) == pytest.approx(wanted[score], abs=1e-9)


def _scores(overall: list[float], behavioural: list[float] | None = None) -> Pairs:
    """Make pairs of which only the scores matter."""
    numbers, scores = np.arange(len(overall)), np.array(overall)
    columns = dict.fromkeys(MEASURES, scores) | {"behavioural": np.array(behavioural or overall)}
    return Pairs(numbers, numbers + 1, numbers, **columns, cut=True, pairs_total=99)


def test_the_summary_counts_what_is_known() -> None:
    result = summary(_scores([0.9, 0.5, 0.1, math.nan], [0.5, 0.51, math.nan, 0.9]))
    assert (result.pairs_total, result.pairs_kept, result.pairs_cut) == (99, 4, True)
    assert (result.pairs_behavioural_over_0_5, result.pairs_capital_over_0_5) == (2, 1)
    assert result.median_overall == 0.5
    assert sum(result.score_histogram) == 3


def test_the_histogram_has_twenty_equal_bins_and_the_last_includes_one() -> None:
    edges = [number / 20 for number in range(21)]
    assert summary(_scores(edges)).score_histogram == (1,) * 19 + (2,)
    assert summary(_scores([0.29999999999999998, 0.6 * 0.25 + 0.4 * 0.5])).score_histogram[6:8] == (1, 1)
    assert summary(_scores([math.nan])).score_histogram == (0,) * 20
