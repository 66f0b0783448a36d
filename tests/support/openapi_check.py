"""Holds every JSON answer of the app against its description: route, status and shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs
from flask import Flask

from webapp.openapi import document

NOT_DESCRIBED = (405, 500)
"""Statuses that any route may answer with: a method that it does not take, and a fault of ours."""


def path_of(rule: Any) -> str:
    """Return how the description writes the path of a rule."""
    return re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", str(rule))


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield path, method and what is said of it."""
    for path, methods in document()["paths"].items():
        for method, said in methods.items():
            yield path, method.upper(), said


@cache
def _validator(schema_name: str) -> Any:
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema_name}", "components": document()["components"]},
        validate_formats=True,
    )


def check_shape(schema_name: str, body: Any) -> None:
    """Raise AssertionError unless the body has the shape of this name."""
    faults = [
        f"{'/'.join(map(str, one.instance_path))}: {one.message[:300]}"
        for one in _validator(schema_name).iter_errors(body)
    ]
    assert not faults, f"not a {schema_name}: {faults[:5]}"


def check_answer(app: Flask, answer: Any) -> None:
    """Raise AssertionError for a JSON answer that its description does not foresee."""
    if answer.mimetype != "application/json":
        return
    rule = _rule(app, answer.request)
    said = document()["paths"].get(rule and path_of(rule), {}).get(answer.request.method.lower())
    if said is None or answer.status_code in NOT_DESCRIBED:
        # Any page tells its errors as JSON to whoever accepts nothing else.
        assert answer.status_code >= 400, f"{answer.request.method} {answer.request.path} is not described"
        return check_shape("Error", answer.json)
    assert str(answer.status_code) in said["responses"], f"{answer.status_code} of {rule} is not described"
    schema = said["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
    if answer.request.method != "HEAD":
        check_shape(schema["$ref"].rpartition("/")[2], answer.json)
    return None


def _rule(app: Flask, request: Any) -> Any:
    from werkzeug.exceptions import HTTPException

    try:
        rule, _ = app.url_map.bind_to_environ(request.environ).match(return_rule=True)
    except HTTPException:
        return None
    return rule
