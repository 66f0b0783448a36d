"""Polls of a running analysis: readers share an answer for a second."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, Response, request, request_started
from flask.testing import FlaskClient

from tasks import metrics
from tasks.pipeline import workflow
from tasks.storage import analyses, database
from tasks.storage.models.analyses import Analysis
from tests.support.site import address, post_form, row, start
from tests.support.waiting import HANG_S
from webapp.middleware import micro_cache
from webapp.pages import progress

HTMX = {"HX-Request": "true", "HX-Target": "progress"}
FAILED, WAITING = address("failed"), address("waiting")


class Clock:
    """A clock that stands still unless a test moves it: what is shared gets no older while the machine is busy."""

    now = 1_000.0
    perf_counter = staticmethod(time.perf_counter)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(micro_cache, "time", clock)
    return clock


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the analyses whose answer was made, one for each time."""
    found: list[str] = []
    page = progress._page

    def counted(analysis: Analysis) -> Response:
        found.append(analysis.key)
        return page(analysis)

    monkeypatch.setattr(progress, "_page", counted)
    return found


@pytest.fixture
def running(client: FlaskClient) -> str:
    """An analysis of which one wallet could not be read and can be tried again."""
    key = start(client, [FAILED, WAITING])
    with database.session(), database.write():
        analyses.set_wallet_state(workflow.wallet_of(FAILED).id, [row(key).id], "failed")
    return key


def page_token(client: FlaskClient, key: str) -> str:
    """Return the token that the page of an analysis gives to htmx, which sends it as a header."""
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get(f"/analyses/{key}").text)
    assert found
    return found[1]


def test_a_cached_answer_has_no_token_and_each_browser_sends_its_own(
    app: Flask, client: FlaskClient, running: str, made: list[str]
) -> None:
    path, other = f"/analyses/{running}/progress?shown=none", app.test_client()
    tokens = [page_token(one, running) for one in (client, other)]
    first, second = (one.get(path, headers=HTMX) for one in (client, other))
    assert made == [running]
    assert first.text == second.text
    assert "csrf_token" not in first.text
    post = f"/analyses/{running}/wallets/{FAILED}/retry"
    assert f'hx-post="{post}"' in first.text
    assert other.post(post, headers=HTMX).status_code == 400
    assert other.post(post, headers=HTMX | {"X-CSRFToken": tokens[0]}).status_code == 400, "it is another browser's"
    assert other.post(post, headers=HTMX | {"X-CSRFToken": tokens[1]}).status_code == 303


def test_a_cached_answer_has_all_headers_and_its_own_id_and_is_counted(
    app: Flask, client: FlaskClient, running: str, made: list[str]
) -> None:
    metrics.drain()
    path = f"/analyses/{running}/progress?shown=none"
    first, second = (one.get(path, headers=HTMX | {"Accept-Encoding": "br"}) for one in (client, app.test_client()))
    assert made == [running]
    assert first.headers["Content-Encoding"] == "br"
    ids = [one.headers.pop("X-Request-ID") for one in (first, second)]
    assert len(set(ids)) == 2
    assert first.headers == second.headers
    assert "Set-Cookie" not in first.headers
    counted = {key: value for key, value in metrics.drain().items() if key[0] == "requests"}
    assert sum(counted.values()) == 2
    assert {key[1:4] for key in counted} == {("GET", "analyses.progress", "2xx")}


@pytest.mark.parametrize(
    "other",
    [
        {"HX-Target": "elsewhere"},
        {"Accept-Encoding": "gzip"},
        {"Host": "another.example"},
        {"HX-History-Restore-Request": "true"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_answers_are_cached_by_the_headers_that_they_depend_on(
    app: Flask, client: FlaskClient, running: str, other: dict[str, str]
) -> None:
    asked: list[str] = []
    path = f"/analyses/{running}/progress?shown=none"
    with request_started.connected_to(lambda sender, **named: asked.append(request.endpoint or ""), app):
        for headers in (HTMX, HTMX | other, HTMX):
            client.get(path, headers=headers)
    assert asked == ["analyses.progress"] * 2


def test_an_answer_is_rendered_again_a_second_later(
    clock: Clock, client: FlaskClient, running: str, made: list[str]
) -> None:
    path = f"/analyses/{running}/progress?shown=none"
    for _ in range(2):
        client.get(path, headers=HTMX)
    assert len(made) == 1
    clock.now += micro_cache.SHARED_S
    client.get(path, headers=HTMX)
    assert len(made) == 2


def test_a_poll_shows_the_end_of_an_analysis_a_second_later(clock: Clock, client: FlaskClient, running: str) -> None:
    path = f"/analyses/{running}/progress?shown=none"
    assert client.get(path, headers=HTMX).status_code == 200
    assert post_form(client, f"/analyses/{running}/cancel").status_code == 303
    clock.now += micro_cache.SHARED_S
    assert client.get(path, headers=HTMX).status_code == 286


def test_another_state_of_the_analysis_is_rendered_again(client: FlaskClient, running: str, made: list[str]) -> None:
    path = f"/analyses/{running}/progress?shown=none"
    client.get(path, headers=HTMX)
    with database.session():
        Analysis.update(state="analysing").where(Analysis.key == running).execute()
    client.get(path, headers=HTMX | {"Accept": "text/html"})
    assert len(made) == 2


def test_answers_to_actions_are_not_cached(client: FlaskClient, running: str, made: list[str]) -> None:
    for _ in range(2):
        client.get(f"/analyses/{running}/progress", headers=HTMX)
    assert len(made) == 2
    client.get(f"/analyses/{running}/progress?shown=none")
    assert len(made) == 3


def test_a_slow_body_delays_no_other_poll(
    app: Flask, client: FlaskClient, running: str, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer about one analysis, which takes its time, holds up no reader of another."""
    path = f"/analyses/{running}/progress?shown=none"
    assert client.get(path, headers=HTMX).status_code == 200
    slow, begun, may_end = start(client, [address("slow"), address("slower")]), threading.Event(), threading.Event()
    page = progress._page

    def lingering(analysis: Analysis) -> Response:
        begun.set()
        assert may_end.wait(HANG_S)
        return page(analysis)

    monkeypatch.setattr(progress, "_page", lingering)
    with ThreadPoolExecutor(2) as pool:
        slow_path = f"/analyses/{slow}/progress?shown=none"
        waiting = [pool.submit(app.test_client().get, slow_path, headers=HTMX) for _ in range(2)]
        try:
            assert begun.wait(HANG_S)
            assert client.get(path, headers=HTMX).status_code == 200
            assert not any(one.done() for one in waiting)
        finally:
            may_end.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
    assert made == [running, slow], "the second reader of the slow one waited for the first"
