"""Makes what the market says of one chosen mint wrong, in one chosen way; knows the shapes and makes up no right price.

What cannot be written as JSON by the rules (`NaN`, a number of 401 digits) is written all the same: `misquoted_answer`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.simulator.responses import Answer

# Put in place of the price. The first seven are bare JSON values, the `…_text` what a careless reader takes for one.
_PRICES: dict[str, object] = {
    "negative": -1.5,
    "zero": 0,
    "nan": math.nan,
    "infinite": math.inf,
    "huge": 10**400,
    "text": "a lot",
    "null": None,
    "nan_text": "NaN",
    "infinite_text": "Infinity",
    "huge_text": "1e400",
}
_OTHER_PRICE = "123.4"
_PAIR_ADDRESSES = ("chainId", "pairAddress")


def misquoted_pairs(pairs: Iterable[dict[str, Any]], wrong: str | None) -> list[Any]:
    """Return DexScreener's pairs of one mint, spoilt; as they are when nothing is to be wrong.

    `other_chain`: all are another chain's, with another price. `twice`: each is followed by itself with another
    price. `list`: a list stands in its place. `bare`: only its chain and addresses are left.
    """
    if wrong == "twice":
        return [entry for pair in pairs for entry in (pair, pair | {"priceUsd": _OTHER_PRICE})]
    return [_misquoted_pair(pair, wrong) for pair in pairs]


def _misquoted_pair(pair: dict[str, Any], wrong: str | None) -> Any:
    if wrong in _PRICES:
        return pair | {"priceUsd": _PRICES[wrong]}
    if wrong == "other_chain":
        return pair | {"chainId": "base", "priceUsd": _OTHER_PRICE}
    if wrong == "bare":
        sides = {side: {"address": pair[side]["address"]} for side in ("baseToken", "quoteToken")}
        return {name: pair[name] for name in _PAIR_ADDRESSES} | sides
    return [pair["pairAddress"]] if wrong == "list" else pair


def misquoted_entries(entry: dict[str, Any], wrong: str | None) -> list[Any]:
    """Return what Jupiter says of one mint, spoilt: two entries for `twice`, else one; `other_chain` spoils nothing."""
    if wrong == "twice":
        return [entry, entry | {"usdPrice": float(_OTHER_PRICE)}]
    if wrong in _PRICES:
        return [entry | {"usdPrice": _PRICES[wrong]}]
    if wrong == "bare":
        return [{name: entry[name] for name in ("id",) if name in entry}]
    return [[entry.get("id")] if wrong == "list" else entry]


def misquoted_answer(content: object) -> Answer:
    """Return an answer whose body holds `NaN`, `Infinity` and numbers of any length as they are."""
    return Answer(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())


def is_asked_about(mints: Iterable[str], bad_prices: Mapping[str, str]) -> bool:
    """Say whether any of the mints is one of which something wrong is said."""
    return any(mint in bad_prices for mint in mints)
