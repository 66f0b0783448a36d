"""The jobs that compute the result of an analysis: has it computed from what was synced, and swaps it in.

Two kinds of job: `provisional` while wallets are still coming, `similarity` when all are read or have failed. It
fetches no wallet; the one thing it may ask outside is the price of SOL, when no wallet of the analysis observed it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.enrichment import triggers
from tasks.errors import WalletkinError
from tasks.jobs import announce, claims, executor
from tasks.measures import allocation
from tasks.measures.allocation import Rates
from tasks.pipeline import analysis_input, analysis_process, build_result, load, start, workflow
from tasks.settings import current
from tasks.sources.market import sources
from tasks.storage import analyses, database, results, retention, wallets
from tasks.storage.models.analyses import Analysis
from tasks.storage.wallets import Bounds

IN_THREAD, IN_THREAD_TRADES = 300, 30_000
"""More wallets or trades than this are computed in a process of their own, which costs a second to start."""


def give_up(claim: claims.Claim, reason: str) -> None:
    """A final result that cannot be computed fails the analysis; a provisional one is only missing."""
    if claim.kind == "similarity":
        workflow.fail(claim, reason)
        return
    with database.write():
        claims.finish(claim, "failed", error=reason)


@executor.handles("provisional", give_up)
@executor.handles("similarity", give_up)
def analyse(claim: claims.Claim) -> None:
    """Compute and store a result for the analysis that the job names; return early when it has ended."""
    analysis = analyses.by_key(claim.target)
    if analysis.state not in analyses.LIVE:
        with database.write():
            claims.finish(claim, "cancelled", detail="The analysis has ended.")
        return
    order = _order(claim, analysis)
    try:
        if len(order.read) <= IN_THREAD and load.trades_about(order.read) <= IN_THREAD_TRADES:
            build_result.compute(order)
        else:
            analysis_process.run(order, current())
        job_ids = workflow.result_ready(claim, analysis.id, order.result_id, order.read)
    except BaseException:
        # Unless the swap went through and only its answer was lost, nobody will ever see these rows.
        if Analysis.get_by_id(analysis.id).result_id != order.result_id:
            retention.drop_result(order.result_id)
        raise
    announce.announce(job_ids)
    if claim.kind == "similarity":
        triggers.after_analysis(analysis)


def _order(claim: claims.Claim, analysis: Analysis) -> analysis_input.AnalysisInput:
    """Say what is to be computed, with a result to put it into that no reader sees yet."""
    read = list(analyses.read_wallets(analysis.id))
    if not read:
        raise WalletkinError(f"None of the {analysis.wallets} wallets could be read; see the reason beside each.")
    rates = _rates([load.bounds_of(one) for one in read])
    with database.write():
        claims.renew_or_raise(claim)
        result_id = results.new_result(analysis.id, claim.kind == "provisional", len(read), start.VERSION)
    return analysis_input.AnalysisInput(claim, analysis.id, result_id, read, rates)


def _rates(all_bounds: Sequence[Bounds]) -> Rates:
    """Return the SOL price by day from the wallets' own swaps, or from the market when none of them shows it."""
    observed = list(wallets.observations(all_bounds))
    days = wallets.days_quoted_in_usd(bounds.wallet_id for bounds in all_bounds)
    asked = None
    if days and not observed:
        asked = sources.sol_price_usd(
            current().source_order,
            current().dexscreener_url,
            current().jupiter_url,
            current().jupiter_api_key,
            current().redis_url,
        )
    return allocation.sol_usd_days(observed, days, asked)
