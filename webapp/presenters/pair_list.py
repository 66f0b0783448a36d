"""The list of pairs as a card, on its own page and on that of the result: filters from the query, one page of rows.

Every link of the list is a query alone, "?sort=capital", so that one card serves both pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypedDict
from urllib.parse import urlencode

from flask import request

from tasks.errors import NotFound
from tasks.storage import analyses, pairs, wallet_lists
from tasks.storage.cursors import decode_cursor, encode_cursor
from tasks.storage.models.analyses import Analysis
from webapp.forms.query import read_choice, read_cluster, read_least, read_limit
from webapp.intake.addresses import is_address
from webapp.markup.labels import INSIGHTS
from webapp.polling import htmx_headers
from webapp.presenters import results, wallets
from webapp.presenters.pairs import pair_views
from webapp.urls import page_url

LIST_PARAMETERS = ("sort", "min", "insight", "wallet", "cluster", "edges", "limit", "after")
SCORE_LEASTS = [("", "0"), ("0.25", "0.25"), ("0.5", "0.50"), ("0.75", "0.75"), ("0.9", "0.90")]
COUNT_LEASTS = [("", "0"), ("2", "2"), ("5", "5"), ("10", "10"), ("50", "50")]
SORT_TEXTS = [
    ("overall", "Overall"),
    ("behavioural", "Behavioural"),
    ("capital", "Capital"),
    ("overlap", "Portfolio overlap"),
    ("lift", "Lift"),
    ("matched", "Matched trades"),
]
COUNTS = ("lift", "matched")
"""Sorts whose `min` is no score."""
PAIRS_A_PAGE, MOST_PAIRS = 50, 200
CHIPS = 6
"""How many insights have a chip; the others are in a menu."""
NAMED_CLUSTERS = 40
"""Up to so many clusters there is a list to choose from; otherwise a field for the number."""
NO_PAIRS = pairs.PairPage([], None, 0)


class Chip(TypedDict):
    """A filter by insight (`slug` None: all pairs), with how many pairs have it, None where that is unknown."""

    slug: str | None
    pairs: int | None
    query: str
    active: bool
    menu: bool


@dataclass(frozen=True, slots=True)
class PairFilters:
    """The filters of the query; with `nothing` no pair can pass: the wallet is not in the analysis.

    `wallet` is the address or label of the query, `position` its position, None when it is not in the analysis.
    """

    sort: str
    least: float | None
    wallet: str | None
    position: int | None
    insight: str | None
    cluster: int | None
    edges: bool

    @property
    def nothing(self) -> bool:
        return self.wallet is not None and self.position is None

    @property
    def narrowed(self) -> bool:
        """Whether any pair may be left out."""
        return self.edges or any(one is not None for one in (self.least, self.wallet, self.insight, self.cluster))

    @property
    def given(self) -> Mapping[str, Any]:
        """The keyword arguments of `pairs.page` and its like."""
        keys = ("sort", "least", "position", "insight", "cluster", "edges")
        return {key: getattr(self, key) for key in keys}


def read_filters(analysis: Analysis) -> PairFilters:
    """Read the query. Raises InputError for a value that cannot be."""
    sort = read_choice("sort", pairs.SORTS, "overall") or "overall"
    insight = read_choice("insight", tuple(INSIGHTS))
    wallet = request.args.get("wallet", "").strip() or None
    position = _position(analysis, wallet) if wallet else None
    least = read_least(score=sort not in COUNTS)
    edges = read_choice("edges", ("yes",)) is not None
    return PairFilters(sort, least, wallet, position, insight, read_cluster(), edges)


def _position(analysis: Analysis, text: str) -> int | None:
    """Find a wallet by its address or label: a whole label first, otherwise a part; case does not matter."""
    if is_address(text):
        try:
            return int(analyses.wallet(analysis.id, text).position)
        except NotFound:
            return None
    labels = {position: label.casefold() for position, label in wallet_lists.labels(analysis.id).items()}
    text = text.casefold()
    whole = [position for position, label in labels.items() if label == text]
    return next((position for position in (*whole, *labels) if text in labels[position]), None)


def read_page(filters: PairFilters, result: Mapping[str, Any] | None, limit: int = PAIRS_A_PAGE) -> pairs.PairPage:
    """Return the page of pairs that the query asks for. Raises Outdated for a cursor of another list."""
    after = request.args.get("after") or None
    # Only the first visit gets a shorter page: with a cursor the reader may have seen the rest.
    limit = read_limit(PAIRS_A_PAGE if after else limit, MOST_PAIRS)
    if result is None or filters.nothing:
        return NO_PAIRS
    return pairs.counted_page(result["id"], **filters.given, after=after, limit=limit)


def card(analysis: Analysis, result: Mapping[str, Any] | None, limit: int = PAIRS_A_PAGE) -> Mapping[str, Any]:
    """Return what the card of pairs shows: the rows that the query asks for, the filters, and the ways on.

    A cursor of a replaced result gives the first page and `outdated`; htmx, which would append that, gets no
    rows. `limit` is the default size of a page.
    """
    filters = read_filters(analysis)
    (rows, following, total), outdated = _page_or_first(filters, result, limit)
    found = None if filters.position is None else wallets.wallet_views(analysis, {filters.position})[filters.position]
    after = None if outdated else request.args.get("after") or None
    first = decode_cursor(after, 3)[0] if after else 0
    return {
        "rows": pair_views(analysis, rows),
        "total": total,
        "first": first,
        "after": after or "",
        "next": following and query(after=following),
        "previous": query(after=_before(after, first)) if after and first else None,
        "outdated": outdated,
        "pending": bool(result and result["provisional"]),
        "sort": filters.sort,
        "sorts": SORT_TEXTS,
        "narrowed": filters.narrowed,
        "least": filters.least,
        "wallet": found or filters.wallet,
        "insight": filters.insight,
        "url": page_url("pairs.index", key=analysis.key, **dict.fromkeys(LIST_PARAMETERS)),
        "csv_url": page_url("pairs.pairs_csv", key=analysis.key, after=None, limit=None),
        "queries": {sort: query(sort=sort, min=None) for sort in pairs.SORTS}
        | {"all": query(**dict.fromkeys(LIST_PARAMETERS))},
        "chips": _chips(filters, result) if result else [],
        **_least_context(filters),
        **_cluster_context(filters, analysis),
    }


def query(**changes: Any) -> str:
    """Return the query of the list with some parameters changed (None drops one), from its first page on."""
    kept = {name: request.args[name] for name in LIST_PARAMETERS if name in request.args} | {"after": None} | changes
    return "?" + urlencode({name: value for name, value in kept.items() if value not in (None, "")})


def _before(after: str, first: int) -> str | None:
    """Return the cursor of the page before; None for the first page, which may overlap."""
    limit = read_limit(PAIRS_A_PAGE, MOST_PAIRS)
    _, *of = decode_cursor(after, 3)
    return encode_cursor([first - limit, *of]) if first > limit else None


def _page_or_first(filters: PairFilters, result: Mapping[str, Any] | None, limit: int) -> tuple[pairs.PairPage, bool]:
    """Return a page, and whether it is the first one because the cursor is of a replaced list."""
    try:
        return read_page(filters, result, limit), False
    except pairs.Outdated:
        if result is None or (htmx_headers() and not htmx_headers().boosted):
            return NO_PAIRS, True
        return pairs.counted_page(result["id"], **filters.given, limit=read_limit(limit, MOST_PAIRS)), True


def _cluster_context(filters: PairFilters, analysis: Analysis) -> Mapping[str, Any]:
    """Return which clusters there are to choose from, and inside of one the way to its edges alone and back."""
    count = results.cluster_sums(analysis)[0]
    named = [("", "any")] + [(number, str(number)) for number in range(1, count + 1)] if count <= NAMED_CLUSTERS else []
    inside = filters.edges or filters.cluster is not None
    return {
        "cluster": filters.cluster,
        "clusters": count,
        "named_clusters": named,
        "edges": filters.edges,
        "edges_query": query(edges=None if filters.edges else "yes") if inside else None,
    }


def _least_context(filters: PairFilters) -> Mapping[str, Any]:
    """Return the choices of `min`, with the one that the query names, however it is written."""
    choices = COUNT_LEASTS if filters.sort in COUNTS else SCORE_LEASTS
    least = filters.least or 0
    same = [value for value, _ in choices if value and float(value) == least]
    if least and not same:
        choices = [*choices, (f"{least:g}", f"{least:g}")]
    return {
        "leasts": choices,
        "least_option": same[0] if same else f"{least:g}" if least else "",
        "least_text": f"{dict(SORT_TEXTS)[filters.sort].lower()} {least:g}",
    }


def _chips(filters: PairFilters, result: Mapping[str, Any]) -> list[Chip]:
    """Return the filters by insight: each insight that occurs, and how many pairs of the whole result carry it.

    With another filter these counts would not apply, so there are none. `menu` says which
    of them are in the menu: all but the first few.
    """
    narrowed = replace(filters, insight=None).narrowed
    every: tuple[str | None, int] = (None, result["summary"]["pairs_kept"])
    found = [every, *((one["insight"], one["pairs"]) for one in result["insights"])]
    return [
        {
            "slug": slug,
            "pairs": None if narrowed else count,
            "query": query(insight=slug),
            "active": slug == filters.insight,
            "menu": place > CHIPS,
        }
        for place, (slug, count) in enumerate(found)
    ]
