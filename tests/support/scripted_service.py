"""An HTTP server on 127.0.0.1 with scripted answers, faults included, and a fake clock."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tasks.sources.rate_limit.clock import Clock
from tasks.sources.solana.client import SolanaClient

KEY = "5ecret-key-0123456789"
MINT = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
WALLET = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"

Connect = Callable[..., SolanaClient]
"""What the fixture `connect` gives: it makes a client of the scripted service."""


@dataclass(frozen=True)
class Answer:
    """One answer: `body` bytes as they are, anything else as JSON. `missing` bytes are announced and never sent;
    `drop` closes the connection instead of answering."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    drop: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    json: Any


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that hangs up is part of the script
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class ScriptedService:
    """Sends `answers` in turn, each an `Answer` or a function of the request; then `default`, if any."""

    def __init__(self) -> None:
        self.answers: list[Answer | Callable[[Request], Answer]] = []
        self.default: Callable[[Request], Answer] | None = None
        self.requests: list[Request] = []
        self.connections = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet; otherwise every answer takes 40 ms

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def answer(self) -> None:
                service.play(self)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def play(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Request(handler.command, handler.path, dict(handler.headers), json.loads(raw) if raw else None)
        self.requests.append(request)
        step = self.answers.pop(0) if self.answers else self.default
        answer = step if isinstance(step, Answer) else step(request) if step else Answer(b"no more answers", 418)
        send(handler, answer)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    if answer.drop:
        handler.close_connection = True
        return
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    handler.send_response(answer.status)
    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) + answer.missing))
    handler.end_headers()
    try:
        handler.wfile.write(body)
    except OSError:  # the client has read enough and hung up
        handler.close_connection = True
    if answer.missing:
        handler.close_connection = True


class FakeClock:
    """A clock whose `sleep` returns at once; `chance` is the upper end of every jitter. The process is an hour old."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.slept: list[float] = []
        self.clock = Clock(self.now, self.sleep, lambda: 1.0, self.time - 3600)

    def restart(self) -> None:
        """Let a new process start now."""
        self.clock = dataclasses.replace(self.clock, started_at=self.time)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def result(number: object, value: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "result": value}


def error(number: object, code: int | None, message: str = "no") -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def transaction(signature: str) -> dict[str, object]:
    """The least that counts as a transaction."""
    key = {"pubkey": WALLET, "signer": True, "source": "transaction", "writable": True}
    meta = {"err": None, "fee": 5000, "preBalances": [10_000], "postBalances": [5000]}
    return {
        "slot": 7,
        "blockTime": 1_790_000_000,
        "transactionIndex": 3,
        "version": 1,
        "meta": meta | {"preTokenBalances": [], "postTokenBalances": []},
        "transaction": {"signatures": [signature], "message": {"accountKeys": [key], "instructions": []}},
    }


def listed(signature: str, *, failed: bool = False) -> dict[str, object]:
    error_ = {"InstructionError": [0, "Custom"]} if failed else None
    return {
        "signature": signature,
        "slot": 7,
        "transactionIndex": 3,
        "blockTime": 1_790_000_000,
        "err": error_,
        "memo": None,
        "confirmationStatus": "finalized",
    }


def token_account(mint: str, amount: int, decimals: int = 6) -> dict[str, object]:
    info = {"mint": mint, "owner": WALLET, "tokenAmount": {"amount": str(amount), "decimals": decimals}}
    return {"pubkey": WALLET, "account": {"data": {"program": "spl-token", "parsed": {"info": info}}}}


class Node:
    """A healthy RPC node; `item` can replace the answer of a call (None: as usual), `whole` that of a request."""

    def __init__(self) -> None:
        self.results: dict[str, Callable[[list[Any]], object]] = {
            "getTransaction": lambda params: transaction(params[0]),
            "getSignaturesForAddress": lambda params: [],
            "getTokenAccountsByOwner": lambda params: {"context": {"slot": 1}, "value": []},
            "getBalance": lambda params: {"context": {"slot": 1}, "value": 42},
        }
        self.item: Callable[[dict[str, Any]], dict[str, object] | None] = lambda call: None
        self.whole: Callable[[Any], Answer | None] = lambda payload: None

    def __call__(self, request: Request) -> Answer:
        payload = request.json
        if (answer := self.whole(payload)) is not None:
            return answer
        return Answer([self.one(call) for call in payload] if isinstance(payload, list) else self.one(payload))

    def one(self, call: dict[str, Any]) -> dict[str, object]:
        if (answer := self.item(call)) is not None:
            return answer
        method = self.results.get(call["method"])
        return result(call["id"], method(call["params"])) if method else error(call["id"], -32601, "Method not found")
