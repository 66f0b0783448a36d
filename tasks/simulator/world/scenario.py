"""What a made-up world is to contain; makes nothing itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

GroupKind = Literal["copies", "mixed", "followers", "owner"]

# The newest slot of every world: near the real one when this was written (2026-11).
NEWEST_SLOT = 465_000_000
SECONDS_PER_SLOT = 0.4


@dataclass(frozen=True, slots=True)
class Group:
    """A planted group of wallets.

    `copies`: the same trades with SOL sizes ±20 %, seconds apart, no one first. `mixed`: copies of the first
    wallet with 20–60 % other trades in between. `followers`: the first wallet leads, the others trade 5–50 s
    later. `owner`: one owner's wallets, funded from the first, which collects what the others bought.
    """

    name: str
    kind: GroupKind
    wallets: int


DEFAULT_GROUPS = (
    Group("Mirror desk", "copies", 6),
    Group("Twin desk", "copies", 2),
    Group("Loose pack", "mixed", 7),
    Group("Shadow school", "followers", 9),
    Group("Second shadows", "followers", 6),
    Group("One purse", "owner", 5),
)


def current_hour() -> int:
    """Return now rounded down to the hour, in unix seconds."""
    return int(time.time()) // 3600 * 3600


@dataclass(frozen=True, slots=True)
class Scenario:
    """What `build_world` builds. Everything but the times follows from the other fields.

    `transactions_per_wallet` is exact for independents when `spread` (sigma of a log-normal) is 0.
    `long_history` is the number of transactions of one more wallet (0: no such wallet). `odd_share` is the
    share of transactions that are not buys or sells. `logo_base` is the address of token images; empty means
    the simulator itself.
    """

    seed: int = 7
    groups: tuple[Group, ...] = DEFAULT_GROUPS
    independents: int = 364
    transactions_per_wallet: int = 60
    spread: float = 0.45
    long_history: int = 6_000
    tokens: int = 350
    days: int = 45
    zipf: float = 0.7
    odd_share: float = 0.14
    end_at: int = field(default_factory=current_hour)
    logo_base: str = ""

    @property
    def span_s(self) -> int:
        """The length of history in seconds."""
        return self.days * 86_400

    @property
    def start_at(self) -> int:
        """The unix second that relative times count from."""
        return self.end_at - self.span_s

    def slot_at(self, at_s: float) -> int:
        """Return the slot of a relative time."""
        return NEWEST_SLOT - int((self.span_s - at_s) / SECONDS_PER_SLOT)

    def block_time(self, slot: int) -> int:
        """Return the unix second of a slot."""
        return self.end_at - int((NEWEST_SLOT - slot) * SECONDS_PER_SLOT)


def plain_scenario(wallets: int, transactions: int, **changes: object) -> Scenario:
    """Return a scenario of independents only, each with exactly `transactions` transactions."""
    fields: dict[str, object] = {
        "groups": (),
        "independents": wallets,
        "transactions_per_wallet": transactions,
        "spread": 0.0,
        "long_history": 0,
    }
    return Scenario(**(fields | changes))  # type: ignore[arg-type]  # the fields are named by the caller


def market_scenario(tokens: int, seed: int = 7, **changes: object) -> Scenario:
    """Return a scenario of `tokens` tokens and one wallet: for tests of the market."""
    return plain_scenario(1, 12, **({"tokens": tokens, "seed": seed} | changes))
