"""The geometry stays inside its box, keeps proportions, and says the same for the smallest and largest inputs."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from webapp.presenters.charts import Bar, MatchMark, histogram, lags, sparkline, time_strip

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def numbers(path: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(path)]


def test_heights_follow_the_square_root():
    line = sparkline([100, 25, 0, 0], width=40, height=10).line
    assert line == "M0 0L5 0L15 5L25 10L35 10L40 10"


def test_the_threshold_cuts_line_and_area_where_it_stands():
    spark = sparkline([4, 4, 4, 4], width=40, height=10, threshold=0.5)
    assert spark.line == "M0 0L5 0L15 0L20 0"
    assert spark.accent_line == "M20 0L25 0L35 0L40 0"
    assert spark.accent_area == "M20 0L25 0L35 0L40 0V10H20Z"


def test_without_a_threshold_nothing_is_accented():
    spark = sparkline([1, 2], threshold=None)
    assert spark.accent_line == spark.accent_area == ""
    assert spark.marks == ()


def test_a_threshold_of_one_leaves_nothing_beyond():
    assert sparkline([1, 2], threshold=1).accent_line == ""


def test_no_pairs_give_a_flat_line():
    assert sparkline([], width=40, height=10).line == sparkline([0, 0], width=40, height=10).line == "M0 10L40 10"


def test_labels_stand_to_the_right_of_their_marks():
    median, threshold = sparkline([1], width=200, median=0.06, threshold=0.5).marks
    assert (median.x, median.percent, median.text, median.anchor) == (12, 6, "median 0.06", "start")
    assert (threshold.x, threshold.text) == (100, "threshold 0.50")


def test_labels_of_close_marks_part_to_either_side():
    median, threshold = sparkline([1], median=0.45, threshold=0.5).marks
    assert (median.anchor, threshold.anchor) == ("end", "start")
    threshold, median = sparkline([1], median=0.6, threshold=0.5).marks
    assert (median.anchor, threshold.anchor) == ("start", "end")
    assert [mark.anchor for mark in sparkline([1], median=0.5, threshold=0.5).marks] == ["end", "start"]


def test_a_label_that_stands_on_the_left_of_its_mark_has_the_place_to_itself():
    threshold, median = sparkline([1], median=0.99, threshold=0.5).marks
    assert (median.text, median.anchor) == ("median 0.99", "end")
    assert (threshold.text, threshold.anchor) == ("threshold 0.50", "end")


@given(st.lists(st.integers(0, 10**6), max_size=40), st.none() | st.floats(0, 1))
def test_a_curve_stays_in_its_box(counts, threshold):
    spark = sparkline(counts, width=300, height=40, threshold=threshold)
    for path in (spark.line, spark.area, spark.accent_line, spark.accent_area):
        assert all(0 <= number <= 300 for number in numbers(path))
        assert "e" not in path


def test_bars_share_the_width():
    chart = histogram([4, 2], width=18, height=10, gap=0.2, accent=[1], unit="wallets")
    assert chart.bars == (Bar(0, 0, 8, 10, 4), Bar(10, 5, 8, 5, 2, True))
    assert (chart.first_text, chart.last_text, chart.last_y) == ("4 wallets", "2", 5)


def test_small_values_stay_visible_and_zero_is_nothing():
    bars = histogram([10_000, 1, 0], height=40).bars
    assert [bar.height for bar in bars] == [40, 0.5, 0]


def test_no_values_give_no_bars():
    assert histogram([]).bars == ()


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=60))
def test_bars_stay_in_their_box(values):
    for bar in histogram(values, width=300, height=40).bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= 300.2
        assert 0 <= bar.y <= 40


def test_matches_stand_where_their_times_are():
    strip = time_strip([(100, 110, "buy"), (200, 150, "sell")])
    assert strip.matches == (MatchMark(0, 10, "buy"), MatchMark(100, 50, "sell"))
    assert [tick.value for tick in strip.ticks] == [100, 125, 150, 175, 200]


def test_a_strip_of_one_moment_or_of_nothing():
    assert time_strip([(100, 100, "buy")]).matches == (MatchMark(50, 50, "buy"),)
    assert time_strip([]).matches == ()


def test_lags_fall_into_bars_and_are_counted_by_who_came_first():
    found = lags([-60, -1, 0, 5.9, 6, 60], window_s=60)
    assert [bar.value for bar in found.bars.bars] == [1, *[0] * 8, 1, 2, 1, *[0] * 7, 1]
    assert (found.b_first, found.together, found.a_first) == (2, 1, 3)
    assert [bar.accent for bar in found.bars.bars] == [False] * 10 + [True] * 10
