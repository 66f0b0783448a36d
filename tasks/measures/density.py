"""How crowded the moment of a trade was: the share of its mint's trades that fall within a window around it.

Counted against the trades of all wallets ever known, which come in parts, so that only what is asked is held in memory.
Section 5 of measures.md; what chance makes of it is `timing`'s business.
"""

from __future__ import annotations

import numpy as np

from tasks.measures.arrays import Floats, Integers
from tasks.measures.matching import NEVER, Numbers, Trades

LEAST_BACKGROUND_WALLETS = 30
"""From so many wallets on, a mint and side shows by itself when it was crowded."""
CHUNK_TRADES = 500_000
"""Trades asked about that are looked up at once."""


class TradeDensity:
    """Counts the trades around those asked about, a part of the background after another."""

    def __init__(self, trades: Trades, window_s: int):
        """Ask about some trades; `window_s` on either side of each is its window."""
        self._time, self._window_s = trades.time, window_s
        self._groups, place = np.unique(_series(trades.mint, trades.side), return_inverse=True)
        self._place = place.astype(np.int32)
        self._mints, self._mint_of = np.unique(self._groups // 2, return_inverse=True)
        self._wallets, self._count = (np.zeros(len(self._groups), dtype=np.int64) for _ in range(2))
        self._first, self._last = np.full(len(self._mints), NEVER), np.full(len(self._mints), -NEVER)
        self._within = np.zeros(len(trades), dtype=np.int32)

    def add(self, wallet: Numbers, mint: Numbers, side: Numbers, time: Numbers) -> None:
        """Count the trades of some wallets, given as equally long arrays; all trades of a wallet come in one part."""
        known, place = _places(self._mints, mint)
        np.minimum.at(self._first, place, time[known])
        np.maximum.at(self._last, place, time[known])
        known, group = _places(self._groups, _series(mint, side))
        if len(group):
            width = int(wallet.max()) + 1
            self._wallets += np.bincount(distinct(group * width + wallet[known]) // width, minlength=len(self._groups))
            self._count += np.bincount(group, minlength=len(self._groups))
            self._look_around(group, time[known])

    def shares(self) -> Floats:
        """Give f of every trade asked about, in [0, 1]; 1 for a mint that is not in the background.

        Where a mint and side has too few wallets to show it, it is the part of the mint's life that the window covers.
        """
        crowded = self._wallets >= LEAST_BACKGROUND_WALLETS
        span, whole = np.maximum(self._last, self._first) - self._first, 2 * self._window_s
        share = np.where(span > whole, whole / np.maximum(span, 1), 1.0)[self._mint_of][self._place]
        return np.divide(self._within, self._count[self._place], out=share, where=crowded[self._place])

    def _look_around(self, group: Integers, time: Numbers) -> None:
        start, width = int(time.min()), int(np.ptp(time)) + 2
        # The last of the `width` places of a group stays free, so that times outside the background count nothing.
        ordered = np.sort(group * width + (time - start))
        for first in range(0, len(self._within), CHUNK_TRADES):
            part = slice(first, first + CHUNK_TRADES)
            place, at = self._place[part].astype(np.int64) * width, self._time[part].astype(np.int64) - start
            low = place + np.clip(at - self._window_s, 0, width - 1)
            high = place + np.clip(at + self._window_s, -1, width - 1)
            self._within[part] += np.searchsorted(ordered, high, side="right") - np.searchsorted(ordered, low)


def distinct(keys: Integers) -> Integers:
    """Give the different keys, none of them negative, in order; faster than `np.unique` on many."""
    ordered = np.sort(keys)
    different: Integers = ordered[np.diff(ordered, prepend=-1) != 0]
    return different


def _series(mint: Numbers, side: Numbers) -> Integers:
    """Give one number for a mint and side."""
    return mint.astype(np.int64) * 2 + side


def _places(wanted: Integers, found: Numbers) -> tuple[Integers, Integers]:
    """Give where wanted numbers were found, and the place of each among those wanted, which are in order."""
    if not len(wanted):
        return (np.zeros(0, dtype=np.int64),) * 2
    place = np.searchsorted(wanted, found)
    place[place == len(wanted)] = 0
    known = np.flatnonzero(wanted[place] == found)
    return known, place[known]
