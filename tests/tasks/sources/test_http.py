"""One HTTP request and its faults (`tasks/sources/http.py`)."""

from __future__ import annotations

import email.utils
import gzip
import logging
import math
import socket
import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from tasks.errors import SourceError
from tasks.sources.http import AnswerTooLarge, Http, HttpError, host_of, redact, retry_after_s
from tests.support.scripted_service import KEY, Answer, ScriptedService
from tests.support.waiting import HANG_S

CAP = 100_000


@pytest.fixture
def http(service: ScriptedService) -> Iterator[Http]:
    asking = Http("test", label="the test service", max_bytes=CAP, timeout=(HANG_S, HANG_S))
    yield asking
    asking.close()


def fault(http: Http, service: ScriptedService, *answers: Answer) -> SourceError:
    service.answers += answers
    with pytest.raises(SourceError) as caught:
        http.post(f"{service.url}/v2/{KEY}?api-key={KEY}", {"a": 1})
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__)
    assert KEY not in shown
    assert caught.value.source == "test"
    assert str(caught.value).startswith("the test service ")
    return caught.value


def test_it_returns_json_of_any_type(http: Http, service: ScriptedService) -> None:
    service.answers += [Answer({"a": [1]}), Answer([1, 2]), Answer(None)]
    assert [http.get(service.url) for _ in range(3)] == [{"a": [1]}, [1, 2], None]


def test_it_sends_json_and_headers(http: Http, service: ScriptedService) -> None:
    service.answers += [Answer(1), Answer(2)]
    http.post(service.url, [{"id": 1}], headers={"x-api-key": KEY})
    http.get(service.url, params={"ids": "a,b"})
    assert service.requests[0].json == [{"id": 1}]
    assert service.requests[0].headers["x-api-key"] == KEY
    assert service.requests[0].headers["Content-Type"] == "application/json"
    assert service.requests[1].path == "/?ids=a%2Cb"


def test_it_keeps_the_connection_of_a_thread(http: Http, service: ScriptedService) -> None:
    service.default = lambda request: Answer(1)
    for _ in range(3):
        http.get(service.url)
    assert service.connections == 1
    thread = threading.Thread(target=http.get, args=[service.url])
    thread.start()
    thread.join()
    assert service.connections == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_it_calls_these_temporary(http: Http, service: ScriptedService, status: int) -> None:
    error = fault(http, service, Answer({"why": 1}, status))
    assert isinstance(error, HttpError)
    assert (error.permanent, error.status, error.answer) == (False, status, {"why": 1})
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422])
def test_it_calls_these_permanent(http: Http, service: ScriptedService, status: int) -> None:
    error = fault(http, service, Answer(b"<html>", status))
    assert isinstance(error, HttpError)
    assert (error.permanent, error.status, error.answer) == (True, status, None)


def test_it_says_that_access_is_blocked(http: Http, service: ScriptedService) -> None:
    assert "blocked" in str(fault(http, service, Answer({}, 403)))


def test_it_does_not_follow_redirects(http: Http, service: ScriptedService) -> None:
    error = fault(http, service, Answer({}, 302, {"Location": f"{service.url}/elsewhere"}))
    assert "redirect" in str(error)
    assert not error.permanent
    assert len(service.requests) == 1


def test_it_reads_retry_after_in_seconds(http: Http, service: ScriptedService) -> None:
    assert fault(http, service, Answer({}, 429, {"Retry-After": "7"})).retry_after_s == 7


def test_it_reads_retry_after_as_a_date() -> None:
    seconds = retry_after_s(email.utils.formatdate(time.time() + 60, usegmt=True))
    assert seconds is not None
    assert 30 < seconds <= 60


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("999999", 120),
        ("9" * 400, 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_it_bounds_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


@pytest.mark.parametrize(
    "body",
    [b"<html>sorry</html>", b"", b'{"a": [1, 2', b'{"a": [NaN', b"[nan]", b"\xff\xfe", b"[" * 90_000],
    ids=["html", "empty", "half", "half with NaN", "nan", "not utf-8", "too deep"],
)
def test_it_refuses_what_is_not_json(http: Http, service: ScriptedService, body: bytes) -> None:
    error = fault(http, service, Answer(body))
    assert not error.permanent
    assert "not JSON" in str(error)


def test_a_bad_number_does_not_spoil_the_rest(http: Http, service: ScriptedService) -> None:
    numbers = [b"NaN", b"-Infinity", b"1e400", b"1" + b"0" * 400, b"9" * 60_000, b'"\\ud800"']
    service.answers += [Answer(b'[{"price": ' + number + b'}, {"price": 1.5}]') for number in numbers]
    answers = [http.get(service.url) for _ in numbers]
    assert [answer[1] for answer in answers] == [{"price": 1.5}] * len(numbers)
    spoilt = [answer[0]["price"] for answer in answers]
    assert math.isnan(spoilt[0])
    assert spoilt[1:] == [-math.inf, math.inf, 10**400, math.inf, "\ud800"]


def test_it_names_the_kind_of_what_is_not_json(http: Http, service: ScriptedService) -> None:
    error = fault(http, service, Answer(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}))
    assert "(text/html)" in str(error)


def test_it_refuses_a_body_over_the_cap(http: Http, service: ScriptedService) -> None:
    error = fault(http, service, Answer(["x" * CAP]))
    assert isinstance(error, AnswerTooLarge)
    assert not error.permanent
    assert "0.0954 MB" in str(error)


def test_it_counts_a_body_after_unpacking(http: Http, service: ScriptedService) -> None:
    bomb = gzip.compress(b"[" + b" " * 100 * CAP + b"]")
    assert len(bomb) < CAP
    assert isinstance(fault(http, service, Answer(bomb, headers={"Content-Encoding": "gzip"})), AnswerTooLarge)


def test_it_unpacks_a_body(http: Http, service: ScriptedService) -> None:
    service.answers += [Answer(gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"})]
    assert http.get(service.url) == [1]


def test_it_refuses_a_garbled_body(http: Http, service: ScriptedService) -> None:
    error = fault(http, service, Answer(b"not gzip", headers={"Content-Encoding": "gzip"}))
    assert not error.permanent
    assert "unpacked" in str(error)


def test_it_notices_a_dropped_connection(http: Http, service: ScriptedService) -> None:
    error = fault(http, service, Answer(drop=True))
    assert not error.permanent
    assert "dropped the connection" in str(error)


def test_it_notices_a_body_that_breaks_off(http: Http, service: ScriptedService) -> None:
    error = fault(http, service, Answer([1], missing=10))
    assert not error.permanent
    assert "dropped the connection" in str(error)


def test_it_recovers_after_a_fault(http: Http, service: ScriptedService) -> None:
    fault(http, service, Answer(drop=True))
    service.answers += [Answer(1)]
    assert http.get(service.url) == 1


def test_it_times_out_without_an_answer() -> None:
    impatient = Http("test", label="the test service", timeout=(HANG_S, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(SourceError) as caught:
        impatient.get(f"http://127.0.0.1:{silent.getsockname()[1]}/?api-key={KEY}")
    impatient.close()
    assert not caught.value.permanent
    assert "did not answer in time" in str(caught.value)


def test_it_bounds_an_answer_that_trickles(service: ScriptedService) -> None:
    impatient = Http("test", label="the test service", deadline_s=-1)
    error = fault(impatient, service, Answer([1]))
    impatient.close()
    assert not error.permanent
    assert "did not finish" in str(error)


def test_it_reports_a_refused_connection(http: Http, service: ScriptedService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(SourceError) as caught:
        http.get(f"http://127.0.0.1:{port}/?api-key={KEY}")
    assert not caught.value.permanent
    assert str(caught.value) == "the test service could not be reached"


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/", f"http://?api-key={KEY}", "127.0.0.1:80"])
def test_an_unusable_url_is_a_permanent_error(http: Http, url: str) -> None:
    with pytest.raises(SourceError) as caught:
        http.get(url)
    assert caught.value.permanent
    assert KEY not in str(caught.value)


def test_it_never_logs_the_key(http: Http, service: ScriptedService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fault(http, service, Answer({}, 500))
    assert KEY not in caplog.text


def test_it_shows_the_host_alone() -> None:
    assert host_of(f"https://user:{KEY}@rpc.example.com:8899/{KEY}?k={KEY}") == "rpc.example.com"
    assert host_of("http://[broken") == ""


def test_it_takes_keys_out_of_a_text() -> None:
    url = f"https://someuser1:password1@rpc.example.com/solana/{KEY}?api-key=QUERYKEY99&v=1"
    text = redact(f"solana: {KEY} QUERYKEY99 password1 someuser1 1 are wrong", url)
    assert text == "solana: … … … … 1 are wrong"
