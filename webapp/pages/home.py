"""The front page: the form that brings wallets, and this browser's recent analyses."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from flask import Blueprint, Response, request

from tasks.analysis.addresses import DEFAULT_EXCLUDED
from tasks.records import analyses, wallets
from tasks.settings import Settings
from tasks.sources.limits import sustained_per_s
from webapp import forms, intake, security
from webapp.pages import page
from webapp.shapes import settings

pages = Blueprint("home", __name__)

REQUESTS_BESIDE_TRANSACTIONS = 4  # signatures, both token programs, balance
ACCEPTED_SHOWN = 8
OTHERS_SHOWN = 2_000


@pages.get("/")
def index() -> Response:
    """Show the empty form."""
    return page("home", "content", **context())


def context(draft: forms.Draft | None = None) -> dict[str, Any]:
    """Return what the front page shows: the form as it was sent, or an empty one."""
    return {
        "form": draft.form if draft else forms.blank_form(),
        "windows": forms.WINDOWS,
        "timing_windows": forms.TIMING_WINDOWS,
        "default_excluded": [{"mint": mint, "symbol": symbol} for mint, symbol in DEFAULT_EXCLUDED.items()],
        "samples": _samples(settings()) if settings().is_demo else [],
        "recent": recent_views(security.ensure_browser_id()),
        "intake": intake_view(draft.intake) if draft else None,
        "estimated_s": estimate_s(draft.intake) if draft else None,
        "rate_text": rate_text(),
        "errors": draft.problems if draft else [],
        "max_wallets": settings().max_wallets,
    }


def recent_views(owner: str) -> list[dict[str, Any]]:
    """Return a browser's newest analyses with their `title`, and whether it is that of another one (`namesake`)."""
    rows = [row | {"title": row["label"] or f"{row['wallets']:,} wallets"} for row in analyses.recent(owner)]
    titles = Counter(row["title"] for row in rows)
    return [row | {"namesake": titles[row["title"]] > 1} for row in rows]


def intake_view(found: intake.Intake) -> dict[str, Any]:
    """Return the rows of a list: ACCEPTED_SHOWN good ones (or all, when asked for), OTHERS_SHOWN of the others."""
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


def _first(found: intake.Intake, accepted: int) -> list[intake.Row]:
    left = {"accepted": accepted, "duplicate": OTHERS_SHOWN, "rejected": OTHERS_SHOWN}
    rows = []
    for row in found.rows:
        left[row.verdict] -= 1
        if left[row.verdict] >= 0:
            rows.append(row)
    return rows


def estimate_s(found: intake.Intake) -> float:
    """Return the longest that reading the accepted wallets can take: full histories, at the rate limit."""
    chosen = settings()
    known = wallets.known_wallets(row.address for row in found.accepted if row.address)
    stale = len(found.accepted) - len(wallets.fresh_wallets(known.values(), chosen.sync_ttl_s))
    requests = stale * (chosen.history_limit + REQUESTS_BESIDE_TRANSACTIONS)
    return requests / sustained_per_s(chosen.rpc_requests_per_s)


def rate_text() -> str:
    """Say what the estimate rests on."""
    rate, limit = settings().rpc_requests_per_s, settings().history_limit
    return f"at most, at {rate:g} transactions a second and up to {limit:,} a wallet"


@cache
def _samples(chosen: Settings) -> list[dict[str, Any]]:
    """Return the demo's lists, made once."""
    from tasks.simulator.samples import sample_lists
    from tasks.simulator.scenario import Scenario

    lists = sample_lists(Scenario(seed=chosen.simulator_seed or 0))
    return [
        {
            "name": one.name,
            "description": one.description,
            "text": one.text,
            "wallets": len(intake.read(one.text).accepted),
        }
        for one in lists
    ]
