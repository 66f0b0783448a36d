"""The life of an analysis: made, its wallets synced, computed, cancelled, tried again. Computes nothing itself.

States: `syncing` → `provisional` (a first result is there) → `analysing` → `complete`; or `failed`, `cancelled`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import secrets
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version

from peewee import IntegrityError

from tasks import jobs, queues, submission
from tasks.errors import Conflict
from tasks.records import analyses, database, wallets
from tasks.records.analyses import NewAnalysis, NewWallet, Parameters, ReadWallet
from tasks.records.models import Analysis, AnalysisWallet, Job, JobAnalysis, Result, Wallet

VERSION = version("walletkin")
GROWTH = 1.25  # a provisional result is made again when the synced wallets grew by a quarter
REST = 10.0  # and ten times its last duration has passed


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """A new analysis, or with `repeated` the one that the same request made before."""

    analysis: Analysis
    job_ids: list[str]
    repeated: bool = False


def create(new: NewAnalysis, *, sync_ttl_s: float, resync: Sequence[str] = ()) -> Created:
    """Record an analysis and its sync jobs, and announce them.

    Wallets synced less than `sync_ttl_s` ago are not synced again, except those of `resync`; with an infinite one none
    is, not even what could not be read. The same idempotency key again gives the first analysis. Raises Busy while too
    many jobs are under way.
    """
    if new.idempotency_key and (before := analyses.by_idempotency_key(new.idempotency_key)):
        return Created(before, _job_ids(before), True)
    submission.check_room()
    try:
        return _create(new, sync_ttl_s, resync)
    except IntegrityError:
        # The same request came twice at once, and the other one was first.
        if new.idempotency_key and (before := analyses.by_idempotency_key(new.idempotency_key)):
            return Created(before, _job_ids(before), True)
        raise


def _create(new: NewAnalysis, sync_ttl_s: float, resync: Sequence[str]) -> Created:
    wallet_ids = wallets.ensure_wallets(wallet.address for wallet in new.wallets)
    again = {wallet_ids[address] for address in resync if address in wallet_ids}
    every = set(wallet_ids.values())
    fresh = (every if math.isinf(sync_ttl_s) else wallets.fresh_wallets(every, sync_ttl_s)) - again
    with database.write():
        analysis_id = analyses.insert_analysis(new, wallet_ids, fresh)
        stale = [address for address, wallet_id in wallet_ids.items() if wallet_id not in fresh]
        job_ids = list(submission.submit("sync", stale, queues.USER, analysis_id=analysis_id).values())
        job_ids += _advance(analysis_id)
    jobs.announce(job_ids)
    return Created(Analysis.get_by_id(analysis_id), job_ids)


def new_key() -> str:
    """Return the public id of an analysis: 128 random bits, which are the key to it."""
    return secrets.token_hex(16)


def _job_ids(analysis: Analysis) -> list[str]:
    query = JobAnalysis.select(JobAnalysis.job_id).where(JobAnalysis.analysis_id == analysis.id)
    return [row[0] for row in query.tuples()]


def wallet_started(claim: jobs.Claim, wallet_id: int) -> None:
    """Show a wallet as syncing wherever it is waited for."""
    with database.write():
        jobs.fence(claim)
        analyses.set_wallet_state(wallet_id, jobs.waiting_analyses(claim.job_id), "syncing")


def wallet_ended(claim: jobs.Claim, wallet_id: int) -> list[str]:
    """Show a wallet's state wherever it was waited for, and go on with those analyses.

    Call inside the write transaction that ends the sync; announce the returned job ids after its commit.
    """
    waiting = jobs.waiting_analyses(claim.job_id)
    if waiting:
        analyses.copy_wallet_state(wallet_id, waiting)
    return [job_id for analysis_id in waiting for job_id in _advance(analysis_id)]


def _advance(analysis_id: int) -> list[str]:
    """Start the next step of an analysis when it is due; return the ids of the jobs made.

    Holds the analysis's row first: on PostgreSQL two syncs that end at once would else both see the other unfinished.
    """
    analysis = database.held(Analysis.select().where(Analysis.id == analysis_id)).get()
    if analysis.state not in ("syncing", "provisional"):
        return []
    if not _has_unsynced(analysis_id):
        Analysis.update(state="analysing").where(Analysis.id == analysis_id).execute()
        jobs.let_go(analysis_id, "provisional")
        return list(submission.submit("similarity", [analysis.key], queues.USER, analysis_id=analysis_id).values())
    rest_s = _rest_before_provisional_s(analysis)
    if rest_s is None:
        return []
    made = submission.submit("provisional", [analysis.key], queues.USER, analysis_id=analysis_id, delay_s=rest_s)
    return list(made.values())


def _has_unsynced(analysis_id: int) -> bool:
    w = AnalysisWallet
    query = w.select(w.position).where(w.analysis_id == analysis_id, w.state.in_(("waiting", "syncing")))
    return bool(query.limit(1).count())


def _rest_before_provisional_s(analysis: Analysis) -> float | None:
    """Return in how many seconds a provisional result is worth its cost, None when it is not for now.

    From two wallets on, one at a time, and again only after the wallets grew and the last one's cost was rested off.
    """
    busy = Job.select(Job.id).where(Job.kind == "provisional", Job.subject == analysis.key, Job.state.in_(jobs.LIVE))
    if busy.count():
        return None
    last = Result.get_or_none(Result.id == analysis.result_id) if analysis.result_id else None
    counts = analyses.state_counts(analysis.id)
    ready = counts.get("synced", 0) + counts.get("partial", 0)
    if ready < 2 or (last and ready < GROWTH * last.wallets):
        return None
    return max(0.0, last.computed_at + REST * last.duration_s - database.now_s()) if last else 0.0


def mend() -> list[str]:
    """Put running analyses back on their way that wait for a job which is not there; return the ids of the jobs made.

    Nothing in this program leaves one so; what was restored from a backup or changed by hand may.
    """
    job_ids: list[str] = []
    for analysis_id, key in list(
        Analysis.select(Analysis.id, Analysis.key).where(Analysis.state.in_(analyses.LIVE)).tuples()
    ):
        with database.write():
            analysis = database.held(Analysis.select().where(Analysis.id == analysis_id)).get()
            stranded = analyses.stranded_wallets(analysis_id)
            if analysis.state == "analysing" and not analyses.has_live_job(analysis_id, "similarity"):
                job_ids += submission.submit("similarity", [key], queues.USER, analysis_id=analysis_id).values()
            elif analysis.state != "analysing" and stranded:
                job_ids += submission.submit("sync", stranded, queues.USER, analysis_id=analysis_id).values()
            elif analysis.state != "analysing":
                job_ids += _advance(analysis_id)
    jobs.announce(job_ids)
    return job_ids


def result_ready(claim: jobs.Claim, analysis_id: int, result_id: int, read: Sequence[ReadWallet]) -> list[str]:
    """Show a result, swapped in whole with the bounds of the data `read` for it, and end its job.

    Announce the returned job ids after the commit. A provisional result that comes after the final one began is not
    shown over it. Unwanted when the analysis was cancelled meanwhile: what it showed before stays as it was.
    """
    result, counts = Result.get_by_id(result_id), analyses.trade_counts(result_id)
    with database.write():
        jobs.finish(claim, "succeeded", detail=f"{result.wallets} wallets")
        jobs.check_wanted(claim)
        if _show(analysis_id, result):
            analyses.freeze(analysis_id, read, counts)
        return _advance(analysis_id) if result.provisional else []


def _show(analysis_id: int, result: Result) -> bool:
    """Point an analysis at a result; False when it waits for none of that kind any more."""
    shown = {"state": "provisional"} if result.provisional else {"state": "complete", "finished_at": database.clock()}
    waits_in = ("syncing", "provisional") if result.provisional else ("analysing",)
    query = Analysis.update(result_id=result.id, **shown)
    return bool(query.where(Analysis.id == analysis_id, Analysis.state.in_(waits_in)).execute())


def fail(claim: jobs.Claim, reason: str) -> None:
    """End an analysis whose result could not be computed, with the reason."""
    with database.write():
        jobs.finish(claim, "failed", error=reason)
        Analysis.update(state="failed", reason=reason, finished_at=database.clock()).where(
            Analysis.key == claim.subject, Analysis.state.in_(analyses.LIVE)
        ).execute()


def cancel(analysis: Analysis) -> None:
    """Stop an analysis: jobs that nobody else waits for end, what is synced stays. Conflict when it has ended.

    First the analysis, then its jobs, each by itself: a worker holds them the other way round.
    """
    with database.write():
        changed = (
            Analysis.update(state="cancelled", finished_at=database.clock())
            .where(Analysis.id == analysis.id, Analysis.state.in_(analyses.LIVE))
            .execute()
        )
    if not changed:
        raise Conflict("This analysis has already ended.")
    jobs.detach(analysis.id)


def cancel_job(job_id: str, analysis_ids: Collection[int] | None = None) -> bool:
    """Cancel a job for those of its waiting analyses that are named (None: for all); False when nobody was left to.

    A wallet whose sync is cancelled has failed there and its analyses go on without it; cancelling a comparison cancels
    its analysis. While another analysis waits for the job, it goes on.
    """
    with database.write():
        job = jobs.hold(job_id)
        waiting = jobs.waiting_analyses(job_id) if job.state in jobs.LIVE else []
        leaving = [one for one in waiting if analysis_ids is None or one in analysis_ids]
        if job.state in jobs.ENDED or not (leaving or analysis_ids is None):
            return False
        JobAnalysis.update(state="cancelled").where(
            JobAnalysis.job_id == job_id, JobAnalysis.analysis_id.in_(leaving)
        ).execute()
        if len(leaving) == len(waiting):
            jobs.cancel(job_id)
        job_ids = [new for analysis_id in leaving for new in _go_on_without(job, analysis_id)]
    jobs.announce(job_ids)
    if job.kind == "similarity":
        for analysis_id in leaving:
            cancel(Analysis.get_by_id(analysis_id))
    return True


def _go_on_without(job: Job, analysis_id: int) -> list[str]:
    """Let an analysis do without a sync that was cancelled for it; return the ids of the jobs made."""
    if job.kind != "sync":
        return []
    w = AnalysisWallet
    wallet = Wallet.select(Wallet.id).where(Wallet.address == job.subject)
    w.update(state="failed", reason="Cancelled.").where(w.analysis_id == analysis_id, w.wallet_id.in_(wallet)).execute()
    return _advance(analysis_id)


def retry_wallet(analysis: Analysis, address: str, *, key: str, sync_ttl_s: float) -> Analysis:
    """Read a failed or partial wallet again; return the analysis that will show it, as `retry_wallets` does."""
    wallet = analyses.wallet(analysis.id, address)
    if wallet.state not in ("failed", "partial"):
        raise Conflict("This wallet was read without error; there is nothing to try again.")
    return retry_wallets(analysis, {address: wallet.wallet_id}, key=key, sync_ttl_s=sync_ttl_s)


def retry_wallets(analysis: Analysis, wallet_ids: Mapping[str, int], *, key: str, sync_ttl_s: float) -> Analysis:
    """Read wallets of an analysis again, given as address → id; return the analysis that will show them.

    While the analysis still reads wallets it is the same one. After that it does not change under its reader: a new one
    is made, linked to the old. Raises Conflict without any wallet.
    """
    if not wallet_ids:
        raise Conflict(
            "Nothing to try again: every wallet was read without error, or is refused by the RPC service for good."
        )
    job_ids: list[str] = []
    with database.write():
        held = database.held(Analysis.select().where(Analysis.id == analysis.id)).get()
        still_reading = held.state in ("syncing", "provisional")
        if still_reading:
            for wallet_id in wallet_ids.values():
                analyses.set_wallet_state(wallet_id, [analysis.id], "waiting")
            job_ids += submission.submit("sync", list(wallet_ids), queues.USER, analysis_id=analysis.id).values()
    jobs.announce(job_ids)
    if still_reading:
        return held  # type: ignore[no-any-return]  # peewee's rows are untyped here
    return create(copy_of(analysis, key), sync_ttl_s=sync_ttl_s, resync=list(wallet_ids)).analysis


def rerun(
    analysis: Analysis, parameters: Parameters, *, key: str, owner: str | None, idempotency_key: str | None = None
) -> Created:
    """Analyse the same wallets under other parameters, with the data that they have: a new analysis linked to the old.

    Nothing is synced. Raises Conflict while the analysis still runs.
    """
    if analysis.state in analyses.LIVE:
        raise Conflict("This analysis is still running; it can be run again when it has ended.")
    new = dataclasses.replace(
        copy_of(analysis, key), parameters=parameters, owner=owner, idempotency_key=idempotency_key
    )
    return create(new, sync_ttl_s=math.inf)


def copy_of(analysis: Analysis, key: str) -> NewAnalysis:
    """Return a new analysis of the same wallets under the same parameters, linked to the old one."""
    rejected, duplicates = analyses.intake_rows(analysis.id)
    rows = analyses.wallets(analysis.id)
    return NewAnalysis(
        key=key,
        wallets=[NewWallet(row["address"], row["line"], row["label"]) for row in rows],
        parameters=parameters_of(analysis),
        label=analysis.label,
        history_limit=analysis.history_limit,
        version=VERSION,
        owner=analysis.owner,
        parent_id=analysis.id,
        rejected=rejected,
        duplicates=duplicates,
    )


def parameters_of(analysis: Analysis) -> Parameters:
    """Return the parameters under which an analysis was made."""
    return Parameters(
        window_days=analysis.window_days,
        timing_window_s=analysis.timing_window_s,
        tau=analysis.tau,
        exclude=tuple(json.loads(analysis.exclude)),
    )


def wallet_of(address: str) -> Wallet:
    """Return the wallet row of an address."""
    found: Wallet = Wallet.get(Wallet.address == address)
    return found
