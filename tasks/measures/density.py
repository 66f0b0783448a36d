"""The trade density f: the share of a mint's trades that lie within a window around a trade.

Section 5 of docs/measures.md, "Chance". The background, the trades of all known wallets, comes in parts, so that memory
holds only counts.
"""

from __future__ import annotations

import numpy as np

from tasks.measures.arrays import Floats, Integers
from tasks.measures.matching import NEVER, Numbers, TimedTrades

LEAST_BACKGROUND_WALLETS = 30
"""From so many wallets on, the trades of a mint and side are counted."""
CHUNK_TRADES = 500_000
"""Trades looked up at once."""


class TradeDensity:
    """Counts the background around some trades, part by part."""

    def __init__(self, trades: TimedTrades, window_s: int):
        """Prepare for some trades; the window of each is `window_s` seconds to either side."""
        self._time, self._window_s = trades.time, window_s
        self._groups, place = np.unique(_series(trades.mint, trades.side), return_inverse=True)
        self._place = place.astype(np.int32)
        self._mints, self._mint_of = np.unique(self._groups // 2, return_inverse=True)
        self._wallets, self._count = (np.zeros(len(self._groups), dtype=np.int64) for _ in range(2))
        self._first, self._last = np.full(len(self._mints), NEVER), np.full(len(self._mints), -NEVER)
        self._within = np.zeros(len(trades), dtype=np.int32)

    def add(self, wallet: Numbers, mint: Numbers, side: Numbers, time: Numbers) -> None:
        """Count a part of the background, equally long arrays; all trades of a wallet are in one part."""
        known, place = _find(self._mints, mint)
        np.minimum.at(self._first, place, time[known])
        np.maximum.at(self._last, place, time[known])
        known, group = _find(self._groups, _series(mint, side))
        if len(group):
            width = int(wallet.max()) + 1
            self._wallets += np.bincount(distinct(group * width + wallet[known]) // width, minlength=len(self._groups))
            self._count += np.bincount(group, minlength=len(self._groups))
            self._count_within(group, time[known])

    def shares(self) -> Floats:
        """Return f of every trade, in [0, 1]; 1 for a mint that is not in the background.

        Where too few wallets traded a mint and side, f is the share of the mint's life that the window covers.
        """
        counted = self._wallets >= LEAST_BACKGROUND_WALLETS
        span, whole = np.maximum(self._last, self._first) - self._first, 2 * self._window_s
        share = np.where(span > whole, whole / np.maximum(span, 1), 1.0)[self._mint_of][self._place]
        return np.divide(self._within, self._count[self._place], out=share, where=counted[self._place])

    def _count_within(self, group: Integers, time: Numbers) -> None:
        start, width = int(time.min()), int(np.ptp(time)) + 2
        # The last of the `width` keys of a group stays free, so that times outside the background count nothing.
        ordered = np.sort(group * width + (time - start))
        for first in range(0, len(self._within), CHUNK_TRADES):
            part = slice(first, first + CHUNK_TRADES)
            place, at = self._place[part].astype(np.int64) * width, self._time[part].astype(np.int64) - start
            low = place + np.clip(at - self._window_s, 0, width - 1)
            high = place + np.clip(at + self._window_s, -1, width - 1)
            self._within[part] += np.searchsorted(ordered, high, side="right") - np.searchsorted(ordered, low)


def distinct(keys: Integers) -> Integers:
    """Return the distinct keys, none negative, in order; faster than `np.unique` on many."""
    ordered = np.sort(keys)
    different: Integers = ordered[np.diff(ordered, prepend=-1) != 0]
    return different


def _series(mint: Numbers, side: Numbers) -> Integers:
    """Return one number for a mint and side."""
    return mint.astype(np.int64) * 2 + side


def _find(wanted: Integers, found: Numbers) -> tuple[Integers, Integers]:
    """Return the positions of wanted numbers among those found, and the index of each in `wanted`, which is sorted."""
    if not len(wanted):
        return (np.zeros(0, dtype=np.int64),) * 2
    place = np.searchsorted(wanted, found)
    place[place == len(wanted)] = 0
    known = np.flatnonzero(wanted[place] == found)
    return known, place[known]
