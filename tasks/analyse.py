"""The jobs that compute the result of an analysis: has it computed from what was synced, and swaps it in.

Two kinds of job: `provisional` while wallets are still coming, `similarity` when all are read or have failed. It
fetches no wallet; the one thing it may ask outside is the price of SOL, when no wallet of the analysis observed it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks import child, enrich, jobs, lifecycle, reading, runner, stage
from tasks.analysis import allocation
from tasks.analysis.allocation import Rates
from tasks.errors import WalletkinError
from tasks.queues import SETTINGS
from tasks.records import analyses, database, results, wallets
from tasks.records.models import Analysis
from tasks.records.wallets import Bounds
from tasks.sources import market

IN_THREAD, IN_THREAD_TRADES = 300, 30_000
"""More wallets or trades than this are computed in a process of their own, which costs a second to start."""


def give_up(claim: jobs.Claim, reason: str) -> None:
    """A final result that cannot be computed fails the analysis; a provisional one is only missing."""
    if claim.kind == "similarity":
        lifecycle.fail(claim, reason)
        return
    with database.write():
        jobs.finish(claim, "failed", error=reason)


@runner.handles("provisional", give_up)
@runner.handles("similarity", give_up)
def analyse(claim: jobs.Claim) -> None:
    """Compute and store a result for the analysis that the job names; return early when it has ended."""
    analysis = analyses.by_key(claim.subject)
    if analysis.state not in analyses.LIVE:
        with database.write():
            jobs.finish(claim, "cancelled", detail="The analysis has ended.")
        return
    order = _order(claim, analysis)
    try:
        if len(order.read) <= IN_THREAD and reading.trades_about(order.read) <= IN_THREAD_TRADES:
            stage.compute(order)
        else:
            child.run(order, SETTINGS)
        job_ids = lifecycle.result_ready(claim, analysis.id, order.result_id, order.read)
    except BaseException:
        # Unless the swap went through and only its answer was lost, nobody will ever see these rows.
        if Analysis.get_by_id(analysis.id).result_id != order.result_id:
            results.drop_result(order.result_id)
        raise
    jobs.announce(job_ids)
    if claim.kind == "similarity":
        enrich.after_analysis(analysis)


def _order(claim: jobs.Claim, analysis: Analysis) -> stage.Order:
    """Say what is to be computed, with a result to put it into that no reader sees yet."""
    read = list(analyses.read_wallets(analysis.id))
    if not read:
        raise WalletkinError(f"None of the {analysis.wallets} wallets could be read; see the reason beside each.")
    rates = _rates([reading.bounds_of(one) for one in read])
    with database.write():
        jobs.fence(claim)
        result_id = results.new_result(analysis.id, claim.kind == "provisional", len(read), lifecycle.VERSION)
    return stage.Order(claim, analysis.id, result_id, read, rates)


def _rates(all_bounds: Sequence[Bounds]) -> Rates:
    """Return the SOL price by day from the wallets' own swaps, or from the market when none of them shows it."""
    observed = list(wallets.observations(all_bounds))
    days = wallets.days_quoted_in_usd(bounds.wallet_id for bounds in all_bounds)
    asked = None
    if days and not observed:
        asked = market.sol_price_usd(
            SETTINGS.source_order,
            SETTINGS.dexscreener_url,
            SETTINGS.jupiter_url,
            SETTINGS.jupiter_api_key,
            SETTINGS.redis_url,
        )
    return allocation.sol_usd_days(observed, days, asked)
