"""The log of jobs: who sees what of it, paging, filters, and cancelling a job."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.jobs import claims
from tasks.storage import database
from tasks.storage.models.jobs import Job
from tests.support.site import address, buys, finish, one_line, post_form, start, sync, work
from webapp.markup.labels import JOB_KINDS
from webapp.presenters import jobs
from webapp.presenters.jobs import STATES

TOKEN = "operator-token-1234"
A, B, C = (address(i) for i in range(3))
HTMX = {"HX-Request": "true"}
REMOTE = {"REMOTE_ADDR": "203.0.113.7"}


def failed_job(subject: str) -> str:
    with database.session():
        claim = claims.claim_job(Job.get(Job.target == subject).id)
        assert claim is not None
        with database.write():
            claims.finish(claim, "failed", error="The endpoint refused.")
    return claim.job_id


def only(client: FlaskClient, query: str = "", **options: Any) -> list[dict[str, Any]]:
    return list(client.get(f"/activity.json{query}", **options).json["jobs"])


# Polls


def test_the_polls_of_the_log_and_of_a_job_end_when_nothing_is_pending(client: FlaskClient) -> None:
    start(client, [A, B])
    job_id = failed_job(A)
    paths = (f"/jobs/{job_id}", "/activity", "/activity?state=failed")
    assert [client.get(path, headers=HTMX).status_code for path in paths] == [286, 200, 286]
    failed_job(B)
    work()
    assert [client.get(path, headers=HTMX).status_code for path in paths] == [286, 286, 286]
    assert [client.get(path).status_code for path in paths] == [200, 200, 200]


def test_a_poll_of_a_vanished_job_ends_and_shows_why(client: FlaskClient) -> None:
    answer = client.get(f"/jobs/{'0' * 32}", headers=HTMX | {"HX-Target": "job"})
    assert answer.status_code == 286
    assert "There is no such job." in answer.text
    assert answer.headers["HX-Reselect"] == ".error-page", "else hx-select would find nothing to show"
    assert client.get(f"/jobs/{'0' * 32}").status_code == 404


def test_every_kind_of_job_has_one_name(client: FlaskClient, five_wallets: list[str]) -> None:
    finish(client, five_wallets)
    page = client.get("/activity").text
    assert '<option value="similarity">Compare pairs</option>' in page
    assert ">Compare pairs</a>" in page


# Shapes


def test_a_job_in_json(client: FlaskClient) -> None:
    key = start(client, [A, B])
    job_id = failed_job(A)
    shape = client.get(f"/jobs/{job_id}.json").json
    assert set(shape) == {
        "id", "kind", "subject", "analyses", "tier", "state", "done", "total", "attempts", "counts", "error",
        "enqueued_at", "started_at", "finished_at", "events",
    }  # fmt: skip
    assert (shape["kind"], shape["subject"], shape["tier"], shape["state"]) == ("sync", A, "user", "failed")
    assert shape["analyses"] == [key]
    assert shape["error"] == "The endpoint refused."
    assert [event["state"] for event in shape["events"]] == ["queued", "running", "failed"]
    assert shape["events"][0]["at"].endswith("Z")
    assert shape["finished_at"].endswith("Z")


def test_the_pages_of_the_log_and_of_a_job(client: FlaskClient) -> None:
    key = start(client, [A, B])
    job_id = failed_job(A)
    page = client.get("/activity").text
    assert job_id in page
    assert f"/analyses/{key}" in page
    block = client.get("/activity", headers={"HX-Request": "true", "HX-Target": "jobs"}).text
    assert "<html" not in block
    assert job_id in block
    assert "The endpoint refused." in client.get(f"/jobs/{job_id}").text
    fragment = client.get(f"/jobs/{job_id}", headers={"HX-Request": "true", "HX-Target": "job"}).text
    assert 'id="job"' in fragment
    assert "<html" not in fragment


def test_the_log_is_paged_and_filtered(client: FlaskClient) -> None:
    start(client, [address(f"p {i}") for i in range(25)])
    failed_job(address("p 3"))
    found: list[str] = []
    after = ""
    while after is not None:
        shape = client.get(f"/activity.json?limit=7&after={after}").json
        found += [job["id"] for job in shape["jobs"]]
        after = shape["next"]
    assert len(found) == len(set(found)) == 25
    assert len(only(client, "?state=failed")) == 1
    assert len(only(client, "?kind=sync&state=queued")) == 24
    assert only(client, "?kind=similarity") == []
    for query in ("state=lost", "kind=x", "limit=0", "limit=999", "after=x"):
        assert client.get(f"/activity.json?{query}").status_code == 400


def test_every_job_comes_to_its_end(client: FlaskClient, five_wallets: list[str]) -> None:
    finish(client, five_wallets)
    states = {job["kind"]: job["state"] for job in only(client)}
    assert states.pop("enrich") == "queued", "nobody does enrichment in this test"
    assert set(states.values()) == {"succeeded"}


# Who sees what


def hidden(shape: dict[str, Any]) -> bool:
    secrets = (shape["subject"], shape["analyses"], shape["error"], *(event["detail"] for event in shape["events"]))
    return all(value is None for value in secrets)


def test_this_machine_sees_all_when_no_token_is_set(client: FlaskClient) -> None:
    start(client, [A, B])
    assert {job["subject"] for job in only(client)} == {A, B}


@pytest.mark.parametrize(
    "options",
    [
        {"environ_overrides": REMOTE},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=127.0.0.1"}},
        {"base_url": "http://rebound.example"},
    ],
)
def test_others_see_the_jobs_but_not_whose_they_are(app: Flask, options: dict[str, Any]) -> None:
    start(app.test_client(), [A, B])
    job_id = failed_job(A)
    stranger = app.test_client()
    shapes = only(stranger, **options)
    assert len(shapes) == 2
    assert all(map(hidden, shapes))
    assert hidden(stranger.get(f"/jobs/{job_id}.json", **options).json)
    page = stranger.get("/activity", **options).text
    assert A not in page
    assert "The endpoint refused." not in page
    assert stranger.get(f"/jobs/{job_id}", **options).status_code == 200


def test_behind_a_proxy_nobody_is_local(make_app: Callable[..., Flask]) -> None:
    client = make_app(PROXY_HOPS="1").test_client()
    start(client, [A, B])
    assert all(map(hidden, only(client)))


def test_the_owner_sees_their_own_jobs_only(app: Flask) -> None:
    owner, other = app.test_client(), app.test_client()
    post_form(owner, "/analyses", {"addresses": f"{A}\n{B}"})
    post_form(other, "/analyses", {"addresses": f"{B}\n{C}"})
    seen = {job["subject"] for job in only(owner, environ_overrides=REMOTE)}
    assert seen == {A, B, None}
    shared = next(job for job in only(owner, environ_overrides=REMOTE) if job["subject"] == B)
    assert len(shared["analyses"]) == 1


def test_naming_an_analysis_shows_its_jobs_and_no_others(app: Flask) -> None:
    client = app.test_client()
    key = start(client, [A, B])
    start(client, [C, address("d")])
    shapes = only(client, f"?analysis={key}", environ_overrides=REMOTE)
    assert {job["subject"] for job in shapes} == {A, B}
    assert {tuple(job["analyses"] or ()) for job in shapes} == {(key,)}
    assert only(client, f"?analysis={'0' * 32}") == []


def test_the_operator_sees_all_by_the_token_and_nobody_by_place(make_app: Callable[..., Flask]) -> None:
    client = make_app(OPERATOR_TOKEN=TOKEN).test_client()
    start(client, [A, B])
    assert all(map(hidden, only(client)))
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"X-Operator-Token": TOKEN}):
        assert {job["subject"] for job in only(client, headers=headers, environ_overrides=REMOTE)} == {A, B}
    for headers in ({"Authorization": "Bearer wrong"}, {"X-Operator-Token": "é"}, {"Authorization": TOKEN}):
        assert all(map(hidden, only(client, headers=headers)))


# Words


def outcomes(page: str) -> list[str]:
    cells = re.findall(r'<td class="job-told">(.*?)</td>', page, re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in cells]


def test_every_job_of_the_log_says_where_it_stands(client: FlaskClient, five_wallets: list[str]) -> None:
    finish(client, five_wallets)
    start(client, [A, B])
    failed_job(A)
    told = outcomes(client.get("/activity").text)
    went_on = "The analysis continues without this wallet; retry it in the table of wallets."
    assert sorted(told[:2]) == [f"The endpoint refused. {went_on}", "Waiting for its turn"]
    assert told[2:] == ["Waiting for its turn", "5 wallets compared"]


def job(*details: str, **columns: Any) -> jobs.VisibleJob:
    row = {"kind": "enrich", "state": "running", "error": None, "counts": None, "done": 3, "total": None} | columns
    return jobs.VisibleJob(row, [{"detail": detail} for detail in details], [], ["analysis"])


@pytest.mark.parametrize("kind", JOB_KINDS)
@pytest.mark.parametrize("state", STATES)
def test_there_are_words_for_every_kind_and_state(kind: str, state: str) -> None:
    found = job(kind=kind, state=state)
    assert jobs.describe_outcome(found)
    assert (jobs.next_step(found) is not None) is (state == "failed")


def test_a_job_says_what_it_is_doing_and_what_came_of_it() -> None:
    assert jobs.describe_outcome(job(done=7, total=1_200)) == "7 of 1,200 tokens"
    counts = {"asked": 70, "resolved": 66, "unlisted": 3, "failed": 1}
    assert (
        jobs.describe_outcome(job(state="succeeded", counts=counts))
        == "70 looked up: 66 found, 3 without a market, 1 failed"
    )
    assert jobs.describe_outcome(job(state="succeeded")) == "Nothing to look up: all were up to date"
    assert jobs.describe_outcome(job(state="failed")) == "Failed. You do not have access to the reason."
    assert jobs.describe_outcome(job("The analysis has ended.", state="cancelled")) == "The analysis has ended."


def test_a_job_has_a_timeline_and_what_to_do_next(client: FlaskClient) -> None:
    key = start(client, [A, B], label="<b>Mine</b>")
    page = client.get(f"/jobs/{failed_job(A)}").text
    assert re.findall(r'<li class="timeline-(\w+)">', page) == ["queued", "running", "failed"]
    assert page.count("after ") >= 2
    assert "retry it in the table of wallets" in page
    assert f'href="/analyses/{key}"><bdi>&lt;b&gt;Mine&lt;/b&gt;</bdi>' in page


def test_a_stranger_learns_that_a_job_failed_and_not_why(app: Flask) -> None:
    start(app.test_client(), [A, B])
    job_id = failed_job(A)
    page = app.test_client().get(f"/jobs/{job_id}", environ_overrides=REMOTE).text
    assert "The endpoint refused." not in page
    assert "Failed. You do not have access to the reason." in page


def test_the_log_is_narrowed_to_an_analysis_by_a_form(app: Flask) -> None:
    client = app.test_client()
    mine = post_form(client, "/analyses", {"addresses": f"{A}\n{B}", "label": "Mine"}).location.rpartition("/")[2]
    start(client, [C, address("d")])
    assert f'<option value="{mine}">Mine</option>' in client.get("/activity").text
    page = one_line(client.get(f"/activity?analysis={mine}&kind=sync").text)
    assert f'<option value="{mine}" selected>Mine</option>' in page
    assert len(outcomes(page)) == 2
    assert "No matching jobs." in client.get(f"/activity?analysis={mine}&state=cancelled").text


# Cancelling


def job_of(subject: str) -> str:
    with database.session():
        return str(Job.get(Job.target == subject).id)


def state_of(client: FlaskClient, key: str, wallet: str) -> tuple[str, str | None]:
    shape = client.get(f"/analyses/{key}.json").json
    return next((one["state"], one["reason"]) for one in shape["wallets"] if one["address"] == wallet)


def test_a_cancelled_sync_lets_its_analysis_go_on(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, [*five_wallets, A])
    answer = client.post(f"/jobs/{job_of(A)}/cancel", json={})
    assert answer.status_code == 200
    assert answer.json["state"] == "cancelled"
    assert state_of(client, key, A) == ("failed", "Cancelled.")
    work()
    assert client.get(f"/analyses/{key}.json").json["state"] == "complete"


def test_cancelling_is_for_those_who_may_see(app: Flask) -> None:
    owner, stranger = app.test_client(), app.test_client()
    post_form(owner, "/analyses", {"addresses": f"{A}\n{B}"})
    answer = stranger.post(f"/jobs/{job_of(A)}/cancel", json={}, environ_overrides=REMOTE)
    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "forbidden"
    mine = post_form(owner, f"/jobs/{job_of(A)}/cancel", environ_overrides=REMOTE)
    assert mine.status_code == 303
    assert mine.location == f"/jobs/{job_of(A)}"


def test_a_job_that_another_analysis_waits_for_goes_on(app: Flask) -> None:
    owner, other = app.test_client(), app.test_client()
    mine = post_form(owner, "/analyses", {"addresses": f"{A}\n{B}"}).location.rpartition("/")[2]
    theirs = post_form(other, "/analyses", {"addresses": f"{B}\n{C}"}).location.rpartition("/")[2]
    assert post_form(owner, f"/jobs/{job_of(B)}/cancel", environ_overrides=REMOTE).status_code == 303
    assert state_of(owner, mine, B) == ("failed", "Cancelled.")
    assert state_of(other, theirs, B) == ("waiting", None)
    with database.session():
        assert Job.get(Job.target == B).state == "queued"
    again = owner.post(f"/jobs/{job_of(B)}/cancel", json={}, environ_overrides=REMOTE)
    assert again.status_code == 409


def test_cancelling_the_comparison_cancels_the_analysis(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, five_wallets)
    assert client.post(f"/jobs/{job_of(key)}/cancel", json={}).status_code == 200
    assert client.get(f"/analyses/{key}.json").json["state"] == "cancelled"


def test_an_ended_job_cannot_be_cancelled(client: FlaskClient) -> None:
    start(client, [A, B])
    job_id = failed_job(A)
    assert client.post(f"/jobs/{job_id}/cancel", json={}).status_code == 409


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/activity?state=queued", True),
        ("/", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("/\t/evil.example", False),
        ("https://evil.example/", False),
    ],
)
def test_a_form_may_name_the_page_to_go_on_with(client: FlaskClient, wanted: str, reached: bool) -> None:
    start(client, [A, B])
    answer = post_form(client, f"/jobs/{job_of(A)}/cancel", {"next": wanted})
    assert (answer.location == wanted) is reached
    assert "evil" not in answer.location


def test_a_wallet_synced_since_is_not_cancelled(client: FlaskClient) -> None:
    key = start(client, [sync("fresh", buys(1, 2, 3)), A])
    client.post(f"/jobs/{job_of(A)}/cancel", json={})
    assert state_of(client, key, address("fresh"))[0] == "synced"
