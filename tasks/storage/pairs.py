"""The pairs of a result: bulk insert, pages in every order and with filters, single pairs.

A pair's number is its rank by `overall`. Every other order, insight and cluster is a stored array of pair numbers,
since a result never changes; a page is a slice of one.
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
from tasks.storage import database, sql
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
READ = f"SELECT {sql.columns(FIELDS)} FROM pair WHERE result_id = ? AND"
CHUNK = 10_000
MOST_CHUNKS = 2**31 - 1
PAIRS_A_READ = 2_000
DELETED = "The result was replaced during the download. Request the newer one."
EDGES = "edges"
Numbers = NDArray[Any]
"""Pair numbers; in the database little-endian of 32 bits."""


def store(result_id: int, columns: Mapping[str, NDArray[Any]], before: sql.Before) -> None:
    """Insert the pairs of a result, best `overall` first, given as arrays by name (COLUMNS), in short transactions.

    NaN is stored as None, and so is an absent column (0 for `insights`). `before` as in `sql.store`.
    """
    sql.store(Pair, FIELDS, _rows(result_id, columns), before)


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
    before: sql.Before,
    edges: Numbers | None = None,
) -> None:
    """Store the lists of a result's pairs: by sort, insight and cluster, and the edges of clusters.

    `columns` as in `store`; `clusters` has for each pair the number of the cluster of both wallets, 0 without one;
    `edges` the numbers of the pairs that are edges of clusters, ascending.
    """
    sql.store(PairOrder, ORDER_FIELDS, _order_rows(result_id, columns, clusters, edges), before)


def _order_rows(
    result_id: int, columns: Mapping[str, NDArray[Any]], clusters: NDArray[Any], edges: Numbers | None
) -> Iterator[tuple[Any, ...]]:
    edges = np.zeros(0, dtype=np.int64) if edges is None else edges
    for name, numbers in chain(_lists(columns, clusters), [(EDGES, edges)]):
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
    """The pairs that match filters, in an order: the numbers `chosen`, or without filters (None) the stored list."""

    result_id: int
    sort: str
    chosen: Numbers | None
    total: int

    def numbers(self, start: int, stop: int) -> list[int]:
        """Return the pair numbers of a slice of the list."""
        stop = min(stop, self.total)
        if self.chosen is not None:
            return [int(number) for number in self.chosen[start:stop]]
        if self.sort == "overall":
            return list(range(start, stop))
        first = start // CHUNK
        part = _stored(self.result_id, self.sort, first, max(first, (stop - 1) // CHUNK))
        return [int(number) for number in part[start - first * CHUNK : stop - first * CHUNK]]

    def count_from(self, least: float) -> int:
        """Return how many pairs score at least `least`: they come first, None last."""

        def is_below(index: int) -> bool:
            value = _value(self.result_id, self.sort, self.numbers(index, index + 1)[0])
            return value is None or round(value, RANK_DIGITS) < least

        return bisect_left(range(self.total), True, key=is_below)


def _stored(result_id: int, name: str, first: int = 0, last: int | None = None) -> Numbers:
    """Read chunks of a stored list; a list that does not exist is empty."""
    until = MOST_CHUNKS if last is None else last
    query = "SELECT numbers FROM pair_order WHERE result_id = ? AND sort = ? AND chunk BETWEEN ? AND ? ORDER BY chunk"
    found = sql.rows(query, result_id, name, first, until)
    return np.frombuffer(b"".join(bytes(row[0]) for row in found), dtype="<i4")


def _value(result_id: int, column: str, number: int) -> float | None:
    query = f'SELECT "{column}" FROM pair WHERE result_id = ? AND number = ?'
    found: float | None = sql.rows(query, result_id, number)[0][0]
    return found


def _total(result_id: int) -> int:
    last = sql.rows("SELECT MAX(number) FROM pair WHERE result_id = ?", result_id)[0][0]
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
    lists = [] if position is None else [_of_wallet(result_id, position)]
    lists += [] if insight is None else [_stored(result_id, _insight_list(insight))]
    lists += [] if cluster is None else [_stored(result_id, _cluster_list(cluster))]
    lists += [_stored(result_id, EDGES)] if edges else []
    listing = _PairOrderList(result_id, sort, None, total)
    if lists:
        chosen = _in_order(result_id, sort, lists, total)
        listing = _PairOrderList(result_id, sort, chosen, len(chosen))
    if least is not None:
        listing = _PairOrderList(result_id, sort, listing.chosen, listing.count_from(least))
    return listing


def _of_wallet(result_id: int, position: int) -> Numbers:
    # One side at a time, since each has an index; for OR, SQLite reads every pair of the result.
    query = "SELECT number FROM pair WHERE result_id = ? AND"
    found = [sql.rows(f"{query} {side} = ?", result_id, position) for side in ("wallet_a", "wallet_b")]
    return np.array([row[0] for rows in found for row in rows], dtype=np.int64)


def _in_order(result_id: int, sort: str, lists: Sequence[Numbers], total: int) -> Numbers:
    """Return the numbers that are in all lists, in the order of a sort."""
    occurrences = np.zeros(total, dtype=np.int8)
    for numbers in lists:
        occurrences[numbers] += 1
    in_all = occurrences == len(lists)
    if sort == "overall":
        return np.flatnonzero(in_all)
    order = _stored(result_id, sort)
    return np.asarray(order[in_all[order]])


class Outdated(InputError):
    """A cursor belongs to another result or to other filters."""


class Gone(WalletkinError):
    """The rows of a result were deleted during the read."""


class PairPage(NamedTuple):
    """Some pairs of a list, the cursor of the next page (None after the last), and the length of the list."""

    rows: list[dict[str, Any]]
    following: str | None
    total: int


def counted_page(result_id: int, *, after: str | None = None, limit: int = 50, **filters: Any) -> PairPage:
    """Return a page of pairs, best first and None last (ties by address order).

    Filters, which combine: `sort`, one of SORTS; `least`, the lowest score by that sort (None is lower than any);
    `position`, a wallet; `insight`, a slug; `cluster`, a number; `edges`, only edges of clusters. Without a match the
    page is empty. A row has every column, `insights` as a list of slugs, the one to show first, and `edge`, whether the
    pair is an edge of a cluster. Raises InputError for an invalid cursor, Outdated for one of another result or of
    other filters.
    """
    start = 0 if after is None else _start(after, result_id, filters)
    listing = _listing(result_id, **filters)
    rows = with_edge(result_id, _read(result_id, listing.numbers(start, start + limit)))
    following = start + limit
    cursor = encode_cursor([following, result_id, _checksum(filters)]) if following < listing.total else None
    return PairPage(rows, cursor, listing.total)


def page(
    result_id: int, *, after: str | None = None, limit: int = 50, **filters: Any
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page as `counted_page` does, without the count."""
    found = counted_page(result_id, after=after, limit=limit, **filters)
    return found.rows, found.following


def _start(after: str, result_id: int, filters: Mapping[str, Any]) -> int:
    start, of_result, checksum = decode_cursor(after, 3)
    if of_result != result_id or checksum != _checksum(filters):
        raise Outdated("The `after` cursor is of another result or other filters. Start again from the first page.")
    return start


def _checksum(filters: Mapping[str, Any]) -> int:
    """Return a checksum of filters, equal in every process."""
    given = {name: value for name, value in filters.items() if value is not None and value is not False}
    return zlib.crc32(repr(sorted(({"sort": "overall"} | given).items())).encode())


def with_edge(result_id: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Set `edge` of each row, whether its pair is an edge of a cluster; return the rows."""
    edges = _stored(result_id, EDGES) if rows else np.zeros(0, dtype="<i4")
    indices = np.searchsorted(edges, [row["number"] for row in rows]).tolist()  # they are stored ascending
    for row, index in zip(rows, indices, strict=True):
        row["edge"] = index < len(edges) and bool(edges[index] == row["number"])
    return rows


def count(result_id: int, **filters: Any) -> int:
    """Return how many pairs match the filters of `counted_page`; `least` is compared with its `sort`."""
    return _listing(result_id, **filters).total


def stream(result_id: int, *, kept: int = 0, **filters: Any) -> Iterator[dict[str, Any]]:
    """Yield all pairs that match the filters of `counted_page`, in its order, read a part at a time.

    Holds a connection only while it reads, so that a slow client blocks no other. `kept` is the number of pairs by the
    result's summary. Raises Gone at the first row that is missing because the result was deleted meanwhile.
    """
    with database.session():
        listing = _listing(result_id, **filters)
        # Deletion starts with the first row: while it exists, the list above is complete.
        is_complete = not kept or bool(_read(result_id, [0]))
    if not is_complete:
        raise Gone(DELETED)
    for start in range(0, listing.total, PAIRS_A_READ):
        with database.session():
            numbers = listing.numbers(start, start + PAIRS_A_READ)
            rows = with_edge(result_id, _read(result_id, numbers))
        if len(rows) < min(PAIRS_A_READ, listing.total - start):
            raise Gone(DELETED)
        yield from rows


def pair(result_id: int, a: int, b: int) -> dict[str, Any]:
    """Return one pair, as a row of `counted_page`. Raises NotFound (code `not_kept`) when it was not kept."""
    found = sql.rows(f"{READ} wallet_a = ? AND wallet_b = ?", result_id, a, b)
    if not found:
        raise NotFound("This pair was not kept: it is not among either wallet's closest.", code="not_kept")
    return with_edge(result_id, [_row(found[0])])[0]


def numbered(result_id: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the pairs with these numbers, in their order, as rows of `counted_page`, without missing ones."""
    return with_edge(result_id, _read(result_id, numbers))


def _read(result_id: int, numbers: Sequence[int]) -> list[dict[str, Any]]:
    if not numbers:
        return []
    rows = sql.rows(f"{READ} number IN {sql.sql_in(numbers).sql}", result_id)
    found = {row[1]: _row(row) for row in rows}
    return [found[number] for number in numbers if number in found]


def _row(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(NAMES, row, strict=True)) | {"insights": insights.names(row[-1])}
