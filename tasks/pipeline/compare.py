"""The jobs that compare the wallets of an analysis: `provisional` while wallets are being read, then `similarity`.

A job has the result built and then shows it. It asks an outside service only for the price of SOL, when the analysis
has trades in dollars and no wallet observed a rate.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.enrichment import triggers
from tasks.errors import WalletkinError
from tasks.jobs import announce, claims, executor
from tasks.measures import allocation
from tasks.measures.allocation import Rates
from tasks.pipeline import analysis_process, build_result, load, start, workflow
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.settings import current
from tasks.sources.market import sources
from tasks.storage import analyses, database, results, retention, wallets
from tasks.storage.models.analyses import Analysis
from tasks.storage.wallets import Bounds

INLINE_WALLETS, INLINE_TRADES = 300, 30_000
"""More wallets or trades than this are compared in a child process, which takes a second to start."""


def give_up(claim: claims.Claim, reason: str) -> None:
    """Fail the job, and with a final comparison its analysis; without a provisional result an analysis continues."""
    if claim.kind == "similarity":
        workflow.fail(claim, reason)
        return
    with database.write():
        claims.finish(claim, "failed", error=reason)


@executor.handles("provisional", give_up)
@executor.handles("similarity", give_up)
def compare(claim: claims.Claim) -> None:
    """Build and show a result for the analysis that the job names; cancel the job when the analysis has ended."""
    analysis = analyses.by_key(claim.target)
    if analysis.state not in analyses.LIVE:
        with database.write():
            claims.finish(claim, "cancelled", detail="The analysis has ended.")
        return
    analysis_input = _input(claim, analysis)
    try:
        if _is_small(analysis_input):
            build_result.build(analysis_input)
        else:
            analysis_process.run(analysis_input, current())
        job_ids = workflow.result_ready(claim, analysis.id, analysis_input.result_id, analysis_input.wallets)
    except BaseException:
        # The commit may have succeeded although its answer was lost; otherwise no reader will see these rows.
        if Analysis.get_by_id(analysis.id).result_id != analysis_input.result_id:
            retention.drop_result(analysis_input.result_id)
        raise
    announce.announce(job_ids)
    if claim.kind == "similarity":
        triggers.after_analysis(analysis)


def _is_small(analysis_input: AnalysisInput) -> bool:
    wallets = analysis_input.wallets
    return len(wallets) <= INLINE_WALLETS and load.estimated_trades(wallets) <= INLINE_TRADES


def _input(claim: claims.Claim, analysis: Analysis) -> AnalysisInput:
    """Return the input of a comparison, with a new result that no reader sees yet. Raises without a readable wallet."""
    readable = list(analyses.read_wallets(analysis.id))
    if not readable:  # with one readable wallet the analysis completes, without pairs
        raise WalletkinError(f"None of the {analysis.wallets} wallets could be read; see the reason beside each.")
    rates = _rates([load.bounds_of(wallet) for wallet in readable])
    with database.write():
        claims.renew_or_raise(claim)
        result_id = results.new_result(analysis.id, claim.kind == "provisional", len(readable), start.VERSION)
    return AnalysisInput(claim, analysis.id, result_id, readable, rates)


def _rates(all_bounds: Sequence[Bounds]) -> Rates:
    """Return the SOL price by day from the wallets' own swaps, or from the market when they have none."""
    observed = list(wallets.observations(all_bounds))
    days = wallets.days_quoted_in_usd(bounds.wallet_id for bounds in all_bounds)
    market_price = None
    if days and not observed:
        market_price = sources.sol_price_usd(
            current().source_order,
            current().dexscreener_url,
            current().jupiter_url,
            current().jupiter_api_key,
            current().redis_url,
        )
    return allocation.sol_usd_days(observed, days, market_price)
