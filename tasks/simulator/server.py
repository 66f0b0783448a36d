"""Serves a made-up world over HTTP/1.1 on one port; `router` decides each response."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Lock, Thread, current_thread, main_thread
from types import FrameType
from typing import Any

from tasks.simulator.faults import Faults
from tasks.simulator.responses import Response, error_response
from tasks.simulator.router import Router
from tasks.simulator.state import SimulatorState
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.wallets import failing_address
from tasks.simulator.world.world import World, build_world

_MOST_BYTES = 10_000_000
_REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class Simulator:
    """A world behind a port. Use it as a context manager, or `start` and `stop` it.

    The chain always refuses the address that the demo's list shows as failing. Raises OSError when the port is taken.
    """

    def __init__(
        self, scenario: Scenario | None = None, faults: Faults | None = None, host: str = "127.0.0.1", port: int = 0
    ):
        self.world: World = build_world(scenario or Scenario())
        faults = faults or Faults()
        fates = {failing_address(self.world.scenario): "invalid"} | faults.failing_addresses
        self.state = SimulatorState(replace(faults, failing_addresses=fates), self.world.scenario.seed)
        self.router = Router(self.world, self.state)
        self._server = _Server((host, port), self.router)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="simulator", daemon=True)

    @property
    def url(self) -> str:
        """The base URL of all services, without a slash at the end."""
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def set_faults(self, **changes: Any) -> None:
        """Set some faults; those not named stay."""
        self.state.set_faults(**changes)

    def stats(self) -> dict[str, Any]:
        """Return the counts, as `GET /_stats` does."""
        return self.state.stats()

    def start(self) -> Simulator:
        """Serve from a separate thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and close every connection, held-back responses included; may be called twice or unstarted."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self.state.end_pauses()

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
    stop = Event()
    simulator = Simulator(scenario, faults, host, port)
    before = _on_signals(lambda number, frame: stop.set()) if current_thread() is main_thread() else {}
    try:
        with simulator:
            if announce:
                announce(simulator.url)
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    return {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}


class _Server(ThreadingHTTPServer):
    """Tracks its connections, so that stopping ends them too."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], router: Router):
        self.router = router
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without the base class's look-up of this machine's name."""
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
            _close(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection; anything else is a bug and is shown."""
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
            response = error_response(413 if length.isdecimal() else 411, "The body needs a length of at most 10 MB.")
            self._write(replace(response, headers={"Connection": "close"}))
            return
        self._respond("POST", self.rfile.read(int(length)))

    def _respond(self, method: str, body: bytes) -> None:
        outcome = self.server.router.handle(method, self.path, body, self.headers.get("Host", "localhost"))
        if outcome.dropped:
            data = _encoded(outcome.response)
            self.wfile.write(data[: len(data) - len(outcome.response.body) // 2 - 1])
            self.close_connection = True
            _close(self.connection)
        else:
            self._write(outcome.response)

    def _write(self, response: Response) -> None:
        self.wfile.write(_encoded(response))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _encoded(response: Response) -> bytes:
    """Return the whole response, so that it leaves in one write."""
    lines = [
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Refused')}",
        f"Content-Type: {response.kind}",
        f"Content-Length: {len(response.body)}",
        *(f"{name}: {value}" for name, value in response.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + response.body


def _close(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side has closed it
