"""What happened, in compact form, and the trades that it means; knows no wire format.

Named tuples instead of dataclasses, because there are hundreds of thousands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tasks.simulator.world.tokens import QUOTES, USDC, WSOL, Catalogue

What = Literal["buy", "sell", "exchange", "rate", "transfer", "failed"]
Route = Literal["", "sol", "usdc", "direct"]
LEGACY = -1


class AccountChange(NamedTuple):
    """One token account of a wallet in a transaction: amounts before and after (None: no account), and its rent."""

    token: int
    before: int | None
    after: int | None
    rent: int

    @property
    def delta(self) -> int:
        """The change in base units."""
        return (self.after or 0) - (self.before or 0)

    @property
    def lamports(self) -> tuple[int, int]:
        """The account's lamports before and after: its rent, and what it wraps."""
        wraps = self.token == WSOL
        before = 0 if self.before is None else self.rent + (self.before if wraps else 0)
        return before, 0 if self.after is None else self.rent + (self.after if wraps else 0)


class Party(NamedTuple):
    """One wallet of the world in a transaction.

    `before` and `after` are its own lamports; `sol` is the SOL gained by it and its token accounts, without the
    network fee.
    """

    address: str
    signed: bool
    before: int
    after: int
    sol: int
    changes: tuple[AccountChange, ...]


class Event(NamedTuple):
    """One transaction.

    `order` is its place in the slot (`transactionIndex`); `version` is -1 for legacy. The first party pays the
    fee when it signed and the transaction is not sponsored. `through` is the amount of the quote asset that an exchange
    passed through, in lamports or USDC base units by `route`. `deposit` is rent that the first party paid for a new
    account that is not its own.
    """

    unit: int
    sequence: int
    slot: int
    order: int
    version: int
    what: What
    fee: int
    parties: tuple[Party, ...]
    sponsored: bool = False
    tip: int = 0
    deposit: int = 0
    temporary: bool = False
    route: Route = ""
    through: int = 0

    @property
    def payer(self) -> Party | None:
        """The wallet of the world that pays the fee; None when an outsider pays it."""
        first = self.parties[0]
        return first if first.signed and not self.sponsored else None


@dataclass(frozen=True, slots=True)
class PlannedTrade:
    """A trade as planned, which a reader of the transaction should find.

    `quote_amount` is in lamports or in base units of the quote; None for an unpriced exchange.
    """

    wallet: str
    mint: str
    side: Literal["buy", "sell"]
    amount: int
    quote: Literal["SOL", "USDC", "USDT"] | None
    quote_amount: int | None
    approximate: bool


def planned_trades(event: Event, party: Party, catalogue: Catalogue) -> Iterator[PlannedTrade]:
    """Yield the trades of one party of the event."""
    if event.what not in ("buy", "sell", "exchange"):
        return
    changes = [change for change in party.changes if change.token >= QUOTES]
    quote, value = _value(event, party)
    parts = len(changes) if event.what != "exchange" else 1
    for change in changes:
        yield PlannedTrade(
            wallet=party.address,
            mint=catalogue.tokens[change.token].mint,
            side="buy" if change.delta > 0 else "sell",
            amount=abs(change.delta),
            quote=quote,
            quote_amount=value // parts if value is not None else None,
            approximate=parts > 1,
        )


def _value(event: Event, party: Party) -> tuple[Literal["SOL", "USDC", "USDT"] | None, int | None]:
    if event.what == "exchange":
        quote: Literal["SOL", "USDC"] = "SOL" if event.route == "sol" else "USDC"
        return (quote, event.through) if event.through else (None, None)
    for change in party.changes:
        if WSOL < change.token < QUOTES:
            return ("USDC" if change.token == USDC else "USDT"), abs(change.delta)
    deposit = event.deposit if party is event.payer else 0
    return "SOL", abs(party.sol + deposit)
