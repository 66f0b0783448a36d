"""Where wallets lie and how alike they are, as geometry: the scatter with its hulls and names, and the heat map.

As in `charts`, shapes are in per cent or in a ``viewBox`` that is stretched, and what keeps its size (texts, dots, the
width of a line) is left to the page. Names are placed for two sizes of a drawing, a wide one and that of a phone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

from webapp.markup.filters import score
from webapp.presenters.charts import AxisTick, Point, share, tenth

HEAT_STEPS = 7
READINGS = {"absent": "..", "unknown": "--", "whole": "**"}
CLUSTERS_NAMED = 12
"""So many clusters get a hull and a name; more would hide the dots."""
WIDE_PX, NARROW_PX = (660.0, 400.0), (270.0, 300.0)
HULL_PX, DOT_PX, TEXT_PX, LETTER_PX = 11.0, 5.0, 14.0, 6.4
ROOM_PX = 24.0
"""A dot with so much room around it can be hit anywhere in it."""
TAKEN = 1_000.0
SHORTEST_NAMED = 3.0
"""A bracket shorter than this share (per cent) of the side has no room for a number of two digits."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in px."""
Spot = tuple[float | None, float | None, int | None]
"""The components of a wallet and its cluster."""


@dataclass(frozen=True)
class Dot:
    """A wallet: its place in per cent, its cluster (None: in none), its number among those given, and its room."""

    x: float
    y: float
    cluster: int | None
    number: int
    roomy: bool


@dataclass(frozen=True)
class Hull:
    """The convex hull of a cluster's dots, in per cent; the page pads it by drawing its line 2 HULL_PX wide."""

    cluster: int
    path: str


@dataclass(frozen=True)
class Name:
    """Where a cluster's name stands: a place in per cent, from there in px, and its side."""

    cluster: int
    x: float
    y: float
    dx: int
    dy: int
    anchor: str


@dataclass(frozen=True)
class Scatter:
    """Dots, the hulls and names of the first clusters, and the ticks of both axes; empty where nothing has a place."""

    dots: tuple[Dot, ...]
    hulls: tuple[Hull, ...]
    names: tuple[Name, ...]
    names_narrow: tuple[Name, ...]
    x_ticks: tuple[AxisTick, ...]
    y_ticks: tuple[AxisTick, ...]


@dataclass(frozen=True)
class Bracket:
    """The rows of a cluster (None: of none): from and to in per cent, in cells, and whether a name has room."""

    cluster: int | None
    start: float
    end: float
    first: int
    count: int
    named: bool


@dataclass(frozen=True)
class Heat:
    """Square cells of side 1: a path of strokes of width 1 for each step above the lowest, which is the ground.

    `unknown` covers pairs without enough data, `absent` pairs that are not there at all; "" where there is none.
    `readings` has two characters for each pair, the first row's pairs first: hundredths, or one of READINGS.
    """

    size: int
    steps: tuple[str, ...]
    unknown: str
    absent: str
    diagonal: str
    grid: str
    brackets: tuple[Bracket, ...]
    readings: str


# Scatter --------------------------------------------------------------------------------------------------------


def scatter(points: Sequence[Spot]) -> Scatter:
    """Place (x, y, cluster) on a map with some room around them; who has no x or y is left out.

    Places are per cent from the left and from the top. The same value everywhere stands in the middle.
    """
    placed = [(x, y, cluster, i) for i, (x, y, cluster) in enumerate(points) if x is not None and y is not None]
    if not placed:
        return Scatter((), (), (), (), (), ())
    x_low, x_high = _range([x for x, _, _, _ in placed])
    y_low, y_high = _range([y for _, y, _, _ in placed])
    spots = [(share(x, x_low, x_high), tenth(100 - share(y, y_low, y_high))) for x, y, _, _ in placed]
    roomy = _roomy(spots)
    dots = [Dot(x, y, one[2], one[3], room) for (x, y), one, room in zip(spots, placed, roomy, strict=True)]
    groups = _groups(dots)
    hulls = tuple(Hull(cluster, _path(_hull(inside))) for cluster, inside in groups.items())
    y_ticks = tuple(AxisTick(tenth(100 - tick.percent), tick.value) for tick in _ticks(y_low, y_high))
    wide, narrow = (tuple(_names(groups, spots, size)) for size in (WIDE_PX, NARROW_PX))
    return Scatter(tuple(dots), hulls, wide, narrow, tuple(_ticks(x_low, x_high)), y_ticks)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return what an axis spans: the values and a twentieth on either side."""
    low, high = min(values), max(values)
    room = (high - low) / 20 or 0.5
    return low - room, high + room


def _ticks(low: float, high: float) -> list[AxisTick]:
    """Choose some five round values inside of a range."""
    rough = (high - low) / 6
    size = 10 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    # Adding 0 turns −0 into 0.
    return [AxisTick(share(i * step, low, high), round(i * step, 9) + 0.0) for i in range(first, last + 1)]


def _roomy(spots: Sequence[Point]) -> list[bool]:
    """Say of each dot whether no other is nearer than ROOM_PX in the wide drawing."""
    pixels = [_pixels(spot, WIDE_PX) for spot in spots]
    cells: dict[tuple[int, int], list[int]] = {}
    for i, (x, y) in enumerate(pixels):
        cells.setdefault((int(x // ROOM_PX), int(y // ROOM_PX)), []).append(i)
    return [all(math.dist(pixels[i], pixels[j]) >= ROOM_PX for j in _near(cells, pixels[i]) if i != j)
            for i in range(len(pixels))]  # fmt: skip


def _near(cells: Mapping[tuple[int, int], list[int]], at: Point) -> Iterator[int]:
    column, row = int(at[0] // ROOM_PX), int(at[1] // ROOM_PX)
    for cell in ((column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
        yield from cells.get(cell, ())


def _groups(dots: Sequence[Dot]) -> dict[int, list[Point]]:
    """Gather the places of the first clusters' dots, which are the largest clusters."""
    groups: dict[int, list[Point]] = {}
    for dot in dots:
        if dot.cluster is not None:
            groups.setdefault(dot.cluster, []).append((dot.x, dot.y))
    return {cluster: groups[cluster] for cluster in sorted(groups)[:CLUSTERS_NAMED]}


def _hull(points: Sequence[Point]) -> list[Point]:
    """Return the corners of the convex hull, in order around it; one point or two are their own hull."""
    ordered = sorted(set(points))
    if len(ordered) < 3:
        return ordered
    return _chain(ordered)[:-1] + _chain(ordered[::-1])[:-1]


def _chain(points: Sequence[Point]) -> list[Point]:
    """Walk along points sorted by x and keep those at which the way turns left."""
    found: list[Point] = []
    for point in points:
        while len(found) > 1 and _turn(found[-2], found[-1], point) <= 0:
            found.pop()
        found.append(point)
    return found


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _path(corners: Sequence[Point]) -> str:
    """Draw a hull; a single point is a line of no length, whose round ends make a circle."""
    if len(corners) == 1:
        return f"M{corners[0][0]} {corners[0][1]}h0"
    return "M" + "L".join(f"{x} {y}" for x, y in corners) + "Z"


# Names ----------------------------------------------------------------------------------------------------------


def _names(groups: Mapping[int, list[Point]], spots: Sequence[Point], size: Point) -> Iterator[Name]:
    """Place the names beside their hulls, the first clusters first; a name that finds no free place is left out."""
    dots = [_around(_pixels(spot, size), DOT_PX) for spot in spots]
    hulls = {cluster: _bounds([_pixels(spot, size) for spot in inside]) for cluster, inside in groups.items()}
    taken: list[Box] = []
    for cluster, hull in hulls.items():
        others = [*dots, *(box for other, box in hulls.items() if other != cluster)]
        cost, box, name = min(
            ((_cost(box, size, taken, others), box, name) for box, name in _sides(cluster, hull, size)),
            key=lambda one: one[0],
        )
        if cost < TAKEN:
            taken.append(box)
            yield name


def _sides(cluster: int, hull: Box, size: Point) -> Iterator[tuple[Box, Name]]:
    """Offer the places right, left, above and below of a hull."""
    left, top, right, bottom = hull
    width = LETTER_PX * len(f"Cluster {cluster}")
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    half = TEXT_PX / 2
    for x, y, dx, dy, anchor, box in (
        (right, middle_y, 6, 4, "start", (right + 6, middle_y - half, right + 6 + width, middle_y + half)),
        (left, middle_y, -6, 4, "end", (left - 6 - width, middle_y - half, left - 6, middle_y + half)),
        (middle_x, top, 0, -5, "middle", (middle_x - width / 2, top - 4 - TEXT_PX, middle_x + width / 2, top - 4)),
        (middle_x, bottom, 0, 14, "middle", (middle_x - width / 2, bottom + 4, middle_x + width / 2, bottom + 18)),
    ):
        yield box, Name(cluster, tenth(100 * x / size[0]), tenth(100 * y / size[1]), dx, dy, anchor)


def _cost(box: Box, size: Point, taken: Sequence[Box], others: Sequence[Box]) -> float:
    """Weigh a place: outside or over another name is not to be had; over dots and hulls, the fewer the better."""
    outside = box[0] < 0 or box[1] < 0 or box[2] > size[0] or box[3] > size[1]
    if outside or any(_meet(box, one) for one in taken):
        return TAKEN
    return float(sum(_meet(box, one) for one in others))


def _pixels(spot: Point, size: Point) -> Point:
    return spot[0] / 100 * size[0], spot[1] / 100 * size[1]


def _around(at: Point, px: float) -> Box:
    return at[0] - px, at[1] - px, at[0] + px, at[1] + px


def _bounds(points: Sequence[Point]) -> Box:
    """Return the box around a padded hull."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs) - HULL_PX, min(ys) - HULL_PX, max(xs) + HULL_PX, max(ys) + HULL_PX


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


# Heat map -------------------------------------------------------------------------------------------------------


Scores = Mapping[tuple[int, int], float | None]
"""Of each pair, the smaller number first: a measure in [0, 1], None without enough data; a pair may be missing."""


def heat_order(clusters: Sequence[int | None], scores: Scores) -> list[int]:
    """Put wallets, given by number, in the order of a heat map: by cluster, in each the closest to the others first.

    Who is in no cluster comes last, and of those, who has no score at all.
    """
    sums = [[0.0, 0] for _ in clusters]
    for (a, b), value in scores.items():
        if value is not None and clusters[a] == clusters[b]:
            for one in (sums[a], sums[b]):
                one[0] += value
                one[1] += 1
    means = [total / count if count else -1.0 for total, count in sums]
    return sorted(range(len(clusters)), key=lambda i: (clusters[i] is None, clusters[i] or 0, -means[i], i))


def heat_map(clusters: Sequence[int | None], scores: Scores) -> Heat:
    """Draw the scores of wallets that are already in order, with the clusters they are in; no wallets give no cells."""
    size = len(clusters)
    paths: dict[object, list[str]] = {}
    for row in range(size):
        start = 0
        for kind, run in groupby(_kind(row, column, scores) for column in range(size)):
            length = sum(1 for _ in run)
            paths.setdefault(kind, []).append(f"M{start} {row}.5h{length}")
            start += length
    steps = tuple("".join(paths.get(step, ())) for step in range(1, HEAT_STEPS))
    grid = "".join(f"M{i} 0v{size}M0 {i}h{size}" for i in range(1, size))
    unknown, absent, diagonal = ("".join(paths.get(kind, ())) for kind in ("unknown", "absent", "self"))
    readings = "".join(_reading(pair, scores) for pair in combinations(range(size), 2))
    return Heat(size, steps, unknown, absent, diagonal, grid, tuple(_brackets(clusters)), readings)


def _reading(pair: tuple[int, int], scores: Scores) -> str:
    if pair not in scores:
        return READINGS["absent"]
    value = scores[pair]
    text = score(value)
    return READINGS["unknown"] if value is None else READINGS["whole"] if text == "1.00" else text[-2:]


def _kind(row: int, column: int, scores: Scores) -> object:
    """Return the step of a cell's colour, from 0, or why it has none."""
    if row == column:
        return "self"
    pair = (min(row, column), max(row, column))
    if pair not in scores:
        return "absent"
    value = scores[pair]
    return "unknown" if value is None else min(HEAT_STEPS - 1, int(value * HEAT_STEPS))


def _brackets(clusters: Sequence[int | None]) -> Iterator[Bracket]:
    first, size = 0, len(clusters)
    for cluster, run in groupby(clusters):
        count = sum(1 for _ in run)
        length = 100 * count / size
        yield Bracket(
            cluster, tenth(100 * first / size), tenth(100 * (first + count) / size), first, count,
            length >= (SHORTEST_NAMED if cluster is None or cluster < 100 else 2 * SHORTEST_NAMED),
        )  # fmt: skip
        first += count
