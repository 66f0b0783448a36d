"""Reads prices, amounts and decimals from market answers; anything implausible becomes None."""

from __future__ import annotations

import math

HIGHEST_PRICE = 1e9
"""In USD. Anything above is an error or a joke."""

HIGHEST_AMOUNT = 1e15
LONGEST_NUMBER = 400  # characters; prices are written without an exponent, but never with so many zeros


def read_number(value: object) -> float | None:
    """Return a finite number, or a string of one, as a float; otherwise None. True and False are not numbers."""
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
    """Return a price in USD: DexScreener sends a string (down to 1e-17), Jupiter a number.

    None unless it is above 0 and at most `HIGHEST_PRICE`.
    """
    price = read_number(value)
    return price if price is not None and 0 < price <= HIGHEST_PRICE else None


def read_amount(value: object) -> float | None:
    """Return an amount in USD (liquidity, volume, market cap), which is never a string.

    None unless it is from 0 to `HIGHEST_AMOUNT`.
    """
    amount = None if isinstance(value, str) else read_number(value)
    return amount if amount is not None and 0 <= amount <= HIGHEST_AMOUNT else None


def read_decimals(value: object) -> int | None:
    """Return a mint's decimals, one byte on the chain; None unless a whole number from 0 to 255."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and isinstance(value, int) and 0 <= value <= 255 else None
