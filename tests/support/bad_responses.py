"""Wrong data in the simulator's responses about chosen mints and transactions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from tasks.simulator.responses import Response, error_response
from tasks.simulator.server import Simulator

# In place of the price. The first seven are bare JSON values; a careless reader takes the texts for numbers.
PRICES: dict[str, object] = {
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
OTHER_PRICE = "123.4"


def misquote(market: Simulator, wrong: Mapping[str, str], rejected: str = "") -> None:
    """Make what the market says of some mints wrong, and refuse any request that names the rejected mint.

    `wrong` maps a mint to a key of `PRICES`, or to: `other_chain`, all its pairs are another chain's; `twice`, each
    entry is repeated with another price; `list`, a list replaces each entry; `bare`, only addresses are left.
    """
    respond = market.router.market.respond

    def wrongly(target: str, host: str) -> Response:
        if rejected and rejected in target:
            return error_response(400, "Invalid address.")
        response = respond(target, host)
        if not any(mint in target for mint in wrong):
            return response
        entries = [bad for entry in orjson.loads(response.body) for bad in _misquoted(entry, wrong)]
        # orjson cannot write NaN, Infinity and integers of 401 digits.
        return Response(json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode())

    market.router.market.respond = wrongly  # type: ignore[method-assign]


def _misquoted(entry: dict[str, Any], wrong: Mapping[str, str]) -> list[Any]:
    """Return one pair of DexScreener, or one entry of Jupiter's search, as it is to be sent."""
    is_pair = "baseToken" in entry
    kind = wrong.get(entry["baseToken"]["address"] if is_pair else entry["id"])
    price = "priceUsd" if is_pair else "usdPrice"
    if kind in PRICES:
        return [entry | {price: PRICES[kind]}]
    if kind == "other_chain" and is_pair:
        return [entry | {"chainId": "base", price: OTHER_PRICE}]
    if kind == "twice":
        return [entry, entry | {price: OTHER_PRICE if is_pair else float(OTHER_PRICE)}]
    if kind == "list":
        return [list(entry)]
    if kind == "bare":
        kept = {name: entry[name] for name in ("id", "chainId", "pairAddress") if name in entry}
        sides = {side: {"address": entry[side]["address"]} for side in ("baseToken", "quoteToken") if is_pair}
        return [kept | sides]
    return [entry]


def damaged(content: bytes, damage: str) -> bytes:
    """Damage a transaction: `keys`, fewer keys than balances; `meta`, none; `amounts`, text that is no number."""
    transaction = orjson.loads(content)
    if damage == "meta":
        transaction["meta"] = None
    elif damage == "amounts":
        for entry in transaction["meta"]["postTokenBalances"]:
            entry["uiTokenAmount"]["amount"] = "12e3.4"
        transaction["meta"]["postBalances"][0] = "many"
    else:
        message = transaction["transaction"]["message"]
        message["accountKeys"] = message["accountKeys"][:2]
        transaction["meta"].pop("loadedAddresses", None)
    return orjson.dumps(transaction)
