"""Bringing a list: the front page, the preview, and starting an analysis by form and by JSON."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import encode_multipart

from tasks.measures.well_known import DEFAULT_EXCLUDED, USDC
from tasks.storage import database
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tests.support.site import KEY, address, buys, one_line, post_form, start, sync, token

A, B, C = (address(i) for i in range(3))
GOOD = f"{A},treasury\n{B}\n"
MIXED = f"{A}\n{B}\n{A}\nnot-an-address-at-all-123456789\n{USDC}\n"


def error(answer: Any) -> dict[str, Any]:
    assert set(answer.json) == {"error"}
    assert set(answer.json["error"]) == {"code", "message", "details"}
    return dict(answer.json["error"])


# The front page


def test_the_front_page_shows_an_empty_form(client: FlaskClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert 'name="addresses"' in answer.text
    assert 'name="idempotency_key"' in answer.text


def test_htmx_gets_the_content_without_its_frame(client: FlaskClient) -> None:
    fragment = client.get("/", headers={"HX-Request": "true"}).text
    assert "<html" not in fragment
    assert 'name="addresses"' in fragment


def test_the_front_page_lists_this_browsers_analyses_only(client: FlaskClient, app: Any) -> None:
    post_form(client, "/analyses", {"addresses": GOOD, "label": "Spring cohort"})
    assert "Spring cohort" in client.get("/").text
    assert "Spring cohort" not in app.test_client().get("/").text


def test_the_demo_offers_its_sample_lists(make_app: Any) -> None:
    client = make_app(SIMULATOR_SEED="7").test_client()
    page = client.get("/").text
    assert "Launch cohort" in page
    assert "simulated" in page


# Preview


def test_the_preview_judges_each_row(client: FlaskClient) -> None:
    answer = post_form(client, "/analyses/preview", {"addresses": MIXED}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert 'id="preview"' in answer.text
    assert "This is a token mint (USDC), not a wallet." in answer.text
    assert "Same as line 1." in answer.text


def test_the_preview_without_htmx_is_the_whole_page_with_the_list_kept(client: FlaskClient) -> None:
    page = post_form(client, "/analyses/preview", {"addresses": MIXED}).text
    assert "<html" in page
    assert "not-an-address-at-all" in page


def test_the_preview_as_json(client: FlaskClient) -> None:
    wallets = [{"address": A}, A, {"address": "nonsense"}]
    answer = client.post("/analyses/preview", json={"wallets": wallets})
    assert answer.status_code == 200
    assert answer.json["accepted"] == 1
    assert answer.json["duplicates"] == [{"line": 2, "text": A, "reason": "Same as line 1."}]
    assert [row["line"] for row in answer.json["rejected"]] == [3]
    assert set(answer.json) == {"accepted", "duplicates", "rejected", "estimated_s"}


def test_a_form_preview_may_ask_for_json(client: FlaskClient) -> None:
    headers = {"Accept": "application/json"}
    assert post_form(client, "/analyses/preview", {"addresses": GOOD}, headers=headers).json["accepted"] == 2


def test_the_estimate_counts_only_wallets_that_must_be_read(client: FlaskClient) -> None:
    fresh = sync("fresh", buys(1))
    body = {"wallets": [A, B, fresh]}
    estimate = client.post("/analyses/preview", json=body).json["estimated_s"]
    assert estimate == pytest.approx(2 * (1000 + 4) / (40 / 11)), "40 requests in 11 s: the rate keeps a margin"


def test_the_preview_starts_nothing(client: FlaskClient) -> None:
    post_form(client, "/analyses/preview", {"addresses": GOOD})
    client.post("/analyses/preview", json={"wallets": [A, B]})
    with database.session():
        assert Analysis.select().count() == Job.select().count() == 0


def test_many_accepted_rows_are_folded_until_asked_for(client: FlaskClient) -> None:
    addresses = "\n".join(address(f"many {i}") for i in range(120))
    folded = post_form(client, "/analyses/preview", {"addresses": addresses}).text
    assert folded.count('class="is-accepted"') == 8
    assert post_form(client, "/analyses/preview", {"addresses": addresses, "all": "1"}).text.count("is-accepted") == 120


# Starting by form


def test_a_form_starts_an_analysis_and_leads_to_its_page(client: FlaskClient) -> None:
    answer = post_form(client, "/analyses", {"addresses": GOOD, "label": "Spring", "window_days": "30"})
    assert answer.status_code == 303
    shape = client.get(answer.location + ".json").json
    assert shape["label"] == "Spring"
    assert shape["parameters"]["window_days"] == 30
    assert [(one["address"], one["label"]) for one in shape["wallets"]] == [(A, "treasury"), (B, None)]


def test_htmx_is_redirected_by_a_header(client: FlaskClient) -> None:
    answer = post_form(client, "/analyses", {"addresses": GOOD}, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert KEY.search(answer.headers["HX-Redirect"])


def test_a_file_is_read_like_a_pasted_list(client: FlaskClient) -> None:
    upload = (io.BytesIO(f"label;wallet\r\none;{A}\r\ntwo;{B}\r\n".encode("utf-16")), "list.csv")
    answer = post_form(client, "/analyses", {"addresses": "", "file": upload})
    assert answer.status_code == 303
    assert [one["label"] for one in client.get(answer.location + ".json").json["wallets"]] == ["one", "two"]


def test_a_pasted_list_and_a_file_are_taken_together(client: FlaskClient) -> None:
    upload = (io.BytesIO(f"{B}\n{C}\n".encode()), "list.csv")
    answer = post_form(client, "/analyses", {"addresses": f"{A}\n{B}", "file": upload})
    assert [one["address"] for one in client.get(answer.location + ".json").json["wallets"]] == [A, B, C]


def test_too_few_wallets_give_the_form_back_as_it_was(client: FlaskClient) -> None:
    sent = {"addresses": f"{A},treasury\nnonsense\n", "label": "Spring", "window_days": "30", "exclude": USDC}
    answer = post_form(client, "/analyses", sent)
    assert answer.status_code == 422
    assert "at least two wallets" in answer.text
    assert f"{A},treasury\nnonsense" in answer.text
    assert 'value="Spring"' in answer.text
    assert "is-rejected" in answer.text
    assert '<option value="30" selected' in one_line(answer.text)


def test_a_refused_file_comes_back_as_text(client: FlaskClient) -> None:
    upload = (io.BytesIO(f"{A},treasury\n".encode()), "list.csv")
    answer = post_form(client, "/analyses", {"addresses": "", "file": upload})
    assert answer.status_code == 422
    assert f"{A},treasury" in answer.text


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(range(256)) * 20, b"PK\x03\x04xl/" * 9])
def test_a_binary_file_is_refused_with_a_reason(client: FlaskClient, content: bytes) -> None:
    answer = post_form(client, "/analyses", {"addresses": GOOD, "file": (io.BytesIO(content), "x.csv")})
    assert answer.status_code == 422
    assert "Nothing has started" in answer.text
    with database.session():
        assert Analysis.select().count() == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window_days", "soon"),
        ("window_days", "1" + "0" * 400),
        ("window_days", "0"),
        ("window_days", "4000"),
        ("window_days", "nan"),
        ("timing_window_s", "0.5"),
        ("timing_window_s", "100000"),
        ("tau", "1.5"),
        ("tau", "0"),
        ("label", "x" * 121),
        ("exclude", "no-mint"),
    ],
)
def test_a_bad_parameter_is_named(client: FlaskClient, field: str, value: str) -> None:
    answer = post_form(client, "/analyses", {"addresses": GOOD, field: value})
    assert answer.status_code == 422
    assert f"“{field}” must" in answer.text


def test_an_emptied_exclusion_list_excludes_nothing(client: FlaskClient) -> None:
    answer = post_form(client, "/analyses", {"addresses": GOOD, "exclude": ""})
    assert client.get(answer.location + ".json").json["parameters"]["exclude"] == []


def test_exclusions_may_be_repeated_or_one_text(client: FlaskClient) -> None:
    answer = post_form(client, "/analyses", {"addresses": GOOD, "exclude": [USDC, f"{C}\n{USDC}"]})
    assert client.get(answer.location + ".json").json["parameters"]["exclude"] == [USDC, C]


def test_a_form_sent_twice_starts_one_analysis(client: FlaskClient) -> None:
    sent = {"addresses": GOOD, "idempotency_key": "once"}
    assert post_form(client, "/analyses", sent).location == post_form(client, "/analyses", sent).location


@pytest.mark.parametrize(
    "edit",
    [
        {"addresses": f"{GOOD}{C}\n"},
        {"addresses": f"{A},cold\n{B}\n"},
        {"window_days": "30"},
        {"tau": "0.7"},
        {"exclude": USDC},
        {"label": "Autumn"},
    ],
)
def test_going_back_and_editing_makes_another_analysis(client: FlaskClient, edit: dict[str, str]) -> None:
    sent = {"addresses": GOOD, "label": "Spring", "idempotency_key": "once"}
    first = post_form(client, "/analyses", sent).location
    assert post_form(client, "/analyses", sent | edit).location != first
    assert post_form(client, "/analyses", sent).location == first


# Starting by JSON


def test_json_starts_an_analysis(client: FlaskClient) -> None:
    wallets = [{"address": A, "label": "one"}, {"address": B}, {"address": A}, "nonsense"]
    answer = client.post("/analyses", json={"wallets": wallets, "label": "Spring"})
    assert answer.status_code == 202
    assert set(answer.json) == {"id", "url", "jobs", "accepted", "duplicates", "rejected"}
    assert answer.json["accepted"] == 2
    assert len(answer.json["jobs"]) == 2
    assert [row["line"] for row in answer.json["duplicates"]] == [3]
    assert [row["line"] for row in answer.json["rejected"]] == [4]
    assert client.get(answer.json["url"]).status_code == 200
    assert client.get(answer.json["url"] + ".json").json["state"] == "syncing"


def test_json_defaults(client: FlaskClient) -> None:
    parameters = client.get(f"/analyses/{start(client, [A, B])}.json").json["parameters"]
    assert parameters == {
        "window_days": None,
        "timing_window_s": 60,
        "tau": 0.5,
        "exclude": list(DEFAULT_EXCLUDED),
        "history_limit": 1000,
    }


def test_an_empty_exclusion_list_excludes_nothing_in_json(client: FlaskClient) -> None:
    assert client.get(f"/analyses/{start(client, [A, B], exclude=[])}.json").json["parameters"]["exclude"] == []


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"wallets": A}, None),
        ({}, "wallets"),
        ({"wallets": [A, B], "colour": 1}, "colour"),
        ({"wallets": [A, B], "label": 7}, "label"),
        ({"wallets": [A, B], "window_days": "30"}, "window_days"),
        ({"wallets": [A, B], "window_days": True}, "window_days"),
        ({"wallets": [A, B], "timing_window_s": 1.5}, "timing_window_s"),
        ({"wallets": [A, B], "tau": "0.5"}, "tau"),
        ({"wallets": [A, B], "tau": None}, "tau"),
        ({"wallets": [A, B], "exclude": USDC}, "exclude"),
        ({"wallets": [A, B], "exclude": [1]}, "exclude"),
    ],
)
def test_wrong_json_is_refused_and_the_key_is_named(client: FlaskClient, body: dict[str, Any], key: str | None) -> None:
    answer = client.post("/analyses", json=body)
    assert answer.status_code == 400
    assert (key or "wallets") in error(answer)["message"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window_days", 0),
        ("window_days", -1),
        ("window_days", 3651),
        ("timing_window_s", 0),
        ("timing_window_s", 86_401),
        ("tau", 0),
        ("tau", 1.01),
        ("label", "x" * 121),
        ("exclude", ["So1111"]),
    ],
)
def test_values_out_of_range_are_unprocessable(client: FlaskClient, key: str, value: Any) -> None:
    answer = client.post("/analyses", json={"wallets": [A, B], key: value})
    assert answer.status_code == 422
    assert error(answer)["details"][0]["key"] == key


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"wallets": NaN}', '"x"', "[" * 5000])
def test_what_is_no_json_object_is_refused(client: FlaskClient, text: str) -> None:
    answer = client.post("/analyses", data=text, content_type="application/json")
    assert answer.status_code == 400
    assert error(answer)["code"] == "invalid_json"


def test_too_few_wallets_in_json_are_listed(client: FlaskClient) -> None:
    answer = client.post("/analyses", json={"wallets": [A, "nonsense"]})
    assert answer.status_code == 422
    assert error(answer)["code"] == "too_few_wallets"
    assert error(answer)["details"][0]["line"] == 2


def test_an_idempotency_key_gives_the_first_answer_again(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, second = (client.post("/analyses", json={"wallets": [A, B, "x"]}, headers=headers) for _ in range(2))
    assert first.json == second.json | {"jobs": first.json["jobs"]}
    assert sorted(first.json["jobs"]) == sorted(second.json["jobs"])
    other = client.post("/analyses", json={"wallets": [A, B]}, headers={"Idempotency-Key": "k2"})
    assert other.json["id"] != first.json["id"]


def test_an_idempotency_key_is_each_browsers_own(app: Any) -> None:
    locations = {
        post_form(app.test_client(), "/analyses", {"addresses": GOOD, "idempotency_key": "k"}).location
        for _ in range(2)
    }
    assert len(locations) == 2


def test_more_wallets_than_allowed_are_left_out(make_app: Any) -> None:
    client = make_app(MAX_WALLETS="2").test_client()
    answer = client.post("/analyses", json={"wallets": [A, B, C]})
    assert answer.json["accepted"] == 2
    assert "limit of 2" in answer.json["rejected"][0]["reason"]


# Large and hostile lists


def test_ten_thousand_labelled_wallets_pass(client: FlaskClient) -> None:
    addresses = "\n".join(f"{address(f'x {i}')},label of the wallet number {i}" for i in range(10_000))
    # Encoded here: the test client would spool it to a file that it does not close.
    boundary, body = encode_multipart({"addresses": addresses, "csrf_token": token(client)})
    answer = client.post("/analyses", data=body, content_type=f"multipart/form-data; boundary={boundary}")
    assert answer.status_code == 303


def test_ten_thousand_duplicates_are_refused(client: FlaskClient) -> None:
    answer = post_form(client, "/analyses", {"addresses": f"{A}\n" * 10_000})
    assert answer.status_code == 422
    assert len(answer.data) < 3_000_000


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", "=HYPERLINK(1)", '"><img src=x onerror=alert(1)>'])
def test_labels_are_shown_as_text(client: FlaskClient, label: str) -> None:
    key = start(client, [A, B], label=label)
    page = client.get(f"/analyses/{key}").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_direction_marks_in_labels_are_dropped(client: FlaskClient) -> None:
    wallets = [{"address": A, "label": "abc\u202edcb"}, {"address": B}]
    answer = client.post("/analyses", json={"wallets": wallets, "label": "x\u202ey"})
    shape = client.get(answer.json["url"] + ".json").json
    assert shape["label"] == "xy"
    assert shape["wallets"][0]["label"] == "abcdcb"
