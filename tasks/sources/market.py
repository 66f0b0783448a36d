"""What things cost, from whichever market source answers first. How each is asked is `dexscreener.py`'s and
`jupiter.py`'s; where prices are kept is not known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from tasks.errors import SourceError
from tasks.sources import dexscreener, jupiter
from tasks.sources.dexscreener import DexScreener
from tasks.sources.jupiter import Jupiter

log = logging.getLogger(__name__)


def sol_price_usd(
    order: Sequence[str],
    dexscreener_url: str = dexscreener.URL,
    jupiter_url: str = jupiter.URL,
    jupiter_api_key: str | None = None,
    redis_url: str | None = None,
) -> float | None:
    """Ask the sources named in `order` ("dexscreener", "jupiter") for the price of one SOL, in USD.

    The first price wins. A source that fails is logged and the next one asked; None when none has a price or `order`
    is empty. Names that are no source are passed over, with a warning.
    """
    makers: dict[str, Callable[[], DexScreener | Jupiter]] = {
        dexscreener.SOURCE: lambda: DexScreener(dexscreener_url, redis_url=redis_url),
        jupiter.SOURCE: lambda: Jupiter(jupiter_url, api_key=jupiter_api_key, redis_url=redis_url),
    }
    for name in order:
        if name not in makers:
            log.warning("no price of SOL: there is no source %r", name)
            continue
        source = makers[name]()
        try:
            return source.sol_usd()
        except SourceError as error:
            log.warning("no price of SOL: %s", error)
        finally:
            source.close()
    return None
