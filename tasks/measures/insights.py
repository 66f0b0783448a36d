"""What is worth saying about a pair: which insights hold, the sentence of each, and what speaks against it.

Section 7 of measures.md; all its thresholds are here. The measures themselves come from elsewhere, and no sentence
draws a conclusion that its rule does not: what two wallets have to do with each other is for the reader to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from operator import ge, gt, le, lt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from tasks.measures.arrays import Floats, Integers
from tasks.measures.pair_selection import RANK_DIGITS, ranked

BEHAVIOURAL_HIGH, BEHAVIOURAL_LEAST = 0.85, 0.60
CAPITAL_HIGH, CAPITAL_LEAST, CAPITAL_LOW = 0.80, 0.60, 0.30
LEAD_MATCHED, LEAD_SHARE, LEAD_LAG_S = 5, 0.80, 1.0
SYNCHRONISED_MATCHED, SYNCHRONISED_MINTS = 3, 2
TIMING_P_BELOW = 0.001
ALIGNED_DAYS = 3
COVERAGE_HIGH, COVERAGE_LOW, ASYMMETRY_OVERALL = 0.70, 0.20, 0.10
ZERO_SHARED = 3
CHANCE_Q_BELOW = 0.01
"""A larger q value is told as speaking against the pair; it takes part in no rule."""

CHUNK_PAIRS = 50_000
NBSP = "\u00a0"

Pair = Mapping[str, Any]
"""One pair as words and numbers, None or NaN where unknown, a missing number too.

`name_a`, `name_b`; `mints_a`, `mints_b` (|T|), `shared`, `behavioural`, `capital`, `overall`, `coverage_a`,
`coverage_b`; `expected`, `q_value`; `matched`, `matched_mints`, `median_lag_s`, `leader` (1 for a, 2 for b, 0 for
neither), `lead_share`, `timing_p_value`, `timing_window_s`; `aligned_days`.
"""
Condition = tuple[str, Callable[[Floats, float], NDArray[np.bool_]], float]
"""A column, how it is compared, and the threshold."""


class InsightRule(NamedTuple):
    """An insight: its name, its Lucide icon, its sentence about one pair, and the conditions that all hold."""

    name: str
    icon: str
    says: Callable[[Pair], str]
    conditions: tuple[Condition, ...]

    @property
    def slug(self) -> str:
        """Give the name as JSON, addresses and style sheets write it."""
        return self.name.lower().replace(" ", "_")


_MEASURES = ("behavioural", "capital", "overall", "coverage_a", "coverage_b", "shared")
_TIMING = ("matched", "matched_mints", "lead_share", "median_lag_s", "timing_p_value")
COLUMNS = (*_MEASURES, *_TIMING, "aligned_days", "zero_holdings")
"""What the rules look at: one array of each, equally long; `zero_holdings` is true or false."""


def flags(columns: Mapping[str, ArrayLike]) -> NDArray[np.uint16]:
    """Decide every rule for every pair from the arrays named in `COLUMNS`; bit k is set where `RULES[k]` holds.

    Unknown (NaN) fulfils no rule. Measures are compared at 12 decimals, so that rounding error misses no threshold. No
    pair gives an empty array; a column that is missing raises KeyError.
    """
    known = {name: ranked(np.asarray(columns[name], dtype=np.float64)) for name in COLUMNS}
    known["lag_size_s"] = np.abs(known["median_lag_s"])
    known["coverage_more"] = np.maximum(known["coverage_a"], known["coverage_b"])
    known["coverage_less"] = np.minimum(known["coverage_a"], known["coverage_b"])
    found = np.zeros(len(known["overall"]), dtype=np.uint16)
    for bit, rule in enumerate(RULES):
        holds = np.logical_and.reduce([compare(known[name], limit) for name, compare, limit in rule.conditions])
        found |= holds.astype(np.uint16) << np.uint16(bit)
    return found


def names(found: int) -> list[str]:
    """Give the slugs of the insights of one pair, from its flags, in the order of `RULES`; none gives an empty list."""
    return [rule.slug for bit, rule in enumerate(RULES) if int(found) >> bit & 1]


def sentence(slug: str, pair: Pair) -> str:
    """Say with its numbers what an insight found in a pair for which it holds; KeyError for an unknown slug."""
    return {rule.slug: rule for rule in RULES}[slug].says(pair)


def against(pair: Pair) -> list[str]:
    """Say what speaks against any insight about a pair, or limits it: a sentence for each thing there is.

    What chance alone would give is told only where it may explain the pair: else it speaks for it.
    """
    told = (_not_shared(pair), _capital_elsewhere(pair), _chance(pair), *_timing(pair))
    return [text for text in told if text]


def aligned_days(wallet: ArrayLike, mint: ArrayLike, day: ArrayLike, a: ArrayLike, b: ArrayLike) -> Integers:
    """Count for every pair (a, b) the UTC days on which both bought a shared token: the same token on the same day.

    Two different tokens on one day do not count, shared or not, because a day must show its proof: a buy of each
    wallet, of one token. `wallet`, `mint` and `day` (days since 1970-01-01) are equally long arrays with a row per
    buy, priced or not, in any order and with repetitions. Result as long as `a`; no buy gives zeros.
    """
    first, second = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
    wallets, mints, days = (np.asarray(column, dtype=np.int64) for column in (wallet, mint, day))
    count = 1 + max((int(column.max()) for column in (wallets, first, second) if len(column)), default=0)
    bought, day_of = _bought(wallets, mints, days, count)
    counts = [
        _days_of_both(bought, day_of, first[at : at + CHUNK_PAIRS], second[at : at + CHUNK_PAIRS])
        for at in range(0, len(first), CHUNK_PAIRS)
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *counts])


def zero_holdings(
    presence: csr_matrix, holdings: csr_matrix, known: NDArray[np.bool_], a: Integers, b: Integers, shared: Integers
) -> NDArray[np.bool_]:
    """Mark the pairs that share at least three mints of which neither wallet now holds any.

    `presence`, `holdings` and `known` (whether a wallet's holdings are) are those of a `World`; `a`, `b` and `shared`
    are of the pairs. False where the holdings of either are not known.
    """
    marks = known[a] & known[b] & (shared >= ZERO_SHARED)
    asked = np.flatnonzero(marks)
    for at in range(0, len(asked), CHUNK_PAIRS):
        some = asked[at : at + CHUNK_PAIRS]
        both = presence[a[some]].multiply(presence[b[some]])
        held = both.multiply(holdings[a[some]] + holdings[b[some]])
        marks[some] = np.asarray(held.sum(axis=1)).ravel() == 0
    return marks


def _bought(wallet: Integers, mint: Integers, day: Integers, count: int) -> tuple[csr_matrix, Integers]:
    """Make the matrix wallets × (day, mint) of who bought, and the day of each column, columns in order of days.

    What only one wallet bought is in no pair and is left out, which keeps popular and rare mints alike affordable.
    """
    span = int(mint.max()) + 1 if len(mint) else 1
    keys, column = np.unique(day * span + mint, return_inverse=True)
    cells = np.unique(column * count + wallet)
    column, row = cells // count, cells % count
    popular = np.bincount(column, minlength=len(keys)) > 1
    row, column = row[popular[column]], column[popular[column]]
    place = np.cumsum(popular) - 1
    shape = (count, int(np.count_nonzero(popular)))
    matrix = csr_matrix((np.ones(len(row), dtype=np.int8), (row, place[column])), shape=shape)
    matrix.sort_indices()
    return matrix, (keys // span)[popular]


def _days_of_both(bought: csr_matrix, day_of: Integers, a: Integers, b: Integers) -> Integers:
    """Count the different days among the columns that both rows have; columns come in order of their days."""
    both = bought[a].multiply(bought[b]).tocsr()
    both.sort_indices()
    days = day_of[both.indices]
    fresh = np.ones(len(days), dtype=np.bool_)
    fresh[1:] = days[1:] != days[:-1]
    starts = both.indptr[:-1]
    fresh[starts[starts < len(days)]] = True
    seen = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(fresh)])
    counts: Integers = seen[both.indptr[1:]] - seen[starts]
    return counts


def _says_very_high(pair: Pair) -> str:
    return f"{_shares(pair)}, and put their capital into them in similar proportions ({_scores(pair)})."


def _says_mirror(pair: Pair) -> str:
    return f"{_shares(pair)} ({_scores(pair)})."


def _says_leader(pair: Pair) -> str:
    leader, follower = (pair["name_b"], pair["name_a"]) if pair["leader"] == 2 else (pair["name_a"], pair["name_b"])
    firsts = round(pair["lead_share"] * pair["matched"])
    return (
        f"{leader} was first in {firsts} of {pair['matched']} matched trades ({_percent(pair['lead_share'])}), and "
        f"{follower} came {_span(abs(pair['median_lag_s']))} later at the median; {_by_chance(pair)}."
    )


def _says_synchronised(pair: Pair) -> str:
    return (
        f"{pair['name_a']} and {pair['name_b']} made {pair['matched']} matched trades on {pair['matched_mints']} tokens"
        f", each within {_span(pair['timing_window_s'])} of the other's; {_by_chance(pair)}."
    )


def _says_aligned(pair: Pair) -> str:
    return (
        f"{pair['name_a']} and {pair['name_b']} bought the same token on the same day (UTC) on {pair['aligned_days']} "
        f"days, and share {_count(pair['shared'], 'token')} ({_scores(pair)})."
    )


def _says_divergence(pair: Pair) -> str:
    return f"{_shares(pair)}, but put their capital into them in different proportions ({_scores(pair)})."


def _says_asymmetry(pair: Pair) -> str:
    a, b = (pair["name_a"], pair["coverage_a"]), (pair["name_b"], pair["coverage_b"])
    (most, high), (least, low) = (a, b) if a[1] >= b[1] else (b, a)
    return (
        f"The {_count(pair['shared'], 'shared token')} took {_percent(high)} of {most}'s capital, but {_percent(low)} "
        f"of {least}'s (overall {_score(pair['overall'])})."
    )


def _says_zero(pair: Pair) -> str:
    return (
        f"{pair['name_a']} and {pair['name_b']} share {_count(pair['shared'], 'token')} (behavioural "
        f"{_score(pair['behavioural'])}), and neither held any of them at the time of the analysis."
    )


def _not_shared(pair: Pair) -> str | None:
    alone_a, alone_b = pair["mints_a"] - pair["shared"], pair["mints_b"] - pair["shared"]
    a, b = pair["name_a"], pair["name_b"]
    if alone_a and alone_b:
        return f"{a} traded {_count(alone_a, 'token')} that {b} did not, and {b} {alone_b:,} that {a} did not."
    if alone_a or alone_b:
        one, other, alone = (a, b, alone_a) if alone_a else (b, a, alone_b)
        return f"{one} traded {_count(alone, 'token')} that {other} did not."
    return None


def _capital_elsewhere(pair: Pair) -> str | None:
    coverage_a, coverage_b = _known(pair, "coverage_a"), _known(pair, "coverage_b")
    if coverage_a is None or coverage_b is None:
        return "How alike the two are in capital is not known: not enough data."
    if round(min(coverage_a, coverage_b), RANK_DIGITS) == 1:
        return None
    return (
        f"{_percent(1 - coverage_a)} of {pair['name_a']}'s capital and {_percent(1 - coverage_b)} of "
        f"{pair['name_b']}'s went into tokens that they do not share."
    )


def _chance(pair: Pair) -> str | None:
    expected, q_value = _known(pair, "expected"), _known(pair, "q_value")
    if expected is None:
        return "How many tokens the two would share by chance is not known: not enough data."
    text = f"Two wallets with so many tokens would share {_mean(expected)} by chance; these share {pair['shared']:,}"
    if q_value is None:
        return f"{text}; whether chance explains that is not known."
    if q_value < CHANCE_Q_BELOW:
        return None
    return f"{text}, which chance may explain (q {_probability(q_value)})."


def _timing(pair: Pair) -> Iterator[str]:
    matched, p_value, share = (_known(pair, name) for name in ("matched", "timing_p_value", "lead_share"))
    if matched is None:
        return
    if matched == 0:
        yield f"No trade of the one lies within {_span(pair['timing_window_s'])} of one of the other, token by token."
        return
    if p_value is None:
        yield f"Whether chance explains the {_count(int(matched), 'matched trade')} is not known: not enough data."
    elif p_value >= TIMING_P_BELOW:
        yield f"Chance may explain the {_count(int(matched), 'matched trade')} (p {_probability(p_value)})."
    if share is None or round(share, RANK_DIGITS) < LEAD_SHARE:
        yield f"Neither was first in as many as {_percent(LEAD_SHARE)} of the matched trades."


def _shares(pair: Pair) -> str:
    return (
        f"{pair['name_a']} and {pair['name_b']} share {_count(pair['shared'], 'token')}, of {pair['mints_a']:,} and "
        f"{pair['mints_b']:,} traded"
    )


def _scores(pair: Pair) -> str:
    return f"behavioural {_score(pair['behavioural'])}, capital {_score(pair['capital'])}"


def _by_chance(pair: Pair) -> str:
    return f"so many matches by chance have p {_probability(pair['timing_p_value'])}"


def _known(pair: Pair, name: str) -> float | None:
    value = pair.get(name)
    return None if value is None or math.isnan(value) else float(value)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _percent(share: float) -> str:
    """Write a share of one; only all of it is 100 %, and only nothing of it 0 %."""
    value = round(100 * share, RANK_DIGITS - 2)
    if 0 < value < 0.1:
        return f"less than 0.1{NBSP}%"
    digits = 1 if 0 < value < 10 else 0
    return f"{min(value, 99) if value < 100 else value:.{digits}f}{NBSP}%"


def _score(measure: float) -> str:
    """Write a measure to two decimals, 1.00 only for what is 1."""
    value = round(measure, RANK_DIGITS)
    return f"{min(value, 0.99) if value < 1 else value:.2f}"


def _probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _mean(tokens: float) -> str:
    return f"{tokens:,.1f} tokens" if tokens >= 0.1 else "less than 0.1 tokens"


def _span(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    if not minutes:
        return f"{rest:g}{NBSP}s"
    return f"{minutes:.0f}{NBSP}min {rest:g}{NBSP}s" if rest else f"{minutes:.0f}{NBSP}min"


_MIRRORED: Condition = ("behavioural", ge, BEHAVIOURAL_HIGH)
_BEHAVIOURAL: Condition = ("behavioural", ge, BEHAVIOURAL_LEAST)
_CAPITAL: Condition = ("capital", ge, CAPITAL_LEAST)
_TIMED: Condition = ("timing_p_value", lt, TIMING_P_BELOW)
_ALIGNED: Condition = ("aligned_days", ge, ALIGNED_DAYS)
_LED: tuple[Condition, ...] = (("lead_share", ge, LEAD_SHARE), ("lag_size_s", ge, LEAD_LAG_S), _TIMED)
_SYNCHRONISED: tuple[Condition, ...] = (("matched_mints", ge, SYNCHRONISED_MINTS), _TIMED)
_UNEVEN: tuple[Condition, ...] = (("coverage_more", ge, COVERAGE_HIGH), ("coverage_less", le, COVERAGE_LOW))
_GONE: tuple[Condition, ...] = (("shared", ge, ZERO_SHARED), ("zero_holdings", gt, 0))

RULES = (
    InsightRule("Very high similarity", "link", _says_very_high, (_MIRRORED, ("capital", ge, CAPITAL_HIGH))),
    InsightRule("Behavioural mirror", "users-round", _says_mirror, (_MIRRORED, _CAPITAL)),
    InsightRule("Leader and follower", "footprints", _says_leader, (("matched", ge, LEAD_MATCHED), *_LED)),
    InsightRule(
        "Synchronised trading", "timer", _says_synchronised, (("matched", ge, SYNCHRONISED_MATCHED), *_SYNCHRONISED)
    ),
    InsightRule("Sustained alignment", "handshake", _says_aligned, (_BEHAVIOURAL, _CAPITAL, _ALIGNED)),
    InsightRule(
        "Capital divergence", "square-arrow-out-up-right", _says_divergence, (_MIRRORED, ("capital", lt, CAPITAL_LOW))
    ),
    InsightRule("Significant asymmetry", "scale", _says_asymmetry, (*_UNEVEN, ("overall", ge, ASYMMETRY_OVERALL))),
    InsightRule("Shared zero holdings", "ban", _says_zero, (_BEHAVIOURAL, *_GONE)),
)
"""Every insight, in the order in which a pair shows them."""
