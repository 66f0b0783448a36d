"""The density f of trades against a background that is in memory as a whole."""

from __future__ import annotations

import numpy as np

from tasks.measures.density import TradeDensity
from tasks.measures.matching import TimedTrades


def trade_densities(trades: TimedTrades, background: TimedTrades, window_s: int) -> np.ndarray:
    """Return f of every trade, in [0, 1]; no trade gives an empty array."""
    density = TradeDensity(trades, window_s)
    density.add(background.wallet, background.mint, background.side, background.time)
    return density.shares()
