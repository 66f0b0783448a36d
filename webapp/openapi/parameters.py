"""The parameters of the routes, by name: parts of the path, what narrows a list, and headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tasks.storage import pairs, tokens
from webapp.fields import Address, Key
from webapp.forms.query import MIN_AT_MOST, MOST_MINTS
from webapp.markup.labels import INSIGHTS, JOB_KINDS
from webapp.openapi.schemas import Schema
from webapp.presenters.jobs import STATES
from webapp.urls import Address as AddressConverter

_MINT = f"({AddressConverter.regex})"
MINTS: Schema = {"type": "string", "pattern": f"^{_MINT}(,{_MINT}){{0,{MOST_MINTS - 1}}}$"}


QUERY_TEXT: Schema = {"type": "string", "pattern": "^[^\\u0000]*$"}
"""Anything but the character that PostgreSQL cannot hold."""


def _path(name: str, kind: Any, about: str) -> Schema:
    schema = msgspec.json.schema(kind)
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": about}


def _query(name: str, schema: Schema, about: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": about}


def _one_of(name: str, words: Sequence[str], about: str) -> Schema:
    """Return a parameter that has a few values; an empty one, which forms send, is as if it were not there."""
    return _query(name, {"type": "string", "enum": [*words, ""]}, about)


def _limit(most: int) -> Schema:
    return _query("limit", {"type": "integer", "minimum": 1, "maximum": most}, "The size of a page.")


PARAMETERS: dict[str, Schema] = {
    "key": _path("key", Key, "The id of an analysis."),
    "job_id": _path("job_id", Key, "The id of a job."),
    "address": _path("address", Address, "A wallet of the analysis."),
    "a": _path("a", Address, "The wallet that comes first; in the other order the answer is a redirect."),
    "b": _path("b", Address, "The other wallet."),
    "after": _query("after", QUERY_TEXT, "`next` of the page before."),
    "limit_200": _limit(200),
    "limit_1000": _limit(1000),
    "pair_sort": _one_of("sort", pairs.SORTS, "The order of the pairs, largest first."),
    "min": _query(
        "min",
        {"type": "number", "minimum": 0, "maximum": MIN_AT_MOST},
        "The least value of `sort`; of a score at most 1.",
    ),
    "insight": _one_of("insight", tuple(INSIGHTS), "Only pairs with it."),
    "wallet": _query("wallet", QUERY_TEXT, "Only pairs of this wallet: an address, or a part of a label."),
    "cluster": _query("cluster", {"type": "integer", "minimum": 1}, "Only pairs inside it."),
    "edges": _one_of("edges", ("yes",), "Only pairs that link a cluster."),
    "token_sort": _one_of("sort", tokens.SORTS, "The order of the tokens, largest first."),
    "mints": _query("mints", MINTS, f"1 to {MOST_MINTS} mints, separated by commas.", required=True),
    "state": _one_of("state", STATES, "Only jobs in this state."),
    "kind": _one_of("kind", tuple(JOB_KINDS), "Only jobs of this kind."),
    "analysis": _query("analysis", QUERY_TEXT, "The id of an analysis, which opens its jobs."),
    "idempotency": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": 200},
        "description": "Sent again with the same content, it starts nothing and gets the same answer.",
    },
}
