"""What the wallets of one unit mean to do together: the copies, followers and purses that are planted."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tasks.simulator.world.plans import Intent, plan_alone
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import Catalogue
from tasks.simulator.world.wallets import Member, Unit

_COPIED = ("buy", "sell", "exchange", "direct", "multi")


def plan_unit(scenario: Scenario, catalogue: Catalogue, unit: Unit, rnd: Random) -> list[Intent]:
    """Return all intents of a unit in order of time."""
    lead = plan_alone(scenario, catalogue, rnd, unit.members[0].transactions)
    if unit.kind == "owner":
        return sorted(_owner(scenario, rnd, lead, unit.members))
    intents = list(lead)
    for place, member in enumerate(unit.members[1:], start=1):
        intents += _copy(scenario, rnd, lead, place, unit.kind)
        if unit.kind == "mixed":
            intents += _own(scenario, catalogue, rnd, place, member, len(lead))
    if unit.kind == "copies":
        intents = [_together(rnd, intent, len(unit.members)) for intent in intents]
    return sorted(intents)


def _copy(scenario: Scenario, rnd: Random, lead: Iterable[Intent], place: int, kind: str) -> list[Intent]:
    """Return the lead's trades as wallet `place` repeats them, with the SOL that it needs."""
    copied = []
    for intent in lead:
        at_s = min(intent.at_s + _lag(rnd, kind), scenario.span_s - 1)
        if intent.what == "fund":
            copied.append(Intent(max(0.0, intent.at_s - rnd.uniform(60, 4_000)), place, "fund", size=intent.size))
        elif intent.what in _COPIED:
            size = intent.size if intent.what == "sell" else intent.size * rnd.uniform(0.8, 1.2)
            copied.append(Intent(at_s, place, intent.what, intent.token, size))
    return copied


def _lag(rnd: Random, kind: str) -> float:
    if kind == "copies":
        return rnd.uniform(-6, 6) if rnd.random() < 0.75 else rnd.uniform(0, 0.4)
    return rnd.uniform(5, 50) if kind == "followers" else rnd.uniform(2, 25)


def _own(
    scenario: Scenario, catalogue: Catalogue, rnd: Random, place: int, member: Member, copied: int
) -> list[Intent]:
    """Return trades of the wallet's own, 20–60 % of all that it does."""
    share = rnd.uniform(0.2, 0.6)
    return plan_alone(scenario, catalogue, rnd, max(4, round(copied * share / (1 - share))), place)


def _together(rnd: Random, intent: Intent, wallets: int) -> Intent:
    """Turn a few buys into one transaction of two wallets."""
    if intent.what != "buy" or wallets < 2 or rnd.random() > 0.15:
        return intent
    return intent._replace(what="duo", other=(intent.wallet + rnd.randrange(1, wallets)) % wallets)


def _owner(scenario: Scenario, rnd: Random, lead: Iterable[Intent], members: tuple[Member, ...]) -> list[Intent]:
    """Return one owner's doings: the first wallet pays for the others, buys are spread, holdings come together."""
    wallets, spread = len(members), []
    for intent in lead:
        if intent.what == "fund":
            spread += _funding(intent, wallets)
        elif intent.what in ("buy", "sell"):
            spread += _spread(scenario, rnd, intent, wallets)
        else:
            spread.append(intent._replace(wallet=rnd.randrange(wallets)))
    return spread


def _funding(intent: Intent, wallets: int) -> list[Intent]:
    paid = [Intent(intent.at_s + 20 * place, 0, "send", size=intent.size, other=place) for place in range(1, wallets)]
    return [intent._replace(size=intent.size * (wallets + 1)), *paid]


def _spread(scenario: Scenario, rnd: Random, intent: Intent, wallets: int) -> list[Intent]:
    """Spread a buy over most wallets within minutes; before a sale the others hand their tokens to the first."""
    intents = []
    for place in range(wallets):
        if place and rnd.random() < 0.2:
            continue
        at_s = min(intent.at_s + rnd.uniform(0, 240), scenario.span_s - 1)
        if intent.what == "buy":
            intents.append(Intent(at_s, place, "buy", intent.token, intent.size * rnd.uniform(0.7, 1.3)))
        elif place and rnd.random() < 0.5:
            intents.append(Intent(max(0.0, intent.at_s - rnd.uniform(5, 600)), place, "give", intent.token, 1.0, 0))
        else:
            intents.append(Intent(at_s, place, "sell", intent.token, intent.size))
    return intents
