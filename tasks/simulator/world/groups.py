"""The plans of wallets made together: planted copies, followers and wallets of one owner."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tasks.simulator.world.plans import Action, plan_alone
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import Catalogue
from tasks.simulator.world.wallets import Member, Unit

_COPIED = ("buy", "sell", "exchange", "direct", "multi")


def plan_unit(scenario: Scenario, catalogue: Catalogue, unit: Unit, rnd: Random) -> list[Action]:
    """Return all actions of a unit in order of time."""
    lead = plan_alone(scenario, catalogue, rnd, unit.members[0].transactions)
    if unit.kind == "owner":
        return sorted(_owner(scenario, rnd, lead, unit.members))
    actions = list(lead)
    for place, member in enumerate(unit.members[1:], start=1):
        actions += _copy(scenario, rnd, lead, place, unit.kind)
        if unit.kind == "mixed":
            actions += _own(scenario, catalogue, rnd, place, member, len(lead))
    if unit.kind == "copies":
        actions = [_together(rnd, action, len(unit.members)) for action in actions]
    return sorted(actions)


def _copy(scenario: Scenario, rnd: Random, lead: Iterable[Action], place: int, kind: str) -> list[Action]:
    """Return the lead's trades as wallet `place` repeats them, with the SOL for them."""
    copied = []
    for action in lead:
        at_s = min(action.at_s + _lag(rnd, kind), scenario.span_s - 1)
        if action.what == "fund":
            copied.append(Action(max(0.0, action.at_s - rnd.uniform(60, 4_000)), place, "fund", size=action.size))
        elif action.what in _COPIED:
            size = action.size if action.what == "sell" else action.size * rnd.uniform(0.8, 1.2)
            copied.append(Action(at_s, place, action.what, action.token, size))
    return copied


def _lag(rnd: Random, kind: str) -> float:
    if kind == "copies":
        return rnd.uniform(-6, 6) if rnd.random() < 0.75 else rnd.uniform(0, 0.4)
    return rnd.uniform(5, 50) if kind == "followers" else rnd.uniform(2, 25)


def _own(
    scenario: Scenario, catalogue: Catalogue, rnd: Random, place: int, member: Member, copied: int
) -> list[Action]:
    """Return trades of the wallet alone, 20–60 % of its actions."""
    share = rnd.uniform(0.2, 0.6)
    return plan_alone(scenario, catalogue, rnd, max(4, round(copied * share / (1 - share))), place)


def _together(rnd: Random, action: Action, wallets: int) -> Action:
    """Turn a few buys into one transaction of two wallets."""
    if action.what != "buy" or wallets < 2 or rnd.random() > 0.15:
        return action
    return action._replace(what="duo", other=(action.wallet + rnd.randrange(1, wallets)) % wallets)


def _owner(scenario: Scenario, rnd: Random, lead: Iterable[Action], members: tuple[Member, ...]) -> list[Action]:
    """Return one owner's actions: the first wallet funds the others, buys are spread, holdings are collected."""
    wallets, spread = len(members), []
    for action in lead:
        if action.what == "fund":
            spread += _funding(action, wallets)
        elif action.what in ("buy", "sell"):
            spread += _spread(scenario, rnd, action, wallets)
        else:
            spread.append(action._replace(wallet=rnd.randrange(wallets)))
    return spread


def _funding(action: Action, wallets: int) -> list[Action]:
    paid = [Action(action.at_s + 20 * place, 0, "send", size=action.size, other=place) for place in range(1, wallets)]
    return [action._replace(size=action.size * (wallets + 1)), *paid]


def _spread(scenario: Scenario, rnd: Random, action: Action, wallets: int) -> list[Action]:
    """Spread a buy over most wallets within minutes; before a sale the others hand their tokens to the first."""
    actions = []
    for place in range(wallets):
        if place and rnd.random() < 0.2:
            continue
        at_s = min(action.at_s + rnd.uniform(0, 240), scenario.span_s - 1)
        if action.what == "buy":
            actions.append(Action(at_s, place, "buy", action.token, action.size * rnd.uniform(0.7, 1.3)))
        elif place and rnd.random() < 0.5:
            actions.append(Action(max(0.0, action.at_s - rnd.uniform(5, 600)), place, "give", action.token, 1.0, 0))
        else:
            actions.append(Action(at_s, place, "sell", action.token, action.size))
    return actions
