"""The states of an analysis, and what follows when a sync or a comparison ends.

`syncing` → `provisional` (a first result is shown) → `analysing` → `complete`; or `failed`, `cancelled`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tasks.errors import Conflict
from tasks.jobs import announce, claims, priority, states, submit, waiters
from tasks.storage import analyses, database, sql
from tasks.storage.analyses import ReadWallet
from tasks.storage.models.analyses import Analysis, AnalysisWallet
from tasks.storage.models.jobs import Job, JobAnalysis
from tasks.storage.models.results import Result
from tasks.storage.models.wallets import Wallet

GROWTH = 1.25  # a provisional result is built again when there are a quarter more synced wallets
REST = 10.0  # and ten times the duration of the last one has passed


def wallet_started(claim: claims.Claim, wallet_id: int) -> None:
    """Set a wallet to `syncing` in all analyses that wait for it."""
    with database.write():
        claims.renew_or_raise(claim)
        analyses.set_wallet_state(wallet_id, waiters.waiting_analyses(claim.job_id), "syncing")


def wallet_ended(claim: claims.Claim, wallet_id: int) -> list[str]:
    """Copy a wallet's state to all analyses that wait for it, and advance them.

    Call inside the write transaction that ends the sync; announce the returned job ids after the commit.
    """
    waiting = waiters.waiting_analyses(claim.job_id)
    if waiting:
        analyses.copy_wallet_state(wallet_id, waiting)
    return [job_id for analysis_id in waiting for job_id in advance(analysis_id)]


def advance(analysis_id: int) -> list[str]:
    """Submit the next comparison of an analysis when it is due; return the ids of the new jobs.

    Locks the row first; otherwise, on PostgreSQL, two syncs finishing together would each see the other as unfinished.
    """
    analysis = sql.for_update(Analysis.select().where(Analysis.id == analysis_id)).get()
    if analysis.state not in ("syncing", "provisional"):
        return []
    if not _has_unsynced(analysis_id):
        Analysis.update(state="analysing").where(Analysis.id == analysis_id).execute()
        waiters.drop_waiters(analysis_id, "provisional")
        return list(submit.submit("similarity", [analysis.key], priority.USER, analysis_id=analysis_id).values())
    rest_s = _rest_before_provisional_s(analysis)
    if rest_s is None:
        return []
    submitted = submit.submit("provisional", [analysis.key], priority.USER, analysis_id=analysis_id, delay_s=rest_s)
    return list(submitted.values())


def _has_unsynced(analysis_id: int) -> bool:
    w = AnalysisWallet
    query = w.select(w.position).where(w.analysis_id == analysis_id, w.state.in_(("waiting", "syncing")))
    return bool(query.limit(1).count())


def _rest_before_provisional_s(analysis: Analysis) -> float | None:
    """Return the seconds until the next provisional comparison may start, None when none is due.

    It needs two wallets, no live one, GROWTH more wallets than the last, and REST since the last.
    """
    live = Job.select(Job.id).where(Job.kind == "provisional", Job.target == analysis.key, Job.state.in_(states.LIVE))
    if live.count():
        return None
    last = Result.get_or_none(Result.id == analysis.result_id) if analysis.result_id else None
    counts = analyses.state_counts(analysis.id)
    ready = counts.get("synced", 0) + counts.get("partial", 0)
    if ready < 2 or (last and ready < GROWTH * last.wallets):
        return None
    return max(0.0, last.computed_at + REST * last.duration_s - database.now_s()) if last else 0.0


def repair_stranded() -> list[str]:
    """Submit the missing jobs of running analyses; return their ids.

    Only a restored backup or a change by hand leaves an analysis without its job.
    """
    job_ids: list[str] = []
    for analysis_id, key in list(
        Analysis.select(Analysis.id, Analysis.key).where(Analysis.state.in_(analyses.LIVE)).tuples()
    ):
        with database.write():
            analysis = sql.for_update(Analysis.select().where(Analysis.id == analysis_id)).get()
            stranded = analyses.stranded_wallets(analysis_id)
            if analysis.state == "analysing" and not analyses.has_live_job(analysis_id, "similarity"):
                job_ids += submit.submit("similarity", [key], priority.USER, analysis_id=analysis_id).values()
            elif analysis.state != "analysing" and stranded:
                job_ids += submit.submit("sync", stranded, priority.USER, analysis_id=analysis_id).values()
            elif analysis.state != "analysing":
                job_ids += advance(analysis_id)
    announce.announce(job_ids)
    return job_ids


def result_ready(claim: claims.Claim, analysis_id: int, result_id: int, read: Sequence[ReadWallet]) -> list[str]:
    """Show a result, pin the bounds of the data it used, and end its job, in one transaction.

    Announce the returned job ids after the commit. A provisional result is not shown once the final comparison has
    begun. Raises NoWaiters when the analysis was cancelled meanwhile; it then keeps the result it shows.
    """
    result, counts = Result.get_by_id(result_id), analyses.trade_counts(result_id)
    with database.write():
        claims.finish(claim, "succeeded", detail=f"{result.wallets} wallets")
        waiters.check_waiters(claim)
        if _show(analysis_id, result):
            analyses.pin_evidence_bounds(analysis_id, read, counts)
        return advance(analysis_id) if result.provisional else []


def _show(analysis_id: int, result: Result) -> bool:
    """Point an analysis at a result; return False when its state no longer expects one of that kind."""
    shown = {"state": "provisional"} if result.provisional else {"state": "complete", "finished_at": database.clock()}
    expected_in = ("syncing", "provisional") if result.provisional else ("analysing",)
    query = Analysis.update(result_id=result.id, **shown)
    return bool(query.where(Analysis.id == analysis_id, Analysis.state.in_(expected_in)).execute())


def fail(claim: claims.Claim, reason: str) -> None:
    """End the job and its analysis as failed, with the reason."""
    with database.write():
        claims.finish(claim, "failed", error=reason)
        Analysis.update(state="failed", reason=reason, finished_at=database.clock()).where(
            Analysis.key == claim.target, Analysis.state.in_(analyses.LIVE)
        ).execute()


def cancel(analysis: Analysis) -> None:
    """Cancel an analysis and the jobs that no other analysis waits for. Raises Conflict when it has ended.

    Two transactions, the analysis first: a worker locks the job before the analysis.
    """
    with database.write():
        changed = (
            Analysis.update(state="cancelled", finished_at=database.clock())
            .where(Analysis.id == analysis.id, Analysis.state.in_(analyses.LIVE))
            .execute()
        )
    if not changed:
        raise Conflict("This analysis has already ended.")
    waiters.drop_all_waiters(analysis.id)


def cancel_job(job_id: str, analysis_ids: Collection[int] | None = None) -> bool:
    """Cancel a job for these of its waiting analyses (None: all); return False when none of them waits for it.

    A cancelled sync fails its wallet there, and the analysis continues without it; a cancelled final comparison cancels
    its analysis. The job continues while another analysis waits for it.
    """
    with database.write():
        job = states.lock_job(job_id)
        waiting = waiters.waiting_analyses(job_id) if job.state in states.LIVE else []
        leaving = [one for one in waiting if analysis_ids is None or one in analysis_ids]
        if job.state in states.ENDED or not (leaving or analysis_ids is None):
            return False
        JobAnalysis.update(state="cancelled").where(
            JobAnalysis.job_id == job_id, JobAnalysis.analysis_id.in_(leaving)
        ).execute()
        if len(leaving) == len(waiting):
            waiters.cancel(job_id)
        job_ids = [new for analysis_id in leaving for new in _continue_without(job, analysis_id)]
    announce.announce(job_ids)
    if job.kind == "similarity":
        for analysis_id in leaving:
            cancel(Analysis.get_by_id(analysis_id))
    return True


def _continue_without(job: Job, analysis_id: int) -> list[str]:
    """Fail the wallet of a cancelled sync in an analysis and advance it; return the ids of the new jobs."""
    if job.kind != "sync":
        return []
    w = AnalysisWallet
    wallet = Wallet.select(Wallet.id).where(Wallet.address == job.target)
    w.update(state="failed", reason="Cancelled.").where(w.analysis_id == analysis_id, w.wallet_id.in_(wallet)).execute()
    return advance(analysis_id)


def wallet_of(address: str) -> Wallet:
    """Return the wallet row of an address."""
    found: Wallet = Wallet.get(Wallet.address == address)
    return found
