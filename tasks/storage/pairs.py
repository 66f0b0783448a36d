"""The pairs of a result: stored in bulk by number, listed in every order, filtered, one by one.

A result does not change, so that its lists are kept ready as arrays of pair numbers, and a page is a place in one. What
the measures mean is not known here.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError, NotFound, WalletkinError
from tasks.measures import insights
from tasks.measures.pair_selection import RANK_DIGITS
from tasks.storage import database
from tasks.storage import sql as storage_sql
from tasks.storage.cursors import decode_cursor, encode_cursor
from tasks.storage.models.results import Pair, PairOrder

BASE = ("overall", "behavioural", "capital", "jaccard", "overlap", "coverage_a", "coverage_b", "holdings")
CHANCE = ("expected", "lift", "p_value", "q_value")
TIMING = ("matched", "matched_share", "same_slot", "median_lag_s", "leader", "lead_share", "timing_p_value")
MEASURES = (*BASE, *CHANCE, *TIMING)
SORTS = ("overall", "behavioural", "capital", "overlap", "lift", "matched")
COLUMNS = ("wallet_a", "wallet_b", "shared", *MEASURES, "insights")
FIELDS = (Pair.result_id, Pair.number, *(getattr(Pair, name) for name in COLUMNS))
NAMES = ("result_id", "number", *COLUMNS)
ORDER_FIELDS = (PairOrder.result_id, PairOrder.sort, PairOrder.chunk, PairOrder.numbers)
READ = f"SELECT {storage_sql.columns(FIELDS)} FROM pair WHERE result_id = ? AND"
CHUNK = 10_000
MOST_CHUNKS = 2**31 - 1
PAIRS_A_READ = 2_000
DELETED = "The result was replaced and deleted while it was read; ask again for the newer one."
EDGES = "edges"
Numbers = NDArray[Any]
"""Pair numbers; in the database little-endian of 32 bits."""


def store(result_id: int, columns: Mapping[str, NDArray[Any]], before: storage_sql.Before) -> None:
    """Insert the pairs of a result, best `overall` first, given as arrays named as in COLUMNS, in short transactions.

    NaN is stored as None, and so is a column that is left out (no insight for `insights`). `before` as in `bulk`.
    """
    storage_sql.store(Pair, FIELDS, _rows(result_id, columns), before)


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
    result_id: int,
    columns: Mapping[str, NDArray[Any]],
    clusters: NDArray[Any],
    before: storage_sql.Before,
    edges: Numbers | None = None,
) -> None:
    """Store every list of a result's pairs: the sorts, the insights, the clusters and what holds these together.

    `columns` as in `store`; `clusters` has for each pair the number of the cluster that both wallets are in, else 0;
    `edges` are the numbers of the pairs that are edges inside of clusters, ascending.
    """
    storage_sql.store(PairOrder, ORDER_FIELDS, _order_rows(result_id, columns, clusters, edges), before)


def _order_rows(
    result_id: int, columns: Mapping[str, NDArray[Any]], clusters: NDArray[Any], edges: Numbers | None
) -> Iterator[tuple[Any, ...]]:
    held = np.zeros(0, dtype=np.int64) if edges is None else edges
    for name, numbers in chain(_lists(columns, clusters), [(EDGES, held)]):
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
class _PairOrderList:
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
    until = MOST_CHUNKS if last is None else last
    sql = "SELECT numbers FROM pair_order WHERE result_id = ? AND sort = ? AND chunk BETWEEN ? AND ? ORDER BY chunk"
    found = storage_sql.rows(sql, result_id, name, first, until)
    return np.frombuffer(b"".join(bytes(row[0]) for row in found), dtype="<i4")


def _value(result_id: int, column: str, number: int) -> float | None:
    sql = f'SELECT "{column}" FROM pair WHERE result_id = ? AND number = ?'
    found: float | None = storage_sql.rows(sql, result_id, number)[0][0]
    return found


def _total(result_id: int) -> int:
    last = storage_sql.rows("SELECT MAX(number) FROM pair WHERE result_id = ?", result_id)[0][0]
    return 0 if last is None else int(last) + 1


def _listing(
    result_id: int,
    sort: str = "overall",
    least: float | None = None,
    position: int | None = None,
    insight: str | None = None,
    cluster: int | None = None,
    edges: bool = False,
) -> _PairOrderList:
    total = _total(result_id)
    wanted = [] if position is None else [_of_wallet(result_id, position)]
    wanted += [] if insight is None else [_stored(result_id, _insight_list(insight))]
    wanted += [] if cluster is None else [_stored(result_id, _cluster_list(cluster))]
    wanted += [_stored(result_id, EDGES)] if edges else []
    listing = _PairOrderList(result_id, sort, None, total)
    if wanted:
        chosen = _in_order(result_id, sort, wanted, total)
        listing = _PairOrderList(result_id, sort, chosen, len(chosen))
    if least is not None:
        listing = _PairOrderList(result_id, sort, listing.chosen, listing.reaching(least))
    return listing


def _of_wallet(result_id: int, position: int) -> Numbers:
    # One side at a time: each has an index, while SQLite reads every pair of the result for "either".
    sql = "SELECT number FROM pair WHERE result_id = ? AND"
    found = [storage_sql.rows(f"{sql} {side} = ?", result_id, position) for side in ("wallet_a", "wallet_b")]
    return np.array([row[0] for rows in found for row in rows], dtype=np.int64)


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


class Outdated(InputError):
    """A cursor belongs to another result or to other filters: what follows it is not in this list."""


class Gone(WalletkinError):
    """The rows of a result were deleted while they were read."""


class PairPage(NamedTuple):
    """Some pairs of a list, the cursor of those that follow (None at its end), and how many the list has."""

    rows: list[dict[str, Any]]
    following: str | None
    total: int


def counted_page(result_id: int, *, after: str | None = None, limit: int = 50, **filters: Any) -> PairPage:
    """Return a page of pairs, best first and None last (ties by address order).

    Filters: `sort`, one of SORTS; `least` leaves out what scores lower (and None) by the measure sorted by; `position`
    keeps one wallet's pairs, `insight` (a slug) those that carry it, `cluster` (a number) those inside it, `edges`
    those that hold a cluster together. They combine; one that fits nothing gives an empty page. A row has every column,
    `insights` as a list of slugs, the first the one to show, and `edge`, whether it holds a cluster together. Raises
    InputError for a cursor that is not ours, Outdated for one of another result or of other filters.
    """
    start = 0 if after is None else _start(after, result_id, filters)
    listing = _listing(result_id, **filters)
    rows = marked(result_id, _read(result_id, listing.numbers(start, start + limit)))
    following = start + limit
    cursor = encode_cursor([following, result_id, _mark(filters)]) if following < listing.total else None
    return PairPage(rows, cursor, listing.total)


def page(
    result_id: int, *, after: str | None = None, limit: int = 50, **filters: Any
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page as `counted_page` does, without the count."""
    found = counted_page(result_id, after=after, limit=limit, **filters)
    return found.rows, found.following


def _start(after: str, result_id: int, filters: Mapping[str, Any]) -> int:
    start, of_result, mark = decode_cursor(after, 3)
    if of_result != result_id or mark != _mark(filters):
        raise Outdated(
            "The page mark `after` belongs to another result or to other filters; start again from the first page."
        )
    return start


def _mark(filters: Mapping[str, Any]) -> int:
    """Give a number that stands for filters: the same ones give the same number in every process."""
    given = {name: value for name, value in filters.items() if value is not None and value is not False}
    return zlib.crc32(repr(sorted(({"sort": "overall"} | given).items())).encode())


def marked(result_id: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each row whether its pair is an `edge`, one of those that hold a cluster together; return the rows."""
    held = _stored(result_id, EDGES) if rows else np.zeros(0, dtype="<i4")
    places = np.searchsorted(held, [row["number"] for row in rows]).tolist()  # they are stored ascending
    for row, place in zip(rows, places, strict=True):
        row["edge"] = place < len(held) and bool(held[place] == row["number"])
    return rows


def count(result_id: int, **filters: Any) -> int:
    """Return how many pairs the filters of `page` (and its `sort`, which `least` goes by) leave."""
    return _listing(result_id, **filters).total


def stream(result_id: int, *, kept: int = 0, **filters: Any) -> Iterator[dict[str, Any]]:
    """Yield all pairs that the filters of `page` leave, in its order and as its rows, read a part at a time.

    Holds a connection only while it reads, so that a slow reader blocks nobody. `kept` is how many pairs the result has
    by its own word. Raises Gone as soon as a row is missing because the result was deleted meanwhile.
    """
    with database.session():
        listing = _listing(result_id, **filters)
        # Rows are deleted from the first on, so while that is there the list above is whole.
        whole = not kept or bool(_read(result_id, [0]))
    if not whole:
        raise Gone(DELETED)
    for start in range(0, listing.total, PAIRS_A_READ):
        with database.session():
            numbers = listing.numbers(start, start + PAIRS_A_READ)
            rows = marked(result_id, _read(result_id, numbers))
        if len(rows) < min(PAIRS_A_READ, listing.total - start):
            raise Gone(DELETED)
        yield from rows


def pair(result_id: int, a: int, b: int) -> dict[str, Any]:
    """Return one pair, as a row of `page`. Raises NotFound (code `not_kept`) when it is not among the kept ones."""
    found = storage_sql.rows(f"{READ} wallet_a = ? AND wallet_b = ?", result_id, a, b)
    if not found:
        raise NotFound("This pair was not kept: it is not among either wallet's closest.", code="not_kept")
    return marked(result_id, [_shaped(found[0])])[0]


def numbered(result_id: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the pairs with these numbers, in their order, as rows of `page`; what is not there is left out."""
    return marked(result_id, _read(result_id, numbers))


def _read(result_id: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
    if not numbers:
        return []
    rows = storage_sql.rows(f"{READ} number IN {storage_sql.sql_in(numbers).sql}", result_id)
    found = {row[1]: _shaped(row) for row in rows}
    return [found[number] for number in numbers if number in found]


def _shaped(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(NAMES, row, strict=True)) | {"insights": insights.names(row[-1])}
