"""The switches that make the made-up services misbehave; says what goes wrong and when, but answers nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import orjson

TARGETS = ("all", "rpc", "market", "dexscreener", "jupiter")
GARBLES = ("half", "html", "huge", "object")
DAMAGES = ("keys", "meta", "amounts")
BAD_PRICES = (
    *("negative", "zero", "nan", "infinite", "huge", "text", "null"),
    *("nan_text", "infinite_text", "huge_text"),
    *("other_chain", "twice", "list", "bare"),
)
REFUSALS = ("invalid", "throttled")
_CHOICES: dict[str, tuple[object, ...]] = {
    "target": TARGETS,
    "garble": GARBLES,
    "fail_status": (429, 500, 502, 503, 504),
    "batch_refusal": (0, 403, 413),
}
_MEMBERS = {"failing_addresses": REFUSALS, "damaged": DAMAGES, "bad_prices": BAD_PRICES}


@dataclass(frozen=True, slots=True)
class Faults:
    """All switches; the defaults are a service in good health.

    Fractions are of HTTP requests; a `…_next` counts down with each request that it hits. `target` says whom
    `fail_…`, `drop_…`, `garble_…` and `hang_…` hit.
    """

    latency_ms: float = 0.0
    # As much again before an answer of DexScreener or Jupiter; images and the chain do not wait for it.
    market_latency_ms: float = 0.0
    # Requests a second, batch members counted singly (0: no limit); above it HTTP 429 with Retry-After.
    rpc_requests_per_s: float = 0.0
    market_requests_per_s: float = 0.0
    target: str = "all"
    # Answered with `fail_status`.
    fail_status: int = 503
    fail_fraction: float = 0.0
    fail_next: int = 0
    # The connection is closed in the middle of the answer.
    drop_fraction: float = 0.0
    drop_next: int = 0
    # half: half of the answer; html: a page with status 200; huge: `huge_mb` of JSON; object: one error object.
    garble: str = "half"
    garble_fraction: float = 0.0
    garble_next: int = 0
    huge_mb: float = 64.0
    # The answer is ready, and held back so long.
    hang_s: float = 30.0
    hang_fraction: float = 0.0
    hang_next: int = 0
    # The first so many asks of each signature answer null, as from a node that lags.
    null_first: int = 0
    shuffle_batches: bool = False
    batch_refusal: int = 0
    max_batch: int = 0
    # Address → invalid (-32602) or throttled (429 for ever).
    failing_addresses: dict[str, str] = field(default_factory=dict)
    unavailable_methods: tuple[str, ...] = ()
    # Signature → what is broken in its transaction: keys, meta, amounts.
    damaged: dict[str, str] = field(default_factory=dict)
    transactions_for_address: bool = False
    # So many of each wallet's newest transactions have not happened yet.
    hide_newest: int = 0
    # DexScreener answers no more pairs than this (0: all).
    max_pairs: int = 0
    # Mint → what is wrong with every pair and entry of it (`misquotes.py` says what each word does).
    bad_prices: dict[str, str] = field(default_factory=dict)
    # A market request that names one of these mints is refused as a whole, with 400.
    rejected_mints: tuple[str, ...] = ()

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """Return the switches with some of them set anew. Raises ValueError that names the first bad one."""
        return replace(self, **{name: _checked(name, value) for name, value in changes.items()})

    def as_json(self) -> dict[str, Any]:
        """Return the switches as JSON can carry them."""
        return asdict(self)


_KINDS = {entry.name: type(getattr(Faults(), entry.name)) for entry in fields(Faults)}


def faults_from_arguments(arguments: Iterable[str]) -> Faults:
    """Return the switches given as `name=value` on a command line; values are JSON, or plain words.

    Raises ValueError that names the first bad one.
    """
    changes: dict[str, Any] = {}
    for argument in arguments:
        name, _, text = argument.partition("=")
        changes[name] = _read_value(text)
    return Faults().changed(changes)


def _read_value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _checked(name: str, value: Any) -> Any:
    if name not in _KINDS:
        raise ValueError(f"There is no switch {name!r}; there are {', '.join(_KINDS)}.")
    kind = _KINDS[name]
    if kind is tuple and isinstance(value, list):
        return tuple(str(member) for member in value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"The switch {name!r} takes {kind.__name__}, not {value!r}.")
    _check_range(name, value)
    return value


def _check_range(name: str, value: Any) -> None:
    allowed = _CHOICES.get(name)
    if allowed is not None and value not in allowed:
        raise ValueError(f"The switch {name!r} takes one of {', '.join(map(str, allowed))}, not {value!r}.")
    if name in _MEMBERS and not all(member in _MEMBERS[name] for member in value.values()):
        raise ValueError(f"The values of {name!r} are among {', '.join(_MEMBERS[name])}.")
    if isinstance(value, int | float) and value < 0:
        raise ValueError(f"The switch {name!r} cannot be negative.")
