"""Breaks a transaction's JSON in one chosen way, and a whole answer in another; makes nothing well."""

from __future__ import annotations

from typing import Any

import orjson

from tasks.simulator.faults import Faults
from tasks.simulator.responses import Answer, json_answer


def damaged(content: dict[str, Any], damage: str) -> dict[str, Any]:
    """Return the transaction with fewer keys than balances, without meta, or with amounts that are no numbers."""
    if damage == "meta":
        return {**content, "meta": None}
    if damage == "amounts":
        for entry in content["meta"]["postTokenBalances"]:
            entry["uiTokenAmount"]["amount"] = "12e3.4"
        content["meta"]["postBalances"][0] = "many"
        return content
    message = content["transaction"]["message"]
    message["accountKeys"] = message["accountKeys"][:2]
    content["meta"].pop("loadedAddresses", None)
    return content


def garbled(answer: Answer, faults: Faults) -> Answer:
    """Return what arrives instead of an answer, with status 200."""
    if faults.garble == "half":
        return Answer(answer.body[: len(answer.body) // 2])
    if faults.garble == "html":
        return Answer(b"<!doctype html><title>Just a moment...</title><p>Checking your browser.</p>", 200, "text/html")
    if faults.garble == "huge":
        return Answer(orjson.dumps({"jsonrpc": "2.0", "result": "x" * int(faults.huge_mb * 1_000_000), "id": 1}))
    return json_answer({"jsonrpc": "2.0", "error": {"code": 429, "message": "Too many requests"}, "id": None})
