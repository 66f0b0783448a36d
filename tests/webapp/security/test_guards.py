"""What every answer carries and what is not let in: headers, forged posts, large bodies, foreign hosts, errors."""

from __future__ import annotations

import base64
import io
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tasks.pipeline import start as pipeline_start
from tasks.storage.models.base import db
from tests.support.servers import ROOT
from tests.support.site import address, post_form, start, token

A, B = address("a"), address("b")
JSON = {"Content-Type": "application/json"}
HTMX = {"HX-Request": "true"}


# Headers


def test_every_answer_has_the_security_headers(client: FlaskClient) -> None:
    for path in ("/", "/nowhere", "/activity.json", "/healthz", "/vendor/htmx.min.js", "/static/app.css"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "camera=()" in headers["Permissions-Policy"]
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data: https://cdn.dexscreener.com https://dd.dexscreener.com",
            "connect-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }


def test_the_demo_may_show_the_simulators_logos(make_app: Any) -> None:
    policy = make_app(SIMULATOR_SEED="7").test_client().get("/").headers["Content-Security-Policy"]
    assert "http://127.0.0.1:8899;" in policy
    policy = make_app(SIMULATOR_BIND="127.0.0.1:8899").test_client().get("/").headers["Content-Security-Policy"]
    assert "http:" not in policy, "a real market never sends images over plain http"


def test_pages_vary_by_htmx_and_analyses_are_not_stored(client: FlaskClient) -> None:
    assert "HX-Request" in client.get("/").headers["Vary"]
    key = start(client, [A, B])
    for path in (f"/analyses/{key}", f"/analyses/{key}.json", "/activity"):
        assert client.get(path).headers["Cache-Control"] == "no-store"


def test_files_are_kept_for_long_under_their_version_only(client: FlaskClient, app: Flask) -> None:
    version = app.jinja_env.globals["asset_version"]
    for path in ("/static/app.css", "/vendor/htmx.min.js"):
        assert "immutable" in client.get(f"{path}?v={version}").headers["Cache-Control"]
        assert "immutable" not in client.get(f"{path}?v=old").headers["Cache-Control"]
        etag = client.get(path).headers["ETag"]
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 304


def test_htmx_comes_from_its_package_and_the_icon_is_there(client: FlaskClient) -> None:
    answer = client.get("/vendor/htmx.min.js")
    assert answer.mimetype == "text/javascript"
    assert b'version:"2.' in answer.data
    assert client.get("/favicon.ico").mimetype == "image/svg+xml"


def test_the_cookie_is_signed_lax_and_out_of_reach_of_scripts(client: FlaskClient) -> None:
    cookie = client.get("/").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert "Secure" in client.application.test_client().get("/", base_url="https://localhost").headers["Set-Cookie"]


def test_json_without_a_cookie_gets_none(client: FlaskClient) -> None:
    answer = client.post("/analyses", json={"wallets": [A, B]})
    assert "Set-Cookie" not in answer.headers


def test_over_tls_browsers_are_told_to_stay_there(client: FlaskClient, make_app: Any) -> None:
    secure = client.get("/healthz", base_url="https://localhost").headers
    assert secure["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in client.get("/healthz").headers
    forwarded = make_app(PROXY_HOPS="1").test_client().get("/healthz", headers={"X-Forwarded-Proto": "https"})
    assert "Strict-Transport-Security" in forwarded.headers


# Forged posts


def test_a_form_without_its_token_is_refused(client: FlaskClient) -> None:
    for path in ("/analyses", "/analyses/preview"):
        answer = client.post(path, data={"addresses": f"{A}\n{B}"})
        assert answer.status_code == 400
        assert "out of date" in answer.text


def test_a_token_in_a_header_is_good_for_htmx(client: FlaskClient) -> None:
    headers = HTMX | {"X-CSRFToken": token(client)}
    assert client.post("/analyses/preview", data={"addresses": A}, headers=headers).status_code == 200


def test_the_token_looks_different_in_each_answer_and_each_is_good(client: FlaskClient) -> None:
    tokens = [token(client) for _ in range(3)]
    assert len(set(tokens)) == 3
    with client.session_transaction() as kept:
        secret = kept["csrf_token"]
    for one in tokens:
        parts = {one[start : start + 8] for start in range(len(one) - 7)}
        assert not any(part in other for other in tokens if other != one for part in parts), "nothing is repeated"
        assert secret not in base64.urlsafe_b64decode(one).decode("latin-1")
        assert client.post("/analyses/preview", data={"csrf_token": one, "addresses": A}).status_code == 200


def test_one_answer_repeats_one_token(client: FlaskClient) -> None:
    found = re.findall(r'csrf[-_]token" (?:content|value)="([^"]+)"', client.get("/").text)
    assert len(found) >= 2
    assert len(set(found)) == 1, "each with a mask of its own would spoil the compression of a page with many forms"


@pytest.mark.parametrize("sent", ["x", "é", "AAAA", "AAAAA", "A" * 5000, "\x00", "%%%", "----", "__8="])
def test_what_is_no_token_is_refused(client: FlaskClient, sent: str) -> None:
    client.get("/")
    for where in ({"data": {"csrf_token": sent}}, {"headers": {"X-CSRFToken": sent.encode().decode("latin-1")}}):
        if "\x00" not in sent or "data" in where:
            assert client.post("/analyses/preview", **where).status_code == 400


def test_another_browsers_token_is_refused(app: Flask) -> None:
    stolen = token(app.test_client())
    client = app.test_client()
    client.get("/")
    assert client.post("/analyses", data={"csrf_token": stolen, "addresses": A}).status_code == 400


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_json_from_a_foreign_page_is_refused(client: FlaskClient, origin: str) -> None:
    answer = client.post("/analyses", json={"wallets": [A, B]}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "foreign_origin"


def test_json_from_our_own_page_is_let_in(client: FlaskClient) -> None:
    answer = client.post("/analyses", json={"wallets": [A, B]}, headers={"Origin": "http://localhost"})
    assert answer.status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "text/json", "application/xml"])
def test_json_under_another_type_is_refused(client: FlaskClient, kind: str) -> None:
    answer = client.post("/analyses", data='{"wallets": []}', content_type=kind, headers={"Accept": "application/json"})
    assert answer.status_code == 415
    assert answer.json["error"]["code"] == "unsupported_media_type"


# Size, hosts, proxies


def test_a_ten_megabyte_upload_is_refused_in_words(client: FlaskClient) -> None:
    big = FileStorage(io.BytesIO(b"x" * 10_000_000), "big.csv")
    boundary, body = encode_multipart({"csrf_token": token(client), "file": big})
    answer = client.post("/analyses", data=body, content_type=f"multipart/form-data; boundary={boundary}")
    assert answer.status_code == 413
    assert "2.5 MB" in answer.text
    answer = client.post("/analyses", data=b"[" * 3_000_000, headers=JSON)
    assert answer.status_code == 413
    assert answer.json["error"]["code"] == "too_large"


def test_only_trusted_hosts_are_answered(make_app: Any) -> None:
    client = make_app(TRUSTED_HOSTS="kin.example").test_client()
    assert client.get("/healthz", base_url="http://kin.example").status_code == 200
    assert client.get("/healthz", base_url="http://evil.example").status_code == 400


def test_proxy_headers_count_only_when_proxies_are_set(make_app: Any) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}
    assert "Secure" not in make_app().test_client().get("/", headers=forwarded).headers["Set-Cookie"]
    assert "Secure" in make_app(PROXY_HOPS="1").test_client().get("/", headers=forwarded).headers["Set-Cookie"]


# Errors


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere.json", 404, "not_found"),
        ("GET", f"/analyses/{'0' * 32}.json", 404, "not_found"),
        ("GET", f"/analyses/{'0' * 32}/progress.json", 404, "not_found"),
        ("GET", f"/jobs/{'0' * 32}.json", 404, "not_found"),
        ("POST", f"/jobs/{'0' * 32}/cancel", 404, "not_found"),
        ("POST", f"/analyses/{'0' * 32}/cancel", 404, "not_found"),
        ("DELETE", "/analyses", 405, "method_not_allowed"),
    ],
)
def test_errors_have_one_shape(client: FlaskClient, method: str, path: str, status: int, code: str) -> None:
    answer = client.open(path, method=method, headers=JSON)
    assert answer.status_code == status
    assert answer.json["error"]["code"] == code
    assert set(answer.json["error"]) == {"code", "message", "details"}


def test_a_missing_page_is_a_page_and_for_htmx_its_content(client: FlaskClient) -> None:
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert "<html" in page.text
    fragment = client.get("/nowhere", headers=HTMX)
    assert fragment.status_code == 404
    assert "<html" not in fragment.text
    assert "Page not found." in fragment.text


def test_what_breaks_inside_is_logged_and_not_shown(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(pipeline_start, "create", broken)
    answer = client.post("/analyses", json={"wallets": [A, B]})
    assert answer.status_code == 500
    assert answer.json["error"]["code"] == "internal"
    assert "secret" not in answer.text
    assert "the secret detail" in caplog.text
    page = post_form(client, "/analyses", {"addresses": f"{A}\n{B}"})
    assert page.status_code == 500
    assert "secret" not in page.text


def test_an_error_page_that_fails_still_says_what_is_wrong(client: FlaskClient) -> None:
    client.application.jinja_env.filters.pop("short_address", None)
    client.application.jinja_env.globals.pop("icons_version")
    assert "Page not found." in client.get("/nowhere").text


def test_a_database_that_is_gone_is_an_outage(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from peewee import OperationalError

    def locked(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(pipeline_start, "create", locked)
    assert client.post("/analyses", json={"wallets": [A, B]}).status_code == 503


# Operations


def test_a_request_gives_its_connection_back(client: FlaskClient) -> None:
    client.get("/")
    assert db.is_closed()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_WALLETS", "many"),
        ("DATABASE_URL", "mysql://x/y"),
        ("DATABASE_URL", "postgresql://walletkin:hunter2@127.0.0.1:1/walletkin"),
    ],
)
def test_a_wrong_setting_is_one_line_and_stops_the_server(tmp_path: pathlib.Path, name: str, value: str) -> None:
    environ = {"PATH": "/usr/bin", "WALLETKIN_DATA_DIR": str(tmp_path), f"WALLETKIN_{name}": value}
    run = subprocess.run([sys.executable, "-c", "import wsgi"], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert run.returncode == 4, "gunicorn takes it as final, and does not start workers again and again"
    assert run.stderr.count("\n") == 1
    assert f"WALLETKIN_{name}" in run.stderr
    assert "hunter2" not in run.stderr


def test_a_file_that_is_no_database_stops_the_server_with_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "walletkin.db").write_text("this is a letter, not a database\n" * 40)
    environ = {"PATH": "/usr/bin", "WALLETKIN_DATA_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", "import wsgi"], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert run.returncode == 4
    assert run.stderr.count("\n") == 1
    assert str(tmp_path / "walletkin.db") in run.stderr
