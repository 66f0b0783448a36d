"""The shapes of every JSON answer and request, by name."""

from __future__ import annotations

from webapp.forms.analysis import EXCLUDE_AT_MOST, LABEL_AT_MOST, TIMING_WINDOW_S_AT_MOST, WINDOW_DAYS_AT_MOST
from webapp.markup.labels import INSIGHTS
from webapp.openapi.schemas_results import EVIDENCE
from webapp.openapi.types import (
    ADDRESS,
    COUNT,
    FLAG,
    KEY,
    MINT,
    NUMBER,
    POSITIVE,
    SHARE,
    TEXT,
    TIME,
    WHOLE,
    Schema,
    by,
    choice,
    listed,
    maybe,
    ref,
    shape,
)

BASE58 = "^[1-9A-HJ-NP-Za-km-z]{32,44}$"
STATES = ("syncing", "provisional", "analysing", "complete", "failed", "cancelled")
WALLET_STATES = ("waiting", "syncing", "synced", "partial", "failed")
STAGE_STATES = ("waiting", "running", "done", "failed", "cancelled")
INSIGHT = choice(tuple(INSIGHTS))

_WHAT: dict[str, Schema] = {
    "Time": {
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z$",
    },
    "Key": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "Address": {"type": "string", "pattern": BASE58},
    "Mint": {"type": "string", "pattern": BASE58},
    "Error": shape(
        {"error": shape({"code": {"type": "string", "pattern": "^[a-z_]+$"}, "message": TEXT, "details": listed({})})},
        about="What every request gets that is refused or fails; `message` is a sentence for a person.",
    ),
    "IntakeRow": shape({"line": COUNT, "text": TEXT, "reason": TEXT}, about="A row of the input that was not taken."),
}

_REQUESTS: dict[str, Schema] = {
    "Changes": shape(
        {
            "window_days": maybe({"type": "number", "exclusiveMinimum": 0, "maximum": WINDOW_DAYS_AT_MOST}),
            "timing_window_s": {"type": "integer", "minimum": 1, "maximum": TIMING_WINDOW_S_AT_MOST},
            "tau": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "exclude": listed(MINT, maxItems=EXCLUDE_AT_MOST),
        },
        optional=("window_days", "timing_window_s", "tau", "exclude"),
    ),
    "NewWallet": {
        "description": "An address, or an object with `address` and maybe `label`. Anything else is a rejected row.",
        "examples": [{"address": "7C3948k27F6r9qe1HhDyxxRgy9rUUNE7P35kgoPSQqJC", "label": "treasury"}],
    },
    "Refresh": {
        "type": "object",
        "properties": {"mints": {"anyOf": [listed(TEXT), TEXT]}},
        "description": "The mints on the reader's screen, which are asked for first.",
    },
    "Nothing": {"type": "object", "description": "Nothing needs to be said."},
}
_REQUESTS["NewAnalysis"] = shape(
    {
        "wallets": listed(ref("NewWallet")),
        "label": maybe({"type": "string", "maxLength": LABEL_AT_MOST}),
        **_REQUESTS["Changes"]["properties"],
    },
    optional=("label", *_REQUESTS["Changes"]["properties"]),
    about="At least two of the wallets must be usable.",
)

_PARAMETERS = shape(
    {
        "window_days": maybe(POSITIVE),
        "timing_window_s": {"type": "integer", "minimum": 1},
        "tau": SHARE,
        "exclude": listed(MINT),
        "history_limit": COUNT,
    }
)
_LIST = {"duplicates": listed(ref("IntakeRow")), "rejected": listed(ref("IntakeRow"))}

_ANALYSIS: dict[str, Schema] = {
    "Parameters": _PARAMETERS,
    "Preview": shape({"accepted": COUNT, **_LIST, "estimated_s": POSITIVE}),
    "Accepted": shape({"id": KEY, "url": TEXT, "jobs": listed(KEY), "accepted": COUNT, **_LIST}),
    "Started": shape({"id": KEY, "url": TEXT}),
    "Provenance": shape(
        {
            "analysis": KEY,
            "computed_at": TIME,
            "provisional": FLAG,
            "version": TEXT,
            "parameters": ref("Parameters"),
            "window_from": maybe(TIME),
            "window_to": maybe(TIME),
            "sol_usd_source": maybe(TEXT),
            "missing": listed(TEXT),
        },
        about="What a result was made from.",
    ),
    "Wallet": shape(
        {
            "address": ADDRESS,
            "label": maybe(TEXT),
            "state": choice(WALLET_STATES),
            "reason": maybe(TEXT),
            "truncated": FLAG,
            "transactions": COUNT,
            "trades": maybe(COUNT),
            "mints": maybe(COUNT),
            "cluster": maybe(WHOLE),
            "x": maybe(NUMBER),
            "y": maybe(NUMBER),
        }
    ),
    "Summary": shape(
        {
            "wallets": COUNT,
            "pairs": COUNT,
            "pairs_kept": COUNT,
            "pairs_cut": FLAG,
            "pairs_behavioural_over_0_5": COUNT,
            "pairs_capital_over_0_5": COUNT,
            "median_overall": maybe(SHARE),
            "score_histogram": listed(COUNT, minItems=20, maxItems=20),
            "top_tokens": listed(shape({"mint": MINT, "wallets": COUNT, "spent_sol": POSITIVE})),
            "token_frequency": listed(shape({"wallets": COUNT, "mints": COUNT})),
        }
    ),
    "Cluster": shape(
        {
            "number": {"type": "integer", "minimum": 1},
            "wallets": listed(ADDRESS),
            "cohesion": maybe(SHARE),
            "shared_mints": listed(MINT),
            "weak_bridges": listed(ADDRESS),
            "held_by": listed(shape({"wallet": ADDRESS, "by": ADDRESS, "overall": maybe(SHARE), "edges": COUNT})),
        }
    ),
    "Insight": shape({"insight": INSIGHT, "pairs": COUNT, "text": TEXT, "wallet_a": ADDRESS, "wallet_b": ADDRESS}),
    "Analysis": shape(
        {
            "id": KEY,
            "label": TEXT,
            "state": choice(STATES),
            "reason": maybe(TEXT),
            "created_at": TIME,
            "finished_at": maybe(TIME),
            "parent": maybe(KEY),
            "parameters": ref("Parameters"),
            "version": TEXT,
            "sol_usd": maybe(shape({"source": maybe(TEXT), "days": by({"format": "date"}, POSITIVE)})),
            "wallets": listed(ref("Wallet")),
            "rejected": listed(ref("IntakeRow")),
            "summary": maybe(ref("Summary")),
            "clusters": listed(ref("Cluster")),
            "insights": listed(ref("Insight")),
            "computed_at": maybe(TIME),
            "provisional": maybe(FLAG),
            "missing": listed(TEXT),
            "background": maybe(shape({"wallets": COUNT, "mints": COUNT, "reason": maybe(TEXT)})),
            "explained": maybe(listed(maybe(SHARE), minItems=2, maxItems=2)),
        }
    ),
    "Progress": shape(
        {
            "state": choice(STATES),
            "stages": listed(
                shape({"name": TEXT, "state": choice(STAGE_STATES), "done": COUNT, "total": maybe(COUNT)})
            ),
            "wallets": listed(
                shape(
                    {
                        "address": ADDRESS,
                        "state": choice(WALLET_STATES),
                        "done": maybe(COUNT),
                        "total": maybe(COUNT),
                        "reason": maybe(TEXT),
                    }
                )
            ),
            "seconds_left": maybe(POSITIVE),
        }
    ),
}

SCHEMAS: dict[str, Schema] = {**_WHAT, **_REQUESTS, **_ANALYSIS, **EVIDENCE}
