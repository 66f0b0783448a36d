"""Words on pages that are not figures: strangers' names made harmless, reasons as sentences, outcomes counted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from tasks.sources.market.names import LONGEST_NAME, clean_name

MOST_KEPT = 8_192
OUTCOMES = (("resolved", "found"), ("unlisted", "without a market"), ("failed", "failed"))


@lru_cache(MOST_KEPT)
def plain_text(text: str | None, most: int = LONGEST_NAME) -> str:
    """Write a stranger's words on one line, without what cannot be seen or turns the direction, cut with an ellipsis.

    Unknown is empty, as is a text of nothing but such characters. The registry's names are clean already; what an
    older version left there is cleaned here.
    """
    return clean_name(text, most) or ""


def outcome(counts: Mapping[str, int]) -> str:
    """Summarise a look-up of tokens: "22 looked up, all found", "70 looked up: 66 found, 4 failed"."""
    looked_up = f"{counts['asked']:,} looked up"
    if counts["asked"] and counts["resolved"] == counts["asked"]:
        return f"{looked_up}, all found"
    parts = ", ".join(f"{counts[key]:,} {words}" for key, words in OUTCOMES if counts[key])
    return f"{looked_up}: {parts}" if parts else looked_up


def chance_count(value: float | None) -> str:
    """Write how many tokens chance explains, to one decimal: "3.0", "< 0.1", "n/a" where it is not known."""
    if value is None:
        return "n/a"
    return f"{value:,.1f}" if value >= 0.1 else "< 0.1"


def signed(value: float | None, digits: int) -> str:
    """Write a place on an axis with a true minus; what rounds to zero has none, unknown is an en dash."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "\u2212")


def sentence(text: str) -> str:
    """Begin a reason with a capital and end it with a full stop, as a line of its own is written."""
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else f"{text}."


def rounded_parts(parts: Sequence[float], digits: int = 3) -> list[float]:
    """Round the parts of a sum so that they still add up to it rounded; what is cut most is rounded up."""
    unit = 10**digits
    whole = [math.floor(part * unit + 1e-9) for part in parts]
    lacking = round(sum(parts) * unit) - sum(whole)
    order = sorted(range(len(parts)), key=lambda place: whole[place] - parts[place] * unit)
    for place in order[:lacking]:
        whole[place] += 1
    return [number / unit for number in whole]


REFUSED_CODES = frozenset(("-32600", "-32601", "-32602"))
"""What JSON-RPC answers to a question that it will never take."""
REFUSED = "the RPC service rejects this address; retrying will not help"
ANSWERED = re.compile(r"answered (?:error (-?\d+)|an error)(?: \((.+)\))?", re.DOTALL)


def is_refused(reason: str | None) -> bool:
    """Whether the service refused a wallet for good."""
    found = ANSWERED.search(reason or "")
    return found is not None and found[1] in REFUSED_CODES


def describe_reason(reason: str | None) -> str | None:
    """Write a reason as a reader can use it: what the service said, not the number under which it said it."""
    if reason is None:
        return None
    return REFUSED if is_refused(reason) else ANSWERED.sub(_said, reason)


def _said(found: re.Match[str]) -> str:
    return f"answered: “{found[2]}”" if found[2] else "answered with an error"
