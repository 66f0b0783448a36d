"""Clusters: which pairs are edges, what a cluster says of itself, and that the same pairs always give the same."""

from __future__ import annotations

import itertools
import random
from typing import Any

import igraph
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from tasks.measures.clusters import Cluster, find, shared_mints

NAN = float("nan")
Edges = dict[tuple[int, int], float]
SCORE = st.sampled_from([0.0, 0.2, 0.49, 0.5, 0.5, 0.7, 0.9, 1.0, NAN])
WALLETS = 9
PAIRS = st.dictionaries(
    st.tuples(st.integers(0, WALLETS - 1), st.integers(0, WALLETS - 1)).filter(lambda pair: pair[0] < pair[1]), SCORE
)


def _find(pairs: Edges, q_values: Any = None, count: int = 100, tau: float = 0.5) -> list[Cluster]:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    return find(count, a, b, list(pairs.values()), q_values, tau)


def _members(found: list[Cluster]) -> list[list[int]]:
    return [cluster.members.tolist() for cluster in found]


def _clique(*wallets: int, score: float = 0.9) -> Edges:
    return dict.fromkeys(itertools.combinations(wallets, 2), score)


def _modularity(edges: Edges, groups: list[set[int]]) -> float:
    """Weight inside the groups less what their degrees would give by chance."""
    total = sum(edges.values())
    score = 0.0
    for group in groups:
        inside = sum(weight for (a, b), weight in edges.items() if a in group and b in group)
        degree = sum(weight * ((a in group) + (b in group)) for (a, b), weight in edges.items())
        score += inside / total - (degree / (2 * total)) ** 2
    return score


def _partitions(wallets: list[int]) -> Any:
    if not wallets:
        yield []
        return
    for rest in _partitions(wallets[1:]):
        yield [{wallets[0]}, *rest]
        for at in range(len(rest)):
            yield [*rest[:at], rest[at] | {wallets[0]}, *rest[at + 1 :]]


def _described(edges: Edges, members: list[int]) -> dict[str, Any]:
    """What section 6 says of a cluster, from its members alone."""
    inside = {pair: weight for pair, weight in sorted(edges.items()) if set(pair) <= set(members)}
    degree = {member: sum(member in pair for pair in inside) for member in members}
    return {
        "edges": inside,
        "cohesion": pytest.approx(sum(inside.values()) / len(inside)),
        "weak_bridges": [member for member in members if degree[member] == 1],
    }


def _connected(edges: Edges, members: list[int]) -> bool:
    reached, front = {members[0]}, {members[0]}
    while front:
        near = {wallet for pair in edges if front & set(pair) for wallet in pair} & set(members)
        front, reached = near - reached, reached | near
    return reached == set(members)


@given(PAIRS, st.sampled_from([0.2, 0.5, 0.9]))
def test_a_cluster_says_of_itself_what_its_edges_say(pairs: Edges, tau: float) -> None:
    edges = {pair: score for pair, score in pairs.items() if score >= tau and score > 0}
    found = _find(pairs, tau=tau)
    for number, cluster in enumerate(found, 1):
        members = cluster.members.tolist()
        assert cluster.number == number
        assert len(members) >= 3
        assert members == sorted(members)
        assert _connected(edges, members)
        ends = zip(cluster.edge_a.tolist(), cluster.edge_b.tolist(), strict=True)
        assert {
            "edges": dict(zip(ends, cluster.edge_weight.tolist(), strict=True)),
            "cohesion": cluster.cohesion,
            "weak_bridges": cluster.weak_bridges.tolist(),
        } == _described(edges, members)
    every = [member for members in _members(found) for member in members]
    assert len(every) == len(set(every))
    assert _members(found) == sorted(_members(found), key=lambda members: (-len(members), members[0]))


@given(PAIRS, st.randoms(use_true_random=False))
def test_neither_the_order_of_the_pairs_nor_of_their_wallets_matters(pairs: Edges, shuffler: random.Random) -> None:
    order = list(pairs)
    shuffler.shuffle(order)
    swapped = {(pair if shuffler.random() < 0.5 else pair[::-1]): pairs[pair] for pair in order}
    assert _members(_find(swapped)) == _members(_find(pairs))


@pytest.mark.parametrize("seed", range(3))
def test_a_graph_with_many_possible_cuts_is_cut_alike_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = np.unique(np.sort(rng.integers(0, 60, (500, 2)), axis=1), axis=0)
    ends = ends[ends[:, 0] < ends[:, 1]]
    weights = rng.choice([0.5, 0.6, 0.7], len(ends))
    order = rng.permutation(len(ends))
    plain = find(60, ends[:, 0], ends[:, 1], weights)
    other = find(60, ends[order, 1], ends[order, 0], weights[order])
    assert len(plain) > 1
    assert _members(other) == _members(plain)
    for one, two in zip(plain, other, strict=True):
        assert np.array_equal(one.edge_a, two.edge_a)
        assert np.array_equal(one.edge_b, two.edge_b)
        assert np.array_equal(one.edge_weight, two.edge_weight)


@given(PAIRS)
def test_the_same_pairs_give_the_same_clusters_whatever_was_drawn_before(pairs: Edges) -> None:
    before = _members(_find(pairs))
    random.seed(3)
    drawn = random.random()
    random.seed(3)
    assert _members(_find(pairs)) == before
    assert random.random() == drawn, "the generator that everybody shares is left alone"


def test_igraph_draws_from_its_default_generator_again_afterwards() -> None:
    _find(_clique(1, 2, 3))
    graphs = []
    for _ in range(2):
        random.seed(11)
        graphs.append(igraph.Graph.Erdos_Renyi(n=30, p=0.3).get_edgelist())
    assert graphs[0] == graphs[1]


def test_two_cliques_on_a_thread_are_two_clusters_as_the_best_modularity_says() -> None:
    edges = _clique(0, 1, 2, 3) | _clique(4, 5, 6, 7) | {(3, 4): 0.5}
    best = max(_partitions(list(range(8))), key=lambda groups: _modularity(edges, groups))
    assert sorted(map(sorted, best)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert _members(_find(edges)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_modularity_weighs_edges() -> None:
    """A ring of six: strong edges 0-1-2 and 3-4-5, weak ones between; without weights any third would do as well."""
    edges = {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 0.5, (3, 4): 1.0, (4, 5): 1.0, (0, 5): 0.5}
    best = max(_partitions(list(range(6))), key=lambda groups: _modularity(edges, groups))
    assert sorted(map(sorted, best)) == [[0, 1, 2], [3, 4, 5]]
    assert _members(_find(edges)) == [[0, 1, 2], [3, 4, 5]]


def test_the_largest_is_first_and_of_equal_ones_the_one_with_the_smallest_member() -> None:
    edges = _clique(40, 41, 42) | _clique(7, 90, 91) | _clique(50, 51, 52, 53)
    found = _find(edges)
    assert _members(found) == [[50, 51, 52, 53], [7, 90, 91], [40, 41, 42]]
    assert [cluster.number for cluster in found] == [1, 2, 3]


def test_a_graph_on_which_igraph_never_settles_is_cut_all_the_same() -> None:
    ends = [(0, 1), (0, 4), (0, 8), (1, 6), (1, 7), (2, 7), (2, 8), (6, 8)]
    edges = dict(zip(ends, [0.7, 0.2, 0.49, 0.5, 0.9, 0.9, 0.5, 0.7], strict=True))
    assert sum(map(len, _members(_find(edges, tau=0.2)))) >= 3


def test_two_wallets_are_a_pair_and_not_a_cluster() -> None:
    assert _find({(1, 2): 1.0}) == []


def test_a_member_with_one_edge_inside_is_a_weak_bridge() -> None:
    """1, 2, 3 hold one another; 4 hangs on 3 alone. Mean weight (0.9 + 0.8 + 0.7 + 0.6) / 4 = 0.75."""
    (found,) = _find({(1, 2): 0.9, (1, 3): 0.8, (2, 3): 0.7, (3, 4): 0.6})
    assert found.members.tolist() == [1, 2, 3, 4]
    assert found.weak_bridges.tolist() == [4]
    assert found.cohesion == pytest.approx(0.75)


def test_a_member_is_held_by_its_strongest_edge() -> None:
    """4 has edges of 0.9 or more to 1 and 2 alike: the partner with the smaller number is named."""
    clique = _clique(1, 2, 4)
    (found,) = _find(clique | {(1, 3): 0.7, (2, 3): 0.8, (3, 4): 0.8})
    partners, weights, counts = found.strongest_edges()
    assert found.members.tolist() == [1, 2, 3, 4]
    assert partners.tolist() == [2, 1, 2, 1]
    assert weights.tolist() == [clique[(1, 2)], clique[(1, 2)], 0.8, clique[(1, 4)]]
    assert counts.tolist() == [3, 3, 3, 3]


def test_where_chance_is_known_an_edge_must_be_more_than_chance() -> None:
    edges = _clique(0, 1, 2)
    assert _members(_find(edges, [0.0099, 0.001, 1e-300])) == [[0, 1, 2]]
    assert _find(edges, [0.0099, 0.01, 0.01]) == []
    assert _find(edges, [0.0099, NAN, NAN]) == []
    assert _members(_find(edges, None)) == [[0, 1, 2]]


def test_rounding_error_just_below_tau_loses_no_edge() -> None:
    below = float(np.nextafter(0.5, 0))
    assert below < 0.5
    assert _members(_find(_clique(0, 1, 2, score=below))) == [[0, 1, 2]]
    assert _find(_clique(0, 1, 2, score=0.4999)) == []


def test_what_is_not_alike_at_all_is_no_edge_whatever_tau() -> None:
    assert _find(_clique(0, 1, 2, score=0.0), tau=0.0) == []
    assert _members(_find(_clique(0, 1, 2) | {(2, 3): 0.0}, tau=0.0)) == [[0, 1, 2]]


@pytest.mark.parametrize("pairs", [{}, {(0, 1): NAN}, {(0, 1): 0.1, (1, 2): 0.1}])
def test_without_edges_there_is_no_cluster(pairs: Edges) -> None:
    assert _find(pairs) == []


@pytest.mark.parametrize("pair", [(-1, 2), (2, 5)])
def test_a_wallet_that_does_not_exist_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        _find({pair: 0.9}, count=5)


@given(st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=6), st.data())
def test_shared_mints_are_those_that_all_members_traded(world: list[set[int]], data: st.DataObject) -> None:
    members = data.draw(st.sets(st.integers(0, len(world) - 1), min_size=1))
    cells = [(wallet, mint) for wallet, mints in enumerate(world) for mint in mints]
    places = tuple(zip(*cells, strict=True)) if cells else ([], [])
    presence = csr_matrix((np.ones(len(cells)), places), shape=(len(world), 7))
    wanted = sorted(set.intersection(*(world[member] for member in members)))
    assert shared_mints(presence, sorted(members)).tolist() == wanted


def test_no_member_shares_nothing() -> None:
    assert shared_mints(csr_matrix(np.ones((2, 3))), []).tolist() == []
