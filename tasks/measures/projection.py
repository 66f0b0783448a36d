"""Two coordinates for each wallet: weight vectors projected on the two directions of the largest variance.

Section 8 of docs/measures.md, by scikit-learn's principal components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from tasks.measures.arrays import Floats, Integers

LEAST_WALLETS = 3
AXES = 2
NO_VARIANCE = 1e-12
"""Below this share of the vectors' length, variance is rounding error."""
EQUAL_LOADINGS = 1e-9
"""Loadings that differ by less are equal, so that rounding error does not choose the sign of an axis."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The coordinates of all wallets in the order of their numbers; NaN for a wallet without weights.

    `explained` is the share of the variance along x and along y, each in [0, 1], the larger first.
    """

    x: Floats
    y: Floats
    explained: tuple[float, float]


def project(weights: csr_matrix) -> Projection:
    """Project the weight vectors (wallets × mints, CSR, ≥ 0) of the wallets that have weights, each of length 1.

    The axes are centred, x is the one of larger variance, and on each the loading of largest size (of equals, that of
    the first mint) is positive. Wallets that differ along one direction only have y = 0, which explains nothing; if
    all are equal, so is x. With fewer than three wallets with weights all coordinates are NaN and nothing is explained.
    """
    placed = np.flatnonzero(np.asarray(weights.sum(axis=1)).ravel() > 0)
    coordinates = np.full((weights.shape[0], AXES), np.nan)
    explained = np.zeros(AXES)
    if len(placed) >= LEAST_WALLETS:
        coordinates[placed], explained = _components(_units(weights, placed))
    return Projection(coordinates[:, 0], coordinates[:, 1], (float(explained[0]), float(explained[1])))


def _units(weights: csr_matrix, placed: Integers) -> csr_matrix:
    """Return the vectors of length 1 over the mints that have weight, with empty columns where there are too few.

    ARPACK finds two components of no fewer than three columns, and columns of zeros change neither.
    """
    vectors = normalize(csr_matrix(weights[placed], dtype=np.float64))
    columns, indices = np.unique(vectors.indices, return_inverse=True)
    shape = (len(placed), max(len(columns), AXES + 1))
    return csr_matrix((vectors.data, indices, vectors.indptr), shape=shape)


def _components(vectors: csr_matrix) -> tuple[NDArray[np.float64], Floats]:
    """Compute coordinates (wallets × 2) and explained shares; variance that is rounding error gives 0."""
    mean = np.asarray(vectors.mean(axis=0)).ravel()
    if 1.0 - mean @ mean <= NO_VARIANCE:
        return np.zeros((vectors.shape[0], AXES)), np.zeros(AXES)
    pca = PCA(n_components=AXES, svd_solver="arpack", random_state=0)
    # ARPACK computes many small products, which BLAS threads only slow down.
    with threadpool_limits(limits=1, user_api="blas"):
        coordinates = pca.fit_transform(vectors) * _signs(pca.components_)
    explained = np.clip(pca.explained_variance_ratio_, 0.0, 1.0)
    flat = explained <= NO_VARIANCE
    coordinates[:, flat], explained[flat] = 0.0, 0.0
    return coordinates, explained


def _signs(loadings: NDArray[np.float64]) -> Floats:
    """Return the sign of the largest loading of every axis (axes × mints)."""
    sizes = np.abs(loadings)
    largest = np.argmax(sizes >= sizes.max(axis=1, keepdims=True) - EQUAL_LOADINGS, axis=1)
    signs: Floats = np.sign(loadings[np.arange(len(loadings)), largest])
    return signs
