"""Turn numbers into the geometry of small SVG charts; macros draw it, and nothing here knows a page or a colour.

Charts stretch to the room they get: shapes live in a ``viewBox`` that is scaled without keeping its proportions, while
texts are placed in per cent and keep their size. Coordinates are rounded to a tenth, y grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

Point = tuple[float, float]

# A label is about this share of the chart's width; closer marks would write over each other.
LABEL_SHARE = 0.34
LABEL_GAP_PX = 5


@dataclass(frozen=True)
class Mark:
    """A vertical line at a value, and its label: where it begins (per cent and px), its baseline and its side."""

    x: float
    percent: float
    text: str
    anchor: str
    dx: int
    y: int


@dataclass(frozen=True)
class Sparkline:
    """A distribution over [0, 1] as paths; the accent ones lie beyond the threshold ("" where there is none)."""

    width: float
    height: float
    line: str
    area: str
    accent_line: str
    accent_area: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram, by its top left corner; ``accent`` marks it as the one talked about."""

    x: float
    y: float
    width: float
    height: float
    value: float
    accent: bool = False


@dataclass(frozen=True)
class Histogram:
    """Bars over a common ground, and what is written at the first and above the last of them."""

    width: float
    height: float
    bars: tuple[Bar, ...]
    first_text: str
    last_text: str
    last_y: float


@dataclass(frozen=True)
class AxisTick:
    """A place on an axis, in per cent of its length, and the value that stands there."""

    percent: float
    value: float


@dataclass(frozen=True)
class MatchMark:
    """Two matched trades on a time strip, in per cent of its width; a sell is drawn hollow."""

    a: float
    b: float
    side: str


@dataclass(frozen=True)
class TimeStrip:
    """Matched trades along time, and the ticks under them, whose values are Unix seconds.

    ``lone`` has for either lane where its other trades are, in per cent, each place once.
    """

    matches: tuple[MatchMark, ...]
    ticks: tuple[AxisTick, ...]
    lone: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())


@dataclass(frozen=True)
class Lags:
    """How far the second wallet trades behind the first: bars over ± the window, and how often each was first."""

    bars: Histogram
    b_first: int
    together: int
    a_first: int
    window_s: float


def sparkline(
    counts: Sequence[int],
    width: float = 300,
    height: float = 40,
    median: float | None = None,
    threshold: float | None = None,
) -> Sparkline:
    """Draw how many pairs score how much: equal bins over [0, 1], heights by their square root.

    The square root keeps the few high scores visible beside thousands of low ones. ``median`` and ``threshold`` are
    scores; from the threshold on, line and area are given apart. No counts, or only zeros, give a flat line.
    """
    points = _curve(counts, width, height)
    before, beyond = _split(points, None if threshold is None else threshold * width)
    marks = _marks(width, median, threshold)
    return Sparkline(
        width, height, _line(before), _area(before, height), _line(beyond), _area(beyond, height), tuple(marks)
    )


def histogram(
    values: Sequence[float],
    width: float = 300,
    height: float = 40,
    gap: float = 0.2,
    accent: Sequence[int] = (),
    unit: str = "",
) -> Histogram:
    """Draw one bar a value from zero up, side by side over the whole width; ``gap`` is the share left between them.

    ``accent`` holds the positions of the bars to mark, ``unit`` follows the first bar's figure ("27 wallets"). A value
    above zero is at least half a unit high, so that it is not taken for none. No values give no bars.
    """
    bars = tuple(_bars(values, width, height, gap, frozenset(accent)))
    if not bars:
        return Histogram(width, height, (), "", "", height)
    return Histogram(width, height, bars, f"{bars[0].value:,} {unit}".strip(), f"{bars[-1].value:,}", bars[-1].y)


def time_strip(
    matches: Sequence[tuple[float, float, str]],
    most_ticks: int = 5,
    lone: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> TimeStrip:
    """Place matched trades (time of a, time of b, side) along the time that they span; none give an empty strip.

    ``lone`` are the times of the trades of a and of b that have no match; they belong to the span too.
    """
    times = [at for match in matches for at in match[:2]]
    if not times:
        return TimeStrip((), ())
    times += [at for lane in lone for at in lane]
    low, high = min(times), max(times)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    placed = (MatchMark(share(a, low, high), share(b, low, high), side) for a, b, side in matches)
    steps = [low + (high - low) * i / (most_ticks - 1) for i in range(most_ticks)]
    first, second = (tuple(sorted({share(at, low, high) for at in lane})) for lane in lone)
    return TimeStrip(tuple(placed), tuple(AxisTick(share(at, low, high), at) for at in steps), (first, second))


def lags(values: Sequence[float], window_s: float, bins: int = 20, height: float = 56) -> Lags:
    """Count lags in seconds (positive: a was first) over [−window, window]; bars right of the middle are accented.

    A bar is [low, high), but the last includes the window itself; what is a whole lag apart stays inside.
    """
    counts = [0] * bins
    for lag in values:
        counts[min(bins - 1, max(0, int((lag + window_s) / (2 * window_s) * bins)))] += 1
    bars = histogram(counts, height=height, accent=range(bins // 2, bins))
    first, second = sum(lag > 0 for lag in values), sum(lag < 0 for lag in values)
    return Lags(bars, second, len(values) - first - second, first, window_s)


def share(value: float, low: float, high: float) -> float:
    """Return where a value stands between two others, in per cent to a tenth."""
    return tenth((value - low) / (high - low) * 100)


def _bars(values: Sequence[float], width: float, height: float, gap: float, accent: frozenset[int]) -> list[Bar]:
    largest = max(values, default=0) or 1
    step = width / (len(values) - gap) if values else 0
    heights = [max(0.5, value / largest * height) if value > 0 else 0 for value in values]
    return [
        Bar(tenth(i * step), tenth(height - tall), tenth(step * (1 - gap)), tenth(tall), values[i], i in accent)
        for i, tall in enumerate(heights)
    ]


def _curve(counts: Sequence[int], width: float, height: float) -> list[Point]:
    """Give a point over the middle of each bin, and one at either end on the height of its neighbour."""
    largest = max(counts, default=0)
    if not largest:
        return [(0, height), (width, height)]
    heights = [height * (1 - math.sqrt(count / largest)) for count in counts]
    middles = [(i + 0.5) * width / len(counts) for i in range(len(counts))]
    return [(0, heights[0]), *zip(middles, heights, strict=True), (width, heights[-1])]


def _split(points: list[Point], at: float | None) -> tuple[list[Point], list[Point]]:
    """Cut a curve at an x; both parts contain the cut. None leaves the curve whole."""
    if at is None or at >= points[-1][0]:
        return points, []
    cut = (at, _height_at(points, at))
    return [p for p in points if p[0] < at] + [cut], [cut] + [p for p in points if p[0] > at]


def _height_at(points: list[Point], at: float) -> float:
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if x0 <= at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return points[0][1]


def _marks(width: float, median: float | None, threshold: float | None) -> list[Mark]:
    """Place the labels beside their lines: to the right, or to the left where the right is taken by the other."""
    given = (("median", median), ("threshold", threshold))
    values = sorted((value, name) for name, value in given if value is not None)
    return [
        _mark(width, value, f"{name} {value:.2f}", left=_has_no_room(value, after))
        for (value, name), after in zip_longest(values, (value for value, _ in values[1:]))
    ]


def _has_no_room(value: float, after: float | None) -> bool:
    """Whether a label does not fit between its value and the next one, whose own may stand there, or the end."""
    if after is None:
        return value > 1 - LABEL_SHARE
    return after - value < LABEL_SHARE * (2 if _has_no_room(after, None) else 1)


def _mark(width: float, value: float, text: str, *, left: bool) -> Mark:
    """Make a mark; a label that would leave the chart on the left stands on the right after all."""
    left = left and value > LABEL_SHARE
    anchor, dx = ("end", -LABEL_GAP_PX) if left else ("start", LABEL_GAP_PX)
    return Mark(tenth(value * width), tenth(value * 100), text, anchor, dx, 11)


def _line(points: list[Point]) -> str:
    return "M" + "L".join(f"{tenth(x)} {tenth(y)}" for x, y in points) if points else ""


def _area(points: list[Point], ground: float) -> str:
    if not points:
        return ""
    return f"{_line(points)}V{tenth(ground)}H{tenth(points[0][0])}Z"


def tenth(value: float) -> float:
    """Round to a tenth, whole numbers without a point."""
    rounded = round(value, 1)
    return int(rounded) if rounded == int(rounded) else rounded
