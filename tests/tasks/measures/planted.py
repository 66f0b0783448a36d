"""Makes worlds of trades in which it is known who belongs together; judges nothing. No test is in here.

A world has independent traders, planted groups, decoy groups that share only what everybody trades, and a crowd of
launch snipers. What is not said by the issue is chosen here, and each choice is a number of `Recipe` or a constant.
Pure numpy; wallets are numbered at random, so that no number betrays a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.measures.matching import TimedTrades

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Random = np.random.Generator

INDEPENDENT, PLANTED, DECOY, SNIPER = range(4)
COPIES, MIXED, FOLLOWERS = range(3)
"""The kinds of planted groups, in turns: exact copies, copies with other trades mixed in, a leader with followers."""

START_AT, DAYS, DAY_S, HOUR_S = 1_790_000_000, 30, 86_400, 3_600
SLOTS_PER_S = 2.5
OLD_SHARE = 0.5
"""How many mints were launched before the window and are traded at any time in it; the others have a launch in it."""
AGAIN, SOLD_SHARE = 0.3, 0.75
"""The share of buys that another buy of the mint follows, and of bought mints that are sold within the window."""
SIZE_SIGMA = 0.7
"""Of the log of a wallet's SOL sizes around its usual one."""
OWN_SHARE = (0.2, 0.6)
"""The part of a mixed copy's mints that are its own choice."""
LAG_S, TOGETHER_S = (5.0, 50.0), 3.0
POPULAR, DECOY_OWN = 30, (40, 100)
SNIPED_SHARE, FIRST_MINUTE_S = 0.15, 60.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What goes into a world.

    Popularity falls with the rank to the power of `zipf`. How many mints a trader trades is log-normal: `usual` is the
    median, `spread` the sigma, and at least and at most `sizes` are traded. `later_buyers` is the mean number of
    independents that buy a sniped launch in the hours and days after it; launches differ much in it.
    """

    independents: int = 2_000
    groups: int = 40
    decoy_groups: int = 10
    snipers: int = 300
    launches: int = 300
    mints: int = 50_000
    zipf: float = 1.1
    usual: int = 45
    spread: float = 0.7
    sizes: tuple[int, int] = (10, 400)
    later_buyers: float = 40.0


@dataclass(frozen=True, slots=True)
class PlantedWorld:
    """Trades with their SOL values, and the truth: `kind` and `group` (−1: none) of every wallet.

    `leader[i]` leads `follower[i]`.
    """

    trades: TimedTrades
    sol: Floats
    mint_count: int
    kind: Integers
    group: Integers
    leader: Integers
    follower: Integers


@dataclass(frozen=True, slots=True)
class _History:
    """The trades of one wallet as equally long arrays; `at` are seconds since the start, `side` 0 buy and 1 sell."""

    mint: Integers
    side: Integers
    at: Floats
    sol: Floats

    def __add__(self, other: _History) -> _History:
        both = zip(self.columns(), other.columns(), strict=True)
        return _History(*(np.concatenate(pair) for pair in both))

    def columns(self) -> tuple[NDArray[Any], ...]:
        return self.mint, self.side, self.at, self.sol

    def copied(self, shift: Floats, scale: Floats | float = 1.0) -> _History:
        return _History(self.mint, self.side, self.at + shift, self.sol * scale)


@dataclass(frozen=True, slots=True)
class _Market:
    """Mints by popularity, and when each was launched; the last `launches` mints are those that are sniped."""

    random: Random
    recipe: Recipe
    popularity: Floats
    launched_at: Floats

    def size(self) -> int:
        """Draw how many mints a trader trades."""
        return int(np.clip(self.random.lognormal(np.log(self.recipe.usual), self.recipe.spread), *self.recipe.sizes))

    def chosen(self, size: int, first: int = 0) -> Integers:
        """Draw different mints by popularity, the `first` most popular ones left out."""
        waits = self.random.exponential(size=len(self.popularity) - first) / self.popularity[first:]
        return first + np.argpartition(waits, size)[:size].astype(np.int64)

    def history(self, mints: Integers, first_at: Floats | None = None, hold_s: float | None = None) -> _History:
        """Make the trades of one wallet with some mints."""
        random, count = self.random, len(mints)
        bought_at = self._first_buys(mints) if first_at is None else first_at
        usual_sol = random.lognormal(0, 1)
        again = np.repeat(np.arange(count), random.geometric(1 - AGAIN, count) - 1)
        later = bought_at[again] + random.lognormal(np.log(2 * HOUR_S), 1.5, len(again))
        sold = np.flatnonzero(random.random(count) < SOLD_SHARE)
        median_s = random.lognormal(np.log(4 * HOUR_S), 1.5) if hold_s is None else hold_s
        sold_at = bought_at[sold] + random.lognormal(np.log(median_s), 1, len(sold))
        place = np.concatenate([np.arange(count), again, sold])
        side = np.concatenate([np.zeros(count + len(again), dtype=np.int64), np.ones(len(sold), dtype=np.int64)])
        sol = usual_sol * random.lognormal(0, SIZE_SIGMA, len(place))
        return _History(mints[place], side, np.concatenate([bought_at, later, sold_at]), sol)

    def _first_buys(self, mints: Integers) -> Floats:
        """Draw when mints are first bought: at any time, or some hours or days after the launch."""
        launched, span = self.launched_at[mints], DAYS * DAY_S
        at = launched + self.random.lognormal(np.log(3 * HOUR_S), 2, len(mints))
        anyhow = self.random.uniform(np.maximum(launched, 0), span)
        return np.where((launched < 0) | (at > span), anyhow, at)


def build_world(seed: int, recipe: Recipe | None = None) -> PlantedWorld:
    """Make a world; the same seed and recipe make the same."""
    recipe = recipe or Recipe()
    random = np.random.default_rng(seed)
    market = _market(random, recipe)
    members: list[tuple[int, int, _History]] = []
    leads: list[tuple[int, int]] = []
    members += [(INDEPENDENT, -1, history) for history in _independents(market)]
    for group in range(recipe.groups):
        kind, start = group % 3, len(members)
        members += [(PLANTED, group, history) for history in _group(market, kind)]
        if kind == FOLLOWERS:
            leads += [(start, follower) for follower in range(start + 1, len(members))]
    for group in range(recipe.decoy_groups):
        members += [(DECOY, group, history) for history in _decoys(market)]
    members += [(SNIPER, -1, history) for history in _snipers(market)]
    return _numbered(random, recipe, members, np.array(leads, dtype=np.int64).reshape(-1, 2))


def _market(random: Random, recipe: Recipe) -> _Market:
    popularity = np.arange(1, recipe.mints + 1) ** -recipe.zipf
    launched_at = random.uniform(0, (DAYS - 3) * DAY_S, recipe.mints + recipe.launches)
    launched_at[: recipe.mints][random.random(recipe.mints) < OLD_SHARE] = -1.0
    return _Market(random, recipe, popularity, launched_at)


def _independents(market: _Market) -> Iterator[_History]:
    """Make traders who know nothing of each other; those with more mints also buy more of the sniped launches."""
    random, recipe = market.random, market.recipe
    sizes = np.array([market.size() for _ in range(recipe.independents)])
    later = random.poisson(random.lognormal(0, 1, recipe.launches) * recipe.later_buyers / np.exp(0.5))
    likely = sizes / max(1, sizes.sum())
    buyers = [random.choice(len(sizes), min(count, len(sizes)), replace=False, p=likely) for count in later]
    wallet = np.concatenate([np.zeros(0, dtype=np.int64), *buyers])
    launch = np.repeat(np.arange(len(later)), [len(some) for some in buyers]) + recipe.mints
    for number, size in enumerate(sizes.tolist()):
        yield market.history(np.concatenate([market.chosen(size), launch[wallet == number]]))


def _group(market: _Market, kind: int) -> Iterator[_History]:
    """Make a planted group of 3 to 12, the one that is copied first."""
    random = market.random
    lead = market.history(market.chosen(market.size()))
    yield lead
    for _ in range(int(random.integers(2, 12))):
        count = len(lead.mint)
        scale = random.uniform(0.8, 1.2, count)
        if kind == FOLLOWERS:
            yield lead.copied(random.uniform(*LAG_S, count), scale)
        elif kind == MIXED:
            yield lead.copied(random.uniform(-LAG_S[1], LAG_S[1], count), scale) + _mixed_in(market, lead)
        else:
            yield lead.copied(random.uniform(-TOGETHER_S, TOGETHER_S, count))


def _mixed_in(market: _Market, lead: _History) -> _History:
    """Make trades of one's own with other mints than the leader's, at sizes like the leader's."""
    copied = np.unique(lead.mint)
    share = market.random.uniform(*OWN_SHARE)
    wanted = round(len(copied) * share / (1 - share))
    own = np.setdiff1d(market.chosen(wanted + len(copied)), copied)
    mixed = market.history(market.random.permutation(own)[:wanted])
    scale = np.median(lead.sol[lead.side == 0]) / np.median(mixed.sol[mixed.side == 0])
    return mixed.copied(np.zeros(len(mixed.mint)), float(scale))


def _decoys(market: _Market) -> Iterator[_History]:
    """Make a group of 3 to 12 who all trade the most popular tokens, each among others of its own."""
    for _ in range(int(market.random.integers(3, 13))):
        own = market.chosen(int(market.random.integers(DECOY_OWN[0], DECOY_OWN[1] + 1)), POPULAR)
        yield market.history(np.concatenate([np.arange(POPULAR), own]))


def _snipers(market: _Market) -> Iterator[_History]:
    """Make a crowd of which each buys some of the same launches in their first minute, and sells soon."""
    random, recipe = market.random, market.recipe
    for _ in range(recipe.snipers):
        launch = random.choice(recipe.launches, round(recipe.launches * SNIPED_SHARE), replace=False) + recipe.mints
        first_at = market.launched_at[launch] + random.uniform(0, FIRST_MINUTE_S, len(launch))
        yield market.history(launch, first_at, hold_s=180.0)


def _numbered(
    random: Random, recipe: Recipe, members: list[tuple[int, int, _History]], leads: Integers
) -> PlantedWorld:
    """Put the index together under random wallet numbers and signatures."""
    number = random.permutation(len(members))
    kind, group = np.zeros((2, len(members)), dtype=np.int64)
    kind[number] = [member[0] for member in members]
    group[number] = [member[1] for member in members]
    index = [member[2] for member in members]
    mint, side, at, sol = (np.concatenate(column) for column in zip(*(h.columns() for h in index), strict=True))
    wallet = np.repeat(number, [len(history.mint) for history in index])
    trades = TimedTrades(
        wallet=wallet,
        mint=mint,
        side=side,
        time=START_AT + np.floor(at).astype(np.int64),
        slot=np.floor(at * SLOTS_PER_S).astype(np.int64),
        index=random.integers(0, 1_500, len(mint)),
        rank=random.permutation(len(mint)),
    )
    return PlantedWorld(
        trades, sol, recipe.mints + recipe.launches, kind, group, number[leads[:, 0]], number[leads[:, 1]]
    )
