"""The tokens of an analysis as a whole: how many are known, what its jobs came to, and asking for prices again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.enrichment import triggers
from tasks.storage import database
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.tokens import Token
from tests.support.site import address, finish, mint, post_form, start, token

HTMX = {"HX-Request": "true"}
A, B = address("a"), address("b")
REMOTE = {"REMOTE_ADDR": "203.0.113.7"}
MINTS = [mint(i) for i in (0, 1, 2, 3, 4, 5, 20, 21, 22)]


@pytest.fixture
def key(client: FlaskClient, five_wallets: list[str]) -> str:
    """A complete analysis of nine tokens that nobody has looked up, with its enrichment waiting."""
    return finish(client, five_wallets)


def settle(status: str = "resolved", **change: Any) -> None:
    """Make every token known, and end the jobs that ask for them."""
    with database.session():
        Token.update(status=status, last_updated=database.now_s(), priority=None, **change).execute()
        counts = {"asked": 9, "resolved": 7, "unlisted": 1, "failed": 1}
        now = database.now_s()
        ended = {"state": "succeeded", "started_at": now - 3, "finished_at": now, "counts": json.dumps(counts)}
        Job.update(**ended).where(Job.queue == "enrichment").execute()


def newest(kind: str) -> Job:
    with database.session():
        found: Job = Job.select().where(Job.kind == kind).order_by(Job.enqueued_at.desc()).get()
    return found


@pytest.fixture
def on_screen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a refresh was told to be on screen; it goes on to the real refresh."""
    told: list[str] = []
    real = triggers.refresh

    def refresh(analysis: Analysis, mints: list[str]) -> str:
        told[:] = mints
        return real(analysis, mints)

    monkeypatch.setattr(triggers, "refresh", refresh)
    return told


# What is known


def test_the_enrichment_in_json(client: FlaskClient, key: str) -> None:
    with database.session():
        Token.update(status="unlisted").where(Token.mint == mint(0)).execute()
        Token.update(status="failed").where(Token.mint == mint(1)).execute()
    shape = client.get(f"/analyses/{key}/enrichment.json").json
    assert list(shape) == ["pending", "resolved", "unlisted", "failed", "jobs"]
    assert [shape[one] for one in ("pending", "resolved", "unlisted", "failed")] == [7, 0, 1, 1]
    (job,) = shape["jobs"]
    assert (job["kind"], job["state"], job["tier"], job["counts"]) == ("enrich", "queued", "analysis", None)
    assert job["analyses"] == [key]


def test_an_analysis_without_a_result_has_no_tokens(client: FlaskClient) -> None:
    key = start(client, [A, B])
    shape = client.get(f"/analyses/{key}/enrichment.json").json
    assert shape == {"pending": 0, "resolved": 0, "unlisted": 0, "failed": 0, "jobs": []}
    assert "No result yet" in client.get(f"/analyses/{key}/enrichment").text
    assert client.get(f"/analyses/{key}/enrichment", headers=HTMX).status_code == 286
    assert "Name and price tokens" in client.get(f"/analyses/{key}").text, "it has its place from the start"


def test_who_knows_the_analysis_sees_its_jobs_from_anywhere(client: FlaskClient, key: str) -> None:
    stranger = client.application.test_client()
    shape = stranger.get(f"/analyses/{key}/enrichment.json", environ_overrides=REMOTE).json
    assert shape["jobs"][0]["analyses"] == [key]


def test_the_card_polls_until_nothing_is_left_to_wait_for(client: FlaskClient, key: str) -> None:
    path = f"/analyses/{key}/enrichment"
    answer = client.get(path, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert f'hx-get="{path}" hx-trigger="every 2s"' in answer.text
    assert "Waiting for its turn" in answer.text
    settle()
    last = client.get(path, headers=HTMX)
    assert last.status_code == 286
    assert "hx-trigger" not in last.text
    assert "9 looked up: 7 found, 1 without a market, 1 failed" in last.text
    assert client.get(path).status_code == 200


def test_the_card_is_on_the_page_of_the_analysis(client: FlaskClient, key: str) -> None:
    page = client.get(f"/analyses/{key}").text
    assert f'hx-get="/analyses/{key}/enrichment"' in page
    assert 'http-equiv="refresh"' in page
    settle()
    page = client.get(f"/analyses/{key}").text
    assert f'hx-get="/analyses/{key}/enrichment"' not in page
    assert 'http-equiv="refresh"' not in page
    assert 'id="tokens-resolved"' in page


def test_a_poll_for_the_tokens_of_an_analysis_that_is_gone_ends(client: FlaskClient) -> None:
    path = f"/analyses/{'0' * 32}/enrichment"
    assert client.get(path, headers=HTMX).status_code == 286
    assert client.get(path).status_code == 404
    assert client.get(f"{path}.json").json["error"]["code"] == "not_found"


def test_a_failure_says_why_and_what_to_do(client: FlaskClient, key: str) -> None:
    settle()
    with database.session():
        Job.update(state="failed", error="both markets answered 503", counts=None).where(Job.kind == "enrich").execute()
    page = client.get(f"/analyses/{key}").text
    assert "Not refreshed: see why" in page
    assert "both markets answered 503" in page
    page = client.get(f"/analyses/{key}/enrichment").text
    assert "Both markets answered 503." in page
    assert "“Refresh prices” tries again." in page


def test_the_progress_of_a_job_is_shown_while_it_runs(client: FlaskClient, key: str) -> None:
    client.post(f"/analyses/{key}/refresh", json={})
    with database.session():
        Job.update(state="running", done=12, total=70).where(Job.kind == "refresh").execute()
    text = client.get(f"/analyses/{key}/enrichment", headers=HTMX).text
    assert text.count("12 of 70 looked up") == 2, "on the button, and beside the bar"
    assert 'aria-disabled="true"' in text


# Asking again


def test_a_refresh_by_json(client: FlaskClient, key: str, on_screen: list[str]) -> None:
    settle()
    answer = client.post(f"/analyses/{key}/refresh", json={"mints": [mint(2), "nonsense", 5, mint(1), mint(2)]})
    assert answer.status_code == 202
    assert (answer.json["kind"], answer.json["tier"], answer.json["state"]) == ("refresh", "user", "queued")
    assert answer.json["analyses"] == [key]
    assert answer.json["id"] == newest("refresh").id
    assert on_screen == [mint(2), mint(1)]


def test_a_refresh_by_form_goes_back_to_its_page(client: FlaskClient, key: str, on_screen: list[str]) -> None:
    settle()
    answer = post_form(client, f"/analyses/{key}/refresh", {"mints": f"{mint(3)},x", "next": f"/analyses/{key}/pairs"})
    assert (answer.status_code, answer.location) == (303, f"/analyses/{key}/pairs")
    assert on_screen == [mint(3)]
    assert post_form(client, f"/analyses/{key}/refresh").location == f"/analyses/{key}"
    assert post_form(client, f"/analyses/{key}/refresh", {"next": "//evil.example"}).location == f"/analyses/{key}"


def test_a_refresh_by_htmx_answers_with_the_card(client: FlaskClient, key: str) -> None:
    settle()
    headers = HTMX | {"X-CSRFToken": token(client), "HX-Target": "enrichment"}
    answer = client.post(f"/analyses/{key}/refresh", data={"mints": mint(0)}, headers=headers)
    assert answer.status_code == 200
    assert answer.text.strip().startswith("<section")
    assert "hx-trigger" in answer.text
    assert "Looking up…" in answer.text


def test_without_mints_the_most_common_ones_come_first(client: FlaskClient, key: str, on_screen: list[str]) -> None:
    settle()
    for body in ({}, {"mints": []}, {"mints": ["nonsense"]}, {"mints": None}):
        client.post(f"/analyses/{key}/refresh", json=body)
        assert set(on_screen) == set(MINTS)
        assert on_screen[0] == mint(0)


def test_at_most_150_mints_count_as_on_screen(client: FlaskClient, key: str, on_screen: list[str]) -> None:
    many = [address(f"many {i}") for i in range(400)]
    assert client.post(f"/analyses/{key}/refresh", json={"mints": many}).status_code == 202
    assert on_screen == many[:150]


def test_a_refreshed_token_is_awaited(client: FlaskClient, key: str) -> None:
    settle(asked_at=None)
    path = f"/tokens?mints={mint(0)}"
    assert client.get(path, headers=HTMX).status_code == 286
    client.post(f"/analyses/{key}/refresh", json={"mints": [mint(0)]})
    assert client.get(path, headers=HTMX).status_code == 204
    assert "data-awaited" in client.get(path).text


def test_without_a_result_there_is_nothing_to_refresh(client: FlaskClient) -> None:
    key = start(client, [A, B])
    answer = client.post(f"/analyses/{key}/refresh", json={})
    assert answer.status_code == 409
    assert answer.json["error"]["code"] == "conflict"
    assert post_form(client, f"/analyses/{key}/refresh", {"mints": mint(0)}).status_code == 409


def test_a_refresh_needs_its_token_and_a_sensible_body(client: FlaskClient, key: str) -> None:
    assert client.post(f"/analyses/{key}/refresh", data={"mints": mint(0)}).status_code == 400
    foreign = client.post(f"/analyses/{key}/refresh", json={}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert client.post(f"/analyses/{key}/refresh", json=[mint(0)]).json["error"]["code"] == "bad_request"
    assert client.post(f"/analyses/{'0' * 32}/refresh", json={}).status_code == 404


# The log


def test_the_log_says_what_came_of_asking(client: FlaskClient, key: str) -> None:
    client.post(f"/analyses/{key}/refresh", json={})
    settle()
    assert client.get("/activity.json?kind=refresh").json["jobs"][0]["counts"]["resolved"] == 7
    page = client.get("/activity?kind=refresh").text
    assert "Refresh prices" in page
    assert "9 looked up: 7 found, 1 without a market, 1 failed" in page
    job = client.get(f"/jobs/{newest('refresh').id}").text
    assert "9 looked up: 7 found, 1 without a market, 1 failed" in job
    assert "3\u00a0s" in job
    assert client.get("/activity.json?kind=sync").json["jobs"] == []


def test_the_upkeep_of_the_registry_has_a_name_that_is_no_secret(client: FlaskClient, key: str) -> None:
    triggers.maintain()
    for options in ({}, {"environ_overrides": REMOTE}):
        page = client.get("/activity?kind=maintain", **options).text
        assert "Keep prices fresh" in page
        assert "all tokens" in page


def test_the_page_leads_to_the_tokens_of_each_state(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session(), database.write():
        Token.update(status="failed", last_error="It refused.").where(Token.mint == mint(1)).execute()
    page = client.get(f"/analyses/{key}/enrichment").text
    link = f'href="/tokens?mints={mint(1)}&amp;analysis={key}">Lookup failed</a>'
    assert link in page
    assert ">Not known yet</a>" in page
    assert ">Resolved</a>" not in page
