"""The projection against a dense singular value decomposition, and what happens where there is little to project."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tasks.measures.projection import project

AMOUNT = st.sampled_from([0, 0, 1, 2, 3, 5, 8, 40])
WORLD = st.integers(1, 6).flatmap(
    lambda mints: st.lists(st.lists(AMOUNT, min_size=mints, max_size=mints), min_size=3, max_size=9)
)


def _weights(amounts: list[list[int]]) -> NDArray[np.float64]:
    dense = np.array(amounts, dtype=np.float64)
    totals = dense.sum(axis=1, keepdims=True)
    return np.divide(dense, totals, out=np.zeros_like(dense), where=totals > 0)


def _reference(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[float], list[float], bool]:
    """Section 8: places, shares, singular values, and whether the largest loadings stand out on both axes."""
    units = np.array([row / math.sqrt(sum(row * row)) for row in weights if row.any()])
    centred = units - units.mean(axis=0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(units), 2))
    clear = True
    for axis in range(min(2, len(values))):
        sizes = np.sort(np.abs(right[axis]))[::-1]
        clear &= len(sizes) == 1 or bool(sizes[0] - sizes[1] > 1e-6)
        sign = 1 if right[axis][np.argmax(np.abs(right[axis]))] > 0 else -1
        places[:, axis] = left[:, axis] * values[axis] * sign
    total = float(sum(values**2))
    padded = [*values.tolist(), 0.0, 0.0, 0.0]
    return places, [value**2 / total for value in padded[:2]] if total > 1e-12 else [0.0, 0.0], padded, clear


@given(WORLD)
def test_places_and_shares_agree_with_a_dense_decomposition(amounts: list[list[int]]) -> None:
    weights = _weights(amounts)
    placed = weights.any(axis=1)
    found = project(csr_matrix(weights))
    assert np.array_equal(np.isnan(found.x), ~placed if placed.sum() >= 3 else np.ones(len(weights), dtype=bool))
    assert np.array_equal(np.isnan(found.x), np.isnan(found.y))
    assume(placed.sum() >= 3)
    places, shares, values, clear = _reference(weights)
    assert found.explained == pytest.approx(shares, abs=1e-7)
    assert 1 + 1e-12 >= found.explained[0] >= found.explained[1] - 1e-12 >= -1e-12
    # Equal variances leave the axes free to turn, and equal loadings leave rounding error to choose in the reference.
    assume(clear and values[0] - values[1] > 1e-4 and values[1] - values[2] > 1e-4)
    assert found.x[placed] == pytest.approx(places[:, 0], abs=1e-6)
    assert found.y[placed] == pytest.approx(places[:, 1], abs=1e-6)


def test_wallets_without_weights_have_no_place_and_move_nobody() -> None:
    weights = _weights([[1, 2, 0], [3, 0, 1], [0, 1, 1]])
    plain = project(csr_matrix(weights))
    found = project(csr_matrix(np.vstack([np.zeros(3), weights[0], np.zeros(3), weights[1:]])))
    assert np.isnan(found.x[[0, 2]]).all()
    assert np.array_equal(found.x[[1, 3, 4]], plain.x)
    assert np.array_equal(found.y[[1, 3, 4]], plain.y)


@pytest.mark.parametrize("wallets", [0, 1, 2])
def test_fewer_than_three_wallets_with_weights_have_no_place(wallets: int) -> None:
    found = project(csr_matrix(np.vstack([np.eye(4)[:wallets], np.zeros((2, 4))])))
    assert len(found.x) == len(found.y) == wallets + 2
    assert np.isnan(found.x).all()
    assert np.isnan(found.y).all()
    assert found.explained == (0.0, 0.0)


@pytest.mark.parametrize("row", [[1, 0, 0], [1, 2, 4], [3]])
def test_equal_wallets_lie_on_one_point(row: list[int]) -> None:
    found = project(csr_matrix(_weights([row] * 4)))
    assert found.x.tolist() == found.y.tolist() == [0.0] * 4
    assert found.explained == (0.0, 0.0)


def test_wallets_that_differ_in_one_direction_lie_on_a_line() -> None:
    """Two mints, vectors (1, 0) twice and (0, 1): mean (2/3, 1/3), so that they lie √2/3 one way and 2√2/3 the other.

    Both loadings are 1/√2 in size, and the first mint's is positive: (1, 0) lies to the right.
    """
    found = project(csr_matrix(_weights([[1, 0], [1, 0], [0, 1]])))
    assert found.x == pytest.approx([math.sqrt(2) / 3, math.sqrt(2) / 3, -2 * math.sqrt(2) / 3])
    assert found.y.tolist() == [0.0] * 3
    assert found.explained == (pytest.approx(1.0), 0.0)


def test_weights_count_by_their_direction_and_not_their_size() -> None:
    weights = csr_matrix(_weights([[5, 1, 0], [0, 2, 1], [1, 0, 7], [2, 2, 2]]))
    scaled = csr_matrix(weights.toarray() * np.array([[1.0], [0.25], [8.0], [1.0]]))
    assert project(scaled).x == pytest.approx(project(weights).x)


def test_the_same_weights_give_the_same_places_again() -> None:
    rng = np.random.default_rng(5)
    weights = csr_matrix(_weights(rng.integers(0, 4, (40, 30)).tolist()))
    first, second = project(weights), project(weights)
    assert np.array_equal(first.x, second.x)
    assert np.array_equal(first.y, second.y)


def test_mints_that_nobody_weighs_change_nothing() -> None:
    weights = _weights([[5, 1, 0], [0, 2, 1], [1, 0, 7], [2, 2, 2]])
    wide = np.zeros((4, 50))
    wide[:, [3, 17, 40]] = weights
    assert np.array_equal(project(csr_matrix(wide)).x, project(csr_matrix(weights)).x)
