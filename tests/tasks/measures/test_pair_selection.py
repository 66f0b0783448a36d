"""Which pairs are kept, against whole rows of scores: ties, thresholds met exactly, clones, named pairs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from tasks.measures import arrays, pair_selection, similarity
from tasks.measures.arrays import batches, numbered, shared_entries, values_at
from tasks.measures.pair_selection import KeptPairs, best_pairs

Pair = tuple[int, int]
COLUMNS = 6
# Few values and few columns make equal rows and equal scores; a row of zeros is a wallet without enough data.
ROW = st.lists(st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.5, 1.0]), min_size=COLUMNS, max_size=COLUMNS)
ROWS = st.lists(ROW, max_size=16) | st.lists(
    st.sampled_from([[0.1] * 6, [0.3] * 3 + [0.0] * 3, [0.0] * 6]), max_size=16
)


def _slow(rows: np.ndarray, keep: int, threshold: float, most: int, also: list[Pair]) -> tuple[list[Pair], bool]:
    """Section 3, "Which pairs are kept", from all scores at once; the pairs best first."""
    products = np.array([[sum(x * y for x, y in zip(a, b, strict=True)) for b in rows] for a in rows])
    scores = np.round(products, 12).tolist()
    kept = {(a, b) for a, b in itertools.combinations(range(len(rows)), 2) if scores[a][b] >= threshold}
    for a in range(len(rows)):
        partners = sorted((b for b in range(len(rows)) if b != a), key=lambda b: (-scores[a][b], b))
        kept |= {(min(a, b), max(a, b)) for b in partners[:keep]}
    kept = {(a, b) for a, b in kept if scores[a][b] > 0} | set(also)
    worth = {(a, b): scores[a][b] if any(rows[a]) and any(rows[b]) else -1 for a, b in kept}
    order = sorted(kept, key=lambda pair: (-worth[pair], pair))
    return order[:most], len(order) > most


def _blocks(vectors: csr_matrix, keep: int, threshold: float) -> set[Pair]:
    """Keep pairs of many rows from dense blocks, without a cut: every row is sorted whole."""
    kept: set[Pair] = set()
    for start in range(0, vectors.shape[0], 100):
        scores = np.round((vectors[start : start + 100] @ vectors.T).toarray(), 12)
        lines = np.arange(len(scores))
        scores[lines, lines + start] = 0
        best = np.argsort(-scores, axis=1, kind="stable")[:, :keep]
        wanted = scores >= threshold
        wanted[lines[:, None], best] = True
        for a, b in np.argwhere(wanted & (scores > 0)).tolist():
            kept.add((min(a + start, b), max(a + start, b)))
    return kept


def _arrays(pairs: list[Pair]) -> tuple[Any, Any]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _set(kept: KeptPairs) -> set[Pair]:
    listed = list(zip(kept.first.tolist(), kept.second.tolist(), strict=True))
    assert len(set(listed)) == len(listed)
    assert all(first < second for first, second in listed)
    return set(listed)


def _matrix(rows: list[list[float]]) -> csr_matrix:
    return csr_matrix(np.array(rows, dtype=np.float64).reshape(len(rows), COLUMNS))


@given(
    rows=ROWS,
    keep=st.integers(1, 4),
    threshold=st.sampled_from([0.01, 0.09, 0.3, 0.55, 9.0]),
    most=st.integers(1, 60),
    slack=st.sampled_from([0, 1, 3, 40]),
    cells=st.sampled_from([1, 12, 40, 10**6]),
    data=st.data(),
)
def test_kept_pairs_agree_with_the_slow_rule(
    rows: list[list[float]], keep: int, threshold: float, most: int, slack: int, cells: int, data: st.DataObject
) -> None:
    every = list(itertools.combinations(range(len(rows)), 2))
    also = data.draw(st.lists(st.sampled_from(every), unique=True).map(sorted) if every else st.just([]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_selection, "SLACK", slack)
        patch.setattr(pair_selection, "BLOCK_CELLS", cells)
        patch.setattr(arrays, "BATCH_ENTRIES", cells)
        kept = best_pairs(_matrix(rows), keep=keep, threshold=threshold, most=most, also=_arrays(also))
    wanted, cut = _slow(np.array(rows), keep, threshold, most, also)
    assert _set(kept) == set(wanted)
    assert kept.cut is cut


@given(ROWS, st.integers(1, 4))
def test_no_named_pairs_are_as_an_empty_list_of_them(rows: list[list[float]], keep: int) -> None:
    plain = best_pairs(_matrix(rows), keep=keep, threshold=0.3, most=50)
    named = best_pairs(_matrix(rows), keep=keep, threshold=0.3, most=50, also=_arrays([]))
    assert _set(plain) == _set(named)
    assert plain.cut is named.cut


def test_more_clones_than_the_widest_row_keep_every_pair_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_selection, "SLACK", 10)
    monkeypatch.setattr(pair_selection, "WIDEST", 60)
    random = np.random.default_rng(3)
    others = random.random((100, 40)) * (random.random((100, 40)) < 0.1)
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-9)
    rows = np.concatenate([others[:50], np.repeat(others[:1], 200, axis=0), others[50:]])
    kept = best_pairs(csr_matrix(rows), keep=20, threshold=0.3, most=10**6)
    found = _set(kept)
    assert found == _blocks(csr_matrix(rows), 20, 0.3)
    assert set(itertools.combinations([0, *range(50, 250)], 2)) <= found
    assert not kept.cut


def test_clones_cut_to_the_most_keep_those_of_the_smallest_numbers() -> None:
    rows = np.repeat([[0.6, 0.8]], 300, axis=0)
    kept = best_pairs(csr_matrix(rows), keep=50, threshold=0.3, most=1000)
    assert _set(kept) == set(itertools.islice(itertools.combinations(range(300), 2), 1000))
    assert kept.cut


def test_ties_at_the_last_place_go_to_the_smaller_numbers() -> None:
    # Row 0 scores 0.2 with 120 others of which any two score 0, as only column 0 is shared: 50 of them are its best.
    rows = np.zeros((121, 122))
    rows[0, :121] = 1.0
    rows[np.arange(1, 121), np.arange(1, 121)] = 0.2
    found = _set(best_pairs(csr_matrix(rows), keep=50, threshold=0.3, most=10**6))
    assert found == {(0, partner) for partner in range(1, 121)}
    # Now every partner prefers another, so that only row 0's own choice counts; one of them is better than the ties.
    rows[np.arange(1, 121), 121] = 0.5
    rows[100, 100] = 0.21
    kept = _set(best_pairs(csr_matrix(rows), keep=50, threshold=0.3, most=10**6))
    assert {pair for pair in kept if pair[0] == 0} == {(0, partner) for partner in [*range(1, 50), 100]}


def test_a_score_at_the_threshold_is_kept_however_many_are_better() -> None:
    # 200 rows alike (score 1), and 3 · 0.1 = 0.30000000000000004 or 0.3 with the last ones: far beyond the best 50.
    rows = np.zeros((204, 4))
    rows[:200, 0] = 1.0
    rows[200:, 0] = [0.1 * 3, 0.3, 0.3 - 1e-13, 0.3 - 1e-11]
    rows[200:, 1] = 1.0
    found = _set(best_pairs(csr_matrix(rows), keep=50, threshold=0.3, most=10**6))
    assert {(a, b) for a, b in found if a < 200 <= b < 203} == set(itertools.product(range(200), [200, 201, 202]))
    # The last has three better partners, and its 47 best of the 200 by number.
    assert {a for a, b in found if b == 203 and a < 200} == set(range(47))


def test_all_at_the_threshold_are_kept_where_no_two_scores_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_selection, "SLACK", 3)
    vectors = csr_matrix(np.random.default_rng(2).uniform(0.5, 1.0, (60, 8)))
    # Every score is at least 8 · 0.5² = 2.
    kept = best_pairs(vectors, keep=2, threshold=2.0, most=10**6)
    assert _set(kept) == set(itertools.combinations(range(60), 2))


def test_a_named_pair_as_good_as_the_worst_that_fits_goes_before_it_by_number() -> None:
    rows = np.zeros((8, 3))
    rows[np.arange(8), [0, 0, 0, 0, 1, 1, 2, 2]] = 1.0
    # All scores are 1; each row's best is its smallest copy: (0, 1), (0, 2), (0, 3), (4, 5), (6, 7).
    kept = best_pairs(csr_matrix(rows), keep=1, threshold=1.1, most=4, also=_arrays([(1, 2)]))
    assert _set(kept) == {(0, 1), (0, 2), (0, 3), (1, 2)}
    assert kept.cut


@pytest.mark.parametrize("clones", [False, True])
def test_random_rows_in_small_blocks_are_kept_as_by_whole_rows(clones: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(11)
    rows = (random.random((250, 60)) < 0.08) * random.integers(1, 4, (250, 60)).astype(np.float64)
    rows[::7] = 0
    if clones:
        rows[50:150] = rows[np.arange(50, 150) % 4 + 1]
    vectors = csr_matrix(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1))
    wanted = _blocks(vectors, 20, 0.5)
    monkeypatch.setattr(pair_selection, "BLOCK_CELLS", 1500)
    for slack in (0, 10, 300):
        monkeypatch.setattr(pair_selection, "SLACK", slack)
        assert _set(best_pairs(vectors, keep=20, threshold=0.5, most=10**6)) == wanted


def test_named_pairs_join_before_the_cut_and_those_without_a_score_are_worst() -> None:
    rows = _matrix([[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0] * 6])
    also = _arrays([(0, 2), (0, 4), (1, 2), (2, 3), (3, 4)])
    # Scores: (0, 1) and (1, 2) are 1; (0, 2) and (2, 3) share nothing; row 4 has no score at all.
    order = [(0, 1), (1, 2), (0, 2), (2, 3), (0, 4), (3, 4)]
    for most in range(1, 8):
        kept = best_pairs(rows, keep=1, threshold=0.3, most=most, also=also)
        assert _set(kept) == set(order[:most])
        assert kept.cut is (most < 6)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_rows_without_entries_are_in_no_pair(count: int) -> None:
    kept = best_pairs(csr_matrix((count, 3)), keep=50, threshold=0.3, most=10)
    assert (len(kept.first), len(kept.second), kept.cut) == (0, 0, False)


@given(ROWS.filter(bool), st.data())
@example([[0.0] * 6] * 2, None)
def test_shared_entries_are_those_of_both_rows(rows: list[list[float]], data: st.DataObject | None) -> None:
    numbers = st.integers(0, len(rows) - 1)
    pairs = [(0, 1)] if data is None else data.draw(st.lists(st.tuples(numbers, numbers)))
    matrix = _matrix(rows)
    pair, at_first, at_second = shared_entries(numbered(matrix), *_arrays(pairs))
    found = list(zip(pair.tolist(), matrix.indices[at_first].tolist(), matrix.indices[at_second].tolist(), strict=True))
    values = list(zip(matrix.data[at_first].tolist(), matrix.data[at_second].tolist(), strict=True))
    wanted = [
        (number, column, rows[a][column], rows[b][column])
        for number, (a, b) in enumerate(pairs)
        for column in range(COLUMNS)
        if rows[a][column] and rows[b][column]
    ]
    assert found == [(number, column, column) for number, column, _, _ in wanted]
    assert values == [(left, right) for _, _, left, right in wanted]


def test_values_are_looked_up_and_zero_where_nothing_is_stored() -> None:
    matrix = csr_matrix([[0.0, 2.0], [3.0, 0.0]])
    assert values_at(matrix, np.array([0, 0, 1]), np.array([0, 1, 0])).tolist() == [0, 2, 3]
    assert values_at(matrix, np.array([], dtype=np.int64), np.array([], dtype=np.int64)).tolist() == []


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 10), st.sampled_from([1, 20, 100]))
def test_batches_cover_all_pairs_in_order_and_stay_small(entries: list[int], most: int, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BATCH_ENTRIES", at_once)
        runs = batches(np.array(entries, dtype=np.int64), most)
    assert [number for run in runs for number in range(len(entries))[run]] == list(range(len(entries)))
    for run in runs:
        assert run.stop - run.start <= most
        assert sum(entries[run][1:]) < at_once


def test_named_pairs_are_compared_with_all_their_measures() -> None:
    random = np.random.default_rng(5)
    mints = [random.choice(30, 5, replace=False) for _ in range(40)]
    portfolios = similarity.build_portfolios(
        np.repeat(np.arange(40), 5), np.concatenate(mints), np.full(200, 0.2), wallet_count=40, mint_count=30
    )
    every = similarity.compare(portfolios)
    few = {"keep": 1, "threshold": 1.1, "all_below": 1}
    plain, named = (
        similarity.compare(portfolios, **few),
        similarity.compare(portfolios, **few, also=_arrays([(0, 39), (3, 5)])),
    )
    rows = {
        number: {
            pair: [float(getattr(pairs, name)[at]) for name in similarity.Pairs.__slots__[2:-2]]
            for at, pair in enumerate(zip(pairs.wallet_a.tolist(), pairs.wallet_b.tolist(), strict=True))
        }
        for number, pairs in enumerate((every, plain, named))
    }
    assert set(rows[2]) == set(rows[1]) | {(0, 39), (3, 5)}
    np.testing.assert_equal(rows[2], {pair: rows[0][pair] for pair in rows[2]})
    assert not set(rows[1]) >= {(0, 39), (3, 5)}
