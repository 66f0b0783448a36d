"""The routes that answer with JSON: what they take, and which answer with what status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webapp.openapi.types import Schema, ref

Operation = dict[str, Any]

_ERRORS = {
    400: "The request cannot be understood.",
    403: "Not this client's to see or to change, or sent by a page of another site.",
    404: "There is no such thing, or nothing is known of it yet.",
    409: "Not in the state that things are in.",
    413: "The body is larger than 2.5 MB.",
    415: "The body is not JSON by its Content-Type.",
    422: "Understood, and cannot be done.",
    429: "This client has asked for too much; Retry-After says when to try again.",
    503: "Not just now; try again in a moment.",
}
_ALWAYS = (400, 429, 503)
_POSTED = (*_ALWAYS, 403, 413, 415)
RETRY_AFTER = {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}, "description": "Seconds."}}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answers(good: Mapping[int, str], bad: Sequence[int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        str(status): {"description": name, "content": _json(ref(name))} for status, name in good.items()
    }
    for status in sorted({*bad} - {*good}):
        made[str(status)] = {"description": _ERRORS[status], "content": _json(ref("Error"))}
        if status in (429, 503):
            made[str(status)]["headers"] = RETRY_AFTER
    return made


def _named(parameters: Sequence[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in parameters]


def _get(what: str, name: str, *parameters: str, errors: Sequence[int] = (404,)) -> Operation:
    return {
        "summary": what,
        "parameters": _named(parameters),
        "responses": _answers({200: name}, (*_ALWAYS, *errors)),
    }


def _post(
    what: str,
    body: str,
    good: Mapping[int, str],
    *parameters: str,
    errors: Sequence[int] = (404,),
) -> Operation:
    return {
        "summary": what,
        "parameters": _named(parameters),
        "requestBody": {"required": True, "content": _json(ref(body))},
        "responses": _answers(good, (*_POSTED, *errors)),
    }


def _pair() -> Operation:
    made = _get(
        "What speaks for and against a pair, with its tokens", "PairEvidence", "key", "a", "b", "limit_200", "after"
    )
    made["responses"]["308"] = {
        "description": "The wallets are in the other order.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
    return made


def _readiness() -> Operation:
    made = _get("Whether database, queues and workers do their work", "Readiness", errors=())
    made["responses"]["503"] = {"description": "Not ready.", "content": _json(ref("Readiness"))}
    return made


_LIST = ("pair_sort", "min", "insight", "wallet", "cluster", "edges", "limit_200", "after")
_STARTED = {202: "Accepted"}

PATHS: dict[str, dict[str, Operation]] = {
    "/analyses/preview": {
        "post": _post("Judge a list without starting anything", "NewAnalysis", {200: "Preview"}, errors=(422,))
    },
    "/analyses": {"post": _post("Start an analysis", "NewAnalysis", _STARTED, "idempotency", errors=(409, 422))},
    "/analyses/{key}.json": {"get": _get("An analysis and the sum of its result", "Analysis", "key")},
    "/analyses/{key}/progress.json": {"get": _get("How far an analysis is", "Progress", "key")},
    "/analyses/{key}/enrichment.json": {"get": _get("How far its tokens are known", "Enrichment", "key")},
    "/analyses/{key}/tokens.json": {
        "get": _get("Its tokens", "AnalysisTokens", "key", "token_sort", "limit_200", "after")
    },
    "/analyses/{key}/pairs.json": {"get": _get("Its pairs", "Pairs", "key", *_LIST, errors=(404, 409))},
    "/analyses/{key}/pairs/{a}/{b}.json": {"get": _pair()},
    "/analyses/{key}/wallets/{address}.json": {"get": _get("How a wallet trades", "Behaviour", "key", "address")},
    "/analyses/{key}/wallets/{address}/capital.json": {
        "get": _get("How the weights of a wallet came about", "Capital", "key", "address", "limit_1000", "after")
    },
    "/analyses/{key}/rerun": {
        "post": _post(
            "Analyse the same data again with other parameters",
            "Changes",
            _STARTED,
            "key",
            "idempotency",
            errors=(404, 409, 422),
        )
    },
    "/analyses/{key}/cancel": {
        "post": _post("Stop an analysis", "Nothing", {200: "Analysis"}, "key", errors=(404, 409))
    },
    "/analyses/{key}/refresh": {
        "post": _post("Ask for its prices again", "Refresh", {202: "Job"}, "key", errors=(404, 409))
    },
    "/analyses/{key}/retry": {
        "post": _post("Read all failed wallets again", "Nothing", {202: "Started"}, "key", errors=(404, 409))
    },
    "/analyses/{key}/wallets/{address}/retry": {
        "post": _post("Read a failed wallet again", "Nothing", {202: "Started"}, "key", "address", errors=(404, 409))
    },
    "/tokens.json": {"get": _get("Tokens by mint, in the order asked", "Tokens", "mints", errors=())},
    "/jobs/{job_id}.json": {"get": _get("One job", "Job", "job_id", "analysis")},
    "/jobs/{job_id}/cancel": {
        "post": _post("Cancel a job", "Nothing", {200: "Job"}, "job_id", "analysis", errors=(404, 409))
    },
    "/activity.json": {
        "get": _get("The log of jobs", "Activity", "state", "kind", "analysis", "limit_200", "after", errors=())
    },
    "/healthz": {"get": _get("Whether the process answers", "Health", errors=())},
    "/readyz": {"get": _readiness()},
    "/openapi.json": {"get": _get("This description", "Description", errors=())},
}
