"""What one independent trader plans, and when; moves no balance and knows no other wallet."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import NamedTuple

from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import Catalogue

DAY_S = 86_400
# The other actions of a wallet, by relative frequency.
_OTHER = {
    "rate": 18,
    "airdrop": 16,
    "exchange": 22,
    "direct": 5,
    "failed": 14,
    "send": 8,
    "fund": 6,
    "multi": 5,
    "claim": 4,
    "wrap": 4,
    "close": 3,
}


class Action(NamedTuple):
    """One planned action. A tuple, because there are hundreds of thousands.

    `at_s` counts from the world's start; `wallet` and `other` index the unit's wallets; `size` is SOL for what
    is paid and a share of the holding for what is sold.
    """

    at_s: float
    wallet: int
    what: str
    token: int = 0
    size: float = 0.0
    other: int = -1


@dataclass(frozen=True, slots=True)
class Style:
    """A trader's style: sizes in SOL (log-normal), hold times in seconds, and active hours of the day."""

    size_sol: float
    size_sigma: float
    hold_s: float
    wakes_h: float
    awake_h: float
    sold_share: float
    portfolio: tuple[int, ...]


def draw_style(scenario: Scenario, catalogue: Catalogue, rnd: Random, transactions: int) -> Style:
    """Return a trader's style; its portfolio grows more slowly than its history."""
    wanted = max(4, min(scenario.tokens // 2, round(transactions**0.72 * rnd.uniform(0.8, 1.6))))
    picked = dict.fromkeys(catalogue.pick(rnd).index for _ in range(wanted))
    return Style(
        size_sol=exp(rnd.gauss(log(0.6), 0.9)),
        size_sigma=rnd.uniform(0.3, 1.0),
        hold_s=exp(rnd.gauss(log(7_000), 2.2)),
        wakes_h=rnd.uniform(0, 24),
        awake_h=rnd.uniform(7, 15),
        sold_share=rnd.uniform(0.45, 0.95),
        portfolio=tuple(picked),
    )


def plan_alone(
    scenario: Scenario, catalogue: Catalogue, rnd: Random, transactions: int, wallet: int = 0
) -> list[Action]:
    """Return exactly `transactions` actions of one trader, in order of time; the first funds it."""
    style = draw_style(scenario, catalogue, rnd, transactions)
    first_s = rnd.random() ** 2 * 0.3 * scenario.span_s
    actions = [Action(first_s, wallet, "fund", size=style.size_sol * 12 + 3)]
    while len(actions) < transactions:
        at_s = _waking_time(rnd, style, first_s + 60, scenario.span_s - 5)
        if rnd.random() < scenario.odd_share:
            actions.append(_other_action(catalogue, rnd, style, at_s, wallet))
        else:
            actions += _episode(scenario, catalogue, rnd, style, at_s, wallet)
    return sorted(actions[:transactions])


def _waking_time(rnd: Random, style: Style, low_s: float, high_s: float) -> float:
    day = int(rnd.uniform(low_s, high_s) // DAY_S)
    at_s = day * DAY_S + (style.wakes_h + rnd.random() * style.awake_h) % 24 * 3_600
    return at_s if low_s < at_s < high_s else rnd.uniform(low_s, high_s)


def _other_action(catalogue: Catalogue, rnd: Random, style: Style, at_s: float, wallet: int) -> Action:
    what = rnd.choices(list(_OTHER), list(_OTHER.values()))[0]
    return Action(at_s, wallet, what, catalogue.pick_traded(rnd, at_s).index, _size(rnd, style))


def _episode(
    scenario: Scenario, catalogue: Catalogue, rnd: Random, style: Style, at_s: float, wallet: int
) -> list[Action]:
    """Return the buys of one token and, usually, their sale."""
    token = catalogue.tokens[rnd.choice(style.portfolio)]
    if not token.launched_s <= at_s:
        at_s = token.launched_s + rnd.expovariate(1 / 9_000)
    actions = [Action(min(at_s, scenario.span_s - 5), wallet, "buy", token.index, _size(rnd, style))]
    while rnd.random() < 0.22:
        at_s += rnd.expovariate(1 / 2_000)
        actions.append(Action(min(at_s, scenario.span_s - 5), wallet, "buy", token.index, _size(rnd, style)))
    at_s += 3 + style.hold_s * exp(rnd.gauss(0, 0.9))
    if at_s < scenario.span_s - 5 and rnd.random() < style.sold_share:
        share = 1.0 if rnd.random() < 0.7 else rnd.uniform(0.2, 0.8)
        actions.append(Action(at_s, wallet, "sell", token.index, share))
    return actions


def _size(rnd: Random, style: Style) -> float:
    return max(0.02, min(90.0, style.size_sol * exp(rnd.gauss(0, style.size_sigma))))
