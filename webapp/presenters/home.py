"""The front page: the form, what a list contains, recent analyses, estimated time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any, TypedDict

from flask import request

from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.settings import Settings, current
from tasks.sources.rate_limit.limiter import sustained_per_s
from tasks.storage import analyses, wallets
from webapp.forms import analysis, parameters
from webapp.intake.rows import Intake, Row, read
from webapp.security import access

REQUESTS_BESIDE_TRANSACTIONS = 4  # signatures, both token programs, balance
ACCEPTED_SHOWN = 8
OTHERS_SHOWN = 2_000


def context(draft: analysis.Draft | None = None) -> Mapping[str, Any]:
    """Return what the front page shows: the form as it was sent, or an empty one."""
    return {
        "form": draft.form if draft else analysis.blank_form(),
        "windows": parameters.WINDOWS,
        "timing_windows": parameters.TIMING_WINDOWS,
        "default_excluded": [{"mint": mint, "symbol": symbol} for mint, symbol in DEFAULT_EXCLUDED.items()],
        "samples": _samples(current()) if current().is_demo else [],
        "recent": recent_views(access.ensure_browser_id()),
        "intake": intake_view(draft.intake) if draft else None,
        "estimated_s": estimate_s(draft.intake) if draft else None,
        "rate_text": rate_text(),
        "errors": draft.problems if draft else [],
        "max_wallets": current().max_wallets,
    }


class IntakeView(TypedDict):
    """A judged list: the `rows` shown, counts, and how many accepted (`folded`) and other rows are not shown."""

    rows: list[Row]
    accepted: int
    duplicates: int
    rejected: int
    total: int
    folded: int
    unshown: int


def recent_views(owner: str) -> list[Mapping[str, Any]]:
    """Return a browser's newest analyses with their `title`, and whether it is that of another one (`namesake`)."""
    rows = [row | {"title": row["label"] or f"{row['wallets']:,} wallets"} for row in analyses.recent(owner)]
    titles = Counter(row["title"] for row in rows)
    return [row | {"namesake": titles[row["title"]] > 1} for row in rows]


def intake_view(found: Intake) -> IntakeView:
    """Return the rows of a list: ACCEPTED_SHOWN accepted ones (all on request) and OTHERS_SHOWN of the rest."""
    unfolded = "all" in request.form
    rows = _first(found, len(found.accepted) if unfolded else ACCEPTED_SHOWN)
    shown = sum(row.verdict == "accepted" for row in rows)
    return {
        "rows": rows,
        "accepted": len(found.accepted),
        "duplicates": len(found.duplicates),
        "rejected": len(found.rejected),
        "total": len(found.rows),
        "folded": len(found.accepted) - shown,
        "unshown": len(found.rows) - len(found.accepted) - (len(rows) - shown),
    }


def _first(found: Intake, accepted: int) -> list[Row]:
    left = {"accepted": accepted, "duplicate": OTHERS_SHOWN, "rejected": OTHERS_SHOWN}
    rows = []
    for row in found.rows:
        left[row.verdict] -= 1
        if left[row.verdict] >= 0:
            rows.append(row)
    return rows


def estimate_s(found: Intake) -> float:
    """Return the longest that reading the accepted wallets can take: full histories, at the rate limit."""
    chosen = current()
    known = wallets.known_wallets(row.address for row in found.accepted if row.address)
    stale = len(found.accepted) - len(wallets.fresh_wallets(known.values(), chosen.sync_ttl_s))
    requests = stale * (chosen.history_limit + REQUESTS_BESIDE_TRANSACTIONS)
    return requests / sustained_per_s(chosen.rpc_requests_per_s)


def rate_text() -> str:
    """Say what limits the estimate."""
    return f"at most {current().history_limit:,} transactions per wallet"


@cache
def _samples(chosen: Settings) -> list[Mapping[str, Any]]:
    """Return the demo's lists, made once."""
    from tasks.simulator.world.sample_lists import sample_lists
    from tasks.simulator.world.scenario import Scenario

    lists = sample_lists(Scenario(seed=chosen.simulator_seed or 0))
    return [
        {
            "name": one.name,
            "description": one.description,
            "text": one.text,
            "wallets": len(read(one.text).accepted),
        }
        for one in lists
    ]
