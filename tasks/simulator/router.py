"""Takes an HTTP request apart, lets the switches act on it, and gives it to the chain or the market; owns no socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from tasks.simulator.chain.corruption import garbled
from tasks.simulator.chain.rpc import Chain
from tasks.simulator.market.api import Market, service_of
from tasks.simulator.responses import Answer, json_answer, refusal
from tasks.simulator.state import Switchboard
from tasks.simulator.world.world import World

_PARSE_ERROR = {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be sent; `dropped` means that the connection ends in the middle of it."""

    answer: Answer
    dropped: bool = False


class Desk:
    """Everything between a read request and an answer to be written."""

    def __init__(self, world: World, board: Switchboard):
        self.board = board
        self._chain, self._market = Chain(world, board), Market(world, board)

    def handle(self, method: str, target: str, body: bytes, host: str) -> Outcome:
        """Return the outcome of one request, faults included."""
        if target.startswith(("/_faults", "/_stats")):
            return Outcome(self._control(method, target, body))
        service = service_of(target)
        self.board.count_request(service)
        outcome = self._disturbed(method, service, target, body, host)
        self.board.count_status(0 if outcome.dropped else outcome.answer.status)
        return outcome

    def _disturbed(self, method: str, service: str, target: str, body: bytes, host: str) -> Outcome:
        faults = self.board.faults
        self.board.pause(self.board.latency_s(service))
        request = _read_json(body) if service == "rpc" else None
        wait_s = self.board.wait_s(service, len(request) if isinstance(request, list) else 1)
        if wait_s:
            return Outcome(refusal(429, "Too many requests", wait_s))
        if self.board.happens("fail", service):
            return Outcome(refusal(faults.fail_status, "Try again later", 1 if faults.fail_status == 429 else 0))
        answer = self._answer(method, service, target, request, host)
        if self.board.happens("garble", service):
            answer = garbled(answer, faults)
        if self.board.happens("hang", service):
            self.board.pause(faults.hang_s)
        return Outcome(answer, dropped=self.board.happens("drop", service))

    def _answer(self, method: str, service: str, target: str, request: object, host: str) -> Answer:
        if service != "rpc":
            return self._market.answer(target, host) if method == "GET" else refusal(405, "Use GET.")
        if method != "POST":
            return refusal(405, "Used HTTP Method is not allowed. POST or OPTIONS is required")
        return json_answer(_PARSE_ERROR) if request is _UNREADABLE else self._chain.answer(request)

    def _control(self, method: str, target: str, body: bytes) -> Answer:
        if target.startswith("/_stats"):
            if method == "POST":
                self.board.reset()
            return json_answer(self.board.stats())
        return self._change(_read_json(body)) if method == "POST" else json_answer(self.board.faults.as_json())

    def _change(self, changes: Any) -> Answer:
        if not isinstance(changes, dict):
            return json_answer({"error": "The switches are a JSON object."}, 400)
        try:
            return json_answer(self.board.change(changes).as_json())
        except ValueError as error:
            return json_answer({"error": str(error)}, 400)


_UNREADABLE = object()


def _read_json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _UNREADABLE
