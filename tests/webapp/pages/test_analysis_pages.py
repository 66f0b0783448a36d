"""An analysis from its start to its end: page, blocks for htmx, JSON, progress, cancelling."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
from flask import template_rendered
from flask.testing import FlaskClient

from tasks.jobs import claims, priority, waiters
from tasks.pipeline import workflow
from tasks.storage import analyses, database, tokens
from tasks.storage import progress as storage_progress
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.models.base import db
from tasks.storage.models.jobs import Job
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Wallet
from tests.support.site import START_AT, address, buys, finish, mint, post_form, row, start, sync, work

HTMX = {"HX-Request": "true"}
A, B, C = (address(i) for i in range(3))


def claimed(job_kind: str, subject: str, **progress: Any) -> claims.Claim:
    with database.session():
        job = Job.get(Job.kind == job_kind, Job.target == subject)
        claim = claims.claim_job(job.id)
        assert claim is not None
        with database.write():
            claims.renew_or_raise(claim, **progress)
    return claim


# While it runs


def test_a_new_analysis_in_json(client: FlaskClient) -> None:
    key = start(client, [B, A], label="Spring")
    shape = client.get(f"/analyses/{key}.json").json
    assert list(shape) == [
        "id", "label", "state", "reason", "created_at", "finished_at", "parent", "parameters", "version", "sol_usd",
        "wallets", "rejected", "summary", "clusters", "insights", "computed_at", "provisional", "missing",
        "background", "explained",
    ]  # fmt: skip
    assert shape["state"] == "syncing"
    assert shape["created_at"].endswith("Z")
    assert shape["summary"] is None is shape["sol_usd"]
    assert [one["address"] for one in shape["wallets"]] == [B, A]
    assert shape["wallets"][0] == {
        "address": B, "label": None, "state": "waiting", "reason": None, "truncated": False, "transactions": 0,
        "trades": None, "mints": None, "cluster": None, "x": None, "y": None,
    }  # fmt: skip


def test_a_running_analysis_shows_its_progress(client: FlaskClient) -> None:
    key = start(client, [A, B], label="Spring")
    page = client.get(f"/analyses/{key}").text
    assert "Spring" in page
    assert f'hx-get="/analyses/{key}/progress"' in page
    assert 'http-equiv="refresh"' in page
    assert f"/analyses/{key}/cancel" in page


def test_progress_in_json(client: FlaskClient) -> None:
    key = start(client, [A, B])
    claimed("sync", A, done=30, total=120)
    shape = client.get(f"/analyses/{key}/progress.json").json
    assert set(shape) == {"state", "stages", "wallets", "seconds_left"}
    assert shape["wallets"][0] == {"address": A, "state": "waiting", "done": 30, "total": 120, "reason": None}
    assert shape["wallets"][1] == {"address": B, "state": "waiting", "done": 0, "total": None, "reason": None}
    assert shape["stages"] == [
        {"name": "sync", "state": "running", "done": 0, "total": 2},
        {"name": "similarity", "state": "waiting", "done": 0, "total": None},
    ]


def test_the_time_left_follows_from_the_measured_rate(client: FlaskClient) -> None:
    key = start(client, [A, B, C])
    assert client.get(f"/analyses/{key}/progress.json").json["seconds_left"] is None
    claimed("sync", A, done=50, total=100)
    with database.session():
        Job.update(started_at=database.clock() - 10).where(Job.target == A).execute()
    # 50 in 10 s; 50 are left of this wallet, and 100 are likely of each of the two others
    assert client.get(f"/analyses/{key}/progress.json").json["seconds_left"] == pytest.approx(50, rel=0.1)


def test_htmx_polls_the_progress_block(client: FlaskClient) -> None:
    key = start(client, [A, B])
    answer = client.get(f"/analyses/{key}/progress", headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert 'id="progress"' in answer.text
    assert "<html" in client.get(f"/analyses/{key}/progress").text


def test_the_last_poll_replaces_the_progress_by_the_result(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets, label="Village")
    here = {"HX-Target": "progress", "HX-Current-URL": f"http://localhost/analyses/{key}?x=1#pairs"}
    answer = client.get(f"/analyses/{key}/progress", headers=HTMX | here)
    assert answer.status_code == 286
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reswap"]) == ("#content", "innerHTML")
    assert "<html" not in answer.text
    assert re.search(r"<title>Done: Village", answer.text.partition("<svg")[0]), "drawings have titles too"
    assert 'id="summary"' in answer.text
    assert 'data-live="Done. 5\u00a0wallets, 10\u00a0pairs' in answer.text.replace("&nbsp;", "\u00a0")
    assert answer.text.count('hx-swap-oob="outerHTML"') == 2, "the sync state and the footer"
    assert "hx-swap-oob" not in client.get(f"/analyses/{key}").text


def test_polling_ends_with_286_and_leads_to_the_result(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    here = {"HX-Current-URL": f"http://localhost/analyses/{key}/progress"}
    answer = client.get(f"/analyses/{key}/progress", headers=HTMX | here)
    assert answer.status_code == 286
    assert answer.headers["HX-Redirect"] == f"/analyses/{key}"
    assert client.get(f"/analyses/{key}/progress").status_code == 200
    shape = client.get(f"/analyses/{key}/progress.json").json
    assert shape["seconds_left"] == 0
    assert {stage["state"] for stage in shape["stages"]} == {"done"}


def test_a_provisional_result_is_shown_while_wallets_come(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, [*five_wallets, A])
    work()
    shape = client.get(f"/analyses/{key}.json").json
    assert shape["state"] == "provisional"
    assert shape["summary"]["wallets"] == 5
    page = client.get(f"/analyses/{key}").text
    assert "Provisional" in page
    assert client.get(f"/analyses/{key}/pairs.json").json["total"] == 10


def test_a_poll_brings_a_newer_result_than_the_page_shows(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, [*five_wallets, A])
    work()
    path, shown = f"/analyses/{key}/progress?shown=", row(key).result_id
    old, new = (client.get(f"{path}{version}", headers=HTMX).text for version in (0, shown))
    assert f'value="{shown}"' in old
    assert f'value="{shown}"' not in new


def test_the_stages_say_what_is_being_done(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, [*five_wallets, A])
    path = f"/analyses/{key}/progress"
    for name in ("Read wallets", "Compare pairs", "Find clusters", "Name and price tokens"):
        assert name in client.get(path).text
    assert "Starts with the first wallets" in client.get(path).text
    work()
    claimed("sync", A, done=50, total=100)
    with database.session(), database.write():
        Job.update(started_at=database.clock() - 10).where(Job.target == A).execute()
        analyses.set_wallet_state(workflow.wallet_of(A).id, [row_id(key)], "syncing")
        Token.update(status="unlisted").where(Token.mint == mint(0)).execute()
    text = client.get(path, headers=HTMX).text
    assert "Reading 1 at a time, about 10" in text
    assert "10 pairs so far" in text
    assert "Starts when every wallet is read" in text
    assert "1 of 9" in text
    assert re.search(r"<title>8[0-9] % ·", text)
    assert re.search(r"<title>8[0-9] % ·", client.get(f"/analyses/{key}").text)


def test_the_progress_of_what_is_complete_promises_no_more(client: FlaskClient, five_wallets: list[str]) -> None:
    text = client.get(f"/analyses/{finish(client, five_wallets)}/progress").text
    pairs = len(five_wallets) * (len(five_wallets) - 1) // 2
    assert f"{pairs} pairs" in text
    assert "so far" not in text


def test_a_poll_of_a_vanished_analysis_ends_and_shows_why(client: FlaskClient) -> None:
    path = f"/analyses/{'0' * 32}/progress"
    answer = client.get(path, headers=HTMX | {"HX-Target": "progress"})
    assert answer.status_code == 286, "on any other status htmx asks again and again"
    assert "There is no such analysis." in answer.text
    assert "<html" not in answer.text
    assert answer.headers["HX-Retarget"] == "#content"
    assert f'class="{answer.headers["HX-Reselect"].removeprefix(".")}"' in answer.text
    assert client.get(path).status_code == 404
    assert client.get(path, headers=HTMX | {"HX-History-Restore-Request": "true"}).status_code == 404


def test_what_the_input_left_out_is_read_only_where_it_is_shown(
    client: FlaskClient, five_wallets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = finish(client, five_wallets)
    a, b = five_wallets[:2]

    def forbidden(analysis_id: int) -> None:
        raise AssertionError("the input was read")

    monkeypatch.setattr(analyses, "intake_rows", forbidden)
    for path in ("progress", "pairs", f"pairs/{a}/{b}", f"wallets/{a}"):
        assert client.get(f"/analyses/{key}/{path}", headers=HTMX).status_code in (200, 286), path
        assert client.get(f"/analyses/{key}/{path}").status_code == 200, path


@pytest.mark.parametrize(
    ("rejected", "duplicates", "shown"), [(3, 2, (3, 2)), (150, 100, (150, 50)), (5_000, 300, (200, 0))]
)
def test_very_many_lines_left_out_are_shown_in_part(
    client: FlaskClient, rejected: int, duplicates: int, shown: tuple[int, int]
) -> None:
    wallets = [A, B, *(f"nonsense {i}" for i in range(rejected)), *[A] * duplicates]
    key = start(client, wallets)
    page = client.get(f"/analyses/{key}").text
    assert (page.count("verdict-rejected"), page.count("verdict-duplicate")) == shown
    assert f"{rejected + duplicates:,} of the list" in page
    assert ("All rejected lines as JSON" in page) is (sum(shown) < rejected + duplicates)
    assert len(client.get(f"/analyses/{key}.json").json["rejected"]) == rejected


def test_pages_are_given_only_what_a_template_reads(client: FlaskClient, five_wallets: list[str]) -> None:
    folder = pathlib.Path(str(client.application.template_folder))
    macros = "".join(path.read_text() for path in [*folder.glob("macros/*.html"), folder / "base.html"])
    unread: list[str] = []

    def check(sender: Any, template: Any, context: dict[str, Any], **extra: Any) -> None:
        source = macros + pathlib.Path(template.filename).read_text()
        keys = {*context, *(context.get("progress") or ())} - {"g", "request", "session", "csrf_meta_tag"}
        unread.extend(f"{template.name}: {key}" for key in keys if not re.search(rf"\b{key}\b", source))

    key, (a, b) = finish(client, five_wallets), five_wallets[:2]
    with template_rendered.connected_to(check, client.application):
        for path in ("", "/progress", "/pairs", f"/pairs/{a}/{b}", f"/wallets/{a}", "/enrichment", "/tokens"):
            client.get(f"/analyses/{key}{path}")
        for path in (
            "/",
            "/activity",
            f"/tokens?mints={mint(0)}",
            f"/jobs/{client.get('/activity.json').json['jobs'][0]['id']}",
        ):
            client.get(path)
    assert unread == []


# Its end


def test_a_complete_analysis_in_json(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    shape = client.get(f"/analyses/{key}.json").json
    assert shape["finished_at"].endswith("Z")
    assert set(shape["sol_usd"]) == {"source", "days"}
    assert sum(one["trades"] for one in shape["wallets"]) == 4 + 4 + 4 + 3 + 1
    sums = shape["summary"]
    assert list(sums) == [
        "wallets", "pairs", "pairs_kept", "pairs_cut", "pairs_behavioural_over_0_5", "pairs_capital_over_0_5",
        "median_overall", "score_histogram", "top_tokens", "token_frequency",
    ]  # fmt: skip
    assert sums["wallets"] == 5
    assert sums["pairs"] == sums["pairs_kept"] == 10
    assert len(sums["score_histogram"]) == 20
    assert sums["top_tokens"][0] == {"mint": mint(0), "wallets": 4, "spent_sol": pytest.approx(7.0)}
    assert {"wallets": 4, "mints": 1} in sums["token_frequency"]


def test_a_complete_analysis_on_its_page(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets, label="Village")
    page = client.get(f"/analyses/{key}").text
    assert "Village" in page
    assert 'id="summary"' in page
    assert f"/analyses/{key}/pairs.csv" in page
    assert f"/analyses/{key}/progress" not in page
    assert page.count('<li class="pair"') == 10
    for name in ("Tokens resolved", "Pairs beyond chance", "Largest lift", "Matched trades", "In the same slot"):
        assert name in page
    matched = re.search(r"<dt>Matched trades</dt>\s*<dd>([^<]+)", page)
    assert matched
    pairs = client.get(f"/analyses/{key}/pairs.json").json["pairs"]
    assert int(matched[1]) == sum(one["matched"] for one in pairs)


@pytest.mark.parametrize(("target", "mark"), [("pairs-card", 'id="pairs-card"'), ("tokens-card", 'id="tokens-card"')])
def test_htmx_gets_the_card_it_asks_for(client: FlaskClient, five_wallets: list[str], target: str, mark: str) -> None:
    key = finish(client, five_wallets)
    text = client.get(f"/analyses/{key}", headers=HTMX | {"HX-Target": target}).text
    assert text.strip().startswith("<section")
    assert mark in text
    assert "page-head" not in text


def test_restoring_history_and_boosting_get_the_whole_page(client: FlaskClient) -> None:
    key = start(client, [A, B])
    for extra in ({"HX-History-Restore-Request": "true"}, {"HX-Boosted": "true"}):
        assert "<html" in client.get(f"/analyses/{key}", headers=HTMX | extra).text


def test_a_wallet_that_failed_is_named_with_its_reason(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, [*five_wallets, A, "nonsense"])
    claim = claimed("sync", A)
    with database.session(), database.write():
        Wallet.update(state="failed", reason="The endpoint refused.").where(Wallet.address == A).execute()
        claims.finish(claim, "failed", error="The endpoint refused.")
        wallet_id = workflow.wallet_of(A).id
        AnalysisWallet.update(state="failed", reason="The endpoint refused.").where(
            AnalysisWallet.wallet_id == wallet_id
        ).execute()
        ids = workflow.advance(row_id(key))
    assert ids
    work()
    shape = client.get(f"/analyses/{key}.json").json
    assert shape["state"] == "complete"
    assert (shape["wallets"][5]["state"], shape["wallets"][5]["reason"]) == ("failed", "The endpoint refused.")
    assert shape["rejected"][0]["line"] == 7
    page = client.get(f"/analyses/{key}").text
    assert "The endpoint refused." in page
    assert f"/analyses/{key}/wallets/{A}/retry" in page


def row_id(key: str) -> int:
    return int(Analysis.get(Analysis.key == key).id)


def test_tokens_are_shown_as_the_registry_knows_them(client: FlaskClient, five_wallets: list[str]) -> None:
    with database.session():
        now = database.now_s()
        known = {"status": "resolved", "symbol": "<b>X</b>", "name": "Ex", "price_usd": 1.5}
        Token.update(**known, last_updated=now - 10_000).where(Token.mint == mint(0)).execute()
        assert tokens.known_mints([mint(0)])
    key = finish(client, five_wallets)
    page = client.get(f"/analyses/{key}").text
    assert "&lt;b&gt;X&lt;/b&gt;" in page
    assert "<b>X" not in page


# Cancelling and trying again


def test_cancelling_stops_an_analysis(client: FlaskClient) -> None:
    key = start(client, [A, B])
    answer = post_form(client, f"/analyses/{key}/cancel")
    assert answer.status_code == 303
    assert answer.location == f"/analyses/{key}"
    assert client.get(f"/analyses/{key}.json").json["state"] == "cancelled"
    with database.session():
        assert {job.state for job in Job.select()} == {"cancelled"}
    assert client.get(f"/analyses/{key}").status_code == 200


def test_cancelling_twice_is_a_conflict(client: FlaskClient) -> None:
    key = start(client, [A, B])
    answers = [client.post(f"/analyses/{key}/cancel", json={}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[1].json["error"]["code"] == "conflict"


def test_a_failed_wallet_is_tried_again_in_the_running_analysis(client: FlaskClient) -> None:
    key = start(client, [A, B])
    with database.session(), database.write():
        waiters.cancel(Job.get(Job.target == A).id)
        analyses.set_wallet_state(workflow.wallet_of(A).id, [row_id(key)], "failed")
    answer = post_form(client, f"/analyses/{key}/wallets/{A}/retry")
    assert answer.status_code == 303
    assert answer.location == f"/analyses/{key}"
    with database.session():
        assert Job.get(Job.target == A, Job.state == "queued").tier == priority.USER


def test_a_complete_analysis_is_left_alone_by_a_retry(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session():
        analyses.set_wallet_state(workflow.wallet_of(five_wallets[0]).id, [row_id(key)], "partial")
    answer = client.post(f"/analyses/{key}/wallets/{five_wallets[0]}/retry", json={})
    assert answer.status_code == 202
    assert answer.json["id"] != key
    assert client.get(answer.json["url"] + ".json").json["parent"] == key
    assert client.get(f"/analyses/{key}.json").json["state"] == "complete"


def test_all_incomplete_wallets_are_tried_again_at_once(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session():
        for one, state in zip(five_wallets[:2], ("failed", "partial"), strict=True):
            analyses.set_wallet_state(workflow.wallet_of(one).id, [row_id(key)], state)
    page = client.get(f"/analyses/{key}").text
    assert "Retry both" in page
    assert page.count("notice-warn") == 1, "one bar says it all"
    answer = client.post(f"/analyses/{key}/retry", json={})
    assert answer.status_code == 202
    assert client.get(f"{answer.json['url']}.json").json["parent"] == key
    with database.session():
        again = Job.select(Job.target).where(Job.kind == "sync", Job.state == "queued")
        assert {job.target for job in again} == set(five_wallets[:2])


def test_in_a_running_analysis_all_are_tried_again_in_place(client: FlaskClient) -> None:
    key = start(client, [A, B, C])
    with database.session(), database.write():
        for one in (A, B):
            waiters.cancel(Job.get(Job.target == one).id)
            analyses.set_wallet_state(workflow.wallet_of(one).id, [row_id(key)], "failed")
    answer = post_form(client, f"/analyses/{key}/retry")
    assert (answer.status_code, answer.location) == (303, f"/analyses/{key}")
    assert {one["state"] for one in client.get(f"/analyses/{key}.json").json["wallets"]} == {"waiting"}


def test_with_nothing_to_try_again_a_retry_of_all_is_a_conflict(client: FlaskClient, five_wallets: list[str]) -> None:
    assert post_form(client, f"/analyses/{finish(client, five_wallets)}/retry").status_code == 409


def test_by_htmx_a_retry_answers_with_the_progress(client: FlaskClient) -> None:
    key = start(client, [A, B])
    with database.session(), database.write():
        waiters.cancel(Job.get(Job.target == A).id)
        analyses.set_wallet_state(workflow.wallet_of(A).id, [row_id(key)], "failed")
    path = f"/analyses/{key}/wallets/{A}/retry"
    assert f'hx-post="{path}" hx-target="#progress"' in client.get(f"/analyses/{key}").text
    headers = HTMX | {"HX-Target": "progress"}
    answer = post_form(client, path, headers=headers)
    assert (answer.status_code, answer.location) == (303, f"/analyses/{key}/progress")
    assert 'id="wallet-progress"' in client.get(answer.location, headers=headers).text


def test_a_good_wallet_is_not_tried_again(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    assert post_form(client, f"/analyses/{key}/wallets/{five_wallets[0]}/retry").status_code == 409
    assert post_form(client, f"/analyses/{key}/wallets/{A}/retry").status_code == 404


def test_the_pace_of_nothing_is_unknown(client: FlaskClient) -> None:
    with database.session():
        assert storage_progress.pace(1).seconds_left is None


def test_the_window_ends_when_the_analysis_began(client: FlaskClient) -> None:
    old = [sync("old", buys(1, 2, 3)), sync("older", buys(1, 2, 3))]
    assert db.is_closed()
    key = finish(client, old, window_days=1)
    assert row(key).created_at > START_AT
    assert client.get(f"/analyses/{key}.json").json["summary"]["top_tokens"] == []
    assert client.get(f"/analyses/{key}").status_code == 200
