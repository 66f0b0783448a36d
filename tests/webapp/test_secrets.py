"""A key in the address of a service stays where it was put: not in the database, on no page, in no line of the log."""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask.testing import FlaskClient

from tasks.errors import SourceError
from tasks.settings import configure, current
from tasks.sources.market.jupiter import Jupiter
from tasks.sources.rate_limit.limiter import close_limiters
from tasks.sources.solana.endpoint import close_connections
from tasks.storage.models.base import db
from tests.support.site import address, start, work

KEY, PASSWORD = "5ecret-key-0123456789", "pa55word-0123456789"
A, B = address("a"), address("b")


class Gossip(BaseHTTPRequestHandler):
    """A service that repeats in its answer all that it was sent, and answers as `status` and `headers` say."""

    protocol_version = "HTTP/1.1"
    status, headers_sent, as_rpc = 500, {}, False  # type: ignore[var-annotated]

    def answer(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = f"{self.path} {self.headers} {KEY} {PASSWORD}"
        body: Any = {"error": {"code": -32600, "message": told}, "url": self.path}
        if self.as_rpc:
            calls = json.loads(asked)
            made = [{"jsonrpc": "2.0", "id": one["id"], "error": {"code": -32602, "message": told}}
                    for one in (calls if isinstance(calls, list) else [calls])]  # fmt: skip
            body = made if isinstance(calls, list) else made[0]
        sent = json.dumps(body).encode()
        self.send_response(self.status)
        for name, value in {"Content-Length": str(len(sent)), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gossip() -> Iterator[type[Gossip]]:
    """The service; its class is a new one for each test, and `.url` its address without a key."""
    handler = type("Here", (Gossip,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.host = f"127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield handler
    close_connections()
    close_limiters()
    server.shutdown()
    thread.join()
    server.server_close()


def everything_shown(client: FlaskClient, key: str) -> str:
    """Return all that a reader with every right gets to see of an analysis and its jobs."""
    jobs = client.get(f"/activity.json?analysis={key}").json["jobs"]
    here = [f"/analyses/{key}", f"/analyses/{key}/progress", f"/analyses/{key}/wallets", f"/analyses/{key}/enrichment"]
    paths = [*here, *(f"{path}.json" for path in here if "wallets" not in path), "/", "/activity", "/operations"]
    paths += ["/metrics", "/readyz", "/openapi.json"]
    paths += [f"/jobs/{job['id']}{end}" for job in jobs for end in ("", ".json")]
    answers = [client.get(path) for path in paths]
    assert jobs
    assert all(answer.status_code in (200, 503) for answer in answers)
    return "\n".join(f"{answer.headers}{answer.text}" for answer in answers)


IN_QUERY, IN_PATH = "http://{host}/?api-key={key}", "http://{host}/v1/{key}/"
IN_NAME = "http://user:{password}@{host}/{key}"


@pytest.mark.parametrize(
    ("form", "status", "headers", "as_rpc"),
    [
        (IN_QUERY, 403, {}, False),
        (IN_QUERY, 302, {"Location": f"http://127.0.0.1:1/?api-key={KEY}"}, False),
        (IN_QUERY, 200, {}, True),
        (IN_PATH, 404, {}, False),
        (IN_PATH, 200, {}, True),
        (IN_NAME, 400, {}, False),
        (IN_NAME, 200, {}, True),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # it reads the database's files
def test_the_key_of_the_rpc_service_is_nowhere_after_an_error(
    make_app: Any,
    gossip: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: pathlib.Path,
    form: str,
    status: int,
    headers: dict[str, str],
    as_rpc: bool,
) -> None:
    gossip.status, gossip.headers_sent, gossip.as_rpc = status, headers, as_rpc
    url = form.format(host=gossip.host, key=KEY, password=PASSWORD)
    caplog.set_level(logging.DEBUG)
    client = make_app(SOLANA_RPC_URL=url).test_client()
    configure(dataclasses.replace(current(), solana_rpc_url=url, rpc_requests_per_s=1e5))
    key = start(client, [A, B])
    work(("sync",))
    shown = everything_shown(client, key)
    assert "Solana" in shown, "the failure is told"
    db.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert key.encode() in kept
    for secret in (KEY, PASSWORD):
        assert secret not in shown
        assert secret not in caplog.text
        assert secret.encode() not in kept


def test_jupiters_key_is_in_no_error_and_no_log(gossip: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = Jupiter(f"http://{gossip.host}", api_key=KEY)
    for status in (403, 500, 302):
        gossip.status = status
        with pytest.raises(SourceError) as caught:
            source.listings([A])
        assert KEY not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    source.close()
    assert KEY not in caplog.text
    assert KEY not in source.circuit.name


def test_the_id_of_an_analysis_is_not_logged_and_sent_to_nobody(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    key = start(client, [A, B])
    from webapp.pages import analyses

    page = client.get(f"/analyses/{key}")
    assert page.headers["Referrer-Policy"] == "no-referrer"

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(analyses, "show_page", broken)
    assert client.get(f"/analyses/{key}").status_code == 500
    assert client.get(f"/analyses/{key}/nowhere").status_code == 404
    assert client.post(f"/analyses/{key}/cancel", data={}).status_code == 400
    assert "broken" in caplog.text
    assert key not in caplog.text
