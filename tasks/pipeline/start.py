"""User requests: create an analysis, run it again, retry its wallets."""

from __future__ import annotations

import dataclasses
import json
import math
import secrets
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from peewee import IntegrityError

from tasks.errors import Conflict
from tasks.jobs import announce, priority, submit
from tasks.pipeline import workflow
from tasks.storage import analyses, database, sql, wallets
from tasks.storage.analyses import NewAnalysis, NewWallet, Parameters
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import JobAnalysis

VERSION = version("walletkin")


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """A new analysis, or with `repeated` the one that the same request created before."""

    analysis: Analysis
    job_ids: list[str]
    repeated: bool = False


def create(new: NewAnalysis, *, sync_ttl_s: float, resync: Sequence[str] = ()) -> Created:
    """Create an analysis and its sync jobs, and announce them.

    Wallets synced less than `sync_ttl_s` ago are not synced again, except those of `resync`; an infinite one syncs no
    other wallet, not even failed ones. A repeated idempotency key returns the first analysis. Raises Busy when the
    queue is full.
    """
    if new.idempotency_key and (before := analyses.by_idempotency_key(new.idempotency_key)):
        return Created(before, _job_ids(before), True)
    submit.check_capacity()
    try:
        return _create(new, sync_ttl_s, resync)
    except IntegrityError:
        # The same request arrived twice at once, and the other one was first.
        if new.idempotency_key and (before := analyses.by_idempotency_key(new.idempotency_key)):
            return Created(before, _job_ids(before), True)
        raise


def _create(new: NewAnalysis, sync_ttl_s: float, resync: Sequence[str]) -> Created:
    wallet_ids = wallets.ensure_wallets(wallet.address for wallet in new.wallets)
    forced = {wallet_ids[address] for address in resync if address in wallet_ids}
    ids = set(wallet_ids.values())
    fresh = (ids if math.isinf(sync_ttl_s) else wallets.fresh_wallets(ids, sync_ttl_s)) - forced
    with database.write():  # one transaction, about a second for 10,000 wallets: half a list must not be visible
        analysis_id = analyses.insert_analysis(new, wallet_ids, fresh)
        stale = [address for address, wallet_id in wallet_ids.items() if wallet_id not in fresh]
        job_ids = list(submit.submit("sync", stale, priority.USER, analysis_id=analysis_id).values())
        job_ids += workflow.advance(analysis_id)
    announce.announce(job_ids)
    return Created(Analysis.get_by_id(analysis_id), job_ids)


def new_key() -> str:
    """Return a public id for an analysis: 128 random bits, which also grant access to it."""
    return secrets.token_hex(16)


def _job_ids(analysis: Analysis) -> list[str]:
    query = JobAnalysis.select(JobAnalysis.job_id).where(JobAnalysis.analysis_id == analysis.id)
    return [row[0] for row in query.tuples()]


def retry_wallet(analysis: Analysis, address: str, *, key: str, sync_ttl_s: float) -> Analysis:
    """Retry a failed or partial wallet; return the analysis that will show it, as `retry_wallets` does."""
    wallet = analyses.wallet(analysis.id, address)
    if wallet.state not in ("failed", "partial"):
        raise Conflict("This wallet was read without error; there is nothing to retry.")
    return retry_wallets(analysis, {address: wallet.wallet_id}, key=key, sync_ttl_s=sync_ttl_s)


def retry_wallets(analysis: Analysis, wallet_ids: Mapping[str, int], *, key: str, sync_ttl_s: float) -> Analysis:
    """Retry wallets of an analysis, given as address → id; return the analysis that will show them.

    It is the same one while that still syncs wallets, otherwise a new one linked to it, since a complete analysis never
    changes. Raises Conflict without wallets.
    """
    if not wallet_ids:
        raise Conflict("Nothing to retry: every wallet was read without error, or the RPC service rejects its address.")
    job_ids: list[str] = []
    with database.write():
        locked = sql.for_update(Analysis.select().where(Analysis.id == analysis.id)).get()
        is_syncing = locked.state in ("syncing", "provisional")
        if is_syncing:
            for wallet_id in wallet_ids.values():
                analyses.set_wallet_state(wallet_id, [analysis.id], "waiting")
            job_ids += submit.submit("sync", list(wallet_ids), priority.USER, analysis_id=analysis.id).values()
    announce.announce(job_ids)
    if is_syncing:
        return locked  # type: ignore[no-any-return]  # peewee's rows are untyped here
    return create(copy_of(analysis, key), sync_ttl_s=sync_ttl_s, resync=list(wallet_ids)).analysis


def rerun(
    analysis: Analysis, parameters: Parameters, *, key: str, owner: str | None, idempotency_key: str | None = None
) -> Created:
    """Create an analysis of the same wallets and data with other parameters, linked to the old one.

    Syncs nothing. Raises Conflict while the analysis runs.
    """
    if analysis.state in analyses.LIVE:
        raise Conflict("This analysis is still running; run it again when it has ended.")
    new = dataclasses.replace(
        copy_of(analysis, key), parameters=parameters, owner=owner, idempotency_key=idempotency_key
    )
    return create(new, sync_ttl_s=math.inf)


def copy_of(analysis: Analysis, key: str) -> NewAnalysis:
    """Return a new analysis of the same wallets with the same parameters, linked to the old one."""
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
    """Return the parameters of an analysis."""
    return Parameters(
        window_days=analysis.window_days,
        timing_window_s=analysis.timing_window_s,
        tau=analysis.tau,
        exclude=tuple(json.loads(analysis.exclude)),
    )
