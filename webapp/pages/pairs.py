"""Pairs: the list and its downloads; one pair is in `pair.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from tasks import evidence
from tasks.errors import NotFound
from tasks.records import analyses, database, pairs, results
from tasks.records.models import Analysis
from webapp import exports, findings, forms, shapes
from webapp.address_reading import is_address
from webapp.display import INSIGHTS
from webapp.pages import analysis_of, data, page, page_url

pages = Blueprint("pairs", __name__)

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
CSV_COLUMNS = ("wallet_a", "wallet_b", "label_a", "label_b", "shared", *pairs.MEASURES, "insights")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which pairs are asked for; with `nothing` no pair can pass: the wallet is not in the analysis.

    `wallet` is the address or label that was asked for, `position` its place, None when it is not in the analysis.
    """

    sort: str
    least: float | None
    wallet: str | None
    position: int | None
    insight: str | None
    cluster: int | None

    @property
    def nothing(self) -> bool:
        return self.wallet is not None and self.position is None

    @property
    def narrowed(self) -> bool:
        """Whether any pair may be left out."""
        return any(one is not None for one in (self.least, self.wallet, self.insight, self.cluster))

    @property
    def given(self) -> dict[str, Any]:
        """What `pairs.page` and its like are asked."""
        keys = ("sort", "least", "position", "insight", "cluster")
        return {key: getattr(self, key) for key in keys}


def read_filters(analysis: Analysis) -> Filters:
    """Read the query. Raises InputError for a value that cannot be."""
    sort = forms.read_choice("sort", pairs.SORTS, "overall") or "overall"
    insight = forms.read_choice("insight", tuple(INSIGHTS))
    wallet = request.args.get("wallet", "").strip() or None
    position = _position(analysis, wallet) if wallet else None
    least = forms.read_least(score=sort not in COUNTS)
    return Filters(sort, least, wallet, position, insight, forms.read_cluster())


def _position(analysis: Analysis, wanted: str) -> int | None:
    """Find a wallet by its address or its label: the whole of it, else a part; capitals do not matter in labels."""
    if is_address(wanted):
        try:
            return int(analyses.wallet(analysis.id, wanted).position)
        except NotFound:
            return None
    labels = {row["position"]: (row["label"] or "").casefold() for row in analyses.wallets(analysis.id)}
    wanted = wanted.casefold()
    whole = [position for position, label in labels.items() if label == wanted]
    return next((position for position in (*whole, *labels) if wanted in labels[position]), None)


def read_page(filters: Filters, result: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None, int]:
    """Return a page of pairs, the cursor of the next, and how many pairs pass the filters."""
    limit = forms.read_limit(PAIRS_A_PAGE, MOST_PAIRS)
    if filters.nothing:
        return [], None, 0
    after = request.args.get("after") or None
    rows, following = pairs.page(result["id"], **filters.given, after=after, limit=limit)
    total = pairs.count(result["id"], **filters.given) if filters.narrowed else result["summary"]["pairs_kept"]
    return rows, following, total


@pages.get("/analyses/<key:key>/pairs.json")
def index_json(key: str) -> Response:
    """Give a page of pairs as JSON."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    if filters.nothing:
        raise NotFound("This wallet is not part of the analysis.")
    result = evidence.shown_result(analysis)
    rows, following, total = read_page(filters, result)
    wallets = analyses.wallets(analysis.id, {row[side] for row in rows for side in ("wallet_a", "wallet_b")})
    names = {wallet["position"]: wallet["address"] for wallet in wallets}
    shown = [shapes.pair(row, names[row["wallet_a"]], names[row["wallet_b"]]) for row in rows]
    made = findings.provenance(analysis, result)
    return data({"pairs": shown, "next": following, "total": total, "provenance": made})


@pages.get("/analyses/<key:key>/pairs")
def index(key: str) -> Response:
    """Show the list of pairs."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    result = shapes.shown_result(analysis)
    rows, following, total = read_page(filters, result) if result else ([], None, 0)
    found = None if filters.position is None else shapes.wallet_views(analysis, {filters.position})[filters.position]
    return page(
        "pairs",
        "rows",
        analysis=shapes.analysis_view(analysis),
        result=result and shapes.result_view(result),
        pairs=shapes.pair_views(analysis, rows),
        next_url=following and page_url("pairs.index", key=key, after=following),
        previous=page_url("pairs.index", key=key, after=None) if request.args.get("after") else None,
        total=total,
        sort=filters.sort,
        sorts=SORT_TEXTS,
        least=filters.least,
        **_least_context(filters),
        wallet=found or filters.wallet,
        insight=filters.insight,
        cluster=filters.cluster,
        clusters=[(row["number"], row["number"]) for row in results.clusters(result["id"])] if result else [],
        chips=_chips(key, filters, result) if result else [],
        csv_url=page_url("pairs.pairs_csv", key=key, after=None, limit=None),
    )


def _least_context(filters: Filters) -> dict[str, Any]:
    """Return the choices of `min`, with the one that the query names, however it is written."""
    choices = COUNT_LEASTS if filters.sort in COUNTS else SCORE_LEASTS
    least = filters.least or 0
    same = [value for value, _ in choices if value and float(value) == least]
    if least and not same:
        choices = [*choices, (f"{least:g}", f"{least:g}")]
    return {"leasts": choices, "least_option": same[0] if same else f"{least:g}" if least else ""} | {
        "least_text": f"{dict(SORT_TEXTS)[filters.sort].lower()} {least:g}",
    }


def _chips(key: str, filters: Filters, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the filters by insight: each insight that occurs, how many pairs of the whole result carry it."""
    every = {"slug": None, "pairs": result["summary"]["pairs_kept"]}
    found = [every, *({"slug": one["insight"], "pairs": one["pairs"]} for one in result["insights"])]
    return [
        one
        | {
            "url": page_url("pairs.index", key=key, insight=one["slug"], after=None),
            "active": one["slug"] == filters.insight,
        }
        for one in found
    ]


@pages.get("/analyses/<key:key>/pairs.csv")
def pairs_csv(key: str) -> Response:
    """Give every pair that the filters leave as CSV, read a part at a time."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    result = evidence.shown_result(analysis)
    rows = iter(()) if filters.nothing else _csv_rows(analysis, result["id"], filters)
    return exports.response(analysis, result, "pairs", CSV_COLUMNS, rows)


def _csv_rows(analysis: Analysis, result_id: int, filters: Filters) -> Iterator[list[Any]]:
    # The request's own connection is gone by now, and one held for the whole stream would block checkpoints.
    with database.session():
        names = results.addresses(analysis.id)
    for row in pairs.stream(result_id, **filters.given):
        (address_a, label_a), (address_b, label_b) = names[row["wallet_a"]], names[row["wallet_b"]]
        shape = shapes.pair(row, address_a, address_b)
        yield [address_a, address_b, label_a, label_b, *(shape[name] for name in CSV_COLUMNS[4:])]
