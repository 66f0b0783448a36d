"""The map and the heat map of an analysis: cards of its page, and pages with a table of the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, url_for

from tasks.storage import map_queries, results, wallet_lists
from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.forms import query
from webapp.markup.filters import short_address
from webapp.markup.words import plain_text
from webapp.pages import analysis_of, render_page
from webapp.presenters import analyses, maps
from webapp.presenters.wallets import wallet_views

bp = Blueprint("maps", __name__)

RESULTS_KEPT = 16
DOTS_SHOWN, CELLS_SHOWN = 400, 100
ROWS_A_PAGE, MOST_ROWS = 25, 200
Row = Mapping[str, Any]
Scored = tuple[int, int, float | None]
"""The positions of two wallets and their `overall`."""
Sorts = Mapping[str, tuple[str, bool, Callable[[Row], Any]]]
"""Name in the URL → head, whether it is a number (the largest first at the first click), and what to sort by."""


def _name(wallet: Row) -> str:
    return str(wallet["label"] or wallet["address"]).casefold()


PLACE_SORTS: Sorts = {
    "wallet": ("Wallet", False, _name),
    "cluster": ("Cluster", False, lambda one: one["cluster"]),
    "x": ("Component 1", True, lambda one: one["x"]),
    "y": ("Component 2", True, lambda one: one["y"]),
}
SCORE_SORTS: Sorts = {
    "a": ("Wallet A", False, lambda one: (_name(one["a"]), _name(one["b"]))),
    "b": ("Wallet B", False, lambda one: (_name(one["b"]), _name(one["a"]))),
    "overall": ("Overall", True, lambda one: one["overall"]),
}


@bp.get("/analyses/<key:key>/map")
def places(key: str) -> Response:
    """Show where the wallets lie, with the table of the same."""
    analysis = analysis_of(key)
    requested = _requested(PLACE_SORTS, "cluster")
    result = analyses.result_or_none(analysis)
    view = places_view(analysis, result, *requested) if result else None
    return _page("places", "Projection of capital", analysis, result, view)


@bp.get("/analyses/<key:key>/heat")
def heat(key: str) -> Response:
    """Show how alike the closest wallets are, with the table of the same."""
    analysis = analysis_of(key)
    requested = _requested(SCORE_SORTS, "-overall")
    result = analyses.result_or_none(analysis)
    view = heat_view(analysis, result, *requested) if result else None
    return _page("heat", "Heat map of overall score", analysis, result, view)


def _page(which: str, kind: str, analysis: Analysis, result: Row | None, view: Mapping[str, Any] | None) -> Response:
    return render_page(
        "maps",
        f"{which}_table" if view else "content",
        analysis=analyses.analysis_view(analysis),
        result=result and analyses.result_view(result),
        which=which,
        kind=kind,
        places=view if which == "places" else None,
        heat=view if which == "heat" else None,
    )


def _requested(sorts: Sorts, default: str) -> tuple[str, int, int]:
    """Read the query: the sort (a minus: the largest first), where the rows begin, and how many to show."""
    choices = [sign + name for name in sorts for sign in ("", "-")]
    sort = str(query.read_choice("sort", choices, default))
    return sort, query.read_offset(), query.read_limit(ROWS_A_PAGE, MOST_ROWS)


def places_view(
    analysis: Analysis, result: Row, sort: str | None = None, start: int = 0, limit: int = ROWS_A_PAGE
) -> Mapping[str, Any] | None:
    """Return the scatter, the wallets in it and, with a sort, a page of their table; None without placed wallets."""
    chosen, placed, found = _scatter(analysis.key, result["id"])
    if not chosen:
        return None
    views = wallet_views(analysis, chosen)
    wallets = [views[position] for position in chosen]
    url = url_for("maps.places", key=analysis.key)
    return {
        "scatter": found,
        "wallets": wallets,
        "placed": placed,
        "explained": result["explained"] or [None, None],
        "url": url,
        "table": sort and _table(url, PLACE_SORTS, wallets, sort, start, limit),
    }


def heat_view(
    analysis: Analysis, result: Row, sort: str | None = None, start: int = 0, limit: int = ROWS_A_PAGE
) -> Mapping[str, Any] | None:
    """Return the heat map, the names of its wallets, how many took part and, with a sort, a page of its pairs.

    None without any pair.
    """
    order, total, rows, found = _heat(analysis.key, result["id"])
    if not rows:
        return None
    url = url_for("maps.heat", key=analysis.key)
    views = wallet_views(analysis, order)
    table = sort and _table(url, SCORE_SORTS, _scored(analysis, views, rows), sort, start, limit)
    names = [plain_text(views[one]["label"]) or short_address(views[one]["address"]) for one in order]
    return {"heat": found, "names": names, "total": total, "url": url, "table": table}


def _scored(analysis: Analysis, views: Mapping[int, Row], rows: Sequence[Scored]) -> list[Row]:
    base = urls.analysis_url(analysis)
    pairs = ((views[a], views[b], overall) for a, b, overall in rows)
    return [
        {"a": a, "b": b, "overall": overall, "url": f"{base}/pairs/{a['address']}/{b['address']}"}
        for a, b, overall in pairs
    ]


@lru_cache(RESULTS_KEPT)
def _scatter(key: str, result_id: int) -> tuple[Sequence[int], int, maps.Scatter]:
    """Place the wallets of a result. The key goes along: another database numbers its results alike."""
    # Clusters may repeat a colour, so that only the number of a member tells them apart.
    chosen, placed = wallet_lists.on_map(result_id, DOTS_SHOWN)
    spots = results.wallets(result_id, chosen)
    return (
        tuple(chosen),
        placed,
        maps.scatter([(one["x"], one["y"], one["cluster"]) for one in map(spots.__getitem__, chosen)]),
    )


@lru_cache(RESULTS_KEPT)
def _heat(key: str, result_id: int) -> tuple[Sequence[int], int, Sequence[Scored], maps.Heat]:
    """Draw the closest wallets of a result: their positions in order, how many took part, their pairs, the drawing."""
    chosen, total = map_queries.closest_wallets(result_id, CELLS_SHOWN)
    chosen.sort()  # so that the first of a pair is the first here too
    rows = map_queries.among(result_id, chosen)
    spots = results.wallets(result_id, chosen)
    clusters = {position: spots[position]["cluster"] if position in spots else None for position in chosen}
    order = maps.heat_order([clusters[position] for position in chosen], _by_place(chosen, rows))
    shown = [chosen[i] for i in order]
    drawn = maps.heat_map([clusters[position] for position in shown], _by_place(shown, rows))
    return tuple(shown), total, tuple(rows), drawn


def _by_place(shown: Sequence[int], rows: Sequence[Scored]) -> dict[tuple[int, int], float | None]:
    """Give the scores by the places of both wallets among those shown, the smaller place first."""
    places = {position: i for i, position in enumerate(shown)}
    found = ((places[a], places[b], overall) for a, b, overall in rows)
    return {(min(a, b), max(a, b)): overall for a, b, overall in found}


# Tables ---------------------------------------------------------------------------------------------------------


def _table(url: str, sorts: Sorts, rows: Sequence[Any], sort: str, start: int, limit: int) -> Mapping[str, Any]:
    """Return a page of sorted rows, the heads that sort them anew, and the links to the pages around it."""
    falling, by = sort.startswith("-"), sort.removeprefix("-")
    ordered = _sorted(rows, sorts[by][2], falling)

    def link(sort: str, after: str | None = None) -> str:
        return url + "?" + urlencode({"sort": sort, "limit": limit} | ({"after": after} if after else {}))

    before = query.offset_cursor(max(0, start - limit), start)
    following = query.offset_cursor(start + limit, len(rows))
    return {
        "rows": ordered[start : start + limit],
        "start": start,
        "total": len(rows),
        "heads": [_head(name, text, number, by, falling, link) for name, (text, number, _) in sorts.items()],
        "next_url": following and link(sort, following),
        "prev_url": before and link(sort, before),
    }


def _head(name: str, text: str, number: bool, by: str, falling: bool, link: Callable[[str], str]) -> Mapping[str, Any]:
    """Return a head: a click sorts by it, a second one the other way round."""
    active = name == by
    turn = not falling if active else number
    direction = ("descending" if falling else "ascending") if active else None
    return {"name": name, "text": text, "number": number, "sorted": direction, "url": link("-" * turn + name)}


def _sorted(rows: Sequence[Any], key: Callable[[Row], Any], falling: bool) -> list[Any]:
    """Sort rows, those whose key is None last either way."""
    known = [row for row in rows if key(row) is not None]
    unknown = [row for row in rows if key(row) is None]
    return sorted(known, key=key, reverse=falling) + unknown
