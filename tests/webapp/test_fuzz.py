"""Hostile input that no schema describes: files, broken JSON, cursors, queries, forms and headers.

`test_contract.py` fuzzes what the OpenAPI document describes, `intake/test_intake.py` pasted lists; `make fuzz` runs
all three with many more examples.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.errors import InputError, SourceError
from tasks.sources.http import parse_json
from tasks.sources.solana import rpc
from tasks.sources.solana.parse import parse_balance, parse_holdings, parse_signatures, parse_transaction
from tasks.storage.cursors import decode_cursor, encode_cursor
from tests.support.openapi_check import check_answer, path_of
from tests.support.site import address, finish, start, work
from tests.tasks.sources.test_parse import answer
from tests.webapp.intake.test_intake import TEXTS, A, B, C, check_promises
from webapp.intake.encoding import decode
from webapp.intake.rows import read

pytestmark = pytest.mark.slow
fuzz = settings(
    max_examples=max(150, settings().max_examples), deadline=10_000, suppress_health_check=list(HealthCheck)
)
MEGABYTES = 2_400_000
API_KEY = "5ecret-key-0123456789"
KEY_URL = f"https://rpc.example/?api-key={API_KEY}"
ENCODINGS = st.sampled_from(
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1", "shift_jis", "gb18030"]
    + ["utf-7", "cp037", "koi8-r"]
)
ENDLESS = st.sampled_from(
    ["a", ",", '"', ',"', '"a\n', "a\u0301", "\u200b", "\x00", "[", "{", '["', A + ",x\n", "1" * 44 + " ", "https://"]
    + ["é", ";\t", "#\n", "0x" + "a" * 40 + " ", '{"address":"' + A + '"},']
).map(lambda piece: (piece * (MEGABYTES // len(piece.encode()) + 1))[:MEGABYTES])
SOMETIMES_ENDLESS = st.integers(0, 49).flatmap(lambda number: ENDLESS if number == 49 else TEXTS)
# Pieces of JSON as text; a program could write few of these values.
RAW = st.sampled_from(
    ["null", "true", "-1", "0.5", "1e400", "1e-400", "NaN", "Infinity", "18446744073709551616", "9" * 5000, '"\\ud800"']
    + ['"\\u0000"', "[]", "{}", '{"a":1,"a":2}', "[" * 2000 + "]" * 2000, '{"a":' * 1500 + "0" + "}" * 1500, "tru", "'"]
    + ['"' + "x" * 20_000 + '"', '"<script>"', '"legacy"', f'"{A}"', '"٣"', "[,]", "[" * 200_000, "9" * MEGABYTES]
)
VALUES = st.text(max_size=12) | st.sampled_from(
    ["", " ", "0", "-1", "1.5", "1e400", "nan", "٣", "9" * 3000, "0x10", "1_000", "all", "-overall", "capital", "\x00"]
    + ["\ud7ff", "%00", "../..", "'", "{{7*7}}", "<script>alert(1)</script>", "é" * 200, "a" * 4000, "null", "W10"]
    + ["WzEsMiwzXQ", "W1tdXQ", "1760000000.5-" + "a" * 32, "1e9-ff", "queued", "sync", A, f"{A},{B}", "0" * 32]
)
NAMES = "sort min insight wallet cluster edges limit after show weights state kind analysis mints score v q page"
FIELDS = "addresses label window_days timing_window_s tau exclude idempotency_key next all mints analysis"
HEADERS = st.sampled_from(
    [{}, {"Accept": "application/json"}, {"HX-Request": "true"}, {"HX-Request": "true", "HX-Target": "progress"}]
    + [{"HX-Request": "true", "HX-Current-URL": "http://[::1"}, {"HX-Request": "true", "HX-Target": "é" * 50}]
    + [{"Idempotency-Key": "k" * 300}, {"Range": "bytes=9-1"}, {"If-None-Match": '"'}, {"Accept": "*/*;q=x"}]
    + [{"Origin": "http://[::1"}, {"Origin": "null"}, {"Host": "[::1"}, {"Host": "a" * 300}, {"X-Forwarded-For": "[,"}]
    + [{"Authorization": "Bearer é"}, {"X-Operator-Token": "\x7f"}, {"Cookie": "a=b; ;=;walletkin_x=.a.b"}]
).map(lambda made: {name: value.encode().decode("latin-1") for name, value in made.items()})


@st.composite
def broken(draw: st.DrawFn, *valid: Any) -> bytes:
    """Draw the text of one of these values with one value in it replaced, and now and then with damaged bytes."""
    text = json.dumps(draw(st.sampled_from(valid)))
    values = [found.span() for found in re.finditer(r'"[^"]*"|[\d.]+|null|true|false|\[\]', text)]
    begin, end = draw(st.sampled_from(values))
    return draw(damaged((text[:begin] + draw(RAW) + text[end:]).encode()))


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """Make a strategy for the bytes as they are, cut short, or with other bytes inside."""
    place = st.integers(0, len(data))
    inserted = st.tuples(place, st.binary(max_size=8)).map(lambda made: data[: made[0]] + made[1] + data[made[0] :])
    return st.just(data) | st.just(data) | inserted | place.map(lambda end: data[:end])


FILES = (
    st.tuples(SOMETIMES_ENDLESS, ENCODINGS).flatmap(lambda made: damaged(made[0].encode(made[1], "ignore")[:MEGABYTES]))
    | st.binary(max_size=400)
    | st.tuples(st.sampled_from([b"PK\x03\x04", b"%PDF", b"\xff\xfe", b"\x1f\x8b"]), st.binary()).map(b"".join)
)
WALLETS = {"wallets": [{"address": A, "label": "desk"}, {"address": B}, C], "tau": 0.5, "exclude": []}


@fuzz
@given(FILES)
def test_a_file_is_read_or_refused(data: bytes) -> None:
    try:
        check_promises(read(decode(data)))
    except InputError:
        return


ERROR = {"code": -32429, "message": f"rate limit of {API_KEY} exceeded", "data": {"x": 1}}
RESULTS = [{"jsonrpc": "2.0", "id": number, "result": answer(bool(number))} for number in (0, 1)]


@fuzz
@given(broken(*RESULTS, [*RESULTS, {"id": 2, "error": ERROR}], {"jsonrpc": "2.0", "id": 1, "error": ERROR}))
def test_an_answer_of_a_node_is_read_or_an_error_without_the_key(body: bytes) -> None:
    try:
        raw = parse_json(body)
    except ValueError:
        return
    for outcome in rpc.read_batch(raw, 3, KEY_URL) if isinstance(raw, list) else [rpc.read_answer(raw, KEY_URL)]:
        for parse in (parse_transaction, parse_signatures, parse_holdings, parse_balance):
            assert API_KEY not in outcome_of(parse, outcome)


def outcome_of(parse: Callable[[object], object], outcome: object) -> str:
    """Return what was read, or the text of the error."""
    if isinstance(outcome, SourceError):
        return str(outcome)
    try:
        return ascii(parse(outcome))
    except SourceError as error:
        return str(error)


@fuzz
@given(VALUES | st.lists(st.integers() | st.sampled_from([2**53, 10**40, 1.5, None, "1", [1]])).map(json.dumps))
def test_only_our_own_cursors_are_read(text: str) -> None:
    for given_text in (text, base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")):
        for length in (1, 2, 3):
            try:
                values = decode_cursor(given_text, length)
            except InputError:
                continue
            assert decode_cursor(encode_cursor(values), length) == values


@pytest.fixture
def known(client: FlaskClient, five_wallets: list[str]) -> dict[str, list[str]]:
    """What there is to ask about, by the parts of the routes."""
    done, running = finish(client, five_wallets), start(client, [address("one"), address("two")])
    work(("enrich",))
    jobs = [job["id"] for job in client.get("/activity.json").json["jobs"]]
    return {"key": [done, running], "a": five_wallets[:1], "b": five_wallets, "address": five_wallets, "job_id": jobs}


def addresses(app: Flask, known: dict[str, list[str]], method: str) -> st.SearchStrategy[str]:
    """Make a strategy for addresses of the routes with this method; most of their parts exist."""
    rules = [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ()) and rule.endpoint != "static"]
    paths = [path_of(rule) for rule in rules if "filename" not in rule.arguments and "cancel" not in rule.endpoint]
    parts = st.fixed_dictionaries({name: st.sampled_from([*values, "é", "%00"]) for name, values in known.items()})
    filled = st.tuples(st.sampled_from(sorted(paths)), parts)
    return filled.map(lambda made: re.sub(r"{(\w+)}", lambda part: made[1][part[1]], made[0]))


def check(app: Flask, answer: Any) -> None:
    assert answer.status_code < 500 or answer.request.path == "/readyz", answer.status
    check_answer(app, answer)


def test_no_page_ends_in_a_500(app: Flask, known: dict[str, list[str]]) -> None:
    queries = st.lists(st.tuples(st.sampled_from(NAMES.split()), VALUES), max_size=5)

    @fuzz
    @given(addresses(app, known, "GET"), queries, HEADERS)
    def ask(path: str, query: list[tuple[str, str]], headers: dict[str, str]) -> None:
        check(app, app.test_client().get(path, query_string=query, headers=headers, buffered=True))

    ask()


def test_no_form_and_no_body_ends_in_a_500(app: Flask, client: FlaskClient, known: dict[str, list[str]]) -> None:
    token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/").text)
    assert token
    sendable = VALUES | TEXTS.map(lambda text: text.replace("\ud800", "?"))
    forms = st.dictionaries(st.sampled_from(FIELDS.split()), sendable, max_size=6)

    @fuzz
    @given(addresses(app, known, "POST"), forms.map(lambda form: {**form, "csrf_token": token[1]}), HEADERS)
    def post_form(path: str, form: dict[str, str], headers: dict[str, str]) -> None:
        check(app, client.post(path, data=form, headers=headers, buffered=True))

    @fuzz
    @given(addresses(app, known, "POST"), broken(WALLETS, {"mints": [A]}), HEADERS)
    def post_json(path: str, body: bytes, headers: dict[str, str]) -> None:
        sent = {**headers, "Content-Type": "application/json"}
        check(app, app.test_client().post(path, data=body, headers=sent, buffered=True))

    post_form()
    post_json()
