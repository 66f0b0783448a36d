"""The pairs of a result: stored in bulk by number, listed in every order, filtered, one by one.

A result does not change, so that its lists are kept ready as arrays of pair numbers, and a page is a place in one. What
the measures mean is not known here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peewee import fn

from tasks.analysis import insights
from tasks.analysis.keeping import RANK_DIGITS
from tasks.errors import NotFound
from tasks.records import bulk, database
from tasks.records.models import Pair, PairOrder
from tasks.records.results import decode_cursor, encode_cursor

BASE = ("overall", "behavioural", "capital", "jaccard", "overlap", "coverage_a", "coverage_b", "holdings")
CHANCE = ("expected", "lift", "p_value", "q_value")
TIMING = ("matched", "matched_share", "same_slot", "median_lag_s", "leader", "lead_share", "timing_p_value")
MEASURES = (*BASE, *CHANCE, *TIMING)
SORTS = ("overall", "behavioural", "capital", "overlap", "lift", "matched")
COLUMNS = ("wallet_a", "wallet_b", "shared", *MEASURES, "insights")
FIELDS = (Pair.result_id, Pair.number, *(getattr(Pair, name) for name in COLUMNS))
ORDER_FIELDS = (PairOrder.result_id, PairOrder.sort, PairOrder.chunk, PairOrder.numbers)
CHUNK = 10_000
PAIRS_A_READ = 2_000
Numbers = NDArray[Any]
"""Pair numbers; in the database little-endian of 32 bits."""


def store(result_id: int, columns: Mapping[str, NDArray[Any]], before: bulk.Before) -> None:
    """Insert the pairs of a result, best `overall` first, given as arrays named as in COLUMNS, in short transactions.

    NaN is stored as None, and so is a column that is left out (no insight for `insights`). `before` as in `bulk`.
    """
    bulk.store(Pair, FIELDS, _rows(result_id, columns), before)


def _rows(result_id: int, columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    count = len(columns["wallet_a"])
    for start in range(0, count, CHUNK):
        numbers = range(start, min(count, start + CHUNK))
        values = [_values(columns.get(name), name, numbers) for name in COLUMNS]
        yield from zip([result_id] * len(numbers), numbers, *values, strict=True)


def _values(column: NDArray[Any] | None, name: str, numbers: range) -> list[Any]:
    if column is None:
        return [0 if name == "insights" else None] * len(numbers)
    part = column[numbers.start : numbers.stop]
    if part.dtype.kind == "f" and (unknown := np.isnan(part)).any():
        part = part.astype(object)
        part[unknown] = None
    values: list[Any] = part.tolist()
    return values


def store_orders(
    result_id: int, columns: Mapping[str, NDArray[Any]], clusters: NDArray[Any], before: bulk.Before
) -> None:
    """Store every list of a result's pairs: the sorts, the insights and the clusters.

    `columns` as in `store`; `clusters` has for each pair the number of the cluster that both wallets are in, else 0.
    """
    bulk.store(PairOrder, ORDER_FIELDS, _order_rows(result_id, columns, clusters), before)


def _order_rows(
    result_id: int, columns: Mapping[str, NDArray[Any]], clusters: NDArray[Any]
) -> Iterator[tuple[Any, ...]]:
    for name, numbers in _lists(columns, clusters):
        for start in range(0, len(numbers), CHUNK):
            yield result_id, name, start // CHUNK, numbers[start : start + CHUNK].astype("<i4").tobytes()


def _lists(columns: Mapping[str, NDArray[Any]], clusters: NDArray[Any]) -> Iterator[tuple[str, Numbers]]:
    ties = np.lexsort((columns["wallet_b"], columns["wallet_a"]))
    for sort in SORTS[1:]:
        unknown = np.full(len(ties), np.nan)
        values = np.round(np.asarray(columns.get(sort, unknown), dtype=np.float64)[ties], RANK_DIGITS)
        yield sort, ties[np.argsort(np.nan_to_num(-values, nan=np.inf), kind="stable")]
    found = columns.get("insights", np.zeros(len(ties), dtype=np.int64))
    for bit, rule in enumerate(insights.RULES):
        yield _insight_list(rule.slug), np.flatnonzero(np.asarray(found) >> bit & 1)
    by_cluster = np.argsort(clusters, kind="stable")
    numbers, starts = np.unique(clusters[by_cluster], return_index=True)
    for number, inside in zip(numbers.tolist(), np.split(by_cluster, starts[1:]), strict=True) if len(numbers) else ():
        if number:
            yield _cluster_list(number), inside


def _insight_list(slug: str) -> str:
    return f"insight:{slug}"


def _cluster_list(number: int) -> str:
    return f"cluster:{number}"


@dataclass(frozen=True, slots=True)
class _Listing:
    """The pairs that filters leave, in an order: `chosen` where they had to be gathered, else the whole stored list."""

    result_id: int
    sort: str
    chosen: Numbers | None
    total: int

    def numbers(self, start: int, stop: int) -> list[int]:
        """Give the pair numbers at some places of the list."""
        stop = min(stop, self.total)
        if self.chosen is not None:
            return [int(number) for number in self.chosen[start:stop]]
        if self.sort == "overall":
            return list(range(start, stop))
        first = start // CHUNK
        part = _stored(self.result_id, self.sort, first, max(first, (stop - 1) // CHUNK))
        return [int(number) for number in part[start - first * CHUNK : stop - first * CHUNK]]

    def reaching(self, least: float) -> int:
        """Count the pairs that score at least so much: the first of the list, best first and None last."""

        def falls_short(place: int) -> bool:
            value = _value(self.result_id, self.sort, self.numbers(place, place + 1)[0])
            return value is None or round(value, RANK_DIGITS) < least

        return bisect_left(range(self.total), True, key=falls_short)


def _stored(result_id: int, name: str, first: int = 0, last: int | None = None) -> Numbers:
    """Read chunks of a stored list, by the plain cursor; a list that is not there is empty."""
    o = PairOrder
    query = o.select(o.numbers).where(o.result_id == result_id, o.sort == name, o.chunk >= first).order_by(o.chunk)
    if last is not None:
        query = query.where(o.chunk <= last)
    return np.frombuffer(b"".join(bytes(row[0]) for row in database.db.execute(query)), dtype="<i4")


def _value(result_id: int, column: str, number: int) -> float | None:
    query = Pair.select(getattr(Pair, column)).where(Pair.result_id == result_id, Pair.number == number)
    found: float | None = database.db.execute(query).fetchone()[0]
    return found


def _total(result_id: int) -> int:
    last = Pair.select(fn.max(Pair.number)).where(Pair.result_id == result_id).scalar()
    return 0 if last is None else int(last) + 1


def _listing(
    result_id: int,
    sort: str = "overall",
    least: float | None = None,
    position: int | None = None,
    insight: str | None = None,
    cluster: int | None = None,
) -> _Listing:
    total = _total(result_id)
    wanted = [] if position is None else [_of_wallet(result_id, position)]
    wanted += [] if insight is None else [_stored(result_id, _insight_list(insight))]
    wanted += [] if cluster is None else [_stored(result_id, _cluster_list(cluster))]
    listing = _Listing(result_id, sort, None, total)
    if wanted:
        chosen = _in_order(result_id, sort, wanted, total)
        listing = _Listing(result_id, sort, chosen, len(chosen))
    if least is not None:
        listing = _Listing(result_id, sort, listing.chosen, listing.reaching(least))
    return listing


def _of_wallet(result_id: int, position: int) -> Numbers:
    p = Pair
    sides = (p.wallet_a == position, p.wallet_b == position)
    queries = [p.select(p.number).where(p.result_id == result_id, side) for side in sides]
    return np.array([row[0] for query in queries for row in database.db.execute(query)], dtype=np.int64)


def _in_order(result_id: int, sort: str, wanted: Sequence[Numbers], total: int) -> Numbers:
    """Give the numbers that are in all of some lists, in the order of a sort."""
    votes = np.zeros(total, dtype=np.int8)
    for numbers in wanted:
        votes[numbers] += 1
    passes = votes == len(wanted)
    if sort == "overall":
        return np.flatnonzero(passes)
    order = _stored(result_id, sort)
    return np.asarray(order[passes[order]])


def page(
    result_id: int,
    *,
    sort: str = "overall",
    least: float | None = None,
    position: int | None = None,
    insight: str | None = None,
    cluster: int | None = None,
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of pairs, best first and None last (ties by address order), and the cursor of the next page.

    `least` leaves out what scores lower (and None) by the measure sorted by; `position` keeps one wallet's pairs,
    `insight` (a slug) those that carry it, `cluster` (a number) those inside it. Filters combine; one that fits
    nothing gives an empty page. A row has every column, `insights` as a list of slugs, the first the one to show.
    Raises InputError for a cursor that is not ours.
    """
    listing = _listing(result_id, sort, least, position, insight, cluster)
    start = 0 if after is None else decode_cursor(after, 1)[0]
    rows = _read(result_id, listing.numbers(start, start + limit))
    following = start + limit
    return rows, encode_cursor([following]) if following < listing.total else None


def count(result_id: int, **filters: Any) -> int:
    """Return how many pairs the filters of `page` (and its `sort`, which `least` goes by) leave."""
    return _listing(result_id, **filters).total


def stream(result_id: int, **filters: Any) -> Iterator[dict[str, Any]]:
    """Yield all pairs that the filters of `page` leave, in its order, read a part at a time.

    Holds a connection only while it reads, so that a slow reader blocks nobody.
    """
    with database.session():
        listing = _listing(result_id, **filters)
    for start in range(0, listing.total, PAIRS_A_READ):
        with database.session():
            rows = _read(result_id, listing.numbers(start, start + PAIRS_A_READ))
        yield from rows


def pair(result_id: int, a: int, b: int) -> dict[str, Any]:
    """Return one pair, as a row of `page`. Raises NotFound (code `not_kept`) when it is not among the kept ones."""
    row = Pair.select().where(Pair.result_id == result_id, Pair.wallet_a == a, Pair.wallet_b == b).dicts().get_or_none()
    if row is None:
        raise NotFound("This pair was not kept: it is not among either wallet's closest.", code="not_kept")
    return _shaped(row)


def numbered(result_id: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the pairs with these numbers, in their order, as rows of `page`; what is not there is left out."""
    return _read(result_id, numbers)


def _read(result_id: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
    if not numbers:
        return []
    query = Pair.select(*FIELDS).where(Pair.result_id == result_id, Pair.number.in_(list(numbers)))
    names = ("result_id", "number", *COLUMNS)
    found = {row[1]: dict(zip(names, row, strict=True)) for row in database.db.execute(query)}
    return [_shaped(found[number]) for number in numbers if number in found]


def _shaped(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "insights": insights.names(row["insights"])}
