"""The routes that answer with JSON: what they take, and which answer with what status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webapp.errors import Error
from webapp.forms.analysis import NewAnalysis
from webapp.forms.parameters import Changes
from webapp.forms.refresh import Refresh
from webapp.openapi.schemas import Description, Nothing, Schema, ref
from webapp.presenters import analyses, enrichment, jobs, operations, pairs, progress, results, tokens, wallets

Operation = dict[str, Any]
SHAPES: list[type] = []
"""The types of all bodies, in the order of the paths."""

_ERRORS = {
    400: "The request is malformed.",
    403: "No access, or sent by a page of another site.",
    404: "Not found, or nothing is known of it yet.",
    409: "Not possible in the current state.",
    413: "The body is larger than 2.5 MB.",
    415: "The body is not JSON by its Content-Type.",
    422: "Understood, but invalid.",
    429: "Too many requests of this client; Retry-After says when to try again.",
    503: "Overloaded or unavailable; try again in a moment.",
}
_ALWAYS = (400, 429, 503)
_POSTED = (*_ALWAYS, 403, 413, 415)
RETRY_AFTER = {"Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}, "description": "Seconds."}}


def _json(shape: type) -> Schema:
    """Return the content of a body of this type, which becomes a schema of the document."""
    if shape not in SHAPES:
        SHAPES.append(shape)
    return {"application/json": {"schema": ref(shape)}}


def _answers(good: Mapping[int, type], bad: Sequence[int]) -> Schema:
    made: Schema = {
        str(status): {"description": shape.__name__, "content": _json(shape)} for status, shape in good.items()
    }
    for status in sorted({*bad} - {*good}):
        made[str(status)] = {"description": _ERRORS[status], "content": _json(Error)}
        if status in (429, 503):
            made[str(status)]["headers"] = RETRY_AFTER
    return made


def _named(parameters: Sequence[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in parameters]


def _get(what: str, answer: type, *parameters: str, errors: Sequence[int] = (404,)) -> Operation:
    return {
        "summary": what,
        "parameters": _named(parameters),
        "responses": _answers({200: answer}, (*_ALWAYS, *errors)),
    }


def _post(
    what: str,
    body: type,
    good: Mapping[int, type],
    *parameters: str,
    errors: Sequence[int] = (404,),
) -> Operation:
    return {
        "summary": what,
        "parameters": _named(parameters),
        "requestBody": {"required": True, "content": _json(body)},
        "responses": _answers(good, (*_POSTED, *errors)),
    }


def _pair() -> Operation:
    made = _get(
        "Evidence for and against a pair, with its tokens", pairs.PairEvidence, "key", "a", "b", "limit_200", "after"
    )
    made["responses"]["308"] = {
        "description": "The wallets are in the other order.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
    return made


def _readiness() -> Operation:
    made = _get("Whether database, queues and workers are ready", operations.Readiness, errors=())
    made["responses"]["503"] = {"description": "Not ready.", "content": _json(operations.Readiness)}
    return made


_LIST = ("pair_sort", "min", "insight", "wallet", "cluster", "edges", "limit_200", "after")
_STARTED = {202: analyses.Accepted}

PATHS: dict[str, dict[str, Operation]] = {
    "/analyses/preview": {
        "post": _post("Check a list without starting anything", NewAnalysis, {200: analyses.Preview}, errors=(422,))
    },
    "/analyses": {"post": _post("Start an analysis", NewAnalysis, _STARTED, "idempotency", errors=(409, 422))},
    "/analyses/{key}.json": {"get": _get("An analysis and the summary of its result", analyses.AnalysisAnswer, "key")},
    "/analyses/{key}/progress.json": {"get": _get("The progress of an analysis", progress.Progress, "key")},
    "/analyses/{key}/enrichment.json": {"get": _get("The state of its token lookups", enrichment.Enrichment, "key")},
    "/analyses/{key}/tokens.json": {
        "get": _get("Its tokens", tokens.AnalysisTokens, "key", "token_sort", "limit_200", "after")
    },
    "/analyses/{key}/pairs.json": {"get": _get("Its pairs", pairs.Pairs, "key", *_LIST, errors=(404, 409))},
    "/analyses/{key}/pairs/{a}/{b}.json": {"get": _pair()},
    "/analyses/{key}/wallets/{address}.json": {"get": _get("How a wallet trades", results.Behaviour, "key", "address")},
    "/analyses/{key}/wallets/{address}/capital.json": {
        "get": _get("How the weights of a wallet came about", wallets.Capital, "key", "address", "limit_1000", "after")
    },
    "/analyses/{key}/rerun": {
        "post": _post(
            "Analyse the same data again with other parameters",
            Changes,
            _STARTED,
            "key",
            "idempotency",
            errors=(404, 409, 422),
        )
    },
    "/analyses/{key}/cancel": {
        "post": _post("Stop an analysis", Nothing, {200: analyses.AnalysisAnswer}, "key", errors=(404, 409))
    },
    "/analyses/{key}/refresh": {
        "post": _post("Refresh its prices", Refresh, {202: jobs.Job}, "key", errors=(404, 409))
    },
    "/analyses/{key}/retry": {
        "post": _post("Retry all failed wallets", Nothing, {202: analyses.Started}, "key", errors=(404, 409))
    },
    "/analyses/{key}/wallets/{address}/retry": {
        "post": _post("Retry a failed wallet", Nothing, {202: analyses.Started}, "key", "address", errors=(404, 409))
    },
    "/tokens.json": {"get": _get("Tokens by mint, in the order of the request", tokens.Tokens, "mints", errors=())},
    "/jobs/{job_id}.json": {"get": _get("One job", jobs.Job, "job_id", "analysis")},
    "/jobs/{job_id}/cancel": {
        "post": _post("Cancel a job", Nothing, {200: jobs.Job}, "job_id", "analysis", errors=(404, 409))
    },
    "/activity.json": {
        "get": _get("The log of jobs", jobs.Activity, "state", "kind", "analysis", "limit_200", "after", errors=())
    },
    "/healthz": {"get": _get("Whether the process answers", operations.Health, errors=())},
    "/readyz": {"get": _readiness()},
    "/openapi.json": {"get": _get("This description", Description, errors=())},
}
