"""Schemathesis asks every described route, with what the description allows and with what it does not.

Nothing may end in a 500, and status, content type, headers and shape must be those of the description. Some of what is
asked about is really there: most made-up keys would lead nowhere.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.support.openapi_check import operations
from tests.support.site import address, finish, start, work

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "10"))
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""What a program sends; the client of this test unpacks nothing."""
NOT_READY = [schemathesis.checks.not_a_server_error]
"""503 is an answer of /readyz, and no fault."""
OPERATIONS = sorted({(path, method) for path, method, _ in operations()})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, list[dict[str, list[str]]]]:
    """What the first test leaves to the others: a copy of its database, and the values of `known`."""
    return tmp_path_factory.mktemp("built") / "walletkin.db", []


@pytest.fixture
def known(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, built: tuple[pathlib.Path, list[dict[str, list[str]]]]
) -> dict[str, list[str]]:
    """What there is to ask about: a complete analysis, one that runs, their wallets and jobs.

    Built once and copied: its enrichment job, without a market, takes three seconds.
    """
    client = request.getfixturevalue("client")
    file, values = built
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "walletkin.db")) as own,
        contextlib.closing(sqlite3.connect(file)) as copy,
    ):
        if values:
            copy.backup(own)
        else:
            values.append(_build(client, request.getfixturevalue("five_wallets")))
            own.backup(copy)
    return values[0]


def _build(client: FlaskClient, five_wallets: list[str]) -> dict[str, list[str]]:
    done, running = finish(client, five_wallets), start(client, [address("one"), address("two")])
    work(("enrich",))
    jobs = client.get("/activity.json").json["jobs"]
    first, second, *others = five_wallets
    return {
        "key": [done, running],
        "analysis": [done, running],
        "a": [first],
        "b": [second, *others],
        "address": [*five_wallets, address("one")],
        "job_id": [job["id"] for job in jobs],
        "mints": [",".join([first, second]), first],
        "min": ["0", "0.5"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda value: value.strip("/"))
def test_the_app_keeps_its_description(
    app: Flask, known: dict[str, list[str]], path: str, method: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_wsgi("/openapi.json", app)[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        pytest.skip("takes nothing that could be wrong")
    chosen = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in known.items()})

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), chosen=chosen)
    def ask(case: Any, chosen: dict[str, str]) -> None:
        if mode is GenerationMode.POSITIVE:
            _make_real(case, chosen, known)
        else:
            assume("" not in (case.query or {}).values())  # an empty field of a form is no mistake
        case.call_and_validate(headers=HEADERS, excluded_checks=NOT_READY if path == "/readyz" else [])

    ask()


def _make_real(case: Any, chosen: dict[str, str], known: dict[str, list[str]]) -> None:
    """Put what there is in the place of most of what was made up, and what no schema can tell to be right."""
    for name in case.path_parameters or ():
        case.path_parameters[name] = chosen[name]
    for name in {*(case.query or ())} & {"analysis", "mints", "min"}:
        case.query[name] = chosen[name]
    if case.query:
        case.query.pop("after", None)  # only one of ours is good
    if isinstance(case.body, dict) and "wallets" in case.body:
        case.body["wallets"] += known["address"]
    if isinstance(case.body, dict) and case.body.get("exclude"):
        case.body["exclude"] = known["address"][: len(case.body["exclude"])]  # base58 by its looks is not enough
