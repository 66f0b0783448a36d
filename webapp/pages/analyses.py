"""Analyses: judging a list, starting an analysis, showing and cancelling it."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, request, url_for

from tasks import lifecycle
from tasks.analysis.addresses import DEFAULT_EXCLUDED
from tasks.records import analyses, listings, selections
from tasks.records.analyses import NewAnalysis, NewWallet
from tasks.records.models import Analysis
from webapp import findings, forms, intake, reasons, rerun_form, security, shapes, wallet_table
from webapp.errors import Problem, wants_json
from webapp.pages import analysis_of, data, enrichment, home, maps, page, pair_list, progress, see_other
from webapp.shapes import settings

pages = Blueprint("analyses", __name__)

LEAST_WALLETS = 2
PAIRS_SHOWN = 20
CLUSTERS_SHOWN = 12
WALLETS_SHOWN = 200
LEFT_OUT_SHOWN = 200
MORE_SUMS = ("trades", "mints", "spent_sol", "pairs_beyond_chance", "largest_lift", "matched", "same_slot")
CUT_NAMED = 3
SAID_OF_WALLETS = re.compile("could not be read|read only in part|had more history")  # the same bar names these wallets
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
        return accepted(created)
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


def accepted(created: lifecycle.Created) -> Response:
    """Answer a program that started an analysis."""
    rejected, duplicates = analyses.intake_rows(created.analysis.id)
    key, count = created.analysis.key, created.analysis.wallets
    shape = {"id": key, "url": url_for("analyses.show", key=key), "jobs": created.job_ids, "accepted": count}
    return data(shape | {"duplicates": duplicates, "rejected": rejected}, 202)


@pages.get("/analyses/<key:key>.json")
def show_json(key: str) -> Response:
    """Give an analysis as JSON."""
    analysis = analysis_of(key)
    result = shapes.shown_result(analysis)
    found: dict[str, Any] = {"clusters": [], "insights": []}
    if result:
        found = {"clusters": findings.clusters(analysis, result), "insights": findings.insights(analysis, result)}
    return data(shapes.analysis(analysis, result, shapes.wallet_rows(analysis), found))


@pages.get("/analyses/<key:key>")
def show(key: str) -> Response:
    """Show an analysis: its progress while it runs, and what there is of its result."""
    return show_page(analysis_of(key))


def show_page(analysis: Analysis, change: rerun_form.Change | None = None, status: int = 200) -> Response:
    """Return the page of an analysis, with the form to run it again as it was sent when that could not be done."""
    key = analysis.key
    result = shapes.shown_result(analysis)
    shown = selections.first_wallets(analysis.id, WALLETS_SHOWN)
    wallets = list(shapes.wallet_views(analysis, shown).values())
    return page(
        "analysis",
        "content",
        status=status,
        analysis=shapes.analysis_view(analysis),
        wallet_total=analysis.wallets,
        parent=_parent(analysis),
        wallets=wallet_table.first(analysis),
        cut=_cut(analysis),
        incomplete=[one for one in wallets if one["state"] in ("failed", "partial")],
        retry_all_url=url_for("analyses.retry_all", key=key),
        left_out=_left_out(analysis),
        progress=progress.progress_view(analysis, result) if analysis.state in analyses.LIVE else None,
        enrichment=enrichment.enrichment_view(analysis),
        exports=_exports(key) if result else [],
        rerun=_rerun_context(analysis, change),
        **(_result_context(analysis, result) if result else NO_RESULT),
    )


def _cut(analysis: Analysis) -> dict[str, Any]:
    """Return the first wallets whose history the limit cut, and how many there are."""
    positions, total = listings.cut(analysis.id, CUT_NAMED)
    views = shapes.wallet_views(analysis, positions) if positions else {}
    return {"wallets": [views[position] for position in positions], "total": total}


def _parent(analysis: Analysis) -> dict[str, Any] | None:
    """Return the analysis that this one was run again from, None where there is none (any more)."""
    found = Analysis.get_or_none(Analysis.id == analysis.parent_id) if analysis.parent_id else None
    return found and {"url": shapes.analysis_url(found), "created_at": found.created_at}


def _rerun_context(analysis: Analysis, change: rerun_form.Change | None) -> dict[str, Any] | None:
    """Return the form to run an analysis again, None while it runs."""
    if analysis.state in analyses.LIVE:
        return None
    return {
        "form": change.form if change else rerun_form.form_of(rerun_form.current(analysis)),
        "problems": change.problems if change else [],
        "url": url_for("analyses.rerun", key=analysis.key),
        "taus": rerun_form.TAUS,
        "windows": forms.WINDOWS,
        "timing_windows": forms.TIMING_WINDOWS,
        "default_excluded": [{"mint": mint, "symbol": symbol} for mint, symbol in DEFAULT_EXCLUDED.items()],
    }


def _left_out(analysis: Analysis) -> dict[str, Any]:
    """Return the lines of the input that were not taken: the first of them, and how many there are."""
    rejected, duplicates = analyses.intake_rows(analysis.id)
    rows = [{**row, "verdict": "rejected"} for row in rejected[:LEFT_OUT_SHOWN]]
    rows += [{**row, "verdict": "duplicate"} for row in duplicates[: LEFT_OUT_SHOWN - len(rows)]]
    return {"rows": rows, "total": len(rejected) + len(duplicates), "rejected": len(rejected)}


NO_RESULT: dict[str, Any] = {
    **dict.fromkeys(("top_tokens", "insights", "clusters", "missing"), []),
    **dict.fromkeys(("result", "summary", "pair_list", "rates", "places", "heat")),
    "cluster_sums": (0, 0),
}


def _result_context(analysis: Analysis, result: dict[str, Any]) -> dict[str, Any]:
    sums = shapes.summary(result)
    extra = {key: result["summary"].get(key) for key in MORE_SUMS}
    return {
        "result": shapes.result_view(result),
        "summary": sums | extra,
        "pair_list": pair_list.card(analysis, result, limit=PAIRS_SHOWN),
        "top_tokens": shapes.with_token_views(sums["top_tokens"]),
        "rates": result["rates"],
        "insights": findings.insight_views(analysis, result),
        "clusters": findings.cluster_views(analysis, result, CLUSTERS_SHOWN),
        "cluster_sums": findings.cluster_sums(analysis),
        "missing": [text for text in result["missing"] if not SAID_OF_WALLETS.search(text)],
        "places": maps.places_view(analysis, result),
        "heat": maps.heat_view(analysis, result),
    }


def _exports(key: str) -> list[tuple[str, str]]:
    return [
        ("Pairs as CSV", url_for("pairs.pairs_csv", key=key)),
        ("Pairs as JSON", url_for("pairs.index_json", key=key)),
        ("Clusters as CSV", url_for("analyses.clusters_csv", key=key)),
        ("Graph as GraphML", url_for("analyses.graph", key=key)),
        ("Analysis as JSON", url_for("analyses.show_json", key=key)),
    ]


@pages.post("/analyses/<key:key>/retry")
def retry_all(key: str) -> Response:
    """Read every wallet again that could not be read, or not wholly, but none that the service refused for good."""
    analysis = analysis_of(key)
    troubled = analyses.troubled(analysis.id)
    again = {address: wallet for address, wallet, reason in troubled if not reasons.is_refused(reason)}
    ttl_s = settings().sync_ttl_s
    found = lifecycle.retry_wallets(analysis, again, key=lifecycle.new_key(), sync_ttl_s=ttl_s)
    url = url_for("analyses.show", key=found.key)
    return data({"id": found.key, "url": url}, 202) if wants_json() else see_other(url)


@pages.post("/analyses/<key:key>/cancel")
def cancel(key: str) -> Response:
    """Stop an analysis; what was read is kept."""
    analysis = analysis_of(key)
    lifecycle.cancel(analysis)
    if wants_json():
        return show_json(key)
    return see_other(url_for("analyses.show", key=key))
