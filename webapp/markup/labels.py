"""The marks and names on a page: icons, insights, jobs, monograms, clusters; and the macros. It writes no figures."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from webapp.markup.words import plain_text

MONOGRAM_COLOURS = 6
CLUSTER_COLOURS = 6


@dataclass(frozen=True)
class Insight:
    """How an insight is named: in full, on a filter chip, and by which Lucide icon."""

    slug: str
    name: str
    short: str
    icon: str


INSIGHTS = {
    insight.slug: insight
    for insight in (
        Insight("very_high_similarity", "Very high similarity", "Very high", "link"),
        Insight("behavioural_mirror", "Behavioural mirror", "Mirror", "users-round"),
        Insight("leader_and_follower", "Leader and follower", "Leader", "footprints"),
        Insight("synchronised_trading", "Synchronised trading", "Synchronised", "timer"),
        Insight("sustained_alignment", "Sustained alignment", "Aligned", "handshake"),
        Insight("capital_divergence", "Capital divergence", "Divergence", "square-arrow-out-up-right"),
        Insight("significant_asymmetry", "Significant asymmetry", "Asymmetry", "scale"),
        Insight("shared_zero_holdings", "Shared zero holdings", "Zero holdings", "ban"),
    )
}

# A row names the strongest of these alone: whoever reads the first already knows the others.
IMPLIED_BY = {
    "very_high_similarity": {"behavioural_mirror", "sustained_alignment"},
    "behavioural_mirror": {"sustained_alignment"},
}


JOB_KINDS = {
    "sync": "Read a wallet",
    "provisional": "Compare pairs so far",
    "similarity": "Compare pairs",
    "enrich": "Name and price tokens",
    "refresh": "Refresh prices",
    "maintain": "Keep prices fresh",
}
JOB_ICONS = {
    "sync": "wallet-cards",
    "provisional": "arrow-left-right",
    "similarity": "arrow-left-right",
    "enrich": "coins",
    "refresh": "refresh-cw",
    "maintain": "clock",
}


def monogram(symbol: str | None, mint: str) -> str:
    """Give the two letters that stand in for a missing logo: of the symbol, or of the mint."""
    letters = [char for char in plain_text(symbol) if char.isalnum()]
    return "".join(letters or mint)[:2].upper()


def monogram_colour(mint: str) -> int:
    """Choose one of the monogram colours 1 to 6 by a hash of the mint, the same in every process."""
    return zlib.crc32(mint.encode()) % MONOGRAM_COLOURS + 1


def cluster_colour(number: int | None) -> int:
    """Choose a cluster's colour 1 to 6 (they repeat), 0 for no cluster."""
    return 0 if number is None else (number - 1) % CLUSTER_COLOURS + 1


def cluster_shape(number: int | None) -> str:
    """Choose a cluster's shape (circle, square, triangle, diamond, then again), "none" for no cluster."""
    return "none" if number is None else ("circle", "square", "triangle", "diamond")[(number - 1) % 4]


def insight(slug: str) -> Insight:
    """Look an insight's words and icon up; KeyError for a slug that does not exist."""
    return INSIGHTS[slug]


def visible_insights(slugs: Iterable[str]) -> list[str]:
    """Leave out the insights that another of the same pair implies, in the order given."""
    slugs = list(slugs)
    hidden = set().union(*(IMPLIED_BY.get(slug, set()) for slug in slugs))
    return [slug for slug in slugs if slug not in hidden]


def job_kind(kind: str) -> str:
    """Say what a job of a kind does; a kind without words keeps its name."""
    return JOB_KINDS.get(kind, kind)


def job_icon(kind: str) -> str:
    """Choose the icon of a kind of job; a kind without one has the one of all work."""
    return JOB_ICONS.get(kind, "loader")
