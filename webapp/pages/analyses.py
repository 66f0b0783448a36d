"""Analyses: judging a list, starting an analysis, showing and cancelling it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for

from tasks import lifecycle
from tasks.records import analyses, results
from tasks.records.analyses import NewAnalysis, NewWallet
from tasks.records.models import Analysis
from webapp import forms, intake, security, shapes
from webapp.errors import Problem, wants_json
from webapp.pages import analysis_of, data, enrichment, home, page, progress, see_other
from webapp.shapes import settings

pages = Blueprint("analyses", __name__)

LEAST_WALLETS = 2
PAIRS_SHOWN = 20
LEFT_OUT_SHOWN = 200
TOO_FEW = "An analysis needs at least two wallets; {} of this list can be used."


@pages.post("/analyses/preview")
def preview() -> Response:
    """Judge a list without starting anything."""
    draft = forms.read_draft(settings().max_wallets)
    if not wants_json():
        return page("home", "preview", **home.context(draft))
    return data(_counts(draft.intake) | {"estimated_s": home.estimate_s(draft.intake)})


def _counts(found: intake.Intake) -> dict[str, Any]:
    return {
        "accepted": len(found.accepted),
        "duplicates": [shapes.intake_row(row) for row in found.duplicates],
        "rejected": [shapes.intake_row(row) for row in found.rejected],
    }


@pages.post("/analyses")
def create() -> Response:
    """Start an analysis; with too few wallets or a bad parameter, show the form as it was."""
    draft = forms.read_draft(settings().max_wallets)
    if len(draft.intake.accepted) < LEAST_WALLETS:
        message = TOO_FEW.format(len(draft.intake.accepted) or "none")
        draft.problems.insert(0, {"message": message, "field": "addresses", "line": None})
        return _refused(draft, "too_few_wallets")
    if draft.problems:
        return _refused(draft, "invalid_input")
    created = lifecycle.create(_new_analysis(draft), sync_ttl_s=settings().sync_ttl_s)
    if wants_json():
        return _accepted(created)
    return see_other(url_for("analyses.show", key=created.analysis.key))


def _refused(draft: forms.Draft, code: str) -> Response:
    if not wants_json():
        return page("home", "content", status=422, **home.context(draft))
    rows = [*draft.intake.rejected, *draft.intake.duplicates] if code == "too_few_wallets" else draft.problems
    details = [shapes.intake_row(row) if isinstance(row, intake.Row) else row for row in rows]
    raise Problem(422, code, draft.problems[0]["message"], details)


def _new_analysis(draft: forms.Draft) -> NewAnalysis:
    found = draft.intake
    # A program that sends JSON without a cookie is no browser that could come back for its list.
    owner = security.browser_id() if request.mimetype == "application/json" else security.ensure_browser_id()
    return NewAnalysis(
        key=lifecycle.new_key(),
        wallets=[NewWallet(str(row.address), row.line, row.label) for row in found.accepted],
        parameters=draft.parameters,
        label=draft.label,
        history_limit=settings().history_limit,
        version=lifecycle.VERSION,
        owner=owner,
        idempotency_key=security.idempotency_key(draft.sent_key, draft.content),
        rejected=[shapes.intake_row(row) for row in found.rejected],
        duplicates=[shapes.intake_row(row) for row in found.duplicates],
    )


def _accepted(created: lifecycle.Created) -> Response:
    rejected, duplicates = analyses.intake_rows(created.analysis.id)
    key, count = created.analysis.key, created.analysis.wallets
    shape = {"id": key, "url": url_for("analyses.show", key=key), "jobs": created.job_ids, "accepted": count}
    return data(shape | {"duplicates": duplicates, "rejected": rejected}, 202)


@pages.get("/analyses/<key:key>.json")
def show_json(key: str) -> Response:
    """Give an analysis as JSON."""
    analysis = analysis_of(key)
    return data(shapes.analysis(analysis, shapes.shown_result(analysis), analyses.wallets(analysis.id)))


@pages.get("/analyses/<key:key>")
def show(key: str) -> Response:
    """Show an analysis: its progress while it runs, and what there is of its result."""
    analysis = analysis_of(key)
    result = shapes.shown_result(analysis)
    wallets = list(shapes.wallet_views(analysis).values())
    return page(
        "analysis",
        "content",
        analysis=shapes.analysis_view(analysis, wallets),
        wallets=wallets,
        incomplete=[one for one in wallets if one["state"] in ("failed", "partial")],
        left_out=_left_out(analysis),
        progress=progress.progress_view(analysis),
        enrichment=enrichment.enrichment_view(analysis),
        sort="overall",
        exports=_exports(key) if result else [],
        **(_result_context(analysis, result) if result else NO_RESULT),
    )


def _left_out(analysis: Analysis) -> dict[str, Any]:
    """Return the lines of the input that were not taken: the first of them, and how many there are."""
    rejected, duplicates = analyses.intake_rows(analysis.id)
    rows = [{**row, "verdict": "rejected"} for row in rejected[:LEFT_OUT_SHOWN]]
    rows += [{**row, "verdict": "duplicate"} for row in duplicates[: LEFT_OUT_SHOWN - len(rows)]]
    return {"rows": rows, "total": len(rejected) + len(duplicates), "rejected": len(rejected)}


NO_RESULT: dict[str, Any] = {"pairs": [], "top_tokens": []} | dict.fromkeys(("result", "summary", "next_url", "rates"))


def _result_context(analysis: Analysis, result: dict[str, Any]) -> dict[str, Any]:
    rows, after = results.pairs_page(result["id"], limit=PAIRS_SHOWN)
    sums = shapes.summary(result)
    extra = {key: result["summary"].get(key) for key in ("trades", "mints", "spent_sol")}
    return {
        "result": shapes.result_view(result),
        "summary": sums | extra,
        "pairs": shapes.pair_views(analysis, rows),
        "next_url": after and url_for("pairs.index", key=analysis.key, after=after),
        "top_tokens": shapes.with_token_views(sums["top_tokens"]),
        "rates": result["rates"],
    }


def _exports(key: str) -> list[tuple[str, str]]:
    return [
        ("Pairs as CSV", url_for("pairs.pairs_csv", key=key)),
        ("Pairs as JSON", url_for("pairs.index_json", key=key)),
        ("Analysis as JSON", url_for("analyses.show_json", key=key)),
    ]


@pages.post("/analyses/<key:key>/cancel")
def cancel(key: str) -> Response:
    """Stop an analysis; what was read is kept."""
    analysis = analysis_of(key)
    lifecycle.cancel(analysis)
    if wants_json():
        return show_json(key)
    return see_other(url_for("analyses.show", key=key))
