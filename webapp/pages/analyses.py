"""Analyses: checking a list; starting, showing and cancelling an analysis."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from flask import Blueprint, Response, request, url_for

from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.pipeline import start, workflow
from tasks.settings import current
from tasks.storage import wallet_lists
from tasks.storage.analyses import LIVE, NewAnalysis, NewWallet, incomplete_wallets, intake_rows
from tasks.storage.models.analyses import Analysis
from webapp import urls
from webapp.errors import Problem, wants_json
from webapp.forms import rerun
from webapp.forms.analysis import Draft, read_draft
from webapp.forms.parameters import TIMING_WINDOWS, WINDOWS
from webapp.intake.rows import Row
from webapp.markup import words
from webapp.pages import analysis_of, json_response, maps, render_page, see_other
from webapp.presenters import analyses, enrichment, home, pair_list, progress, results, tokens, wallet_table
from webapp.presenters.wallets import wallet_rows, wallet_views
from webapp.security import access

bp = Blueprint("analyses", __name__)

LEAST_WALLETS = 2
PAIRS_SHOWN = 20
CLUSTERS_SHOWN = 12
WALLETS_SHOWN = 200
LEFT_OUT_SHOWN = 200
MORE_SUMS = ("trades", "mints", "spent_sol", "pairs_beyond_chance", "largest_lift", "matched", "same_slot")
CUT_NAMED = 3
NAMES_WALLETS = re.compile("could not be read|read only in part|had more history")  # the same bar names these wallets
TOO_FEW = "An analysis needs at least two wallets; {} of this list can be used."


@bp.post("/analyses/preview")
def preview() -> Response:
    """Check a list without starting anything."""
    draft = read_draft(current().max_wallets)
    if not wants_json():
        return render_page("home", "preview", **home.context(draft))
    found = draft.intake
    judged: analyses.Preview = {
        "accepted": len(found.accepted),
        "duplicates": [analyses.intake_row(row) for row in found.duplicates],
        "rejected": [analyses.intake_row(row) for row in found.rejected],
        "estimated_s": home.estimate_s(found),
    }
    return json_response(judged)


@bp.post("/analyses")
def create() -> Response:
    """Start an analysis; with too few wallets or a bad parameter, show the form as it was."""
    draft = read_draft(current().max_wallets)
    if len(draft.intake.accepted) < LEAST_WALLETS:
        message = TOO_FEW.format(len(draft.intake.accepted) or "none")
        draft.problems.insert(0, {"message": message, "field": "addresses", "line": None})
        return _refused(draft, "too_few_wallets")
    if draft.problems:
        return _refused(draft, "invalid_input")
    created = start.create(_new_analysis(draft), sync_ttl_s=current().sync_ttl_s)
    if wants_json():
        return accepted(created)
    return see_other(url_for("analyses.show", key=created.analysis.key))


def _refused(draft: Draft, code: str) -> Response:
    if not wants_json():
        return render_page("home", "content", status=422, **home.context(draft))
    rows = [*draft.intake.rejected, *draft.intake.duplicates] if code == "too_few_wallets" else draft.problems
    details = [analyses.intake_row(row) if isinstance(row, Row) else row for row in rows]
    raise Problem(422, code, draft.problems[0]["message"], details)


def _new_analysis(draft: Draft) -> NewAnalysis:
    found = draft.intake
    # A program that sends JSON without a cookie is no browser that could return to its list.
    owner = access.browser_id() if request.mimetype == "application/json" else access.ensure_browser_id()
    return NewAnalysis(
        key=start.new_key(),
        wallets=[NewWallet(str(row.address), row.line, row.label) for row in found.accepted],
        parameters=draft.parameters,
        label=draft.label,
        history_limit=current().history_limit,
        version=start.VERSION,
        owner=owner,
        idempotency_key=access.idempotency_key(draft.sent_key, draft.content),
        rejected=[{**analyses.intake_row(row)} for row in found.rejected],
        duplicates=[{**analyses.intake_row(row)} for row in found.duplicates],
    )


def accepted(created: start.Created) -> Response:
    """Answer a program that started an analysis."""
    rejected, duplicates = intake_rows(created.analysis.id)
    key = created.analysis.key
    found: analyses.Accepted = {
        "id": key,
        "url": url_for("analyses.show", key=key),
        "jobs": created.job_ids,
        "accepted": created.analysis.wallets,
        "duplicates": cast(list[analyses.IntakeRow], duplicates),
        "rejected": cast(list[analyses.IntakeRow], rejected),
    }
    return json_response(found, 202)


@bp.get("/analyses/<key:key>.json")
def show_json(key: str) -> Response:
    """Give an analysis as JSON."""
    analysis = analysis_of(key)
    result = analyses.result_or_none(analysis)
    clusters = results.clusters(analysis, result) if result else []
    insights = results.insights(analysis, result) if result else []
    return json_response(analyses.analysis(analysis, result, wallet_rows(analysis), clusters, insights))


@bp.get("/analyses/<key:key>")
def show(key: str) -> Response:
    """Show an analysis: its progress while it runs, and what there is of its result."""
    return show_page(analysis_of(key))


def show_page(analysis: Analysis, change: rerun.Change | None = None, status: int = 200) -> Response:
    """Return the page of an analysis, with the form to run it again as it was sent when that could not be done."""
    key = analysis.key
    result = analyses.result_or_none(analysis)
    shown = wallet_lists.first_wallets(analysis.id, WALLETS_SHOWN)
    wallets = list(wallet_views(analysis, shown).values())
    return render_page(
        "analysis",
        "content",
        status=status,
        analysis=analyses.analysis_view(analysis),
        wallet_total=analysis.wallets,
        parent=_parent(analysis),
        wallets=wallet_table.first(analysis),
        cut=_cut(analysis),
        incomplete=[one for one in wallets if one["state"] in ("failed", "partial")],
        retry_all_url=url_for("analyses.retry_all", key=key),
        left_out=_left_out(analysis),
        progress=progress.progress_view(analysis, result) if analysis.state in LIVE else None,
        enrichment=enrichment.enrichment_view(analysis),
        exports=_exports(key) if result else [],
        rerun=_rerun_context(analysis, change),
        **(_result_context(analysis, result) if result else NO_RESULT),
    )


def _cut(analysis: Analysis) -> Mapping[str, Any]:
    """Return the first wallets whose history the limit cut, and how many there are."""
    positions, total = wallet_lists.truncated_wallets(analysis.id, CUT_NAMED)
    views = wallet_views(analysis, positions) if positions else {}
    return {"wallets": [views[position] for position in positions], "total": total}


def _parent(analysis: Analysis) -> Mapping[str, Any] | None:
    """Return the analysis that this one was run again from, None where there is none (any more)."""
    found = Analysis.get_or_none(Analysis.id == analysis.parent_id) if analysis.parent_id else None
    return found and {"url": urls.analysis_url(found), "created_at": found.created_at, "tau": found.tau}


def _rerun_context(analysis: Analysis, change: rerun.Change | None) -> Mapping[str, Any] | None:
    """Return the form to run an analysis again, None while it runs."""
    if analysis.state in LIVE:
        return None
    return {
        "form": change.form if change else rerun.form_of(start.parameters_of(analysis)),
        "problems": change.problems if change else [],
        "url": url_for("analyses.rerun", key=analysis.key),
        "taus": rerun.TAUS,
        "windows": WINDOWS,
        "timing_windows": TIMING_WINDOWS,
        "default_excluded": [{"mint": mint, "symbol": symbol} for mint, symbol in DEFAULT_EXCLUDED.items()],
    }


def _left_out(analysis: Analysis) -> Mapping[str, Any]:
    """Return the lines of the input that were not taken: the first of them, and how many there are."""
    rejected, duplicates = intake_rows(analysis.id)
    rows = [{**row, "verdict": "rejected"} for row in rejected[:LEFT_OUT_SHOWN]]
    rows += [{**row, "verdict": "duplicate"} for row in duplicates[: LEFT_OUT_SHOWN - len(rows)]]
    return {"rows": rows, "total": len(rejected) + len(duplicates), "rejected": len(rejected)}


NO_RESULT: Mapping[str, Any] = {
    **dict.fromkeys(("top_tokens", "insights", "clusters", "missing"), []),
    **dict.fromkeys(("result", "summary", "pair_list", "rates", "places", "heat")),
    "cluster_sums": (0, 0),
}


def _result_context(analysis: Analysis, result: Mapping[str, Any]) -> Mapping[str, Any]:
    sums = analyses.summary(result)
    extra = {key: result["summary"].get(key) for key in MORE_SUMS}
    return {
        "result": analyses.result_view(result),
        "summary": {**sums, **extra},
        "pair_list": pair_list.card(analysis, result, limit=PAIRS_SHOWN),
        "top_tokens": tokens.with_token_views(sums["top_tokens"]),
        "rates": result["rates"],
        "insights": results.insight_views(analysis, result),
        "clusters": results.cluster_views(analysis, result, CLUSTERS_SHOWN),
        "cluster_sums": results.cluster_sums(analysis),
        "missing": [text for text in result["missing"] if not NAMES_WALLETS.search(text)],
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


@bp.post("/analyses/<key:key>/retry")
def retry_all(key: str) -> Response:
    """Retry every failed or partial wallet, except those whose address the service rejects."""
    analysis = analysis_of(key)
    incomplete = incomplete_wallets(analysis.id)
    again = {address: wallet for address, wallet, reason in incomplete if not words.is_refused(reason)}
    ttl_s = current().sync_ttl_s
    found = start.retry_wallets(analysis, again, key=start.new_key(), sync_ttl_s=ttl_s)
    url = url_for("analyses.show", key=found.key)
    started: analyses.Started = {"id": found.key, "url": url}
    return json_response(started, 202) if wants_json() else see_other(url)


@bp.post("/analyses/<key:key>/cancel")
def cancel(key: str) -> Response:
    """Stop an analysis; wallets read so far stay stored."""
    analysis = analysis_of(key)
    workflow.cancel(analysis)
    if wants_json():
        return show_json(key)
    return see_other(url_for("analyses.show", key=key))
