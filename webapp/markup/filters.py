"""Turn values into the words and figures that pages show; nothing here reads a database or decides anything.

Every filter is a pure function. Times are seconds since the epoch (float, UTC); unknown is None and becomes
an en dash (a missing score becomes "n/a"), never 0. Numbers keep to the house style: a true minus (U+2212), a comma
between thousands, a no-break space before a unit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeGuard, TypeVar, overload

from flask import Flask

from tasks.sources.market.names import impersonated_token
from webapp.markup import icons
from webapp.markup.fragment_cache import FragmentCache
from webapp.markup.labels import (
    INSIGHTS,
    cluster_colour,
    cluster_shape,
    insight,
    job_icon,
    job_kind,
    monogram,
    monogram_colour,
    visible_insights,
)
from webapp.markup.words import chance_count, outcome, plain_text, sentence, signed

Number = int | float | Decimal
N = TypeVar("N", bound=Number)

UNKNOWN = "–"
MINUS = "\u2212"
NBSP = "\u00a0"
EXPLORER = "https://solscan.io"
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

LAMPORTS, MICRODOLLARS = 1e9, 1e6
"""Smallest units in one SOL, and in one of the dollar tokens that trades are paid in otherwise."""
LEAST_WITH_THREE_DIGITS = 0.001
ADDING_FLOATS = 1e-9  # how far a sum of floats may be from the one that it is


def short_address(address: str | None) -> str:
    """Shorten an address to its ends ("AdJU…pDnh"); what is nine characters or less stays whole."""
    if not address:
        return UNKNOWN
    return address if len(address) <= 9 else f"{address[:4]}…{address[-4:]}"


def last_four(address: str) -> str:
    """Give the tail that stands behind a label, "…2C5w"."""
    return f"…{address[-4:]}"


def explorer_account(address: str) -> str:
    """Give the explorer's page of a wallet or a mint."""
    return f"{EXPLORER}/account/{address}"


def explorer_transaction(signature: str) -> str:
    """Give the explorer's page of a transaction."""
    return f"{EXPLORER}/tx/{signature}"


# Numbers --------------------------------------------------------------------------------------------------------


def _rounded(value: Number, digits: int, *, plus: bool = False) -> str:
    """Write a number half-up with thousands separated and a true minus; what rounds to zero has no sign."""
    exact = Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    sign = MINUS if exact < 0 else "+" if plus and exact > 0 else ""
    return f"{sign}{abs(exact):,f}"


def _is_known(value: N | None) -> TypeGuard[N]:
    return value is not None and math.isfinite(value)


def count(value: int | None) -> str:
    """Write a whole number with its thousands separated ("14,206")."""
    return _rounded(value, 0) if _is_known(value) else UNKNOWN


def sol(value: Number | None, digits: int | None = None, signed: bool = False) -> str:
    """Write an amount of SOL without its unit, with as many digits as its size deserves unless told.

    8132.4 → "8,132", 147.42 → "147.4", 2.5 → "2.50", 0.0421 → "0.042", smaller ones to two significant digits.
    ``signed`` puts a plus before gains.
    """
    if not _is_known(value):
        return UNKNOWN
    if value == 0:
        return "0"
    return _rounded(value, _sol_digits(abs(float(value))) if digits is None else digits, plus=signed)


def _sol_digits(size: float) -> int:
    """Choose the decimals for an amount: fewer the larger it is, two significant digits below 0.001."""
    for least, digits in ((1_000, 0), (100, 1), (1, 2), (0.001, 3)):
        if size >= least:
            return digits
    return min(9, 1 - math.floor(math.log10(size)))


def sol_value(value: Number | None) -> str:
    """Write a value in SOL to three decimals; one below 0.001 to two significant digits."""
    is_small = value is None or value < LEAST_WITH_THREE_DIGITS
    return sol(value) if is_small and value != 0 else sol(value, 3)


def paid(amount: int, unit: str) -> str:
    """Write what was paid or received: an amount in the smallest unit, and its currency ("2.50 USDC")."""
    return f"{sol(amount / LAMPORTS)} SOL" if unit == "SOL" else f"{sol(amount / MICRODOLLARS, 2)} {unit}"


def usd(value: Number | None) -> str:
    """Write a price or a sum in dollars; two zeros or more behind the point are counted ("$0.0₄6741").

    From 1,000 on without cents, from a million on in millions ("$1.23 m"), from a billion on "$1.23 bn".
    """
    if not _is_known(value):
        return UNKNOWN
    sign = MINUS if value < 0 else ""
    return f"{sign}${_dollars(Decimal(str(abs(value))))}"


def _dollars(size: Decimal) -> str:
    for least, unit in ((Decimal("1e9"), "bn"), (Decimal("1e6"), "m")):
        if size >= least:
            return f"{_rounded(size / least, 2)}{NBSP}{unit}"
    if size == 0 or size >= 1:
        return _rounded(size, 0 if size >= 1_000 else 2)
    return _small_dollars(size)


def _small_dollars(size: Decimal) -> str:
    """Write what is below one dollar: four decimals, or four significant digits behind a count of zeros."""
    zeros = -size.adjusted() - 1
    rounded = round(size, zeros + 4)
    zeros = -rounded.adjusted() - 1
    if zeros < 2:
        return _rounded(size, 4)
    digits = str(int(rounded.scaleb(zeros + 4)))
    return f"0.0{_subscript(zeros)}{digits}"


def _subscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def percent(ratio: Number | None, digits: int | None = None) -> str:
    """Write a share of one as a percentage ("6.3 %"); one decimal below ten per cent unless told.

    Only what is everything (but for an error of adding floats) is "100 %", and only what is nothing "0 %": a share just
    below is cut off, not rounded up, and one just above nothing reads "< 0.1 %".
    """
    if not _is_known(ratio):
        return UNKNOWN
    nearly_all = 1 - ADDING_FLOATS < ratio < 1
    value = Decimal(100) if nearly_all else Decimal(str(ratio)) * 100
    if digits is None:
        digits = 1 if 0 < abs(value) < 10 else 0
    step = Decimal(1).scaleb(-digits)
    if 0 < value < step / 2:
        return f"< {step}{NBSP}%"
    if 100 - step / 2 <= value < 100:
        value = 100 - step
    return f"{_rounded(value, digits)}{NBSP}%"


def score(value: float | None) -> str:
    """Write a measure in [0, 1] to two decimals; None is "n/a", because a score without data is not a low score.

    "1.00" is kept for wallets that really are the same: what lies between 0.995 and 1 shows 0.99. Differences below
    1e-9 come from adding floats and count as one.
    """
    if not _is_known(value):
        return "n/a"
    clamped = clamp(value)
    if 0.995 <= clamped <= 1 - ADDING_FLOATS:
        return "0.99"
    return _rounded(clamped, 2)


def clamp(value: float) -> float:
    """Keep a measure within [0, 1], which is all that a meter can draw."""
    return min(1.0, max(0.0, value))


def probability(value: float | None) -> str:
    """Write a p or q value to three decimals, "< 0.001" below that."""
    if not _is_known(value):
        return UNKNOWN
    return "< 0.001" if value < 0.001 else _rounded(value, 3)


def times(value: float | None) -> str:
    """Write a factor, such as a lift, to one decimal ("7.0 ×")."""
    return f"{_rounded(value, 1)}{NBSP}×" if _is_known(value) else UNKNOWN


# Times ----------------------------------------------------------------------------------------------------------


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


@overload
def iso(at: float) -> str: ...


@overload
def iso(at: None) -> None: ...


def iso(at: float | None) -> str | None:
    """Write a time for machines: ISO 8601, Z, to the millisecond where it is no whole second. None stays None."""
    if at is None:
        return None
    precision = "seconds" if float(at).is_integer() else "milliseconds"
    return _utc(at).isoformat(timespec=precision).replace("+00:00", "Z")


def timestamp(at: float | None) -> str:
    """Write a time in full, "18 March 2026, 14:22:05 UTC"."""
    return UNKNOWN if at is None else f"{day(at)}, {_utc(at):%H:%M:%S} UTC"


def moment(at: float | None) -> str:
    """Write a time for a table whose head says UTC, "11 Mar 11:25:46"."""
    if at is None:
        return UNKNOWN
    time_utc = _utc(at)
    return f"{time_utc.day} {MONTHS[time_utc.month - 1][:3]} {time_utc:%H:%M:%S}"


def clock(at: float | None) -> str:
    """Write the time of day, "14:22 UTC"."""
    return UNKNOWN if at is None else f"{_utc(at):%H:%M} UTC"


def seconds(at: float | None) -> str:
    """Write the time of day to the second, "11:25:46"."""
    return UNKNOWN if at is None else f"{_utc(at):%H:%M:%S}"


def day(at: float | None) -> str:
    """Write a date, "18 March 2026"."""
    if at is None:
        return UNKNOWN
    date = _utc(at)
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"


def age(at: float | None, now: float | None = None) -> str:
    """Say how long ago a time was: "just now", "12 s ago", "2 h ago", "yesterday", "3 days ago", then the date.

    Times ahead of ``now`` (the present unless given) come from clocks that disagree and count as now. app.js says the
    same words when it refreshes them.
    """
    if at is None:
        return UNKNOWN
    seconds = max(0.0, (time.time() if now is None else now) - at)
    if seconds < 5:
        return "just now"
    for limit, unit, name in ((MINUTE_S, 1, "s"), (HOUR_S, MINUTE_S, "min"), (DAY_S, HOUR_S, "h")):
        if seconds < limit:
            return f"{int(seconds // unit)}{NBSP}{name} ago"
    days = int(seconds // DAY_S)
    if days >= 7:
        return day(at)
    return "yesterday" if days == 1 else f"{days} days ago"


def time_as(at: float | None, mode: str) -> str:
    """Write a time in one of the modes of the macro `time`: its age unless the mode is another."""
    modes = {"clock": clock, "moment": moment, "seconds": seconds, "day": day, "full": timestamp}
    return modes.get(mode, age)(at)


def duration(seconds: float | None) -> str:
    """Write a span in its two largest units: "0.4 s", "48 s", "1 min 48 s", "30 h 52 min", "3 days 4 h".

    Hours run on to 48 before days begin, because a gap of "30 h" is easier to compare than "1 day 6 h".
    """
    if not _is_known(seconds):
        return UNKNOWN
    if 0 < seconds < 0.95:
        return f"{_rounded(seconds, 1)}{NBSP}s"
    whole = round(seconds)
    for limit, unit, names in (
        (MINUTE_S, 1, ("s", "")),
        (HOUR_S, MINUTE_S, ("min", "s")),
        (2 * DAY_S, HOUR_S, ("h", "min")),
    ):
        if whole < limit:
            return _two_units(whole, unit, *names)
    return _two_units(whole, DAY_S, "days", "h")


def _two_units(whole: int, unit: int, large: str, small: str) -> str:
    """Write ``whole`` seconds in ``unit`` and the next smaller unit, leaving out a smaller one that is zero."""
    sizes = {"s": 1, "min": MINUTE_S, "h": HOUR_S}
    first, rest = divmod(whole, unit)
    second = rest // sizes[small] if small else 0
    tail = f" {second}{NBSP}{small}" if second else ""
    return f"{first}{NBSP}{large}{tail}"


def gap(seconds: float | None) -> str:
    """Write a signed span: "+14 s" (the second came later), "−6 s", "0 s"."""
    if not _is_known(seconds):
        return UNKNOWN
    text = duration(abs(seconds))
    sign = "" if seconds == 0 else MINUS if seconds < 0 else "+"
    return sign + text


def impersonates(mint: str, symbol: str | None, name: str | None) -> str | None:
    """Give the symbol of the well-known token that a token passes for; None for most tokens."""
    return impersonated_token(symbol, name, mint)


FILTERS: tuple[Callable[..., object], ...] = (
    *(
        short_address,
        last_four,
        explorer_account,
        explorer_transaction,
        plain_text,
        monogram,
        monogram_colour,
        impersonates,
    ),
    *(count, sol, sol_value, paid, usd, percent, score, clamp, probability, times, chance_count, signed),
    *(iso, timestamp, moment, day, time_as, duration, gap),
    *(sentence, outcome, job_icon, job_kind, cluster_colour, cluster_shape, insight, visible_insights),
)


def register(app: Flask) -> None:
    """Give an app's templates the filters and ``INSIGHTS``."""
    icons.register(app)
    app.jinja_env.add_extension(FragmentCache)
    app.jinja_env.filters.update({function.__name__: function for function in FILTERS})
    app.jinja_env.globals.update(INSIGHTS=INSIGHTS)
