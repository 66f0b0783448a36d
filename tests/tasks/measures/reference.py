"""A slow, obvious reference written straight from measures.md, sections 1 (USD quotes), 2 and 3; no test is in here.

Plain loops over dicts and every pair; it shares no code with `tasks.measures`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

World = list[dict[int, float]]
"""For each wallet, in address order: mint → weight, 0 for a mint of T without weight."""


def sol_usd(observations: Iterable[tuple[int, int, int]], day: int, market: float | None) -> float | None:
    """The median of that UTC day; the nearest day that has one (tie: the earlier); the market; nothing."""
    by_day: dict[int, list[float]] = {}
    for block_at, usd, lamports in observations:
        by_day.setdefault(block_at // 86400, []).append((usd / 1e6) / (lamports / 1e9))
    if not by_day:
        return market
    best = None
    for candidate in sorted(by_day):
        if best is None or abs(candidate - day) < abs(best - day):
            best = candidate
    rates = sorted(by_day[best])  # type: ignore[index]
    middle = len(rates) // 2
    return rates[middle] if len(rates) % 2 else (rates[middle - 1] + rates[middle]) / 2


def value(movement: Any, observations: list[tuple[int, int, int]], market: float | None) -> float | None:
    """The SOL value of a trade after the split, None when unpriced."""
    if movement.quote is None:
        return None
    if movement.quote == "SOL":
        return movement.quote_amount / 1e9 / movement.parts
    rate = sol_usd(observations, movement.block_at // 86400, market)
    return None if rate is None else movement.quote_amount / 1e6 / movement.parts / rate


def allocation(
    movements: list[Any],
    observations: list[tuple[int, int, int]],
    market: float | None,
    excluded: set[str],
    start: float | None,
    end: float,
) -> dict[str, dict[str, Any]]:
    """Section 2: mint → the columns of the table."""
    table: dict[str, dict[str, Any]] = {}
    for movement in movements:
        if movement.side not in ("buy", "sell") or movement.mint in excluded:
            continue
        if (start is not None and movement.block_at <= start) or movement.block_at > end:
            continue
        fresh = {"buys": 0, "sells": 0, "bought": 0, "sold": 0, "spent_sol": 0.0, "received_sol": 0.0}
        row = table.setdefault(movement.mint, fresh | {"first_buy_at": None, "last_trade_at": 0})
        worth = value(movement, observations, market) or 0.0
        row["last_trade_at"] = max(row["last_trade_at"], movement.block_at)
        if movement.side == "buy":
            row["buys"] += 1
            row["bought"] += movement.amount
            row["spent_sol"] += worth
            first = row["first_buy_at"]
            row["first_buy_at"] = movement.block_at if first is None else min(first, movement.block_at)
        else:
            row["sells"] += 1
            row["sold"] += movement.amount
            row["received_sol"] += worth
    total = sum(row["spent_sol"] for row in table.values())
    for row in table.values():
        row["weight"] = row["spent_sol"] / total if total else 0.0
    return table


def measures(a: dict[int, float], b: dict[int, float], held_a: Any = None, held_b: Any = None) -> dict[str, Any]:
    """Section 3, the table of measures; None is "not enough data"."""
    shared = set(a) & set(b)
    names = ("behavioural", "jaccard", "capital", "overlap", "coverage_a", "coverage_b", "overall", "holdings")
    result: dict[str, Any] = {"shared": len(shared)} | dict.fromkeys(names)
    if len(a) >= 3 and len(b) >= 3:
        result["behavioural"] = len(shared) / math.sqrt(len(a) * len(b))
        result["jaccard"] = len(shared) / len(set(a) | set(b))
        if sum(w > 0 for w in a.values()) >= 3 and sum(w > 0 for w in b.values()) >= 3:
            norm_a = math.sqrt(sum(w * w for w in a.values()))
            norm_b = math.sqrt(sum(w * w for w in b.values()))
            result["capital"] = sum(a[t] * b[t] for t in shared) / (norm_a * norm_b)
            result["overlap"] = sum(min(a[t], b[t]) for t in shared)
            result["coverage_a"] = sum(a[t] for t in shared)
            result["coverage_b"] = sum(b[t] for t in shared)
            result["overall"] = 0.4 * result["behavioural"] + 0.6 * result["capital"]
    if held_a is not None and held_b is not None and set(held_a) | set(held_b):
        result["holdings"] = len(set(held_a) & set(held_b)) / len(set(held_a) | set(held_b))
    return result


def pairs(
    world: World, holdings: list[Any], *, keep: int, threshold: float, all_below: int, most: int
) -> tuple[list[tuple[int, int]], bool]:
    """Section 3, which pairs are kept, in order, and whether the most were cut. Scores compare at 12 decimals."""
    every = list(itertools.combinations(range(len(world)), 2))
    overall = {}
    for a, b in every:
        score = measures(world[a], world[b])["overall"]
        overall[a, b] = None if score is None else round(score, 12)
    kept = set(every)
    if len(world) > all_below:
        kept = {pair for pair in every if overall[pair] is not None and overall[pair] >= threshold}
        for a in range(len(world)):
            partners = [b for b in range(len(world)) if b != a and (overall[min(a, b), max(a, b)] or 0) > 0]
            partners.sort(key=lambda b: (-overall[min(a, b), max(a, b)], b))
            kept |= {(min(a, b), max(a, b)) for b in partners[:keep]}
    order = sorted(kept, key=lambda pair: (overall[pair] is None, -(overall[pair] or 0), pair))
    cut = len(world) > all_below and len(order) > most
    return (order[:most] if cut else order), cut
