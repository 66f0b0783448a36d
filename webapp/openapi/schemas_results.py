"""The shapes of what proves a result (pairs, audits, behaviour, tokens) and of the work behind it."""

from __future__ import annotations

from typing import get_args

from tasks.jobs.priority import TIERS
from tasks.measures.audit import Reason
from tasks.storage import results
from webapp.markup.labels import INSIGHTS, JOB_KINDS
from webapp.openapi.types import (
    ADDRESS,
    COUNT,
    CURSOR,
    FLAG,
    KEY,
    MINT,
    NUMBER,
    POSITIVE,
    SHARE,
    TEXT,
    TIME,
    Schema,
    by,
    choice,
    listed,
    maybe,
    ref,
    shape,
)

JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
SIDES = ("buy", "sell", "in", "out")
INSIGHT = choice(tuple(INSIGHTS))
PROVENANCE = {"provenance": ref("Provenance")}
NEXT = {"next": maybe(CURSOR)}

_PAIR_MEMBERS: dict[str, Schema] = {
    "wallet_a": ADDRESS,
    "wallet_b": ADDRESS,
    "shared": COUNT,
    **dict.fromkeys(("overall", "behavioural", "capital", "jaccard", "overlap"), maybe(SHARE)),
    **dict.fromkeys(("coverage_a", "coverage_b", "holdings"), maybe(SHARE)),
    "expected": maybe(POSITIVE),
    "lift": maybe(POSITIVE),
    "p_value": maybe(SHARE),
    "q_value": maybe(SHARE),
    "matched": maybe(COUNT),
    "matched_share": maybe(SHARE),
    "same_slot": maybe(COUNT),
    "median_lag_s": maybe(NUMBER),
    "leader": maybe(ADDRESS),
    "lead_share": maybe(SHARE),
    "timing_p_value": maybe(SHARE),
    "insights": listed(INSIGHT),
    "cluster_edge": FLAG,
}

_PAIRS: dict[str, Schema] = {
    "Pair": shape(_PAIR_MEMBERS),
    "Pairs": shape({"pairs": listed(ref("Pair"), maxItems=200), **NEXT, "total": COUNT, **PROVENANCE}),
    "SharedToken": shape(
        {
            "mint": MINT,
            "weight_a": maybe(SHARE),
            "weight_b": maybe(SHARE),
            "contribution_capital": maybe(SHARE),
            "contribution_behavioural": maybe(SHARE),
            "spent_sol_a": POSITIVE,
            "spent_sol_b": POSITIVE,
            "first_buy_a": maybe(TIME),
            "first_buy_b": maybe(TIME),
            "gap_s": maybe(NUMBER),
            "signatures_a": listed(TEXT),
            "signatures_b": listed(TEXT),
            "token": ref("Token"),
        }
    ),
    "Match": shape(
        {
            "mint": MINT,
            "side": choice(SIDES[:2]),
            "time_a": TIME,
            "time_b": TIME,
            "lag_s": NUMBER,
            "signature_a": TEXT,
            "signature_b": TEXT,
        }
    ),
    "PairEvidence": shape(
        {
            **_PAIR_MEMBERS,
            "tokens": listed(ref("SharedToken")),
            "matches": listed(ref("Match")),
            "for": listed(shape({"insight": INSIGHT, "text": TEXT})),
            "against": listed(shape({"text": TEXT})),
            **NEXT,
            **PROVENANCE,
        }
    ),
}

_WALLETS: dict[str, Schema] = {
    "AuditRow": shape(
        {
            "signature": TEXT,
            "slot": COUNT,
            "time": maybe(TIME),
            "side": maybe(choice(SIDES)),
            "mint": maybe(MINT),
            "amount": maybe(COUNT),
            "decimals": maybe(COUNT),
            "quote": maybe(choice(("SOL", "USDC", "USDT"))),
            "quote_amount": maybe(POSITIVE),
            "sol_usd": maybe(POSITIVE),
            "value_sol": maybe(POSITIVE),
            "counted": FLAG,
            "reason": maybe(choice(get_args(Reason))),
            "approximate": FLAG,
        },
        about="`amount` and `quote_amount` in base units.",
    ),
    "Capital": shape(
        {
            "wallet": ADDRESS,
            "rows": listed(ref("AuditRow"), maxItems=10_000),
            "weights": listed(shape({"mint": MINT, "spent_sol": POSITIVE, "weight": SHARE})),
            "checks": shape({"weights_sum": POSITIVE, "spent_sol_total": POSITIVE, "ok": FLAG}),
            **NEXT,
            **PROVENANCE,
        }
    ),
    "Behaviour": shape(
        {
            "wallet": ADDRESS,
            **dict.fromkeys(("trades", "buys", "sells", "mints", "mints_both_sides"), COUNT),
            "buy_sell_ratio": maybe(POSITIVE),
            "median_hold_s": maybe(POSITIVE),
            "mean_hold_s": maybe(POSITIVE),
            "hold_bins": maybe(listed(POSITIVE, minItems=7, maxItems=7)),
            "realised_profit_sol": maybe(NUMBER),
            "realised_profit_sol_by_mint": by(MINT, NUMBER),
            "unrealised_profit_sol": maybe(NUMBER),
            "unmatched_sold_share": maybe(SHARE),
            "win_rate": maybe(SHARE),
            "sessions": COUNT,
            "trades_per_session": maybe(POSITIVE),
            "median_session_s": maybe(POSITIVE),
            "trades_by_hour": listed(COUNT, minItems=24, maxItems=24),
            "reentry_rate": maybe(SHARE),
            "style": maybe(TEXT),
            **PROVENANCE,
        }
    ),
}

_TOKENS: dict[str, Schema] = {
    "Token": shape(
        {
            "mint": MINT,
            "status": choice(results.STATUSES),
            "name": maybe(TEXT),
            "symbol": maybe(TEXT),
            "decimals": maybe(COUNT),
            "image_url": maybe(TEXT),
            "price_usd": maybe(POSITIVE),
            "liquidity_usd": maybe(POSITIVE),
            "volume_24h_usd": maybe(POSITIVE),
            "market_cap_usd": maybe(POSITIVE),
            "price_source": maybe(TEXT),
            "last_updated": maybe(TIME),
            "stale": FLAG,
            "attempts": COUNT,
            "last_error": maybe(TEXT),
        }
    ),
    "Tokens": shape({"tokens": listed(ref("Token"), minItems=1, maxItems=150)}),
    "AnalysisTokens": shape(
        {
            "tokens": listed(
                shape({"mint": MINT, "wallets": COUNT, "spent_sol": POSITIVE, "token": ref("Token")}), maxItems=200
            ),
            **NEXT,
        }
    ),
    "Enrichment": shape({**dict.fromkeys(results.STATUSES, COUNT), "jobs": listed(ref("Job"))}),
}

_WORK: dict[str, Schema] = {
    "Job": shape(
        {
            "id": KEY,
            "kind": choice(tuple(JOB_KINDS)),
            "subject": maybe(TEXT),
            "analyses": maybe(listed(KEY)),
            "tier": choice(tuple(TIERS)),
            "state": choice(JOB_STATES),
            "done": maybe(COUNT),
            "total": maybe(COUNT),
            "attempts": COUNT,
            "error": maybe(TEXT),
            "counts": maybe(shape(dict.fromkeys(("asked", "resolved", "unlisted", "failed"), COUNT))),
            "enqueued_at": TIME,
            "started_at": maybe(TIME),
            "finished_at": maybe(TIME),
            "events": listed(shape({"at": TIME, "state": TEXT, "detail": maybe(TEXT)})),
        },
        about="`subject`, `analyses` and the texts of errors are null for whom none of its analyses is visible.",
    ),
    "Activity": shape({"jobs": listed(ref("Job"), maxItems=200), **NEXT}),
    "Health": shape({"status": choice(("ok",))}),
    "Readiness": shape(
        {
            "status": choice(("ok", "unavailable")),
            "checks": by(TEXT, maybe(FLAG)),
            "oldest_waiting_s": by(TEXT, maybe(POSITIVE)),
            "reasons": listed(TEXT),
        },
        about="`checks` and `oldest_waiting_s` by name; null is what cannot be known.",
    ),
    "Description": {
        "type": "object",
        "properties": {"openapi": {"const": "3.1.0"}, "paths": {"type": "object"}},
        "required": ["openapi", "info", "paths"],
    },
}

EVIDENCE: dict[str, Schema] = {**_PAIRS, **_WALLETS, **_TOKENS, **_WORK}
