"""Requests go only to the services in the settings."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tasks.errors import SourceError
from tasks.sources.http import Http
from tests.support.scripted_service import KEY, Answer, ScriptedService
from tests.support.servers import ROOT

CLIENTS = {"requests", "urllib3", "http.client", "urllib.request", "httpx", "aiohttp", "ftplib", "smtplib"}
MAY_ASK = {"tasks/sources/http.py"}


@pytest.fixture
def elsewhere() -> Iterator[ScriptedService]:
    playing = ScriptedService()
    yield playing
    playing.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["get", "post"])
def test_no_request_follows_a_redirect_to_another_host(
    service: ScriptedService, elsewhere: ScriptedService, status: int, method: str
) -> None:
    """Otherwise a hijacked service could redirect the key or the request to any host."""
    service.default = lambda request: Answer({}, status, {"Location": f"{elsewhere.url}/metadata"})
    http = Http("solana")
    with pytest.raises(SourceError, match="redirect"):
        getattr(http, method)(f"{service.url}/?api-key={KEY}", *([{}] if method == "post" else []))
    http.close()
    assert elsewhere.requests == []
    assert len(service.requests) == 1


def test_only_one_module_sends_requests() -> None:
    """So its limits on size, time, redirects and keys hold for every request."""
    asking = set()
    for path in [*(ROOT / "tasks").rglob("*.py"), *(ROOT / "webapp").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name == client or name.startswith(f"{client}.") for name in names for client in CLIENTS):
                asking.add(str(path.relative_to(ROOT)))
    assert asking == MAY_ASK


def test_no_url_of_an_answer_is_fetched() -> None:
    """Image URLs come from strangers: pages show those of the allowed hosts, and the server fetches none."""
    for path in (ROOT / "webapp").rglob("*.py"):
        assert "image_url" not in path.read_text() or "requests" not in path.read_text(), path
