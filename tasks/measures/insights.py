"""The insights of a pair: their rules, thresholds and sentences, and the counter-evidence.

Section 7 of docs/measures.md. The measures are input, and no sentence concludes more than its rule: whether two wallets
belong together is for the reader to decide.
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
"""From this q value on, chance is counter-evidence; no rule uses it."""

CHUNK_PAIRS = 50_000
NBSP = "\u00a0"

Pair = Mapping[str, Any]
"""One pair as names and numbers; None, NaN and missing are unknown.

`name_a`, `name_b`; `mints_a`, `mints_b` (|T|), `shared`, `behavioural`, `capital`, `overall`, `coverage_a`,
`coverage_b`; `expected`, `q_value`; `matched`, `matched_mints`, `median_lag_s`, `leader` (1 for a, 2 for b, 0 for
neither), `lead_share`, `timing_p_value`, `timing_window_s`; `aligned_days`.
"""
Condition = tuple[str, Callable[[Floats, float], NDArray[np.bool_]], float]
"""A column, the comparison, and the threshold."""


class InsightRule(NamedTuple):
    """An insight: its name, its Lucide icon, its sentence about one pair, and the conditions that must all hold."""

    name: str
    icon: str
    describe: Callable[[Pair], str]
    conditions: tuple[Condition, ...]

    @property
    def slug(self) -> str:
        """The name in JSON, URLs and style sheets."""
        return self.name.lower().replace(" ", "_")


_MEASURES = ("behavioural", "capital", "overall", "coverage_a", "coverage_b", "shared")
_TIMING = ("matched", "matched_mints", "lead_share", "median_lag_s", "timing_p_value")
COLUMNS = (*_MEASURES, *_TIMING, "aligned_days", "zero_holdings")
"""The input of the rules: one array of each, equally long; `zero_holdings` is true or false."""


def flags(columns: Mapping[str, ArrayLike]) -> NDArray[np.uint16]:
    """Apply every rule to every pair, from the arrays named in `COLUMNS`; bit k is set where `RULES[k]` holds.

    NaN fulfils no rule. Measures are compared at 12 decimals, so that rounding error misses no threshold. No pair gives
    an empty array. Raises KeyError for a missing column.
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
    """Return the slugs of the insights of one pair, from its flags, in the order of `RULES`."""
    return [rule.slug for bit, rule in enumerate(RULES) if int(found) >> bit & 1]


def sentence(slug: str, pair: Pair) -> str:
    """Return the sentence of an insight that holds for a pair. Raises KeyError for an unknown slug."""
    return {rule.slug: rule for rule in RULES}[slug].describe(pair)


def counter_evidence(pair: Pair) -> list[str]:
    """Return a sentence for each thing that speaks against a link between the wallets of a pair.

    Chance is counter-evidence only where it may explain the pair (q >= 0.01); otherwise it is evidence for a link.
    """
    sentences = (_not_shared(pair), _capital_elsewhere(pair), _chance(pair), *_timing(pair))
    return [text for text in sentences if text]


def aligned_days(wallet: ArrayLike, mint: ArrayLike, day: ArrayLike, a: ArrayLike, b: ArrayLike) -> Integers:
    """Count for every pair (a, b) the UTC days on which both bought the same token.

    Two different tokens on one day do not count, shared or not: the proof of a day is a buy of each wallet, of one
    token. `wallet`, `mint` and `day` (days since 1970-01-01) are equally long arrays with a row per buy, priced or
    not, in any order and with repetitions. The result is as long as `a`; no buy gives zeros.
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

    `presence`, `holdings` and `known` (`holdings_known`) are those of a `PortfolioMatrix`; `a`, `b` and `shared` those
    of the pairs. False where the holdings of either are unknown.
    """
    marks = known[a] & known[b] & (shared >= ZERO_SHARED)
    candidates = np.flatnonzero(marks)
    for at in range(0, len(candidates), CHUNK_PAIRS):
        some = candidates[at : at + CHUNK_PAIRS]
        both = presence[a[some]].multiply(presence[b[some]])
        held = both.multiply(holdings[a[some]] + holdings[b[some]])
        marks[some] = np.asarray(held.sum(axis=1)).ravel() == 0
    return marks


def _bought(wallet: Integers, mint: Integers, day: Integers, count: int) -> tuple[csr_matrix, Integers]:
    """Return the matrix wallets × (day, mint) of buys, and the day of each column, columns in order of days.

    Columns with a single buyer are in no pair and are dropped, which saves most of the memory.
    """
    span = int(mint.max()) + 1 if len(mint) else 1
    keys, column = np.unique(day * span + mint, return_inverse=True)
    cells = np.unique(column * count + wallet)
    column, row = cells // count, cells % count
    common = np.bincount(column, minlength=len(keys)) > 1
    row, column = row[common[column]], column[common[column]]
    new_column = np.cumsum(common) - 1
    shape = (count, int(np.count_nonzero(common)))
    matrix = csr_matrix((np.ones(len(row), dtype=np.int8), (row, new_column[column])), shape=shape)
    matrix.sort_indices()
    return matrix, (keys // span)[common]


def _days_of_both(bought: csr_matrix, day_of: Integers, a: Integers, b: Integers) -> Integers:
    """Count the distinct days of the columns that both rows have; columns are in order of days."""
    both = bought[a].multiply(bought[b]).tocsr()
    both.sort_indices()
    days = day_of[both.indices]
    is_new = np.ones(len(days), dtype=np.bool_)
    is_new[1:] = days[1:] != days[:-1]
    starts = both.indptr[:-1]
    is_new[starts[starts < len(days)]] = True
    totals = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(is_new)])
    counts: Integers = totals[both.indptr[1:]] - totals[starts]
    return counts


def _describe_very_high(pair: Pair) -> str:
    return f"{_shares(pair)}, and put their capital into them in similar proportions ({_scores(pair)})."


def _describe_mirror(pair: Pair) -> str:
    return f"{_shares(pair)} ({_scores(pair)})."


def _describe_leader(pair: Pair) -> str:
    leader, follower = (pair["name_b"], pair["name_a"]) if pair["leader"] == 2 else (pair["name_a"], pair["name_b"])
    firsts = round(pair["lead_share"] * pair["matched"])
    return (
        f"{leader} was first in {firsts} of {pair['matched']} matched trades ({_percent(pair['lead_share'])}), and "
        f"{follower} typically followed {_span(abs(pair['median_lag_s']))} later; {_by_chance(pair)}."
    )


def _describe_synchronised(pair: Pair) -> str:
    return (
        f"{pair['name_a']} and {pair['name_b']} made {pair['matched']} matched trades on {pair['matched_mints']} tokens"
        f", each within {_span(pair['timing_window_s'])} of the other's; {_by_chance(pair)}."
    )


def _describe_aligned(pair: Pair) -> str:
    return (
        f"{pair['name_a']} and {pair['name_b']} both bought the same token on {pair['aligned_days']} days (UTC), and "
        f"share {_count(pair['shared'], 'token')} ({_scores(pair)})."
    )


def _describe_divergence(pair: Pair) -> str:
    return f"{_shares(pair)}, but put their capital into them in different proportions ({_scores(pair)})."


def _describe_asymmetry(pair: Pair) -> str:
    a, b = (pair["name_a"], pair["coverage_a"]), (pair["name_b"], pair["coverage_b"])
    (most, high), (least, low) = (a, b) if a[1] >= b[1] else (b, a)
    return (
        f"The {_count(pair['shared'], 'shared token')} took {_percent(high)} of {most}'s capital, but "
        f"{_percent(low)} of {least}'s (overall {_score(pair['overall'])})."
    )


def _describe_zero(pair: Pair) -> str:
    return (
        f"{pair['name_a']} and {pair['name_b']} share {_count(pair['shared'], 'token')} (behavioural "
        f"{_score(pair['behavioural'])}), and neither held any of them when analysed."
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
        return "There is not enough data to compare their capital."
    if round(min(coverage_a, coverage_b), RANK_DIGITS) == 1:
        return None
    return (
        f"{_percent(1 - coverage_a)} of {pair['name_a']}'s capital and {_percent(1 - coverage_b)} of "
        f"{pair['name_b']}'s went into tokens that they do not share."
    )


def _chance(pair: Pair) -> str | None:
    expected, q_value = _known(pair, "expected"), _known(pair, "q_value")
    if expected is None:
        return "There is not enough data to say how many tokens they would share by chance."
    text = f"Two wallets with this many tokens would share {_mean(expected)} by chance; these share {pair['shared']:,}"
    if q_value is None:
        return f"{text}; whether chance explains this is unknown."
    if q_value < CHANCE_Q_BELOW:
        return None
    return f"{text}, which chance may explain (q {_probability(q_value)})."


def _timing(pair: Pair) -> Iterator[str]:
    matched, p_value, share = (_known(pair, name) for name in ("matched", "timing_p_value", "lead_share"))
    if matched is None:
        return
    if matched == 0:
        yield f"Neither bought or sold a shared token within {_span(pair['timing_window_s'])} of the other doing so."
        return
    if p_value is None:
        trades = _count(int(matched), "matched trade")
        yield f"There is not enough data to say whether chance explains the {trades}."
    elif p_value >= TIMING_P_BELOW:
        yield f"Chance may explain the {_count(int(matched), 'matched trade')} (p {_probability(p_value)})."
    if share is None or round(share, RANK_DIGITS) < LEAD_SHARE:
        yield f"Neither was first in at least {_percent(LEAD_SHARE)} of the matched trades."


def _shares(pair: Pair) -> str:
    names = f"{pair['name_a']} and {pair['name_b']}"
    if pair["shared"] == pair["mints_a"] == pair["mints_b"]:
        return f"{names} traded the same {_count(pair['shared'], 'token')}"
    shared = _count(pair["shared"], "token")
    return f"{names} share {shared} of the {pair['mints_a']:,} and {pair['mints_b']:,} they traded"


def _scores(pair: Pair) -> str:
    return f"behavioural {_score(pair['behavioural'])}, capital {_score(pair['capital'])}"


def _by_chance(pair: Pair) -> str:
    return f"chance would almost never produce this many (p {_probability(pair['timing_p_value'])})"


def _known(pair: Pair, name: str) -> float | None:
    value = pair.get(name)
    return None if value is None or math.isnan(value) else float(value)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _percent(share: float) -> str:
    """Write a share as a percentage; only 1 is 100 %, and only 0 is 0 %."""
    value = round(100 * share, RANK_DIGITS - 2)
    if 0 < value < 0.1:
        return f"less than 0.1{NBSP}%"
    digits = 1 if 0 < value < 10 else 0
    return f"{min(value, 99) if value < 100 else value:.{digits}f}{NBSP}%"


def _score(measure: float) -> str:
    """Write a measure to two decimals; only 1 is 1.00."""
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
    InsightRule("Very high similarity", "link", _describe_very_high, (_MIRRORED, ("capital", ge, CAPITAL_HIGH))),
    InsightRule("Behavioural mirror", "users-round", _describe_mirror, (_MIRRORED, _CAPITAL)),
    InsightRule("Leader and follower", "footprints", _describe_leader, (("matched", ge, LEAD_MATCHED), *_LED)),
    InsightRule(
        "Synchronised trading", "timer", _describe_synchronised, (("matched", ge, SYNCHRONISED_MATCHED), *_SYNCHRONISED)
    ),
    InsightRule("Sustained alignment", "handshake", _describe_aligned, (_BEHAVIOURAL, _CAPITAL, _ALIGNED)),
    InsightRule(
        "Capital divergence",
        "square-arrow-out-up-right",
        _describe_divergence,
        (_MIRRORED, ("capital", lt, CAPITAL_LOW)),
    ),
    InsightRule("Significant asymmetry", "scale", _describe_asymmetry, (*_UNEVEN, ("overall", ge, ASYMMETRY_OVERALL))),
    InsightRule("Shared zero holdings", "ban", _describe_zero, (_BEHAVIOURAL, *_GONE)),
)
"""Every insight, in the order in which pairs show them."""
