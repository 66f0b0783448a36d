"""The map and the heat map: places, hulls and names keep apart, and cells say what is known and what is not."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from webapp.presenters.maps import CLUSTERS_NAMED, heat_map, heat_order, scatter

PLACES = st.one_of(st.none(), st.floats(-1, 1, allow_subnormal=False))


def test_a_map_keeps_order_and_turns_up_into_up():
    found = scatter([(0.0, 0.0, None), (1.0, 0.5, 2), (None, None, None)])
    assert [(dot.cluster, dot.number) for dot in found.dots] == [(None, 0), (2, 1)]
    low, high = found.dots
    assert low.x < high.x
    assert low.y > high.y
    # A twentieth of the span is left on either side: 5 of 110 parts.
    assert (low.x, high.x) == (4.5, 95.5)


def test_the_ticks_of_a_map_are_round_and_inside():
    found = scatter([(-0.32, 0.0, None), (0.96, 0.1, None)])
    assert [tick.value for tick in found.x_ticks] == [-0.25, 0, 0.25, 0.5, 0.75, 1]
    assert all(0 <= tick.percent <= 100 for tick in found.x_ticks + found.y_ticks)


def test_wallets_in_one_place_stand_in_the_middle():
    assert [(dot.x, dot.y) for dot in scatter([(0.3, 0.0, 1)] * 3).dots] == [(50, 50)] * 3


def test_nobody_with_a_place_gives_an_empty_map():
    assert scatter([(None, None, None)]).dots == scatter([]).dots == ()


@given(st.lists(st.tuples(PLACES, PLACES, st.none()), max_size=20))
def test_a_map_stays_in_its_box(points):
    found = scatter(points)
    assert len(found.dots) == sum(x is not None and y is not None for x, y, _ in points)
    assert all(0 <= dot.x <= 100 and 0 <= dot.y <= 100 for dot in found.dots)


# Hulls and names


def test_a_hull_goes_around_its_cluster_alone():
    square = [(0.0, 0.0, 1), (1.0, 0.0, 1), (1.0, 1.0, 1), (0.0, 1.0, 1), (0.5, 0.5, 1), (0.5, 0.2, None)]
    (hull,) = scatter(square).hulls
    assert hull.cluster == 1
    corners = {tuple(map(float, one.split())) for one in re.findall(r"[\d.]+ [\d.]+", hull.path)}
    assert corners == {(4.5, 95.5), (95.5, 95.5), (95.5, 4.5), (4.5, 4.5)}
    assert hull.path.endswith("Z")


def test_one_place_or_two_still_have_a_hull():
    point = scatter([(0.3, 0.1, 1)] * 3 + [(1.0, 1.0, None)])
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0", point.hulls[0].path)
    two = scatter([(0.0, 0.0, 1), (1.0, 1.0, 1), (1.0, 1.0, 1)])
    assert two.hulls[0].path == "M4.5 95.5L95.5 4.5Z"


def test_a_cluster_at_the_right_edge_has_its_name_on_the_left():
    found = scatter([(0.0, 0.5, 1), (1.0, 0.5, 2), (0.5, 0.0, None), (0.5, 1.0, None)])
    assert [(one.cluster, one.anchor) for one in found.names] == [(1, "start"), (2, "end")]


def test_names_do_not_write_over_each_other():
    """Twelve clusters in one place: there is room for four names around it, and the first get it."""
    found = scatter([(0.5, 0.5, 1 + i) for i in range(12)])
    assert [one.cluster for one in found.names] == [1, 2, 3, 4]
    assert len({(one.x, one.y, one.anchor, one.dy) for one in found.names}) == 4


def test_only_the_first_clusters_are_named():
    points = [(i % 5 / 5, i // 5 / 5, 1 + i) for i in range(25)]
    found = scatter(points)
    assert [one.cluster for one in found.hulls] == list(range(1, CLUSTERS_NAMED + 1))
    assert len(found.dots) == 25


@given(st.lists(st.tuples(st.floats(-1, 1, allow_subnormal=False), st.floats(-1, 1, allow_subnormal=False),
                          st.integers(1, 5)), min_size=1, max_size=30))  # fmt: skip
def test_every_hull_contains_its_dots(points):
    found = scatter(points)
    for hull in found.hulls:
        corners = [tuple(map(float, one.split())) for one in re.findall(r"[\d.]+ [\d.]+", hull.path)]
        inside = {(dot.x, dot.y) for dot in found.dots if dot.cluster == hull.cluster}
        assert set(corners) <= inside
        for x, y in inside:
            turns = [
                (bx - ax) * (y - ay) - (by - ay) * (x - ax)
                for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True)
            ]
            assert all(turn >= -1e-9 for turn in turns)


def test_only_a_dot_with_room_is_hit_from_afar():
    near, beside, far = scatter([(0.0, 0.0, None), (0.001, 0.0, None), (1.0, 1.0, None)]).dots
    assert (near.roomy, beside.roomy, far.roomy) == (False, False, True)


# Heat map


def test_wallets_stand_by_cluster_and_the_closest_first():
    scores = {(0, 1): 0.1, (1, 2): 0.9, (2, 3): 0.8, (1, 3): 0.7, (0, 4): 0.9, (4, 5): None}
    assert heat_order([None, 1, 1, 1, 2, None], scores) == [2, 1, 3, 4, 0, 5]


def test_cells_fall_into_seven_steps_and_every_row_is_joined():
    drawn = heat_map([1, 1, 1], {(0, 1): 1.0, (0, 2): 0.999, (1, 2): 0.5})
    assert drawn.steps == ("", "", "M2 1.5h1M1 2.5h1", "", "", "M1 0.5h2M0 1.5h1M0 2.5h1")
    assert drawn.diagonal == "M0 0.5h1M1 1.5h1M2 2.5h1"
    assert (drawn.unknown, drawn.absent) == ("", "")


def test_the_lowest_step_is_the_ground():
    assert heat_map([None, None], {(0, 1): 0.14}).steps == ("",) * 6
    assert heat_map([None, None], {(0, 1): 0.143}).steps[0] == "M1 0.5h1M0 1.5h1"


def test_unknown_is_not_zero_and_not_kept_is_neither():
    drawn = heat_map([None] * 3, {(0, 1): None, (1, 2): 0.0})
    assert drawn.unknown == "M1 0.5h1M0 1.5h1"
    assert drawn.absent == "M2 0.5h1M0 2.5h1"
    assert "".join(drawn.steps) == ""


def test_brackets_share_the_side():
    found = heat_map([1, 1, 1, 2, None], {}).brackets
    assert [(one.cluster, one.start, one.end, one.first, one.count) for one in found] == [
        (1, 0, 60, 0, 3), (2, 60, 80, 3, 1), (None, 80, 100, 4, 1),
    ]  # fmt: skip
    assert all(one.named for one in found)


def test_a_bracket_too_short_for_its_number_has_none():
    found = heat_map([1] * 3 + [None] * 110, {}).brackets
    assert [one.named for one in found] == [False, True]


def test_no_wallets_give_no_cells():
    drawn = heat_map([], {})
    assert (drawn.size, drawn.brackets, drawn.grid) == (0, (), "")


@given(st.integers(1, 12), st.randoms())
def test_every_cell_is_drawn_once(size, random):
    scores = {(a, b): random.choice([None, random.random()])
              for a in range(size) for b in range(a + 1, size) if random.random() < 0.8}  # fmt: skip
    drawn = heat_map([None] * size, scores)
    cells = []
    for path in (*drawn.steps, drawn.unknown, drawn.absent, drawn.diagonal):
        for x, y, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path):
            cells += [(int(x) + i, int(y)) for i in range(int(length))]
    ground = 2 * sum(value is not None and value < 1 / 7 for value in scores.values())
    assert len(cells) == len(set(cells)) == size * size - ground
    assert {(y, x) for x, y in cells} == set(cells)


def test_the_readings_of_a_heat_map_say_each_pair_as_its_table_does():
    scores = {(0, 1): 1.0, (0, 2): 0.996, (1, 2): None, (1, 3): 0.054}
    found = heat_map([None] * 4, scores)
    assert [found.readings[i : i + 2] for i in range(0, 12, 2)] == ["**", "99", "..", "--", "05", ".."]
    assert heat_map([], {}).readings == ""
