"""How similar two wallets are: the measures of a pair, for all kept pairs, and a summary of them.

Section 3 of docs/measures.md, computed with sparse matrices in bounded memory; `pair_selection` decides which pairs are
kept, `chance` whether a similarity is more than chance.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, hstack

from tasks.measures.arrays import Floats, Integers, batches, numbered, shared_entries, values_at
from tasks.measures.pair_selection import best_pairs, ranked

BEHAVIOURAL_SHARE, CAPITAL_SHARE = 0.4, 0.6
LEAST_MINTS = 3
"""A wallet with fewer mints (for capital: with fewer weighted mints) has not enough data for a measure."""
ROUNDING = 1e-12
"""The largest rounding error of a measure outside [0, 1]."""
WEIGHTS_WITHIN = 1e-9
CHUNK_PAIRS = 50_000
BINS = 20


@dataclass(frozen=True, slots=True)
class PortfolioMatrix:
    """The wallets of one analysis, in address order, as sparse matrices (wallets × mints, CSR, sorted indices).

    `presence` is 1 for every mint of T, `weights` the weight where it is positive, `holdings` 1 for every mint now
    held by a wallet with known holdings (`holdings_known`, one flag per wallet).
    """

    wallet_count: int
    presence: csr_matrix
    weights: csr_matrix
    holdings: csr_matrix
    holdings_known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Kept pairs as equally long arrays, best `overall` first, unknown ones last, ties by address order.

    `wallet_a` < `wallet_b` are wallet numbers; measures lie in [0, 1], NaN is "not enough data". `cut`: the limit
    dropped pairs. `pairs_total` counts all pairs of the wallets, kept or not.
    """

    wallet_a: Integers
    wallet_b: Integers
    shared: Integers
    behavioural: Floats
    jaccard: Floats
    capital: Floats
    overlap: Floats
    coverage_a: Floats
    coverage_b: Floats
    overall: Floats
    holdings: Floats
    cut: bool
    pairs_total: int

    def __len__(self) -> int:
        return len(self.wallet_a)


@dataclass(frozen=True, slots=True)
class Contribution:
    """The contribution of one shared mint to two scores of a pair; None where the score is unknown."""

    contribution_capital: float | None
    contribution_behavioural: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers over the kept pairs; `score_histogram` has 20 equal bins of `overall`, the last includes 1."""

    pairs_total: int
    pairs_kept: int
    pairs_cut: bool
    pairs_behavioural_over_0_5: int
    pairs_capital_over_0_5: int
    median_overall: float | None
    score_histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Per wallet: |T|, whether capital is defined, the length of its weights, the number of mints held.

    `traded` and `holdings` number the entries of those matrices; `weights` has the weight of each entry of `traded`.
    """

    sizes: Floats
    capital_known: NDArray[np.bool_]
    norms: Floats
    held: Floats
    traded: csr_matrix
    weights: Floats
    holdings: csr_matrix


def build_portfolios(
    wallet_index: ArrayLike,
    mint_index: ArrayLike,
    weight: ArrayLike,
    *,
    wallet_count: int,
    mint_count: int,
    holdings: Sequence[Collection[int] | None] | None = None,
) -> PortfolioMatrix:
    """Build the matrices from allocation rows, given as three equally long arrays.

    Wallets are numbered in address order, mints in any order. `holdings` has for each wallet the numbers of the
    mints now held and not excluded, None where unknown; by default all are unknown. No row gives empty matrices. Raises
    ValueError for a repeated row and for weights that are negative, not finite, or sum neither to 0 nor to 1 within
    1e-9.
    """
    positions = (np.asarray(wallet_index, dtype=np.int64), np.asarray(mint_index, dtype=np.int64))
    given = np.asarray(weight, dtype=np.float64)
    shape = (wallet_count, mint_count)
    presence = _csr(np.ones(len(given)), positions, shape)
    if presence.nnz != len(given):
        raise ValueError("a wallet has two allocation rows for one mint")
    _check_weights(given, positions[0], wallet_count)
    weights = _csr(given, positions, shape)
    weights.eliminate_zeros()
    sets: Sequence[Collection[int] | None] = [None] * wallet_count if holdings is None else holdings
    known = np.array([held is not None for held in sets], dtype=np.bool_)
    return PortfolioMatrix(wallet_count, presence, weights, _holdings_matrix(sets, shape), known)


def compare(
    portfolios: PortfolioMatrix,
    keep: int = 50,
    threshold: float = 0.3,
    all_below: int = 500,
    most: int = 1_000_000,
    also: tuple[Integers, Integers] | None = None,
) -> Pairs:
    """Compute every measure of every kept pair.

    Of up to `all_below` wallets all pairs are kept; of more, the pairs with a positive `overall` that is among the
    `keep` best of one of the two or at least `threshold`, and the pairs of `also` (two arrays of wallet numbers, first
    < second, each pair once), at most `most` in all. Fewer than two wallets give empty arrays. Raises
    ArithmeticError if a measure leaves [0, 1] by more than rounding error.
    """
    count, cut = portfolios.wallet_count, False
    sides = _sides(portfolios)
    if count <= all_below:
        first, second = (index.astype(np.int64) for index in np.triu_indices(count, 1))
    else:
        kept = best_pairs(overall_vectors(portfolios), keep=keep, threshold=threshold, most=most, also=also)
        first, second, cut = kept.first, kept.second, kept.cut
    parts = [
        _measures(portfolios, sides, first[run], second[run])
        for run in batches(_work(sides, first, second), CHUNK_PAIRS)
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((second, first, np.nan_to_num(-ranked(columns["overall"]), nan=np.inf)))
    sorted_columns: dict[str, Any] = {name: column[order] for name, column in columns.items()}
    return Pairs(first[order], second[order], **sorted_columns, cut=cut, pairs_total=count * (count - 1) // 2)


def overall_vectors(portfolios: PortfolioMatrix) -> csr_matrix:
    """Return a vector for each wallet such that the dot product of two is their `overall` (CSR, sorted indices).

    All zero for a wallet without enough data.
    """
    sides = _sides(portfolios)
    known = sides.capital_known.astype(np.float64)
    presence = _scaled(portfolios.presence, known * math.sqrt(BEHAVIOURAL_SHARE) / np.sqrt(np.maximum(sides.sizes, 1)))
    lengths = np.divide(known * math.sqrt(CAPITAL_SHARE), sides.norms, out=np.zeros_like(known), where=sides.norms > 0)
    vectors = hstack([presence, _scaled(portfolios.weights, lengths)], format="csr")
    vectors.eliminate_zeros()
    return vectors


def contributions(weights_a: Mapping[str, float], weights_b: Mapping[str, float]) -> dict[str, Contribution]:
    """Split `capital` and `behavioural` of a pair over its shared mints (sorted); each column sums to its score.

    The mappings hold the weight of every mint of T, 0 included. No shared mint gives an empty dict.
    """
    behavioural = capital = None
    if min(len(weights_a), len(weights_b)) >= LEAST_MINTS:
        behavioural = 1 / math.sqrt(len(weights_a) * len(weights_b))
        if min(sum(weight > 0 for weight in side.values()) for side in (weights_a, weights_b)) >= LEAST_MINTS:
            capital = math.hypot(*weights_a.values()) * math.hypot(*weights_b.values())
    return {
        mint: Contribution(None if capital is None else weights_a[mint] * weights_b[mint] / capital, behavioural)
        for mint in sorted(weights_a.keys() & weights_b.keys())
    }


def summary(pairs: Pairs) -> Summary:
    """Summarise kept pairs; unknown scores count in no count, median or histogram.

    Counts are of scores strictly over 0.5; the median is None without a known `overall`.
    """
    overall = pairs.overall[~np.isnan(pairs.overall)]
    bins = np.minimum(np.floor(ranked(overall * BINS)), BINS - 1).astype(np.int64)
    return Summary(
        pairs_total=pairs.pairs_total,
        pairs_kept=len(pairs),
        pairs_cut=pairs.cut,
        pairs_behavioural_over_0_5=int(np.count_nonzero(ranked(pairs.behavioural) > 0.5)),
        pairs_capital_over_0_5=int(np.count_nonzero(ranked(pairs.capital) > 0.5)),
        median_overall=float(np.median(overall)) if len(overall) else None,
        score_histogram=tuple(np.bincount(bins, minlength=BINS).tolist()),
    )


def clamp(scores: Floats) -> Floats:
    """Clip scores to [0, 1], NaN unchanged. Raises ArithmeticError beyond rounding error."""
    if np.any((scores < -ROUNDING) | (scores > 1 + ROUNDING)):
        raise ArithmeticError("a measure lies outside [0, 1]")
    return np.clip(scores, 0.0, 1.0)


def _csr(values: Floats, positions: tuple[Integers, Integers], shape: tuple[int, int]) -> csr_matrix:
    matrix = csr_matrix((values, positions), shape=shape)
    matrix.sort_indices()
    return matrix


def _check_weights(weights: Floats, wallets: Integers, wallet_count: int) -> None:
    if not np.all(np.isfinite(weights) & (weights >= 0)):
        raise ValueError("a weight is negative or not finite")
    totals = np.bincount(wallets, weights=weights, minlength=wallet_count)
    if np.any((totals > 0) & (np.abs(totals - 1) > WEIGHTS_WITHIN)):
        raise ValueError("the weights of a wallet do not sum to 1")


def _holdings_matrix(holdings: Iterable[Collection[int] | None], shape: tuple[int, int]) -> csr_matrix:
    sets = [set(held or ()) for held in holdings]
    wallets = np.repeat(np.arange(len(sets), dtype=np.int64), [len(held) for held in sets])
    mints = np.array([mint for held in sets for mint in held], dtype=np.int64)
    return _csr(np.ones(len(mints)), (wallets, mints), shape)


def _sides(portfolios: PortfolioMatrix) -> _Sides:
    sizes, weighted = np.diff(portfolios.presence.indptr), np.diff(portfolios.weights.indptr)
    wallets = np.repeat(np.arange(portfolios.wallet_count), sizes)
    return _Sides(
        sizes=sizes.astype(np.float64),
        capital_known=(sizes >= LEAST_MINTS) & (weighted >= LEAST_MINTS),
        norms=np.sqrt(_row_sums(portfolios.weights.power(2))),
        held=np.diff(portfolios.holdings.indptr).astype(np.float64),
        traded=numbered(portfolios.presence),
        weights=values_at(portfolios.weights, wallets, portfolios.presence.indices),
        holdings=numbered(portfolios.holdings),
    )


def _work(sides: _Sides, a: Integers, b: Integers) -> Integers:
    """Return the number of matrix entries to read for each pair."""
    mints, held = (np.minimum(sizes[a], sizes[b]) for sizes in (sides.sizes, sides.held))
    return np.maximum(mints, held).astype(np.int64)


def _measures(portfolios: PortfolioMatrix, sides: _Sides, a: Integers, b: Integers) -> dict[str, NDArray[Any]]:
    """Compute the columns of `Pairs` for some pairs of wallet numbers."""
    pair, at_a, at_b = shared_entries(sides.traded, a, b)
    weights_a, weights_b = sides.weights[at_a], sides.weights[at_b]
    shared = np.bincount(pair, minlength=len(a))
    sizes_a, sizes_b = sides.sizes[a], sides.sizes[b]
    enough = np.minimum(sizes_a, sizes_b) >= LEAST_MINTS
    known = sides.capital_known[a] & sides.capital_known[b]

    def summed(values: Floats, divisor: Floats | float = 1.0) -> Floats:
        return _where(known, np.bincount(pair, weights=values, minlength=len(a)), divisor)

    behavioural = _where(enough, shared, np.sqrt(sizes_a * sizes_b))
    capital = summed(weights_a * weights_b, sides.norms[a] * sides.norms[b])
    return {
        "shared": shared,
        "behavioural": behavioural,
        "jaccard": _where(enough, shared, sizes_a + sizes_b - shared),
        "capital": capital,
        "overlap": summed(np.minimum(weights_a, weights_b)),
        "coverage_a": summed(weights_a),
        "coverage_b": summed(weights_b),
        "overall": clamp(BEHAVIOURAL_SHARE * behavioural + CAPITAL_SHARE * capital),
        "holdings": _holdings_measure(portfolios, sides, a, b),
    }


def _holdings_measure(portfolios: PortfolioMatrix, sides: _Sides, a: Integers, b: Integers) -> Floats:
    both = np.bincount(shared_entries(sides.holdings, a, b)[0], minlength=len(a))
    either = sides.held[a] + sides.held[b] - both
    return _where(portfolios.holdings_known[a] & portfolios.holdings_known[b] & (either > 0), both, either)


def _where(known: NDArray[np.bool_], scores: Floats | Integers, divisor: Floats | float = 1.0) -> Floats:
    """Divide and clamp where a measure is known, NaN elsewhere."""
    return clamp(np.divide(scores, divisor, out=np.full(len(scores), np.nan), where=known))


def _row_sums(matrix: csr_matrix) -> Floats:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()


def _scaled(matrix: csr_matrix, factors: Floats) -> csr_matrix:
    """Multiply every row by its factor."""
    values = matrix.data * np.repeat(factors, np.diff(matrix.indptr))
    return csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
