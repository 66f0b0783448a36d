"""What counts as a price, an amount or a number of decimals in an answer of a market source; it asks nobody."""

from __future__ import annotations

import math

HIGHEST_PRICE = 1e9
"""In USD. Anything above is a fault or a joke."""

HIGHEST_AMOUNT = 1e15
LONGEST_NUMBER = 400  # characters; prices are written without an exponent, but never with so many zeros


def read_number(value: object) -> float | None:
    """Read a finite number, or text of one; None when it is none. True and False are none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and (len(value) > LONGEST_NUMBER or "_" in value or not value.isascii()):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read_price(value: object) -> float | None:
    """Read a price in USD, which DexScreener sends as a string (down to 1e-17) and Jupiter as a number.

    None unless it is above 0 and at most `HIGHEST_PRICE`.
    """
    price = read_number(value)
    return price if price is not None and 0 < price <= HIGHEST_PRICE else None


def read_amount(value: object) -> float | None:
    """Read an amount in USD (liquidity, volume, market cap), which is never text.

    None unless it is from 0 to `HIGHEST_AMOUNT`.
    """
    amount = None if isinstance(value, str) else read_number(value)
    return amount if amount is not None and 0 <= amount <= HIGHEST_AMOUNT else None


def read_decimals(value: object) -> int | None:
    """Read a mint's number of decimals, one byte on the chain; None when it is not a whole number from 0 to 255."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and isinstance(value, int) and 0 <= value <= 255 else None
