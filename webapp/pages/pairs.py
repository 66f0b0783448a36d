"""Pairs: the list, its downloads, and the evidence of one pair, token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, redirect, request, url_for

from tasks import evidence
from tasks.errors import InputError, NotFound
from tasks.records import analyses, database, results
from tasks.records.models import Analysis, AnalysisWallet
from webapp import exports, forms, shapes
from webapp.address_reading import is_address
from webapp.display import INSIGHTS, iso
from webapp.pages import analysis_of, data, page, page_url

pages = Blueprint("pairs", __name__)

SORT_TEXTS = [
    ("overall", "Overall"),
    ("behavioural", "Behavioural"),
    ("capital", "Capital"),
    ("overlap", "Portfolio overlap"),
]
PAIRS_A_PAGE, MOST_PAIRS = 50, 200
TOKENS_A_PAGE, MOST_TOKENS = 10, 200
PAIRS_A_READ = 2_000
CSV_COLUMNS = ("wallet_a", "wallet_b", "label_a", "label_b", "shared", *results.MEASURES)
TOKEN_COLUMNS = ("mint", "symbol", "name", "weight_a", "weight_b", "contribution_capital") + (
    "contribution_behavioural", "spent_sol_a", "spent_sol_b", "first_buy_a", "first_buy_b",
    "gap_s", "signatures_a", "signatures_b",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filters:
    """Which pairs are asked for; with `nothing` no pair can pass (no pair has an insight or a cluster yet).

    `wallet` is the address or label that was asked for, `position` its place, None when it is not in the analysis.
    """

    sort: str
    least: float | None
    wallet: str | None
    position: int | None
    nothing: bool

    @property
    def given(self) -> dict[str, Any]:
        """What narrows the list."""
        return {"sort": self.sort, "least": self.least, "position": self.position}


def read_filters(analysis: Analysis) -> Filters:
    """Read the query. Raises InputError for a value that cannot be."""
    sort = forms.read_choice("sort", results.SORTS, "overall")
    insight = forms.read_choice("insight", tuple(INSIGHTS))
    cluster = request.args.get("cluster", "").strip()
    if cluster and not cluster.isdecimal():
        raise InputError("“cluster” must be the number of a cluster.")
    wallet = request.args.get("wallet", "").strip() or None
    position = _position(analysis, wallet) if wallet else None
    nothing = bool(insight or cluster or (wallet and position is None))
    return Filters(sort or "overall", forms.read_least(), wallet, position, nothing)


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


def read_page(analysis: Analysis, filters: Filters) -> tuple[list[dict[str, Any]], str | None, int]:
    """Return a page of pairs, the cursor of the next, and how many pairs pass the filters."""
    limit = forms.read_limit(PAIRS_A_PAGE, MOST_PAIRS)
    result = evidence.shown_result(analysis)
    if filters.nothing:
        return [], None, 0
    after = request.args.get("after") or None
    rows, following = results.pairs_page(result["id"], **filters.given, after=after, limit=limit)
    if filters.least is None and filters.position is None:
        return rows, following, result["summary"]["pairs_kept"]
    return rows, following, results.count_pairs(result["id"], **filters.given)


@pages.get("/analyses/<key:key>/pairs.json")
def index_json(key: str) -> Response:
    """Give a page of pairs as JSON."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    if filters.wallet and filters.position is None:
        raise NotFound("This wallet is not part of the analysis.")
    rows, following, total = read_page(analysis, filters)
    wallets = analyses.wallets(analysis.id, {row[side] for row in rows for side in ("wallet_a", "wallet_b")})
    names = {wallet["position"]: wallet["address"] for wallet in wallets}
    shown = [shapes.pair(row, names[row["wallet_a"]], names[row["wallet_b"]]) for row in rows]
    return data({"pairs": shown, "next": following, "total": total})


@pages.get("/analyses/<key:key>/pairs")
def index(key: str) -> Response:
    """Show the list of pairs."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    result = shapes.shown_result(analysis)
    rows, following, total = read_page(analysis, filters) if result else ([], None, 0)
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
        wallet=found or filters.wallet,
        csv_url=page_url("pairs.pairs_csv", key=key, after=None, limit=None),
    )


@pages.get("/analyses/<key:key>/pairs.csv")
def pairs_csv(key: str) -> Response:
    """Give every pair that the filters leave as CSV, read a page at a time."""
    analysis = analysis_of(key)
    filters = read_filters(analysis)
    result = evidence.shown_result(analysis)
    rows = iter(()) if filters.nothing else _csv_rows(analysis, result["id"], filters)
    return exports.response(analysis, result, "pairs", CSV_COLUMNS, rows)


def _csv_rows(analysis: Analysis, result_id: int, filters: Filters) -> Iterator[list[Any]]:
    with database.session():
        names = results.addresses(analysis.id)
    after: str | None = None
    while True:
        # The request's own connection is gone by now, and one held for the whole stream would block checkpoints.
        with database.session():
            rows, after = results.pairs_page(result_id, **filters.given, after=after, limit=PAIRS_A_READ)
        for row in rows:
            (address_a, label_a), (address_b, label_b) = names[row["wallet_a"]], names[row["wallet_b"]]
            yield [address_a, address_b, label_a, label_b, row["shared"], *(row[name] for name in results.MEASURES)]
        if after is None:
            return


# One pair -------------------------------------------------------------------------------------------------------


def _in_order(show: Callable[[Analysis, AnalysisWallet, AnalysisWallet], Response], endpoint: str) -> Any:
    """Make the view of a pair: a pair has one address, the reversed one leads to it."""

    def view(key: str, a: str, b: str) -> Response:
        analysis = analysis_of(key)
        if a == b:
            raise NotFound("A wallet is not compared with itself.")
        if a > b:
            url = url_for(f"pairs.{endpoint}", key=key, a=b, b=a)
            query = request.query_string.decode("ascii", "ignore")
            return make_response(redirect(f"{url}?{query}" if query else url, 308))
        return show(analysis, analyses.wallet(analysis.id, a), analyses.wallet(analysis.id, b))

    return view


def _token_page(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int, int]:
    """Return a page of the shared tokens of a pair, where it starts, and its size."""
    limit = forms.read_limit(TOKENS_A_PAGE, MOST_TOKENS)
    start = forms.read_offset()
    return rows[start : start + limit], start, limit


def _show_json(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    row = evidence.pair_of(analysis, a, b)
    rows = evidence.shared_tokens(analysis, a, b)
    tokens, start, limit = _token_page(rows)
    return data(
        shapes.pair(row, a.wallet.address, b.wallet.address)
        | {
            "tokens": shapes.with_tokens(tokens),
            "matches": [],
            "for": [],
            "against": [],
            "next": forms.offset_cursor(start + limit, len(rows)),
        }
    )


def _show(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    row = evidence.pair_of(analysis, a, b)
    rows = evidence.shared_tokens(analysis, a, b)
    tokens, start, limit = _token_page(rows)
    wallets = shapes.wallet_views(analysis, {a.position, b.position})
    shown = shapes.pair_view(analysis, row, wallets[a.position], wallets[b.position])
    here = {"key": analysis.key, "a": a.wallet.address, "b": b.wallet.address}
    following, before = forms.offset_cursor(start + limit, len(rows)), forms.offset_cursor(max(0, start - limit), start)
    return page(
        "pair",
        "evidence",
        analysis=shapes.analysis_view(analysis),
        pair=shown | {"tokens": shapes.with_token_views(tokens), "url": shown["url"]},
        a=shown["a"],
        b=shown["b"],
        next_url=following and page_url("pairs.show", **here, after=following),
        prev_url=before and page_url("pairs.show", **here, after=before),
        token_total=len(rows),
        token_start=start,
        csv_url=url_for("pairs.show_csv", **here),
    )


def _show_csv(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Response:
    evidence.pair_of(analysis, a, b)
    names = (a.wallet.address, b.wallet.address, a.label, b.label)
    shared = shapes.with_tokens(evidence.shared_tokens(analysis, a, b))
    rows = ([*names, *(_token_cell(row, column) for column in TOKEN_COLUMNS)] for row in shared)
    columns = ("wallet_a", "wallet_b", "label_a", "label_b", *TOKEN_COLUMNS)
    return exports.response(analysis, evidence.shown_result(analysis), "pair", columns, rows)


def _token_cell(row: dict[str, Any], column: str) -> Any:
    if column in ("symbol", "name"):
        return row["token"][column]
    return iso(row[column]) if column in shapes.TIMES else row[column]


_PATH = "/analyses/<key:key>/pairs/<address:a>/<address:b>"
pages.add_url_rule(_PATH, "show", _in_order(_show, "show"))
pages.add_url_rule(f"{_PATH}.json", "show_json", _in_order(_show_json, "show_json"))
pages.add_url_rule(f"{_PATH}.csv", "show_csv", _in_order(_show_csv, "show_csv"))
