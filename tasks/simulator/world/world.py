"""The whole made-up world; a wallet's history is made when it is first read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from threading import Lock

from tasks.simulator.chain.transactions import Encoding, render
from tasks.simulator.world.addresses import place_of, signature_of
from tasks.simulator.world.events import Event, PlannedTrade, planned_trades
from tasks.simulator.world.execution import Execution
from tasks.simulator.world.groups import plan_unit
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import Catalogue, Token, build_catalogue
from tasks.simulator.world.wallets import Member, Role, Unit, WalletSet, build_wallets


@dataclass(frozen=True, slots=True)
class Account:
    """A token account at the end of history: base units, and its rent in lamports."""

    token: Token
    amount: int
    rent: int


@dataclass(frozen=True, slots=True)
class _History:
    """The history of a unit: its events, and for each wallet the numbers of those that name it, oldest first."""

    events: tuple[Event, ...]
    places: dict[str, tuple[int, ...]]
    balances: dict[str, int]
    accounts: dict[str, tuple[Account, ...]]


@dataclass
class World:
    """The transactions, balances and planned trades of all wallets. Safe to use from several threads."""

    scenario: Scenario
    wallets: WalletSet
    catalogue: Catalogue
    _histories: dict[int, _History] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def addresses(self) -> list[str]:
        """Every wallet, in order: the groups', the independents, the one with the very long history."""
        return list(self.wallets.by_address)

    @property
    def truth(self) -> dict[str, Role]:
        """For each wallet, the group it was planted in, the kind, and the leader."""
        return {member.address: unit.role() for unit in self.wallets.units for member in unit.members}

    def history(self, address: str) -> Sequence[int]:
        """Return the sequence numbers of the events that name the wallet, oldest first; empty for an unknown wallet."""
        member = self.wallets.by_address.get(address)
        return self._of(member).places[address] if member else ()

    def event(self, address: str, sequence: int) -> Event:
        """Return an event of the wallet's unit."""
        return self._of(self.wallets.by_address[address]).events[sequence]

    def events(self, address: str) -> list[Event]:
        """Return all events that name the wallet, oldest first."""
        return [self.event(address, sequence) for sequence in self.history(address)]

    def position(self, address: str, signature: str) -> int | None:
        """Return how many of the wallet's events are older than this one; None when it is not the wallet's."""
        place, member = place_of(self.scenario.seed, signature), self.wallets.by_address.get(address)
        if place is None or member is None or place[0] != member.unit:
            return None
        sequences = self.history(address)
        found = bisect_left(sequences, place[1])
        return found if found < len(sequences) and sequences[found] == place[1] else None

    def find(self, signature: str) -> Event | None:
        """Return the event with this signature."""
        place = place_of(self.scenario.seed, signature)
        if place is None or place[0] >= len(self.wallets.units):
            return None
        events = self._unit(self.wallets.units[place[0]]).events
        return events[place[1]] if place[1] < len(events) else None

    def signature(self, event: Event) -> str:
        """Return the event's signature."""
        return signature_of(self.scenario.seed, event.unit, event.sequence)

    def render(self, event: Event, encoding: Encoding) -> bytes:
        """Return the event's transaction as a node's JSON."""
        return render(event, self.scenario, self.catalogue, encoding)

    def balance(self, address: str) -> int:
        """Return the wallet's own lamports at the end, 0 for an unknown wallet."""
        member = self.wallets.by_address.get(address)
        return self._of(member).balances[address] if member else 0

    def holdings(self, address: str) -> tuple[Account, ...]:
        """Return the wallet's token accounts at the end, empty ones among them."""
        member = self.wallets.by_address.get(address)
        return self._of(member).accounts[address] if member else ()

    def planned_trades(self, address: str) -> list[tuple[str, PlannedTrade]]:
        """Return (signature, trade) of all trades of the wallet, oldest first."""
        return [
            (self.signature(event), trade)
            for event in self.events(address)
            for party in event.parties
            if party.address == address
            for trade in planned_trades(event, party, self.catalogue)
        ]

    def _of(self, member: Member) -> _History:
        return self._unit(self.wallets.units[member.unit])

    def _unit(self, unit: Unit) -> _History:
        history = self._histories.get(unit.number)
        if history is None:
            with self._lock:
                history = self._histories.get(unit.number) or self._execute(unit)
                self._histories[unit.number] = history
        return history

    def _execute(self, unit: Unit) -> _History:
        """Execute the whole history of a unit."""
        rnd = Random(f"{self.scenario.seed}/unit/{unit.number}")
        execution = Execution(self.scenario, self.catalogue, unit, rnd)
        events = tuple(execution.run(plan_unit(self.scenario, self.catalogue, unit, rnd)))
        places: dict[str, list[int]] = {member.address: [] for member in unit.members}
        for event in events:
            for party in event.parties:
                places[party.address].append(event.sequence)
        return _History(
            events,
            {address: tuple(sequences) for address, sequences in places.items()},
            {wallet.address: wallet.lamports for wallet in execution.balances},
            {
                wallet.address: tuple(
                    Account(self.catalogue.tokens[place], *account) for place, account in wallet.accounts.items()
                )
                for wallet in execution.balances
            },
        )


def build_world(scenario: Scenario) -> World:
    """Return the world of a scenario; histories are made on demand."""
    return World(scenario, build_wallets(scenario), build_catalogue(scenario))
