"""A market that says what a test tells it to: DexScreener's and Jupiter's two routes on one port. Knows no token.

What a world of tokens would answer is `tasks/simulator`'s; this is for answers that a test makes up on the spot.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from tasks.measures.well_known import WSOL

Reply = bytes | tuple[int, bytes, dict[str, str]]
Answer = Callable[[str, tuple[str, ...]], Reply]
Asked = tuple[float, str, tuple[str, ...]]

_PAIRS, _SEARCH = "/tokens/v1/solana/", "/tokens/v2/search"


class StubMarket:
    """Serves for the block. `url` is the base of both services; `requests` holds (monotonic s, service, mints) of each.

    `answer(service, mints)` gives a body, or (status, body, headers); service is "dexscreener" or "jupiter". It is
    called from the server's threads, as soon as a request has come; the reply waits `latency_s`, which may be changed
    at any time and is cut short by the end of the block. What `answer` raises is a 500 to the client, and raised again
    at the end of the block. Headers replace those of the same name: a longer Content-Length breaks the answer off.
    """

    def __init__(self, answer: Answer, *, latency_s: float = 0.0):
        self.latency_s = latency_s
        self.requests: list[Asked] = []
        self.errors: list[Exception] = []
        self._answer = answer
        self._over = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="stub market")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def mints(self, service: str) -> list[tuple[str, ...]]:
        """Give the mints of each request to a service, in order."""
        return [mints for _, name, mints in list(self.requests) if name == service]

    def reply(self, service: str, mints: tuple[str, ...]) -> Reply:
        """Record a request, and give what the test answers to it, after the latency."""
        self.requests.append((time.monotonic(), service, mints))
        try:
            reply = self._answer(service, mints)
        except Exception as error:
            self.errors.append(error)
            return 500, str(error).encode(), {}
        self._over.wait(self.latency_s)
        return reply

    def __enter__(self) -> StubMarket:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self.errors and kind is None:
            raise self.errors[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, market: StubMarket):
        self.market = market
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, as the base class would."""
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away; nothing else can fail here that `errors` does not hold."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        asked = asked_for(self.path)
        reply = (404, b"no such route", {}) if asked is None else self.server.market.reply(*asked)
        status, body, headers = (200, reply, {}) if isinstance(reply, bytes) else reply
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


def asked_for(target: str) -> tuple[str, tuple[str, ...]] | None:
    """Read the service and the mints out of a request's target; None for any other route."""
    parts = urllib.parse.urlsplit(target)
    if parts.path.startswith(_PAIRS):
        return "dexscreener", _mints(urllib.parse.unquote(parts.path.removeprefix(_PAIRS)))
    if parts.path == _SEARCH:
        return "jupiter", _mints(",".join(urllib.parse.parse_qs(parts.query).get("query", [])))
    return None


def _mints(text: str) -> tuple[str, ...]:
    return tuple(mint for mint in text.split(",") if mint)


def dex_pair(
    mint: str, *, symbol: str = "X", price: object = "1.5", liquidity: object = 5000, quote: str = WSOL, **more: object
) -> dict[str, Any]:
    """Make one of DexScreener's pairs that sells `mint` for `quote`; `more` sets or replaces keys of the pair."""
    pair: dict[str, Any] = {
        "chainId": "solana",
        "dexId": "raydium",
        "pairAddress": f"pool-of-{mint}-in-{quote}",
        "baseToken": {"address": mint, "name": f"{symbol} token", "symbol": symbol},
        "quoteToken": {"address": quote, "name": "Quote", "symbol": "QUOTE"},
        "priceNative": "0.01",
        "priceUsd": price,
        "volume": {"h24": 9000.0},
        "liquidity": {"usd": liquidity},
    }
    return pair | more


def jupiter_entry(
    mint: str, *, symbol: str = "X", price: object = 1.5, liquidity: object = 5000.0, decimals: int = 6, **more: object
) -> dict[str, Any]:
    """Make one of the entries of Jupiter's token search; `more` sets or replaces keys of the entry."""
    entry: dict[str, Any] = {
        "id": mint,
        "name": f"{symbol} token",
        "symbol": symbol,
        "decimals": decimals,
        "usdPrice": price,
        "liquidity": liquidity,
    }
    return entry | more


def all_known(service: str, mints: Sequence[str]) -> bytes:
    """Answer for a market on which every mint trades: one pair or entry each."""
    make = dex_pair if service == "dexscreener" else jupiter_entry
    return json.dumps([make(mint) for mint in mints]).encode()
