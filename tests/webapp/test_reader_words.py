"""What readers are told of troubles and of what looks alike: refusals, cut histories, repeated names, pending parts."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.storage import database, wallet_lists
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.models.jobs import Job
from tests.support.site import finish, post_form, row, start, work
from webapp.markup import words

REFUSED = "the RPC service answered error -32602 (Invalid param: Invalid)"
BEHIND = "the RPC service answered error -32005 (Node is behind by 42 slots)"


def change(key: str, position: int, **values: Any) -> None:
    with database.session():
        AnalysisWallet.update(**values).where(
            AnalysisWallet.analysis_id == row(key).id, AnalysisWallet.position == position
        ).execute()


@pytest.mark.parametrize(
    ("reason", "refused", "told"),
    [
        (None, False, None),
        (REFUSED, True, words.REFUSED),
        (BEHIND, False, "the RPC service answered: “Node is behind by 42 slots”"),
        ("the RPC service answered an error", False, "the RPC service answered with an error"),
        ("the RPC service answered 429 four times", False, "the RPC service answered 429 four times"),
    ],
)
def test_a_reason_is_told_without_the_codes_of_the_protocol(reason: str | None, refused: bool, told: str) -> None:
    assert words.is_refused(reason) is refused
    assert words.describe_reason(reason) == told


def test_a_wallet_that_is_refused_for_good_offers_no_retry(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    change(key, 0, state="failed", reason=REFUSED)
    for page in (client.get(f"/analyses/{key}").text, client.get(f"/analyses/{key}/wallets").text):
        assert "-32602" not in page
        assert words.REFUSED in page
        assert f"/wallets/{five_wallets[0]}/retry" not in page
        assert f'action="/analyses/{key}/retry"' not in page
    assert client.post(f"/analyses/{key}/retry", json={}).status_code == 409, "nor does a program get one"
    assert client.get(f"/analyses/{key}.json").json["wallets"][0]["reason"] == REFUSED, "programs get it as it was"


def test_beside_a_refused_wallet_the_others_are_retried(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    change(key, 0, state="failed", reason=REFUSED)
    change(key, 1, state="failed", reason=BEHIND)
    page = client.get(f"/analyses/{key}").text
    assert ">Retry 1</button>" in page
    assert f"/wallets/{five_wallets[1]}/retry" in page
    assert client.post(f"/analyses/{key}/retry", json={}).status_code == 202
    with database.session():
        again = Job.select(Job.target).where(Job.kind == "sync", Job.state == "queued")
        assert [job.target for job in again] == [five_wallets[1]]


def test_a_job_that_was_refused_says_so_plainly(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    with database.session():
        job = Job.get(Job.kind == "similarity")
        Job.update(kind="sync", target=five_wallets[0], state="failed", error=REFUSED).where(Job.id == job.id).execute()
    page = client.get(f"/activity?analysis={key}").text
    assert "-32602" not in page
    assert "Check its address." in page


def test_a_wallet_cut_at_the_limit_is_named_and_not_counted_as_complete(
    client: FlaskClient, five_wallets: list[str]
) -> None:
    key = start(client, five_wallets)
    change(key, 2, truncated=True)
    work()
    change(key, 2, truncated=True)
    name = f"{five_wallets[2][:4]}…{five_wallets[2][-4:]}"
    with database.session():
        assert wallet_lists.truncated_wallets(row(key).id, 3) == ([2], 1)
        assert wallet_lists.truncated_wallets(row(key).id, 0) == ([], 1)
    page = client.get(f"/analyses/{key}").text
    assert "<strong>4 of 5</strong> wallets complete" in page
    assert "1 cut" in page
    bar = page[page.index('id="missing"') :]
    bar = bar[: bar.index("</div>")]
    assert name in bar
    assert "had more history than the limit" in bar


def test_analyses_of_one_name_are_told_apart(client: FlaskClient, five_wallets: list[str]) -> None:
    names = ("Twice", "Twice", "Once")
    for name in names:
        post_form(client, "/analyses", {"addresses": "\n".join(five_wallets), "label": name})
    with database.session():
        first, second, _ = Analysis.select().order_by(Analysis.id)
        Analysis.update(created_at=1_760_000_000.0).where(Analysis.id == first.id).execute()
        Analysis.update(created_at=1_760_000_090.0, parent_id=first.id).where(Analysis.id == second.id).execute()
    page = client.get("/").text
    recent = page[page.index('id="recent"') :]
    assert ">9 Oct 08:53:20</time> UTC" in recent
    assert 're-run <time datetime="2025-10-09T08:54:50' in recent
    assert recent.count("UTC</small>") == 2, "the one whose name is its own says how long ago it was"
    options = client.get("/activity").text
    assert "Twice, 9 Oct 08:53:20" in options
    assert "Twice, 9 Oct 08:54:50" in options
    assert ">Once</option>" in options


def test_a_provisional_pair_announces_its_insights(client: FlaskClient, five_wallets: list[str]) -> None:
    key = start(client, [*five_wallets, "So11111111111111111111111111111111111111112"[:-1] + "3"])
    work(["provisional"])
    for path in (f"/analyses/{key}", f"/analyses/{key}/pairs"):
        page = client.get(path).text
        assert "Not worked out yet" in page
        assert '<span class="insight-none">None</span>' not in page


def test_the_chips_of_the_activity_count_what_else_was_asked_for(client: FlaskClient, five_wallets: list[str]) -> None:
    key = finish(client, five_wallets)
    page = client.get(f"/activity?analysis={key}").text
    everything = len(client.get(f"/activity.json?analysis={key}").json["jobs"])
    done = len(client.get(f"/activity.json?analysis={key}&state=succeeded").json["jobs"])
    assert f'<span>All</span> <span class="chip-count">{everything}</span>' in page
    assert f'<span>Succeeded</span> <span class="chip-count">{done}</span>' in page
    assert '<span>Running</span> <span class="chip-count">0</span>' in page
    assert done >= 1
