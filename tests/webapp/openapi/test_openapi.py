"""The description of the JSON surface: valid, complete, and nothing in it that is not there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.openapi_check import check_answer, check_shape, operations, path_of
from tests.support.site import finish, work
from webapp.openapi import document

NOT_JSON = ("static", "vendor_htmx", "favicon")


def test_it_is_a_valid_description(client: FlaskClient) -> None:
    answer = client.get("/openapi.json")
    assert answer.mimetype == "application/json"
    OpenAPIV31SpecValidator(answer.json).validate()
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json["servers"] == [{"url": "/"}]


def test_every_schema_and_parameter_is_used() -> None:
    text = str(document())
    for part in ("schemas", "parameters"):
        for name in document()["components"][part]:
            assert f"#/components/{part}/{name}'" in text, name


def test_what_is_described_is_there(app: Flask) -> None:
    known = {(path_of(rule), method) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    for path, method, said in operations():
        assert (path, method) in known, f"{method} {path}"
        named = {one["$ref"].rpartition("/")[2] for one in said["parameters"]}
        assert set(re.findall(r"{(\w+)}", path)) <= named, path


def test_every_route_that_answers_json_is_described(client: FlaskClient, app: Flask, five_wallets: list[str]) -> None:
    """Ask every route for JSON: what answers with it is in the description, and all posts and `.json` are."""
    key = finish(client, five_wallets)
    work(("enrich",))
    job_id = client.get(f"/analyses/{key}/enrichment.json").json["jobs"][0]["id"]
    a, b = five_wallets[:2]
    parts = {"key": key, "a": a, "b": b, "address": a, "job_id": job_id}
    described = {(path, method) for path, method, _ in operations()}
    answering = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint in NOT_JSON:
            continue
        path = path_of(rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            url = re.sub(r"{(\w+)}", lambda part: parts[part[1]], path)
            sent: dict[str, Any] = {"json": {"wallets": five_wallets}} if method == "POST" else {}
            answer = client.open(f"{url}?mints={a}", method=method, headers={"Accept": "application/json"}, **sent)
            assert answer.status_code != 500, path
            if answer.mimetype == "application/json" or method == "POST" or path.endswith(".json"):
                answering.add((path, method))
    assert answering == described


def test_an_answer_that_is_not_described_is_noticed(client: FlaskClient, app: Flask) -> None:
    answer = client.get("/healthz")
    check_answer(app, answer)
    answer.data = b'{"status": "ok", "secret": 1}'
    answer.__dict__.pop("json", None)
    with pytest.raises(AssertionError, match="not a Health"):
        check_answer(app, answer)


@pytest.mark.parametrize("extra", [{"more": 1}, {"error": {"code": "x", "message": "y"}}])
def test_shapes_are_closed(extra: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check_shape("Error", {"error": {"code": "x", "message": "y", "details": []}} | extra)
