"""Running an analysis again with other parameters: a new analysis, linked to the old, and nothing is read."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.storage import database
from tasks.storage.models.jobs import Job
from tasks.storage.models.wallets import Wallet
from tests.support.site import KEY, address, buys, finish, mint, post_form, row, start, sync, work


@pytest.fixture
def old(client: FlaskClient) -> str:
    """A complete analysis of three alike wallets, each 30 s behind the one before."""
    wallets = [sync(f"again {i}", buys(1, 2, 3, 4, at=30 * i)) for i in range(3)]
    return finish(client, wallets)


def syncs() -> int:
    with database.session():
        return int(Job.select().where(Job.kind == "sync", Job.state == "queued").count())


def test_json_makes_a_new_analysis_linked_to_the_old(old: str, client: FlaskClient) -> None:
    before = client.get(f"/analyses/{old}.json").json
    answer = client.post(f"/analyses/{old}/rerun", json={"tau": 0.7, "exclude": [mint(0), mint(1)]})
    assert answer.status_code == 202
    assert set(answer.json) == {"id", "url", "jobs", "accepted", "duplicates", "rejected"}
    work()
    shape = client.get(f"/analyses/{answer.json['id']}.json").json
    assert (shape["state"], shape["parent"]) == ("complete", old)
    expected = {**before["parameters"], "tau": 0.7, "exclude": [mint(0), mint(1)]}
    assert shape["parameters"] == expected
    assert {one["mints"] for one in shape["wallets"]} == {2}
    assert client.get(f"/analyses/{old}.json").json == before
    assert old in client.get(answer.json["url"]).text


def test_nothing_is_read_however_old_the_data_are(old: str, client: FlaskClient) -> None:
    with database.session():
        Wallet.update(synced_at=1.0).execute()
        Wallet.update(state="partial", reason="Some of it.").where(Wallet.address == address("again 1")).execute()
    before = syncs()
    key = client.post(f"/analyses/{old}/rerun", json={}).json["id"]
    assert syncs() == before
    work()
    assert client.get(f"/analyses/{key}.json").json["state"] == "complete"


def test_the_timing_window_decides_what_matches(old: str, client: FlaskClient) -> None:
    assert client.get(f"/analyses/{old}/pairs.json?sort=matched").json["pairs"][0]["matched"] == 4
    key = client.post(f"/analyses/{old}/rerun", json={"timing_window_s": 10}).json["id"]
    work()
    assert client.get(f"/analyses/{key}/pairs.json?sort=matched").json["pairs"][0]["matched"] == 0


def test_a_form_leads_to_the_new_analysis(old: str, client: FlaskClient) -> None:
    form = {"tau": "0.6", "timing_window_s": "300", "window_days": "", "exclude": ["", f"{mint(3)}\n"]}
    answer = post_form(client, f"/analyses/{old}/rerun", form)
    assert answer.status_code == 303
    key = KEY.search(answer.location)
    assert key
    made = row(key[0])
    assert (made.tau, made.timing_window_s, made.window_days) == (0.6, 300, None)
    assert made.exclude == f'["{mint(3)}"]'
    assert made.owner == row(old).owner or made.owner is not None


def test_the_same_form_twice_is_one_analysis(old: str, client: FlaskClient) -> None:
    form = {"tau": "0.6", "idempotency_key": "once"}
    first, second = (post_form(client, f"/analyses/{old}/rerun", form).location for _ in range(2))
    assert first == second
    other = post_form(client, f"/analyses/{old}/rerun", {**form, "tau": "0.7"}).location
    assert other != first


def test_htmx_is_sent_on(old: str, client: FlaskClient) -> None:
    answer = post_form(client, f"/analyses/{old}/rerun", {"tau": "0.6"}, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert KEY.search(answer.headers["HX-Redirect"])


def test_a_wrong_form_is_shown_again_with_what_was_typed(old: str, client: FlaskClient) -> None:
    answer = post_form(client, f"/analyses/{old}/rerun", {"tau": "7", "exclude": "nonsense"})
    assert answer.status_code == 422
    assert "Nothing has started." in answer.text
    assert "nonsense" in answer.text
    assert "“tau” must be" in answer.text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"tau": 0}, 422, "invalid_input"),
        ({"tau": "high"}, 400, "wrong_type"),
        ({"timing_window_s": 1.5}, 400, "wrong_type"),
        ({"window_days": -1}, 422, "invalid_input"),
        ({"exclude": ["nonsense"]}, 422, "invalid_input"),
        ({"wallets": []}, 400, "unknown_key"),
        ([], 400, "invalid_json"),
    ],
)
def test_json_that_cannot_be_is_refused(old: str, client: FlaskClient, body: Any, status: int, code: str) -> None:
    answer = client.post(f"/analyses/{old}/rerun", json=body)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)


def test_a_running_analysis_is_not_run_again(client: FlaskClient) -> None:
    key = start(client, [address("p"), address("q")])
    assert client.post(f"/analyses/{key}/rerun", json={}).status_code == 409
    assert 'id="rerun"' not in client.get(f"/analyses/{key}").text


def test_the_page_offers_what_can_be_changed(old: str, client: FlaskClient) -> None:
    page = client.get(f"/analyses/{old}").text
    form = page[page.index('id="rerun"') :]
    for name in ("tau", "timing_window_s", "window_days", "exclude"):
        assert f'name="{name}"' in form
    for text in ("10 s", "1 min", "5 min", "1 h"):
        assert text in form
