"""Limits per client: who counts as one, what is refused with which words, and what happens while Redis is away."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.settings import read_settings
from tests.conftest import set_timing
from tests.support import servers
from tests.support.site import address, token
from webapp.presenters import progress
from webapp.security.rate_limits import CROWD, LimitRule, RequestCounter, _network, _rule

A, B = address("a"), address("b")
FROM = {"REMOTE_ADDR": "203.0.113.7"}
ELSEWHERE = {"REMOTE_ADDR": "198.51.100.9"}
JSON = {"Accept": "application/json"}
WALLETS = {"wallets": [A, B]}


class Still:
    """A clock that stands in the middle of an hour and of a minute: at their ends the library's counts slide on."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def time() -> float:
        return 1_760_002_200.0 + 30


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("limits.storage.memory", "limits.strategies", "webapp.security.rate_limits"):
        monkeypatch.setattr(f"{module}.time", Still)


def browser(app: Flask) -> FlaskClient:
    """Return a client that has its cookie."""
    client = app.test_client()
    client.get("/", environ_overrides=FROM)
    return client


def post_wallets(client: FlaskClient, **options: Any) -> Any:
    return client.post("/analyses", json=WALLETS, environ_overrides=FROM, **options)


def test_reads_over_the_limit_are_refused_with_the_time_to_wait(make_app: Any) -> None:
    client = make_app(READS_PER_MINUTE="3").test_client()
    found = [client.get("/activity.json", environ_overrides=FROM) for _ in range(4)]
    assert [one.status_code for one in found] == [200, 200, 200, 429]
    refused = found[-1]
    assert refused.json["error"]["code"] == "too_many_requests"
    assert refused.json["error"]["message"].startswith("The limit of 3 pages a minute was reached. Try again in ")
    assert 1 <= int(refused.headers["Retry-After"]) <= 141
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


def test_a_refusal_is_a_page_for_a_browser(make_app: Any) -> None:
    client = make_app(READS_PER_MINUTE="1").test_client()
    client.get("/", environ_overrides=FROM)
    client.get("/", environ_overrides=FROM)
    page = client.get("/", environ_overrides=FROM)
    assert page.status_code == 429
    assert "The limit of 1 pages a minute was reached." in page.text
    assert "<html" in page.text


def test_posts_are_counted_apart_from_reads(make_app: Any) -> None:
    client = make_app(POSTS_PER_MINUTE="2", READS_PER_MINUTE="2").test_client()
    for _ in range(2):
        assert client.get("/activity.json", environ_overrides=FROM).status_code == 200
        assert client.post("/analyses/preview", json=WALLETS, environ_overrides=FROM).status_code == 200
    answer = client.post("/analyses/preview", json=WALLETS, environ_overrides=FROM)
    assert answer.status_code == 429
    assert "2 changes a minute" in answer.json["error"]["message"]


def test_analyses_are_limited_by_the_hour_and_mistakes_do_not_count(make_app: Any) -> None:
    client = make_app(ANALYSES_PER_HOUR="2").test_client()
    for _ in range(3):
        assert client.post("/analyses", json={"wallets": [A]}, environ_overrides=FROM).status_code == 422
    first, second = post_wallets(client), post_wallets(client)
    assert (first.status_code, second.status_code) == (202, 202)
    refused = post_wallets(client)
    assert refused.status_code == 429
    assert "2 analyses an hour" in refused.json["error"]["message"]
    again = client.post(f"/analyses/{first.json['id']}/rerun", json={}, environ_overrides=FROM)
    assert again.status_code == 429, "an analysis that is run again is one more"
    assert client.get(f"/analyses/{first.json['id']}.json", environ_overrides=FROM).status_code == 200


def test_a_form_over_the_limit_says_so_too(make_app: Any) -> None:
    client = browser(make_app(ANALYSES_PER_HOUR="1"))
    for status in (303, 429):
        sent = {"csrf_token": token(client), "addresses": f"{A}\n{B}"}
        answer = client.post("/analyses", data=sent, environ_overrides=FROM)
        assert answer.status_code == status
    assert "go back" in answer.text


def test_browsers_behind_one_address_do_not_share_a_limit(make_app: Any) -> None:
    app = make_app(ANALYSES_PER_HOUR="1")
    assert [post_wallets(browser(app)).status_code for _ in range(3)] == [202, 202, 202]


def test_three_hundred_browsers_of_one_address_may_poll_two_analyses_each() -> None:
    """A page that waits asks for its progress, its tokens and their cells."""
    chosen = read_settings({})
    polls_per_minute = 2 * 3 * 60 / progress.POLL_S
    assert polls_per_minute <= chosen.reads_per_minute
    assert 300 * polls_per_minute <= chosen.reads_per_minute * CROWD


def test_a_browser_takes_its_limit_along(make_app: Any) -> None:
    client = browser(make_app(ANALYSES_PER_HOUR="1"))
    assert post_wallets(client).status_code == 202
    assert client.post("/analyses", json=WALLETS, environ_overrides=ELSEWHERE).status_code == 429


def test_a_new_cookie_for_each_request_is_bounded_by_the_address(make_app: Any) -> None:
    app = make_app(ANALYSES_PER_HOUR="1")
    found = [post_wallets(browser(app)).status_code for _ in range(11)]
    assert found == [202] * 10 + [429]
    assert app.test_client().post("/analyses", json=WALLETS, environ_overrides=ELSEWHERE).status_code == 202


def test_an_address_alone_is_the_client_of_a_program_without_cookies(make_app: Any) -> None:
    app = make_app(ANALYSES_PER_HOUR="1")
    assert post_wallets(app.test_client()).status_code == 202
    assert post_wallets(app.test_client()).status_code == 429


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("", "unknown", False),
    ],
)
def test_a_subscriber_of_ipv6_is_one_client(one: str, other: str, same: bool) -> None:
    assert (_network(one) == _network(other)) is same


def test_the_operator_is_not_limited(make_app: Any) -> None:
    local = make_app(READS_PER_MINUTE="1").test_client()
    assert {local.get("/activity.json").status_code for _ in range(5)} == {200}
    bearer = {"Authorization": "Bearer " + "t" * 16}
    client = make_app(READS_PER_MINUTE="1", OPERATOR_TOKEN="t" * 16).test_client()
    found = [client.get("/activity.json", headers=bearer, environ_overrides=FROM).status_code for _ in range(5)]
    assert set(found) == {200}
    assert [client.get("/activity.json").status_code for _ in range(2)] == [200, 429], "loopback is nobody special then"


def test_files_and_health_are_not_counted(make_app: Any) -> None:
    client = make_app(READS_PER_MINUTE="1").test_client()
    for path in ("/healthz", "/readyz", "/static/app.css", "/favicon.ico"):
        assert 429 not in {client.get(path, environ_overrides=FROM).status_code for _ in range(3)}, path


def test_no_limit_is_zero(make_app: Any) -> None:
    client = make_app(READS_PER_MINUTE="0", POSTS_PER_MINUTE="0", ANALYSES_PER_HOUR="0").test_client()
    assert {client.get("/activity.json", environ_overrides=FROM).status_code for _ in range(5)} == {200}
    assert {post_wallets(client).status_code for _ in range(5)} == {202}


def _few() -> LimitRule:
    from limits import RateLimitItemPerHour

    rule = _rule("things an hour", RateLimitItemPerHour, 2, 10)
    assert rule is not None
    return rule


def test_two_processes_share_the_count_through_redis(redis_url: str) -> None:
    who, rule = f"client {time.time()}", _few()
    first, second = RequestCounter(redis_url), RequestCounter(redis_url)
    assert first.hit(rule.own, who)
    assert second.hit(rule.own, who)
    assert not first.hit(rule.own, who)
    assert not second.has_room(rule.own, who)
    assert 1 <= second.wait_s(rule.own, who) <= 2 * 3600 + 1800


def test_redis_holds_neither_addresses_nor_cookies(make_app: Any, redis_url: str) -> None:
    import redis

    client = browser(make_app(REDIS_URL=redis_url))
    client.get("/activity.json", environ_overrides=FROM)
    with client.session_transaction() as kept:
        cookie = kept["browser"]
    with redis.Redis.from_url(redis_url) as connection:
        names = b"\n".join(name for name in connection.scan_iter("walletkin*"))
    assert b"pages a minute" in names
    assert b"203.0.113.7" not in names
    assert cookie.encode() not in names


def test_without_redis_requests_are_let_in_and_counted_alone(make_app: Any, caplog: pytest.LogCaptureFixture) -> None:
    gone = f"redis://127.0.0.1:{servers.free_port()}/0"
    client = make_app(REDIS_URL=gone, READS_PER_MINUTE="3").test_client()
    found = [client.get("/activity.json", environ_overrides=FROM).status_code for _ in range(4)]
    assert found == [200, 200, 200, 429]
    assert caplog.text.count("each process counts the requests of its clients alone") == 1


def test_the_count_is_shared_again_when_redis_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timing(monkeypatch, counter_away_s=0.0)
    rule = _few()
    with servers.redis() as url:
        counter, other = RequestCounter(url), RequestCounter(url)
        assert counter.hit(rule.own, "somebody")
        counter._shared, kept = RequestCounter(f"redis://127.0.0.1:{servers.free_port()}")._shared, counter._shared
        assert counter.hit(rule.own, "somebody"), "alone, nothing was counted yet"
        counter._shared = kept
        assert counter.hit(rule.own, "somebody")
        assert not other.hit(rule.own, "somebody")
