"""The evidence of a result, from the rows it was computed from: the capital audit of a wallet, the proof of a pair.

Reads only rows within the pinned bounds, so that later syncs do not change it. Stores nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tasks.errors import NotFound
from tasks.measures import insights, timing
from tasks.measures.allocation import DAY_S, in_window
from tasks.measures.audit import AuditRow, Check, audit, check
from tasks.measures.matching import TimedTrades
from tasks.measures.similarity import BEHAVIOURAL_SHARE, CAPITAL_SHARE, contributions
from tasks.measures.trades import Movement
from tasks.pipeline import start
from tasks.pipeline.window import rates_from_json, window_of
from tasks.storage import pairs, results, tokens, wallets
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.models.wallets import Wallet
from tasks.storage.wallets import Bounds

CACHED_RESULTS = 32
Sides = tuple[list[Movement], list[Movement]]
"""The trades of the two wallets of a pair inside the window, by time, including excluded mints."""


@dataclass(frozen=True, slots=True)
class CapitalAudit:
    """How the weights of a wallet arise. `weights` has mint, spent_sol and weight, heaviest first."""

    rows: list[AuditRow]
    weights: list[dict[str, Any]]
    check: Check


def bounds_of(wallet: AnalysisWallet) -> Bounds:
    """Return which rows of a wallet an analysis may show: those its result used, or while it runs the present ones."""
    if wallet.sync_no is not None:
        return Bounds(wallet.wallet_id, wallet.sync_no, wallet.oldest_slot)
    now = Wallet.get_by_id(wallet.wallet_id)
    return Bounds(now.id, now.syncs, now.oldest_slot)


def shown_result(analysis: Analysis) -> dict[str, Any]:
    """Return the result that readers of an analysis see, with its `top_tokens`. Cached: do not change it.

    Raises NotFound (code `no_result`) without a result.
    """
    if analysis.result_id is None:
        raise NotFound("There is no result yet; the first comes when two wallets have been read.", code="no_result")
    return _result(analysis.key, analysis.result_id)


@lru_cache(CACHED_RESULTS)
def _result(key: str, result_id: int) -> dict[str, Any]:
    """Read a result, which never changes once it is shown.

    The key of the analysis is part of the cache key: another database has the same result numbers.
    """
    return results.result(result_id) | {"top_tokens": results.top_tokens(result_id)}


def capital_audit(analysis: Analysis, wallet: AnalysisWallet) -> CapitalAudit:
    """Return every movement of a wallet by time, counted or with the reason why not, and the check of the sums.

    The check compares the stored weights with 1 and with the sums of the counted rows. No rows for a wallet without
    data.
    """
    result = shown_result(analysis)
    start_at, end_at = window_of(analysis)
    movements, failed = wallets.movements(bounds_of(wallet))
    rows = audit(
        movements,
        failed,
        rates=rates_from_json(result["rates"]),
        excluded=frozenset(start.parameters_of(analysis).exclude),
        window_start_at=start_at,
        window_end_at=end_at,
    )
    stored = results.allocation(result["id"], wallet.position)
    names = tokens.mint_names(stored)
    weights: list[dict[str, Any]] = [
        {"mint": names[mint_id], "spent_sol": row["spent_sol"], "weight": row["weight"]}
        for mint_id, row in stored.items()
    ]
    weights.sort(key=lambda row: (-row["weight"], row["mint"]))
    return CapitalAudit(rows, weights, check(rows, [(w["mint"], w["spent_sol"], w["weight"]) for w in weights]))


def trades_of(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> Sides:
    """Return the trades of a pair, for callers of both `pair_of` and `shared_tokens`."""
    window = window_of(analysis)
    return _trades(a, window), _trades(b, window)


def shared_tokens(
    analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet, trades: Sides | None = None
) -> list[dict[str, Any]]:
    """Return what each shared token adds to the scores of a pair, the largest part of `capital` first.

    `trades` is of `trades_of`, when it was called before.

    Keys: mint, weight_a, weight_b, contribution_capital, contribution_behavioural, spent_sol_a, spent_sol_b,
    first_buy_a, first_buy_b (Unix seconds or None), gap_s, signatures_a, signatures_b.
    """
    result_id = shown_result(analysis)["id"]
    sides = [results.allocation(result_id, wallet.position) for wallet in (a, b)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    names = tokens.mint_names({mint_id for side in sides for mint_id in side})
    weights = [{names[mint_id]: row["weight"] for mint_id, row in side.items()} for side in sides]
    parts = contributions(*weights)
    both = {names[mint_id] for mint_id in shared}
    signatures = [_signatures(side, both) for side in trades or trades_of(analysis, a, b)]
    rows = [_shared_token(names[mint_id], [side[mint_id] for side in sides], signatures) for mint_id in shared]
    for row in rows:
        row["contribution_capital"] = parts[row["mint"]].contribution_capital
        row["contribution_behavioural"] = parts[row["mint"]].contribution_behavioural
    return sorted(rows, key=lambda row: (-(row["contribution_capital"] or 0), row["mint"]))


def shares(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet) -> list[dict[str, Any]]:
    """Return what each shared token adds to the scores of a pair, by mint; fast, without reading trades.

    Keys: mint, and for each of `capital`, `behavioural` and `overall` its part (None without data). Each column adds up
    to the score.
    """
    result_id = shown_result(analysis)["id"]
    sides = [results.allocation(result_id, wallet.position) for wallet in (a, b)]
    names = tokens.mint_names({mint_id for side in sides for mint_id in side})
    parts = contributions(*({names[mint_id]: row["weight"] for mint_id, row in side.items()} for side in sides))
    return [_share(mint, one.contribution_capital, one.contribution_behavioural) for mint, one in parts.items()]


def _share(mint: str, capital: float | None, behavioural: float | None) -> dict[str, Any]:
    known = capital is not None and behavioural is not None
    overall = BEHAVIOURAL_SHARE * behavioural + CAPITAL_SHARE * capital if known else None  # type: ignore[operator]
    return {"mint": mint, "capital": capital, "behavioural": behavioural, "overall": overall}


def _signatures(trades: Sequence[Movement], mints: set[str]) -> dict[str, list[str]]:
    """Return mint → the signatures of a wallet's trades of it, by time."""
    signatures: dict[str, list[str]] = {mint: [] for mint in mints}
    for movement in trades:
        if movement.mint in signatures:
            signatures[movement.mint].append(movement.signature)
    return signatures


def _trades(wallet: AnalysisWallet, window: tuple[float | None, float]) -> list[Movement]:
    """Return a wallet's trades inside the window, by time, including excluded mints."""
    movements, _ = wallets.movements(bounds_of(wallet))
    return [one for one in movements if one.side in ("buy", "sell") and in_window(one.block_at, *window)]


def _shared_token(
    mint: str, sides: Sequence[dict[str, Any]], signatures: Sequence[dict[str, list[str]]]
) -> dict[str, Any]:
    a, b = sides
    first_a, first_b = a["first_buy_at"], b["first_buy_at"]
    return {
        "mint": mint,
        "weight_a": a["weight"],
        "weight_b": b["weight"],
        "spent_sol_a": a["spent_sol"],
        "spent_sol_b": b["spent_sol"],
        "first_buy_a": first_a,
        "first_buy_b": first_b,
        "gap_s": None if first_a is None or first_b is None else first_b - first_a,
        "signatures_a": signatures[0][mint],
        "signatures_b": signatures[1][mint],
    }


def pair_of(analysis: Analysis, a: AnalysisWallet, b: AnalysisWallet, trades: Sides | None = None) -> dict[str, Any]:
    """Return the measures of a pair given in address order, with its proof. Raises NotFound (`not_kept`).

    `trades` is of `trades_of`, when it was called before.

    Beside the columns of the pair: `matches` by time, each {"mint", "side", "time_a", "time_b", "lag_s",
    "signature_a", "signature_b"}; `for` [{"insight", "text"}], a sentence for each insight; `against` [{"text"}], the
    counter-evidence. A provisional result has no matches.
    """
    if "failed" in (a.state, b.state):
        raise NotFound("One of the two wallets could not be read, so they were not compared.", code="not_kept")
    result = shown_result(analysis)
    row = pairs.pair(result["id"], a.position, b.position)
    window_s = result["parameters"]["timing_window_s"]
    excluded = set(result["parameters"]["exclude"])
    sides = trades or trades_of(analysis, a, b)
    of_a, of_b = ([one for one in side if one.mint not in excluded] for side in sides)
    matches = [] if row["matched"] is None else _matches(of_a, of_b, window_s)
    pair = (
        row
        | _counts((of_a, of_b), matches)
        | {
            "name_a": _name(a),
            "name_b": _name(b),
            "timing_window_s": window_s,
        }
    )
    return row | {
        "matches": matches,
        "for": [{"insight": slug, "text": insights.sentence(slug, pair)} for slug in row["insights"]],
        "against": [{"text": text} for text in insights.counter_evidence(pair)],
    }


def _matches(trades_a: Sequence[Movement], trades_b: Sequence[Movement], window_s: int) -> list[dict[str, Any]]:
    """Match the trades of two wallets as the measures do."""
    ranks = {signature: n for n, signature in enumerate(sorted({one.signature for one in (*trades_a, *trades_b)}))}
    numbers = {mint: n for n, mint in enumerate(sorted({one.mint for one in (*trades_a, *trades_b)}))}
    of_a, of_b = (_as_arrays(side, numbers, ranks) for side in (trades_a, trades_b))
    return [_match(trades_a[one.trade_a], trades_b[one.trade_b]) for one in timing.matches(of_a, of_b, window_s)]


def _as_arrays(trades: Sequence[Movement], numbers: Mapping[str, int], ranks: Mapping[str, int]) -> TimedTrades:
    rows = [
        (0, numbers[one.mint], int(one.side == "sell"), one.block_at, one.slot, _index(one), ranks[one.signature])
        for one in trades
    ]
    return TimedTrades(*np.array(rows, dtype=np.int64).reshape(-1, 7).T)


def _index(trade: Movement) -> int:
    return -1 if trade.transaction_index is None else trade.transaction_index


def _match(a: Movement, b: Movement) -> dict[str, Any]:
    return {
        "mint": a.mint,
        "side": a.side,
        "time_a": a.block_at,
        "time_b": b.block_at,
        "lag_s": b.block_at - a.block_at,
        "signature_a": a.signature,
        "signature_b": b.signature,
    }


def _counts(sides: Sequence[Sequence[Movement]], matches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the counts that sentences need beside the stored measures."""
    bought = [{(one.mint, one.block_at // DAY_S) for one in side if one.side == "buy"} for side in sides]
    mints_a, mints_b = (len({one.mint for one in side}) for side in sides)
    return {
        "mints_a": mints_a,
        "mints_b": mints_b,
        "matched_mints": len({match["mint"] for match in matches}),
        "aligned_days": len({day for _, day in bought[0] & bought[1]}),
    }


def _name(wallet: AnalysisWallet) -> str:
    """Return the name of a wallet in sentences: its label, otherwise the ends of its address."""
    address = wallet.wallet.address
    return wallet.label or f"{address[:4]}…{address[-4:]}"
