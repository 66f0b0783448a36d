"""The wallet lists that the demo's form offers in one click; makes no transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import USDC_MINT
from tasks.simulator.world.wallets import Member, WalletSet, build_wallets, failing_address


@dataclass(frozen=True, slots=True)
class SampleList:
    """One list: a name, a sentence about it, and lines of `address,label`."""

    name: str
    description: str
    text: str


def sample_lists(scenario: Scenario) -> list[SampleList]:
    """Return the demo's lists for a scenario."""
    wallets = build_wallets(scenario)
    return [_launch_cohort(scenario, wallets), _two_desks(wallets), _copy_traders(wallets), _whole_village(wallets)]


def _launch_cohort(scenario: Scenario, wallets: WalletSet) -> SampleList:
    planted = wallets.members("copies", "owner", "mixed")[:26]
    long, alone = wallets.members("long"), wallets.members("independent")
    members = _mixed(planted, alone[: 60 - 1 - len(long) - len(planted)]) + long
    lines = [*_lines(members), f"{failing_address(scenario)},silent harbor"]
    lines[10:10] = lines[2:3]
    lines[24:24] = [f"{USDC_MINT},not a wallet but a token"]
    lines[36:36] = ["7xKX-this-is-not-an-address,misspelt"]
    text = "Several groups among independent wallets, with mistakes in the list and a wallet that cannot be read."
    return SampleList("Launch cohort", text, "\n".join(lines) + "\n")


def _two_desks(wallets: WalletSet) -> SampleList:
    pair = next((unit.members for unit in wallets.units if unit.kind == "copies" and len(unit.members) == 2), ())
    members = pair or wallets.members()[:2]
    return _plain("Two desks", "Two wallets: is one person behind both?", members)


def _copy_traders(wallets: WalletSet) -> SampleList:
    followers, alone = wallets.members("followers")[:16], wallets.members("independent")[-40:]
    members = _mixed(followers, alone[: 24 - len(followers)])
    return _plain("Copy traders", "Who trades first, and who follows seconds later?", members)


def _whole_village(wallets: WalletSet) -> SampleList:
    members = [member for member in wallets.members() if member.transactions < 2_000][:400]
    return _plain("Whole village", "All wallets: what stands out where everyone trades the popular tokens?", members)


def _plain(name: str, description: str, members: Iterable[Member]) -> SampleList:
    return SampleList(name, description, "\n".join(_lines(members)) + "\n")


def _lines(members: Iterable[Member]) -> list[str]:
    return [f"{member.address},{member.label}" for member in members]


def _mixed(one: list[Member], other: list[Member]) -> list[Member]:
    return [member for pair in zip_longest(one, other) for member in pair if member is not None]
