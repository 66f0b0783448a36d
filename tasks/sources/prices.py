"""What counts as a price in an answer of a market source; it asks nobody."""

from __future__ import annotations

HIGHEST_PRICE = 1e9
"""In USD. Anything above is a fault or a joke."""


def read_price(value: object) -> float | None:
    """Read a price in USD, which DexScreener sends as a string (down to 1e-17) and Jupiter as a number.

    None unless it is above 0 and at most `HIGHEST_PRICE`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        price = float(value)
    except (ValueError, OverflowError):
        return None
    return price if 0 < price <= HIGHEST_PRICE else None
