"""Polls of a running analysis: readers share an answer for a second, and each has a token of its own in it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from tasks import lifecycle
from tasks.records import analyses, database
from tasks.records.models import Analysis
from tests.web.conftest import address, row, start
from webapp import security, sharing
from webapp.pages import watching

HTMX = {"HX-Request": "true", "HX-Target": "progress"}
FAILED, WAITING = address("failed"), address("waiting")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The keys of the analyses whose answer was made, one for each time."""
    found: list[str] = []
    page = watching._page

    def counted(analysis: Analysis) -> Response:
        found.append(analysis.key)
        return page(analysis)

    monkeypatch.setattr(watching, "_page", counted)
    sharing._bodies.clear()
    yield found
    sharing._bodies.clear()


@pytest.fixture
def running(client: FlaskClient) -> str:
    """An analysis of which one wallet could not be read and can be tried again."""
    key = start(client, [FAILED, WAITING])
    with database.session(), database.write():
        analyses.set_wallet_state(lifecycle.wallet_of(FAILED).id, [row(key).id], "failed")
    return key


def token_of(markup: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', markup)
    assert found
    return found[1]


def test_readers_share_an_answer_and_each_has_its_own_token(
    app: Flask, client: FlaskClient, running: str, made: list[str]
) -> None:
    path, other = f"/analyses/{running}/progress?shown=none", app.test_client()
    first, second = (one.get(path, headers=HTMX) for one in (client, other))
    assert made == [running]
    tokens = [token_of(one.text) for one in (first, second)]
    assert first.text.replace(tokens[0], "") == second.text.replace(tokens[1], "")
    assert security.TOKEN_MARK not in first.text
    post = f"/analyses/{running}/wallets/{FAILED}/retry"
    assert other.post(post, data={"csrf_token": tokens[0]}).status_code == 400, "it is another browser's"
    assert other.post(post, data={"csrf_token": tokens[1]}).status_code == 303


@pytest.mark.parametrize(
    "change",
    [
        lambda key: Analysis.update(state="analysing").where(Analysis.key == key).execute(),
        lambda key: sharing._bodies.expire(sharing._bodies.timer() + sharing.SHARED_S + 0.01),
    ],
    ids=["another state", "a second later"],
)
def test_an_answer_is_made_anew(
    client: FlaskClient, running: str, made: list[str], change: Callable[[str], object]
) -> None:
    path = f"/analyses/{running}/progress?shown=none"
    client.get(path, headers=HTMX)
    with database.session():
        change(running)
    client.get(path, headers=HTMX)
    assert len(made) == 2


def test_what_answers_something_done_is_not_shared(client: FlaskClient, running: str, made: list[str]) -> None:
    for _ in range(2):
        client.get(f"/analyses/{running}/progress", headers=HTMX)
    assert len(made) == 2
    client.get(f"/analyses/{running}/progress?shown=none")
    assert len(made) == 3


def test_what_is_there_is_given_while_another_is_made(
    app: Flask, client: FlaskClient, running: str, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer about one analysis, which takes its time, holds up no reader of another."""
    path = f"/analyses/{running}/progress?shown=none"
    assert client.get(path, headers=HTMX).status_code == 200
    slow, begun, may_end = start(client, [address("slow"), address("slower")]), threading.Event(), threading.Event()
    page = watching._page

    def lingering(analysis: Analysis) -> Response:
        begun.set()
        assert may_end.wait(30)
        return page(analysis)

    monkeypatch.setattr(watching, "_page", lingering)
    with ThreadPoolExecutor(2) as pool:
        slow_path = f"/analyses/{slow}/progress?shown=none"
        waiting = [pool.submit(app.test_client().get, slow_path, headers=HTMX) for _ in range(2)]
        try:
            assert begun.wait(30)
            assert client.get(path, headers=HTMX).status_code == 200
            assert not any(one.done() for one in waiting)
        finally:
            may_end.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
    assert made == [running, slow], "the second reader of the slow one waited for the first"
