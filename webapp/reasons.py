"""Why a wallet could not be read, for people: without the codes of the protocol, and whether asking again can help."""

from __future__ import annotations

import re

REFUSED_CODES = frozenset(("-32600", "-32601", "-32602"))
"""What JSON-RPC answers to a question that it will never take."""
REFUSED = "the RPC service does not take this address; no retry will change that"
ANSWERED = re.compile(r"answered (?:error (-?\d+)|an error)(?: \((.+)\))?", re.DOTALL)


def is_refused(reason: str | None) -> bool:
    """Whether the service refused a wallet for good."""
    found = ANSWERED.search(reason or "")
    return found is not None and found[1] in REFUSED_CODES


def told(reason: str | None) -> str | None:
    """Write a reason as a reader can use it: what the service said, not the number under which it said it."""
    if reason is None:
        return None
    return REFUSED if is_refused(reason) else ANSWERED.sub(_said, reason)


def _said(found: re.Match[str]) -> str:
    return f"answered: “{found[2]}”" if found[2] else "answered with an error"
