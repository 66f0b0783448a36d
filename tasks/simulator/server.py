"""Serves a made-up world over HTTP/1.1 on one port; what is answered is decided at the desk."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Lock, Thread, current_thread, main_thread
from types import FrameType
from typing import Any

from tasks.simulator.faults import Faults
from tasks.simulator.responses import Answer, refusal
from tasks.simulator.router import Desk
from tasks.simulator.state import Switchboard
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.wallets import failing_address
from tasks.simulator.world.world import World, build_world

_MOST_BYTES = 10_000_000
_REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class Simulator:
    """A world behind a port. Use it as a context manager, or `start` and `stop` it.

    The address that the demo's list shows as failing is refused for ever. Raises OSError when the port is taken.
    """

    def __init__(
        self, scenario: Scenario | None = None, faults: Faults | None = None, host: str = "127.0.0.1", port: int = 0
    ):
        self.world: World = build_world(scenario or Scenario())
        faults = faults or Faults()
        fates = {failing_address(self.world.scenario): "invalid"} | faults.failing_addresses
        self.board = Switchboard(replace(faults, failing_addresses=fates), self.world.scenario.seed)
        self._server = _Server((host, port), Desk(self.world, self.board))
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="simulator", daemon=True)

    @property
    def url(self) -> str:
        """The base URL of all services, without a slash at the end."""
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def set_faults(self, **changes: Any) -> Faults:
        """Set some switches anew, as `POST /_faults` does."""
        return self.board.change(changes)

    def stats(self) -> Mapping[str, Any]:
        """Return the counts, as `GET /_stats` does."""
        return self.board.stats()

    def start(self) -> Simulator:
        """Serve from a thread of its own."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and close every connection, held-back answers too; may be called twice, or without a start."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self.board.end_pauses()

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(
    host: str,
    port: int,
    scenario: Scenario | None = None,
    faults: Faults | None = None,
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called with the URL. Raises OSError when the port is taken."""
    over = Event()
    simulator = Simulator(scenario, faults, host, port)
    before = _on_signals(lambda number, frame: over.set()) if current_thread() is main_thread() else {}
    try:
        with simulator:
            if announce:
                announce(simulator.url)
            over.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    return {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}


class _Server(ThreadingHTTPServer):
    """Keeps track of its connections, so that stopping ends them too."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], desk: Desk):
        self.desk = desk
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, as the base class would."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; anything else is a bug and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._respond("GET", b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            self.close_connection = True
            answer = refusal(413 if length.isdecimal() else 411, "The body needs a length of at most 10 MB.")
            self._write(replace(answer, headers={"Connection": "close"}))
            return
        self._respond("POST", self.rfile.read(int(length)))

    def _respond(self, method: str, body: bytes) -> None:
        outcome = self.server.desk.handle(method, self.path, body, self.headers.get("Host", "localhost"))
        if outcome.dropped:
            data = _encoded(outcome.answer)
            self.wfile.write(data[: len(data) - len(outcome.answer.body) // 2 - 1])
            self.close_connection = True
            _hang_up(self.connection)
        else:
            self._write(outcome.answer)

    def _write(self, answer: Answer) -> None:
        self.wfile.write(_encoded(answer))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


def _encoded(answer: Answer) -> bytes:
    """Return the whole answer, so that it leaves in one write."""
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Refused')}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was quicker
