"""JSON-RPC as used by Solana nodes and RPC vendors: the body of a call, and the result or error of an answer.

`parse.py` reads results. Error codes: Solana RPC documentation and observed vendors' answers, read 2026-11-24.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.errors import SourceError
from tasks.sources.http import redact
from tasks.sources.solana.endpoint import LABEL, SOURCE

UNSUPPORTED_VERSION = -32015
NODE_BEHIND = -32005
THROTTLES = frozenset({429, NODE_BEHIND, -32429})
"""Codes about the whole service, not only the call that got them."""
TEMPORARY = THROTTLES | {-32004, -32014, -32016, -32019, -32603}
PERMANENT = frozenset({-32007, -32009, -32010, -32011, -32013, UNSUPPORTED_VERSION, -32600, -32601, -32602, -32700})
NOT_A_BATCH = frozenset({-32600, -32601, -32602, -32700})
MESSAGE_LENGTH = 160

_SIZE = re.compile(r"too (large|big|many|long)|limit|size|exceed|maxim|at most", re.IGNORECASE)
_THROTTLED = re.compile(r"rate.?limit|too many requests(?! in)|per second|throttl", re.IGNORECASE)

Outcome = Any
"""The `result` of a call, which may be None, or a `SourceError` in its place."""


@dataclass(frozen=True)
class Call:
    """One method with its parameters."""

    method: str
    params: Sequence[object]

    def body(self, number: int) -> dict[str, object]:
        """Return the JSON-RPC object; its answer carries the same `number`."""
        return {"jsonrpc": "2.0", "id": number, "method": self.method, "params": self.params}


class RpcError(SourceError):
    """The service answered a call with an error object. `code` is None without a number."""

    def __init__(self, message: str, *, code: int | None, permanent: bool):
        super().__init__(SOURCE, message, permanent=permanent)
        self.code = code


def read_answer(answer: object, url: str) -> Outcome:
    """Read the answer to one call. Undocumented codes are temporary: losing a transaction is worse than retries."""
    if isinstance(answer, dict) and answer.get("error") is not None:
        return _read_error(answer["error"], url)
    if isinstance(answer, dict) and "result" in answer:
        return answer["result"]
    return SourceError(SOURCE, f"{LABEL} answered with something that is not JSON-RPC", permanent=False)


def read_batch(answers: Sequence[object], count: int, url: str) -> list[Outcome]:
    """Return the outcomes of calls 1 to `count` in order. Unknown and repeated numbers are ignored; a call without an
    answer gets a temporary error.
    """
    found: dict[int, object] = {}
    for answer in answers:
        number = answer.get("id") if isinstance(answer, dict) else None
        if type(number) is int:
            found.setdefault(number, answer)
    return [read_answer(found[n], url) if n in found else _unanswered() for n in range(1, count + 1)]


def is_throttle(outcome: Outcome) -> bool:
    """Whether an error object means that the service is throttling."""
    return isinstance(outcome, RpcError) and (outcome.code in THROTTLES or bool(_THROTTLED.search(str(outcome))))


def refuses_batches(outcome: Outcome) -> bool:
    """Whether an error object in answer to a batch refuses batches as such."""
    if not isinstance(outcome, RpcError) or is_throttle(outcome):
        return False
    return outcome.code in NOT_A_BATCH or "batch" in str(outcome).lower()


def is_about_size(outcome: Outcome) -> bool:
    """Whether an error object says that the request was too large."""
    return isinstance(outcome, RpcError) and not is_throttle(outcome) and bool(_SIZE.search(str(outcome)))


def wanted_version(error: RpcError) -> int | None:
    """Return the transaction version that the text of a -32015 asks for; None if it names none."""
    match = re.search(r"maxSupportedTransactionVersion\W+(\d{1,3})\b", str(error)) or re.search(
        r"version \(?(\d{1,3})\b", str(error)
    )
    return int(match[1]) if match else None


def _read_error(error: object, url: str) -> RpcError:
    known: dict[str, object] = error if isinstance(error, dict) else {"message": error}
    number, message = known.get("code"), known.get("message")
    code = number if type(number) is int else None
    text = _shown(message, url) if isinstance(message, str) else ""
    said = f"error {code}" if code is not None else "an error"
    return RpcError(
        f"{LABEL} answered {said} ({text})" if text else f"{LABEL} answered {said}",
        code=code,
        permanent=code is not None and _is_permanent(code) and not _THROTTLED.search(text),
    )


def _is_permanent(code: int) -> bool:
    """Whether a code is permanent: documented codes, and -324xx and 4xx, which vendors use for HTTP refusals.

    Some vendors throttle with a code of another meaning (-32007), so the caller checks the text first.
    """
    if code in TEMPORARY or code in (408, -32408):
        return False
    return code in PERMANENT or 400 <= code <= 499 or -32499 <= code <= -32400


def _shown(message: str, url: str) -> str:
    """Return the service's message on one line without the API key, which some services repeat."""
    words = " ".join("".join(c if c.isprintable() else " " for c in message[:2000]).split())
    text = redact(words, url)
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 1] + "…"


def _unanswered() -> SourceError:
    return SourceError(SOURCE, f"{LABEL} left a part of the batch without an answer", permanent=False)
