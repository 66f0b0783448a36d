"""Records → the shapes of design.md. A view is the same shape for a page: times stay numbers, links are added.

It queries what a shape needs and computes nothing; `jsonable` turns the times of a shape into ISO 8601.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from flask import current_app, request
from flask.json.provider import JSONProvider

from tasks import evidence, lifecycle
from tasks.analysis.audit import AuditRow
from tasks.records import analyses, listings, pairs, prices, results
from tasks.records.models import Analysis
from tasks.settings import Settings
from webapp import reasons
from webapp.display import iso

TIMES = frozenset(
    ("created_at", "finished_at", "started_at", "enqueued_at", "computed_at", "at", "last_updated")
    + ("first_buy_a", "first_buy_b", "time", "time_a", "time_b", "window_from", "window_to")
)
COUNTS_KEPT = 256
LookUp = Callable[[Iterable[str]], dict[str, dict[str, Any]]]
TOKEN_KEYS = ("mint", "status", "name", "symbol", "decimals", "image_url", "price_usd", "liquidity_usd") + (
    "volume_24h_usd", "market_cap_usd", "price_source", "last_updated", "stale", "attempts", "last_error"
)  # fmt: skip
UNSEEN_TOKEN: Mapping[str, Any] = dict.fromkeys(TOKEN_KEYS) | {
    "status": "pending", "stale": False, "attempts": 0, "awaited": False
}  # fmt: skip
CLOCKS_DIFFER_S = 60.0


class FastJSON(JSONProvider):
    """JSON by orjson: exact for 64-bit integers, and null for what is not a number."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        try:
            return orjson.dumps(obj).decode()
        except TypeError:
            # A sum of token amounts may be larger than 64 bits, which only the slower encoder writes.
            return json.dumps(obj, ensure_ascii=False, separators=(",", ":"))

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


def settings() -> Settings:
    """Return the settings of the app that answers."""
    found: Settings = current_app.extensions["walletkin"]
    return found


def jsonable(shape: Any) -> Any:
    """Return a shape with every time in it written as ISO 8601."""
    if isinstance(shape, dict):
        return {key: iso(value) if key in TIMES else jsonable(value) for key, value in shape.items()}
    return [jsonable(one) for one in shape] if isinstance(shape, list | tuple) else shape


# Tokens ---------------------------------------------------------------------------------------------------------


def token_views(mints: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return mint → token for a page: its shape and whether news of it is `awaited`.

    A mint that the registry does not know is pending and not awaited: nobody will ever ask for it.
    """
    wanted = set(mints)
    now, ttl_s = time.time(), settings().price_ttl_s
    known = prices.cells(wanted)
    for cell in known.values():
        updated = cell["last_updated"]
        cell["stale"] = updated is not None and not -CLOCKS_DIFFER_S <= now - updated <= ttl_s
    return {mint: known.get(mint) or {**UNSEEN_TOKEN, "mint": mint} for mint in wanted}


def tokens_by_mint(mints: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return mint → token shape; a mint that the registry does not know is pending."""
    return {mint: {key: view[key] for key in TOKEN_KEYS} for mint, view in token_views(mints).items()}


def with_tokens(rows: Sequence[Mapping[str, Any]], look_up: LookUp = tokens_by_mint) -> list[dict[str, Any]]:
    """Return rows that have a `mint` with the token's shape beside it, None where the mint is None."""
    known = look_up(row["mint"] for row in rows if row["mint"])
    return [{**row, "token": known.get(row["mint"])} for row in rows]


def with_token_views(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as `with_tokens` does, with tokens as pages show them."""
    return with_tokens(rows, token_views)


# Analyses and wallets -------------------------------------------------------------------------------------------


def shown_result(analysis: Analysis) -> dict[str, Any] | None:
    """Return the result that readers see, None while there is none."""
    return evidence.shown_result(analysis) if analysis.result_id is not None else None


def _facts(row: Analysis) -> dict[str, Any]:
    keys = ("label", "state", "reason", "created_at", "finished_at")
    return {"id": row.key} | {key: getattr(row, key) for key in keys}


def analysis(
    row: Analysis,
    result: Mapping[str, Any] | None,
    wallets: Sequence[Mapping[str, Any]],
    found: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an analysis; what a result says is None while there is none. `found` are its clusters and insights."""
    rejected, _ = analyses.intake_rows(row.id)
    return _facts(row) | {
        "parent": _key_of(row.parent_id),
        "parameters": parameters(row),
        "version": row.version,
        "sol_usd": result and {"source": result["rates"]["source"], "days": result["rates"]["days"]},
        "wallets": [wallet(one) for one in wallets],
        "rejected": [intake_row(one) for one in rejected],
        "summary": result and summary(result),
        **found,
        "computed_at": result and result["computed_at"],
        "provisional": result and bool(result["provisional"]),
        "missing": result["missing"] if result else [],
        "background": (result and result["background"]) or None,
        "explained": (result and result["explained"]) or None,
    }


def analysis_view(row: Analysis, wallets: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Return what the head of a page says of an analysis; without `wallets` it counts them by their states.

    What the input left out is not in it: that can be megabytes, and polls and most pages do not show it.
    """
    return _facts(row) | {
        "key": row.key,
        "title": row.label or f"{row.wallets:,} wallets",
        "parameters": parameters(row),
        "wallets": [wallet(one) for one in wallets or ()],
        "counts": _state_counts(row) if wallets is None else {},
        "cut": _cut(row) if wallets is None else 0,
    }


def _state_counts(row: Analysis) -> Mapping[str, int]:
    """Count the wallets by state; once for a complete analysis, which does not change and whose pages all say so."""
    return _final_counts(row.key, row.id) if row.state == "complete" else analyses.state_counts(row.id)


@lru_cache(COUNTS_KEPT)
def _final_counts(key: str, analysis_id: int) -> Mapping[str, int]:
    # The key goes along: another database numbers its analyses alike.
    return analyses.state_counts(analysis_id)


def _cut(row: Analysis) -> int:
    """Count the wallets that are read as far as the limit of the history goes, and no further."""
    return _final_cut(row.key, row.id) if row.state == "complete" else listings.cut(row.id, 0)[1]


@lru_cache(COUNTS_KEPT)
def _final_cut(key: str, analysis_id: int) -> int:
    return listings.cut(analysis_id, 0)[1]


def result_view(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result for a page; `version` changes with every new result that readers get to see."""
    keys = ("id", "provisional", "wallets", "computed_at", "duration_s")
    made = {"version": result["id"], "made_by": result["version"], "rates": result["rates"]}
    return {key: result[key] for key in keys} | made


def _key_of(analysis_id: int | None) -> str | None:
    found = Analysis.get_or_none(Analysis.id == analysis_id) if analysis_id else None
    return found and str(found.key)


def parameters(row: Analysis) -> dict[str, Any]:
    chosen = lifecycle.parameters_of(row)
    return {
        "window_days": chosen.window_days,
        "timing_window_s": chosen.timing_window_s,
        "tau": chosen.tau,
        "exclude": list(chosen.exclude),
        "history_limit": row.history_limit,
    }


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result says in sum; all counts are over its kept pairs."""
    kept = result["summary"]
    return {
        "wallets": result["wallets"],
        "pairs": kept["pairs_total"],
        "pairs_kept": kept["pairs_kept"],
        "pairs_cut": kept["pairs_cut"],
        "pairs_behavioural_over_0_5": kept["pairs_behavioural_over_0_5"],
        "pairs_capital_over_0_5": kept["pairs_capital_over_0_5"],
        "median_overall": kept["median_overall"],
        "score_histogram": kept["score_histogram"],
        "top_tokens": [{key: one[key] for key in ("mint", "wallets", "spent_sol")} for one in result["top_tokens"]],
        "token_frequency": kept["token_frequency"],
    }


def wallet(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wallet of an analysis; in no cluster and without a place on the map unless the row says so."""
    keys = ("address", "label", "state", "reason", "truncated", "transactions", "trades", "mints")
    return {key: row[key] for key in keys} | {key: row.get(key) for key in ("cluster", "x", "y")}


def wallet_view(base: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a wallet for a page: its shape, its place, its page, and where it can be tried again.

    `base` is the analysis's page: building 10,000 links one by one takes a while.
    """
    url = f"{base}/wallets/{row['address']}"
    again = row["state"] in ("failed", "partial") and not reasons.is_refused(row["reason"])
    more = {"retry_url": f"{url}/retry" if again else None, "position": row["position"], "line": row["line"]}
    return wallet(row) | {"reason": reasons.told(row["reason"]), "url": url} | more


def analysis_url(analysis: Analysis) -> str:
    """Return the page of an analysis. Written out: a page has hundreds of links below it, and each one counts."""
    return f"{request.script_root}/analyses/{analysis.key}"


def wallet_views(analysis: Analysis, positions: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
    """Return position → view of the wallets at these positions (None: of all), in the order of the input."""
    base = analysis_url(analysis)
    return {row["position"]: wallet_view(base, row) for row in wallet_rows(analysis, positions)}


def wallet_rows(analysis: Analysis, positions: Collection[int] | None = None) -> list[dict[str, Any]]:
    """Return the wallets at these positions (None: all), in the order of the input, with clusters and places."""
    found = places(analysis, positions)
    return [row | found.get(row["position"], {}) for row in analyses.wallets(analysis.id, positions)]


def places(analysis: Analysis, positions: Collection[int] | None = None) -> dict[int, dict[str, Any]]:
    """Return position → {"cluster", "x", "y"} under the result that readers see; empty while there is none."""
    return {} if analysis.result_id is None else results.wallets(analysis.result_id, positions)


def intake_row(row: Any) -> dict[str, Any]:
    """Return a row of the input that was not taken."""
    get = row.get if isinstance(row, Mapping) else lambda key: getattr(row, key)
    return {"line": get("line"), "text": get("text"), "reason": get("reason")}


# Pairs and evidence ---------------------------------------------------------------------------------------------


def pair(row: Mapping[str, Any], address_a: str, address_b: str) -> dict[str, Any]:
    """Return a pair; `leader` is an address, None where neither was first more often.

    `cluster_edge` says whether the pair is one of those that hold a cluster together.
    """
    measures = {key: row[key] for key in ("shared", *pairs.MEASURES)}
    measures["leader"] = {1: address_a, 2: address_b}.get(row["leader"])
    found = {"insights": row["insights"], "cluster_edge": row["edge"]}
    return {"wallet_a": address_a, "wallet_b": address_b} | measures | found


def pair_views(analysis: Analysis, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return pairs for a page: their shape, both wallets and the link to the evidence."""
    wallets = wallet_views(analysis, {row[side] for row in rows for side in ("wallet_a", "wallet_b")})
    return [pair_view(analysis, row, wallets[row["wallet_a"]], wallets[row["wallet_b"]]) for row in rows]


def pair_view(analysis: Analysis, row: Mapping[str, Any], a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Return one pair for a page."""
    url = f"{analysis_url(analysis)}/pairs/{a['address']}/{b['address']}"
    return pair(row, a["address"], b["address"]) | {"a": a, "b": b, "url": url}


def audit_row(row: AuditRow) -> dict[str, Any]:
    """Return one row of the capital audit."""
    return {
        "signature": row.signature,
        "slot": row.slot,
        "time": row.block_at,
        "side": row.side,
        "mint": row.mint,
        "amount": row.amount,
        "decimals": row.decimals,
        "quote": row.quote,
        "quote_amount": row.quote_amount,
        "sol_usd": row.sol_usd,
        "value_sol": row.value_sol,
        "counted": row.counted,
        "reason": row.reason,
        "approximate": row.approximate,
    }
