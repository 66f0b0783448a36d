"""Clusters of wallets: communities in the graph of similar pairs, and the edges inside each.

Section 6 of docs/measures.md. The pairs given are those kept, with their measures.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import igraph
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tasks.measures.arrays import Floats, Integers
from tasks.measures.pair_selection import ranked

TAU = 0.5
"""The default of the least `overall` of an edge."""
Q_BELOW = 0.01
"""Where chance is known, an edge has a smaller q value than this."""
LEAST_MEMBERS = 3
SEED = 0
ITERATIONS = 30
"""The largest number of rounds: with n_iterations=-1 igraph 1.0 never returns on some graphs of nine vertices."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster: `number` from 1, the largest first, of equally large ones the one with the smallest member.

    `members` are wallet numbers, ascending, and so are `weak_bridges`, the members with one edge inside. The edges
    inside are three equally long arrays, sorted: `edge_a` < `edge_b`, wallet numbers, and `edge_weight`, their
    `overall`; `cohesion` is the mean of these weights.
    """

    number: int
    members: Integers
    weak_bridges: Integers
    cohesion: float
    edge_a: Integers
    edge_b: Integers
    edge_weight: Floats

    def strongest_edges(self) -> tuple[Integers, Floats, Integers]:
        """Return for each member the partner of its strongest edge inside, that edge's weight, and the number of edges.

        Three arrays in the order of `members`; of equally strong edges, the one with the smallest partner.
        """
        ends, partners = np.concatenate([self.edge_a, self.edge_b]), np.concatenate([self.edge_b, self.edge_a])
        weights = np.tile(self.edge_weight, 2)
        order = np.lexsort((partners, -ranked(weights), ends))
        found, first, counts = np.unique(ends[order], return_index=True, return_counts=True)
        strongest = order[first]
        at = np.searchsorted(found, self.members)  # every member has an edge inside
        return partners[strongest][at], weights[strongest][at], counts[at]


@dataclass(frozen=True, slots=True)
class _Graph:
    """Edges sorted by their ends; `wallets` are the wallets with an edge, ascending; ends are indices in it."""

    wallets: Integers
    ends: NDArray[np.int64]
    weights: Floats


def find(
    count: int, a: ArrayLike, b: ArrayLike, overall: ArrayLike, q_value: ArrayLike | None = None, tau: float = TAU
) -> list[Cluster]:
    """Find the clusters of at least three among `count` wallets, from kept pairs as equally long arrays.

    Every pair is given once, its wallets by number in either order. An edge is a pair with `overall` ≥ `tau` and
    above 0 (even for `tau` 0) and, where `q_value` is given, q < 0.01; NaN in either is no edge. The order of the pairs
    does not matter, and the same pairs always give the same clusters. No edge gives an empty list. Raises ValueError
    for a number that is no wallet.
    """
    pairs = np.column_stack([np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)]).reshape(-1, 2)
    if np.any((pairs < 0) | (pairs >= count)):
        raise ValueError("a pair names a wallet that does not exist")
    graph = _graph(pairs, np.asarray(overall, dtype=np.float64), q_value, tau)
    community = _communities(graph)
    sizes = np.bincount(community) if len(community) else np.zeros(0, dtype=np.int64)
    first_of = np.unique(community, return_index=True)[1]
    order = [group for group in np.lexsort((first_of, -sizes)).tolist() if sizes[group] >= LEAST_MEMBERS]
    members = np.split(np.argsort(community, kind="stable"), np.cumsum(sizes)[:-1])
    edges = _edges_inside(graph, community, len(sizes))
    return [_cluster(graph, number, members[group], edges[group]) for number, group in enumerate(order, 1)]


def shared_mints(presence: csr_matrix, members: ArrayLike) -> Integers:
    """Return the columns of `presence` (wallets × mints, CSR, 1 for every mint of T) that all members traded.

    Ascending; no member gives an empty array.
    """
    rows = np.asarray(members, dtype=np.int64)
    traded = np.bincount(presence[rows].indices, minlength=presence.shape[1]) if len(rows) else np.zeros(0)
    return np.flatnonzero(traded == len(rows)).astype(np.int64)


def _graph(pairs: NDArray[np.int64], overall: Floats, q_value: ArrayLike | None, tau: float) -> _Graph:
    """Select the edges and sort them, because Leiden depends on their order."""
    scores = ranked(overall)
    chosen = (scores >= tau) & (scores > 0)
    if q_value is not None:
        chosen &= np.asarray(q_value, dtype=np.float64) < Q_BELOW
    ends, weights = np.sort(pairs[chosen], axis=1), overall[chosen]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    wallets, indices = np.unique(ends[order], return_inverse=True)
    return _Graph(wallets, indices.reshape(-1, 2), weights[order])


def _communities(graph: _Graph) -> Integers:
    """Return the community number of every wallet of the graph, by the Leiden algorithm with modularity."""
    if not len(graph.wallets):
        return np.zeros(0, dtype=np.int64)
    leiden_graph = igraph.Graph(n=len(graph.wallets), edges=graph.ends)
    weights, community = graph.weights.tolist(), None
    with _seeded():
        for _ in range(ITERATIONS):
            before = community
            community = leiden_graph.community_leiden(
                "modularity", weights=weights, resolution=1, n_iterations=1, initial_membership=before
            ).membership
            if community == before:
                break
    return np.asarray(community, dtype=np.int64)


@contextmanager
def _seeded() -> Iterator[None]:
    """Give igraph a seeded random generator; afterwards `random` again, its default."""
    igraph.set_random_number_generator(random.Random(SEED))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def _edges_inside(graph: _Graph, community: Integers, groups: int) -> list[Integers]:
    """Return for every community the numbers of the edges with both ends in it, ascending."""
    left, right = community[graph.ends[:, 0]], community[graph.ends[:, 1]]
    inside = np.flatnonzero(left == right)
    inside = inside[np.argsort(left[inside], kind="stable")]
    per_group = np.bincount(left[inside], minlength=groups)
    return np.split(inside, np.cumsum(per_group)[:-1])


def _cluster(graph: _Graph, number: int, members: Integers, edges: Integers) -> Cluster:
    ends, weights = graph.ends[edges], graph.weights[edges]
    degrees = np.bincount(ends.ravel(), minlength=len(graph.wallets))[members]
    return Cluster(
        number=number,
        members=graph.wallets[members],
        weak_bridges=graph.wallets[members[degrees == 1]],
        cohesion=float(np.mean(weights)),
        edge_a=graph.wallets[ends[:, 0]],
        edge_b=graph.wallets[ends[:, 1]],
        edge_weight=weights,
    )
