"""The wallets of a made-up world: labels, and which belong together; plans no action."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from math import exp
from random import Random

from tasks.simulator.world.addresses import derive_address
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.words import ADJECTIVES, NOUNS


@dataclass(frozen=True, slots=True)
class Role:
    """The truth about one wallet: its group's name, the kind, and the address of its leader, None without one."""

    group: str
    kind: str
    leader: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """One wallet; `unit` is the number of its unit, `transactions` the number that it is to have."""

    number: int
    address: str
    label: str
    unit: int
    transactions: int


@dataclass(frozen=True, slots=True)
class Unit:
    """Wallets whose transactions are made together, because they follow or pay each other."""

    number: int
    name: str
    kind: str
    members: tuple[Member, ...]

    def role(self) -> Role:
        """Return the role of every member."""
        leads = self.kind in ("mixed", "followers")
        return Role(self.name, self.kind, self.members[0].address if leads else None)


@dataclass(frozen=True, slots=True)
class WalletSet:
    """All wallets, in order: the groups' wallets, the independents, the one with a very long history."""

    units: tuple[Unit, ...]
    by_address: dict[str, Member]

    def members(self, *kinds: str) -> list[Member]:
        """Return the wallets of the units of these kinds (all without kinds), in order."""
        return [member for unit in self.units if not kinds or unit.kind in kinds for member in unit.members]


def failing_address(scenario: Scenario) -> str:
    """Return a well-formed address outside the world, which the demo's chain always refuses."""
    return derive_address(scenario.seed, "failing")


def build_wallets(scenario: Scenario) -> WalletSet:
    """Return the wallets of a scenario, without their transactions."""
    numbers = count()
    units: list[Unit] = []
    for kind, name, wallets in _groups(scenario):
        members = tuple(_member(scenario, next(numbers), len(units), kind) for _ in range(wallets))
        units.append(Unit(len(units), name, kind, members))
    return WalletSet(tuple(units), {member.address: member for unit in units for member in unit.members})


def _groups(scenario: Scenario) -> list[tuple[str, str, int]]:
    planted = [(group.kind, group.name, group.wallets) for group in scenario.groups]
    alone = [("independent", f"Independent {number + 1}", 1) for number in range(scenario.independents)]
    return [*planted, *alone, *([("long", "Long history", 1)] if scenario.long_history else [])]


def _member(scenario: Scenario, number: int, unit: int, kind: str) -> Member:
    transactions = scenario.long_history if kind == "long" else _transactions(scenario, number)
    return Member(number, derive_address(scenario.seed, "wallet", number), _label(number), unit, transactions)


def _transactions(scenario: Scenario, number: int) -> int:
    if not scenario.spread:
        return scenario.transactions_per_wallet
    factor = exp(Random(f"{scenario.seed}/size/{number}").gauss(0.0, scenario.spread))
    return max(12, round(scenario.transactions_per_wallet * factor))


def _label(number: int) -> str:
    turn, place = divmod(number, len(ADJECTIVES) * len(NOUNS))
    adjective = ADJECTIVES[place % len(ADJECTIVES)]
    noun = NOUNS[(place // len(ADJECTIVES) + place * 5) % len(NOUNS)]
    return f"{adjective} {noun}{f' {turn + 1}' if turn else ''}"
