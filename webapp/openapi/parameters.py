"""The parameters of the routes, by name: parts of the path, what narrows a list, and headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.storage import pairs, tokens
from webapp.forms.analysis import MIN_AT_MOST
from webapp.forms.query import MOST_MINTS
from webapp.markup.labels import INSIGHTS, JOB_KINDS
from webapp.openapi.schemas_results import JOB_STATES
from webapp.openapi.types import Schema, choice, ref
from webapp.urls import Address

_MINT = f"({Address.regex})"
MINTS: Schema = {"type": "string", "pattern": f"^{_MINT}(,{_MINT}){{0,{MOST_MINTS - 1}}}$"}


QUERY_TEXT: Schema = {"type": "string", "pattern": "^[^\\u0000]*$"}
"""Anything but the character that PostgreSQL cannot hold."""


def _path(name: str, kind: str, about: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": ref(kind), "description": about}


def _query(name: str, schema: Schema, about: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": about}


def _one_of(name: str, words: Sequence[str], about: str) -> dict[str, Any]:
    """Return a parameter that has a few values; an empty one, which forms send, is as if it were not there."""
    return _query(name, choice((*words, "")), about)


def _limit(most: int) -> dict[str, Any]:
    return _query("limit", {"type": "integer", "minimum": 1, "maximum": most}, "How many to give.")


PARAMETERS: dict[str, dict[str, Any]] = {
    "key": _path("key", "Key", "The id of an analysis."),
    "job_id": _path("job_id", "Key", "The id of a job."),
    "address": _path("address", "Address", "A wallet of the analysis."),
    "a": _path("a", "Address", "The wallet that comes first; in the other order the answer is a redirect."),
    "b": _path("b", "Address", "The other wallet."),
    "after": _query("after", QUERY_TEXT, "Where the page before ended: its `next`."),
    "limit_200": _limit(200),
    "limit_1000": _limit(1000),
    "pair_sort": _one_of("sort", pairs.SORTS, "What the pairs are sorted by, the largest first."),
    "min": _query(
        "min",
        {"type": "number", "minimum": 0, "maximum": MIN_AT_MOST},
        "The least of what is sorted by; of a score at most 1.",
    ),
    "insight": _one_of("insight", tuple(INSIGHTS), "Only pairs that carry it."),
    "wallet": _query("wallet", QUERY_TEXT, "Only pairs of this wallet: an address, or a part of a label."),
    "cluster": _query("cluster", {"type": "integer", "minimum": 1}, "Only pairs inside of it."),
    "edges": _one_of("edges", ("yes",), "Only pairs that hold a cluster together."),
    "token_sort": _one_of("sort", tokens.SORTS, "What the tokens are sorted by, the largest first."),
    "mints": _query("mints", MINTS, f"1 to {MOST_MINTS} mints, separated by commas.", required=True),
    "state": _one_of("state", JOB_STATES, "Only jobs in this state."),
    "kind": _one_of("kind", tuple(JOB_KINDS), "Only jobs of this kind."),
    "analysis": _query("analysis", QUERY_TEXT, "The id of an analysis, and so the key to what is said of its jobs."),
    "idempotency": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": 200},
        "description": "Sent again with the same content it starts nothing new, and is answered as before.",
    },
}
