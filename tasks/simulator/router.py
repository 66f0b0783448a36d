"""Routes an HTTP request to the chain or the market and applies the faults; owns no socket."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from tasks.simulator.chain.rpc import Chain
from tasks.simulator.market.api import Market, service_of
from tasks.simulator.responses import Response, error_response, json_response
from tasks.simulator.state import SimulatorState
from tasks.simulator.world.world import World

_PARSE_ERROR = {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}
_THROTTLED = {"jsonrpc": "2.0", "error": {"code": 429, "message": "Too many requests"}, "id": None}
_UNREADABLE = object()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The response to send; `dropped`: the connection ends in the middle of it."""

    response: Response
    dropped: bool = False


class Router:
    """Turns a request that was read into a response to write."""

    def __init__(self, world: World, state: SimulatorState):
        self.state = state
        self.chain, self.market = Chain(world, state), Market(world, state)

    def handle(self, method: str, target: str, body: bytes, host: str) -> Outcome:
        """Return the outcome of one request, faults included."""
        if target == "/_stats":
            return Outcome(json_response(self.state.stats()))
        service = service_of(target)
        self.state.count_request(service)
        outcome = self._with_faults(method, service, target, body, host)
        self.state.count_status(0 if outcome.dropped else outcome.response.status)
        return outcome

    def _with_faults(self, method: str, service: str, target: str, body: bytes, host: str) -> Outcome:
        faults = self.state.faults
        self.state.pause(self.state.latency_s(service))
        wait_s = self.state.wait_s(service)
        if wait_s:
            return Outcome(error_response(429, "Too many requests", wait_s))
        if self.state.happens("fail", service):
            retry_after_s = 1 if faults.fail_status == 429 else 0
            return Outcome(error_response(faults.fail_status, "Try again later", retry_after_s))
        response = self._respond(method, service, target, body, host)
        if self.state.happens("garble", service):
            response = _garbled(response, faults.garble)
        if self.state.happens("hang", service):
            self.state.pause(faults.hang_s)
        return Outcome(response, dropped=self.state.happens("drop", service))

    def _respond(self, method: str, service: str, target: str, body: bytes, host: str) -> Response:
        if service != "rpc":
            return self.market.respond(target, host) if method == "GET" else error_response(405, "Use GET.")
        if method != "POST":
            return error_response(405, "Used HTTP Method is not allowed. POST or OPTIONS is required")
        request = _read_json(body)
        return json_response(_PARSE_ERROR) if request is _UNREADABLE else self.chain.respond(request)


def _garbled(response: Response, garble: str) -> Response:
    """Return what arrives instead of a response, with status 200."""
    if garble == "half":
        return Response(response.body[: len(response.body) // 2])
    if garble == "html":
        return Response(b"<!doctype html><title>Just a moment...</title><p>Checking.</p>", 200, "text/html")
    return json_response(_THROTTLED)


def _read_json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _UNREADABLE
