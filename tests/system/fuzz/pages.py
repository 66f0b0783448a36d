"""The app as a target: every route with hostile queries, forms and bodies. Nothing may end in a 500."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import Flask
from hypothesis import strategies as st

from tests.support.openapi_check import check_answer, path_of
from tests.system.fuzz import samples, strategies
from tests.system.fuzz.targets import Target

GOOD = (200, 202, 204, 286, 303, 308)
REFUSED = (400, 401, 403, 404, 405, 409, 413, 415, 416, 422)
HEADERS = st.sampled_from(
    [{}, {"Accept": "application/json"}, {"HX-Request": "true"}, {"HX-Request": "true", "HX-Target": "progress"}]
    + [{"HX-Request": "true", "HX-Current-URL": "http://[::1"}, {"HX-Request": "true", "HX-Target": "é" * 50}]
    + [{"Idempotency-Key": "k" * 300}, {"Range": "bytes=9-1"}, {"If-None-Match": '"'}, {"Accept": "*/*;q=x"}]
    + [{"Origin": "http://[::1"}, {"Origin": "null"}, {"Host": "[::1"}, {"Host": "a" * 300}, {"X-Forwarded-For": "[,"}]
    + [{"Authorization": "Bearer é"}, {"X-Operator-Token": "\x7f"}, {"Cookie": "a=b; ;=;walletkin_x=.a.b"}]
)
BODIES = strategies.mutated(
    [*samples.WALLETS, {"wallets": [], "tau": 0.5, "window_days": 7, "exclude": []}, {"mints": []}]
)
CANCELS = ("analyses.cancel", "jobs.cancel")


def targets(app: Flask, known: Mapping[str, list[str]]) -> dict[str, Target]:
    """Return the targets; `known` names what there is, by the parts of the routes."""
    asked = _asked(app, known, "GET")
    posted = _asked(app, known, "POST")
    forms = st.tuples(posted, strategies.FORMS, HEADERS)
    bodies = st.tuples(posted, BODIES, HEADERS)
    queries = st.tuples(asked, strategies.QUERIES, HEADERS)
    return {
        "queries": Target(queries, lambda made: _get(app, *made), 8),
        "forms": Target(forms, lambda made: _form(app, *made), 1),
        "JSON bodies": Target(bodies, lambda made: _body(app, *made), 1),
    }


def _asked(app: Flask, known: Mapping[str, list[str]], method: str) -> st.SearchStrategy[str]:
    """Return addresses of routes with this method, most of whose parts are of something that there is."""
    rules = [
        path_of(rule)
        for rule in app.url_map.iter_rules()
        if method in (rule.methods or ()) and "filename" not in rule.arguments and rule.endpoint not in CANCELS
    ]
    strange = st.sampled_from(["0" * 32, "f" * 32, strategies.A, "x", "..", "%00", "é", "1" * 44])

    def filled(path: str) -> st.SearchStrategy[str]:
        parts = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in known.items()})
        other = st.integers(0, 9).flatmap(lambda kind: strange if kind == 0 else st.none())
        return st.tuples(parts, other).map(
            lambda made: re.sub(r"{(\w+)}", lambda part: made[1] or made[0][part[1]], path)
        )

    return st.sampled_from(sorted(rules)).flatmap(filled)


def _get(app: Flask, path: str, query: list[tuple[str, str]], headers: dict[str, str]) -> None:
    _check(app, app.test_client().get(path, query_string=query, headers=_sent(headers), buffered=True))


def _form(app: Flask, path: str, form: dict[str, str], headers: dict[str, str]) -> None:
    client = app.test_client()
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/").text)
    assert found
    sent = {"csrf_token": found[1], **form}
    _check(app, client.post(path, data=sent, headers=_sent(headers), buffered=True))


def _body(app: Flask, path: str, body: bytes, headers: dict[str, str]) -> None:
    made = {**_sent(headers), "Content-Type": "application/json"}
    _check(app, app.test_client().post(path, data=body, headers=made, buffered=True))


def _sent(headers: dict[str, str]) -> dict[str, str]:
    return {name: value.encode().decode("latin-1") for name, value in headers.items()}


def _check(app: Flask, answer: Any) -> None:
    assert answer.status_code in (*GOOD, *REFUSED) or answer.request.path == "/readyz", answer.status
    check_answer(app, answer)
    if answer.status_code in REFUSED and answer.mimetype == "application/json":
        assert set(json.loads(answer.data)) == {"error"}
