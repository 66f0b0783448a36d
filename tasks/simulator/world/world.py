"""The whole made-up world, made as it is asked for: a wallet's history first exists when somebody reads it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from threading import Lock

from tasks.simulator.chain.transactions import Encoding, render
from tasks.simulator.world.addresses import place_of, signature_of
from tasks.simulator.world.events import Event, PlannedTrade, planned_trades
from tasks.simulator.world.execution import Ledger
from tasks.simulator.world.groups import plan_unit
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import Catalogue, Token, build_catalogue
from tasks.simulator.world.wallets import Cast, Member, Role, Unit, build_cast


@dataclass(frozen=True, slots=True)
class Account:
    """A token account at the end of history: base units, and its rent in lamports."""

    token: Token
    amount: int
    rent: int


@dataclass(frozen=True, slots=True)
class _History:
    """What a unit has done: its events, and for each wallet which of them name it, oldest first."""

    events: tuple[Event, ...]
    places: dict[str, tuple[int, ...]]
    balances: dict[str, int]
    accounts: dict[str, tuple[Account, ...]]


@dataclass
class World:
    """Answers what happened, to whom, and what it meant. Safe to ask from several threads."""

    scenario: Scenario
    cast: Cast
    catalogue: Catalogue
    _histories: dict[int, _History] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def addresses(self) -> list[str]:
        """Every wallet, in order: the groups', the independents, the one with the very long history."""
        return list(self.cast.by_address)

    @property
    def truth(self) -> dict[str, Role]:
        """For each wallet, the group it was planted in, the kind, and who leads."""
        return {member.address: unit.role() for unit in self.cast.units for member in unit.members}

    def history(self, address: str) -> Sequence[int]:
        """Return the sequence numbers of the events that name the wallet, oldest first; empty for strangers."""
        member = self.cast.by_address.get(address)
        return self._of(member).places[address] if member else ()

    def event(self, address: str, sequence: int) -> Event:
        """Return an event of the wallet's unit."""
        return self._of(self.cast.by_address[address]).events[sequence]

    def events(self, address: str) -> list[Event]:
        """Return all events that name the wallet, oldest first."""
        return [self.event(address, sequence) for sequence in self.history(address)]

    def position(self, address: str, signature: str) -> int | None:
        """Return how many of the wallet's events are older than this one; None when it is not the wallet's."""
        place, member = place_of(self.scenario.seed, signature), self.cast.by_address.get(address)
        if place is None or member is None or place[0] != member.unit:
            return None
        sequences = self.history(address)
        found = bisect_left(sequences, place[1])
        return found if found < len(sequences) and sequences[found] == place[1] else None

    def find(self, signature: str) -> Event | None:
        """Return the event with this signature."""
        place = place_of(self.scenario.seed, signature)
        if place is None or place[0] >= len(self.cast.units):
            return None
        events = self._unit(self.cast.units[place[0]]).events
        return events[place[1]] if place[1] < len(events) else None

    def signature(self, event: Event) -> str:
        """Return the event's signature."""
        return signature_of(self.scenario.seed, event.unit, event.sequence)

    def render(self, event: Event, encoding: Encoding) -> bytes:
        """Return the event's transaction as a node's JSON."""
        return render(event, self.scenario, self.catalogue, encoding)

    def balance(self, address: str) -> int:
        """Return the wallet's own lamports at the end, 0 for strangers."""
        member = self.cast.by_address.get(address)
        return self._of(member).balances[address] if member else 0

    def holdings(self, address: str) -> tuple[Account, ...]:
        """Return the wallet's token accounts at the end, empty ones among them."""
        member = self.cast.by_address.get(address)
        return self._of(member).accounts[address] if member else ()

    def planned_trades(self, address: str) -> list[tuple[str, PlannedTrade]]:
        """Return (signature, trade) of all that the wallet traded, oldest first."""
        return [
            (self.signature(event), trade)
            for event in self.events(address)
            for party in event.parties
            if party.address == address
            for trade in planned_trades(event, party, self.catalogue)
        ]

    def _of(self, member: Member) -> _History:
        return self._unit(self.cast.units[member.unit])

    def _unit(self, unit: Unit) -> _History:
        history = self._histories.get(unit.number)
        if history is None:
            with self._lock:
                history = self._histories.get(unit.number) or self._live(unit)
                self._histories[unit.number] = history
        return history

    def _live(self, unit: Unit) -> _History:
        """Let a unit live through its whole history."""
        rnd = Random(f"{self.scenario.seed}/unit/{unit.number}")
        ledger = Ledger(self.scenario, self.catalogue, unit, rnd)
        events = tuple(ledger.run(plan_unit(self.scenario, self.catalogue, unit, rnd)))
        places: dict[str, list[int]] = {member.address: [] for member in unit.members}
        for event in events:
            for party in event.parties:
                places[party.address].append(event.sequence)
        return _History(
            events,
            {address: tuple(sequences) for address, sequences in places.items()},
            {purse.address: purse.lamports for purse in ledger.purses},
            {
                purse.address: tuple(
                    Account(self.catalogue.tokens[place], *kept) for place, kept in purse.accounts.items()
                )
                for purse in ledger.purses
            },
        )


def build_world(scenario: Scenario) -> World:
    """Return the world of a scenario: who lives there and which tokens there are; histories follow on demand."""
    return World(scenario, build_cast(scenario), build_catalogue(scenario))
