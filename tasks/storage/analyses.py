"""Analyses and their wallets: inserting them, their states, and the rows that pages and JSON show."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from peewee import JOIN, chunked, fn

from tasks.errors import NotFound
from tasks.storage import database, sql
from tasks.storage.models.analyses import Analysis, AnalysisIntake, AnalysisWallet
from tasks.storage.models.base import db
from tasks.storage.models.jobs import LIVE_JOB, Job, JobAnalysis
from tasks.storage.models.results import Allocation, ResultCluster
from tasks.storage.models.wallets import Wallet

LIVE = ("syncing", "provisional", "analysing")
CHUNK = 500
ANALYSIS_NAMES = tuple(Analysis._meta.sorted_field_names)
ANALYSIS_READ = f"SELECT {sql.columns(Analysis._meta.sorted_fields)} FROM analysis WHERE key = ?"
WALLET_NAMES = tuple(AnalysisWallet._meta.sorted_field_names)
WALLET_READ = (
    f"SELECT {sql.columns(AnalysisWallet._meta.sorted_fields)} FROM analysis_wallet "
    "WHERE analysis_id = ? AND wallet_id = (SELECT id FROM wallet WHERE address = ?)"
)
INTAKE_READ = "SELECT rejected, duplicates FROM analysis_intake WHERE analysis_id = ?"
NEVER_READ = "It was never read, and running again reads nothing; press Retry to read it."
PINNED = ("sync_no", "newest_slot", "newest_signature", "oldest_slot", "oldest_signature", "holdings")
WALLET_KEYS = ("position", "wallet_id", "address", "label", "line", "state", "reason", "truncated") + (
    "transactions", "trades", "mints"
)  # fmt: skip

WALLETS_READ = (
    'SELECT w."position", w.wallet_id, a.address, w.label, w.line, w.state, w.reason, w.truncated, w.transactions, '
    "w.trades, w.mints FROM analysis_wallet w JOIN wallet a ON a.id = w.wallet_id WHERE w.analysis_id = ?"
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of an analysis. `window_days` None means all synced history; `exclude` has mints."""

    window_days: float | None
    timing_window_s: int
    tau: float
    exclude: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewWallet:
    """A wallet of a new analysis: its address, its line in the input, and its label."""

    address: str
    line: int
    label: str | None


@dataclass(frozen=True, slots=True)
class NewAnalysis:
    """A new analysis. `wallets` are unique; rejected and duplicate rows of the input are only shown."""

    key: str
    wallets: Sequence[NewWallet]
    parameters: Parameters
    label: str
    history_limit: int
    version: str
    owner: str | None = None
    idempotency_key: str | None = None
    parent_id: int | None = None
    rejected: Sequence[Mapping[str, Any]] = field(default_factory=list)
    duplicates: Sequence[Mapping[str, Any]] = field(default_factory=list)


def insert_analysis(new: NewAnalysis, wallet_ids: Mapping[str, int], done: Iterable[int]) -> int:
    """Insert an analysis with its wallets in address order; return its id.

    `done` has the ids of wallets that need no sync; they start in the state of their last one. Call inside a write
    transaction.
    """
    parameters = new.parameters
    analysis_id = Analysis.insert(
        key=new.key,
        owner=new.owner,
        idempotency_key=new.idempotency_key,
        parent_id=new.parent_id,
        label=new.label,
        state="syncing",
        created_at=database.now_s(),
        window_days=parameters.window_days,
        timing_window_s=parameters.timing_window_s,
        tau=parameters.tau,
        exclude=json.dumps(parameters.exclude),
        history_limit=new.history_limit,
        version=new.version,
        wallets=len(new.wallets),
    ).execute()
    AnalysisIntake.insert(
        analysis_id=analysis_id, rejected=json.dumps(new.rejected), duplicates=json.dumps(new.duplicates)
    ).execute()
    states = _wallet_states(done)
    rows = []
    for position, wallet in enumerate(sorted(new.wallets, key=lambda wallet: wallet.address)):
        wallet_id = wallet_ids[wallet.address]
        state = states.get(wallet_id, ("waiting", None, False, 0))
        rows.append((analysis_id, position, wallet_id, wallet.line, wallet.label, *state))
    w = AnalysisWallet
    fields = (w.analysis_id, w.position, w.wallet_id, w.line, w.label, w.state, w.reason, w.truncated, w.transactions)
    sql.insert_rows(w, fields, rows)
    return int(analysis_id)


def _wallet_states(wallet_ids: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """Return wallet id → (state, reason, truncated, transactions) after its last sync."""
    found = {}
    for part in chunked(wallet_ids, CHUNK):
        query = Wallet.select(Wallet.id, Wallet.state, Wallet.reason, Wallet.truncated, Wallet.transactions)
        for wallet_id, state, *rest in query.where(Wallet.id.in_(part)).tuples():
            found[wallet_id] = (state, *rest) if state else ("failed", NEVER_READ, *rest[1:])
    return found


def copy_wallet_state(wallet_id: int, analysis_ids: Sequence[int]) -> None:
    """Copy the state of a wallet after its sync to the analyses that waited for it."""
    state = Wallet.get_by_id(wallet_id)
    AnalysisWallet.update(
        state=state.state or "failed", reason=state.reason, truncated=state.truncated, transactions=state.transactions
    ).where(AnalysisWallet.wallet_id == wallet_id, AnalysisWallet.analysis_id.in_(analysis_ids)).execute()


def set_wallet_state(wallet_id: int, analysis_ids: Sequence[int], state: str) -> None:
    """Set a wallet's state in several analyses."""
    AnalysisWallet.update(state=state).where(
        AnalysisWallet.wallet_id == wallet_id, AnalysisWallet.analysis_id.in_(analysis_ids)
    ).execute()


def by_key(key: str) -> Analysis:
    """Return the analysis with this public id. Raises NotFound."""
    rows = sql.rows(ANALYSIS_READ, key)
    if not rows:
        raise NotFound("There is no such analysis. Check the link.")
    return Analysis(**dict(zip(ANALYSIS_NAMES, rows[0], strict=True)))


def by_idempotency_key(key: str) -> Analysis | None:
    """Return the analysis that an earlier request with this key made, None without one."""
    found: Analysis | None = Analysis.get_or_none(Analysis.idempotency_key == key)
    return found


def recent(owner: str, most: int = 12) -> list[dict[str, Any]]:
    """Return a browser's newest analyses: key, label, state, created_at, wallets, parent_id, incomplete, clusters."""
    incomplete = (
        AnalysisWallet.select(fn.count(AnalysisWallet.position))
        .where(AnalysisWallet.analysis_id == Analysis.id, AnalysisWallet.state.in_(("failed", "partial")))
    )  # fmt: skip
    clusters = ResultCluster.select(fn.count(ResultCluster.number)).where(ResultCluster.result_id == Analysis.result_id)
    shown = (Analysis.key, Analysis.label, Analysis.state, Analysis.created_at, Analysis.wallets, Analysis.parent_id)
    query = (
        Analysis.select(*shown, incomplete.alias("incomplete"), clusters.alias("clusters"))
        .where(Analysis.owner == owner)
        .order_by(Analysis.id.desc())
        .limit(most)
    )
    return list(query.dicts())


def incomplete_wallets(analysis_id: int) -> list[tuple[str, int, str | None]]:
    """Return (address, wallet id, reason) of failed and partial wallets, in the order of the input."""
    w = AnalysisWallet
    query = (
        w.select(Wallet.address, w.wallet_id, w.reason)
        .join(Wallet, JOIN.INNER, on=(Wallet.id == w.wallet_id))
        .where(w.analysis_id == analysis_id, w.state.in_(("failed", "partial")))
        .order_by(w.line, w.position)
    )
    return list(query.tuples())


def intake_rows(analysis_id: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rejected and the duplicate rows of the input, each {"line", "text", "reason"}."""
    ((rejected, duplicates),) = sql.rows(INTAKE_READ, analysis_id)
    return json.loads(rejected), json.loads(duplicates)


def wallets(analysis_id: int, positions: Collection[int] | None = None) -> list[dict[str, Any]]:
    """Return the wallets of an analysis in the order of the input, with address, label, state and counts.

    `positions` selects wallets, None takes all.

    Keys: position, wallet_id, address, label, line, state, reason, truncated, transactions, trades, mints.
    """
    some = "" if positions is None else f'AND w."position" IN {sql.sql_in(sorted(positions)).sql}'
    found = sql.rows(f'{WALLETS_READ} {some} ORDER BY w.line, w."position"', analysis_id)
    rows = [dict(zip(WALLET_KEYS, row, strict=True)) for row in found]
    for row in rows:
        row["truncated"] = bool(row["truncated"])  # SQLite returns a number
    return rows


def wallet(analysis_id: int, address: str) -> AnalysisWallet:
    """Return one wallet of an analysis. Raises NotFound."""
    rows = sql.rows(WALLET_READ, analysis_id, address)
    if not rows:
        raise NotFound("This wallet is not part of the analysis.")
    found = AnalysisWallet(**dict(zip(WALLET_NAMES, rows[0], strict=True)))
    found.truncated = bool(found.truncated)  # SQLite returns a number
    found.wallet = Wallet(id=found.wallet_id, address=address)
    return found


def stranded_wallets(analysis_id: int) -> list[str]:
    """Return the addresses of wallets that an analysis waits for without a live sync job."""
    w = AnalysisWallet
    under_way = (
        Job.select(Job.target)
        .join(JobAnalysis, JOIN.INNER, on=(JobAnalysis.job_id == Job.id))
        .where(JobAnalysis.analysis_id == analysis_id, JobAnalysis.state == "waiting", _is_live("sync"))
    )
    query = (
        w.select(Wallet.address)
        .join(Wallet, JOIN.INNER, on=(Wallet.id == w.wallet_id))
        .where(w.analysis_id == analysis_id, w.state.in_(("waiting", "syncing")), Wallet.address.not_in(under_way))
        .order_by(w.line)
    )
    return [row[0] for row in query.tuples()]


def has_live_job(analysis_id: int, kind: str) -> bool:
    """Whether a live job of this kind runs for an analysis."""
    query = Job.select(Job.id).join(JobAnalysis, JOIN.INNER, on=(JobAnalysis.job_id == Job.id))
    waiting = (JobAnalysis.analysis_id == analysis_id) & (JobAnalysis.state == "waiting")
    return bool(query.where(waiting, _is_live(kind)).count())


def _is_live(kind: str) -> Any:
    return (Job.kind == kind) & Job.state.in_(LIVE_JOB)


@dataclass(frozen=True, slots=True)
class ReadWallet:
    """A wallet that was read, with its present data: number of syncs, bounds, holdings (JSON), transactions."""

    position: int
    wallet_id: int
    sync_no: int
    newest_slot: int | None
    newest_signature: str | None
    oldest_slot: int | None
    oldest_signature: str | None
    holdings: str | None
    transactions: int


def read_wallets(analysis_id: int) -> Iterator[ReadWallet]:
    """Yield, in address order, the wallets of an analysis that were read."""
    w = AnalysisWallet
    bounds = (Wallet.newest_slot, Wallet.newest_signature, Wallet.oldest_slot, Wallet.oldest_signature)
    query = (
        w.select(w.position, Wallet.id, Wallet.syncs, *bounds, Wallet.holdings, Wallet.transactions)
        .join(Wallet, JOIN.INNER, on=(Wallet.id == w.wallet_id))
        .where(w.analysis_id == analysis_id, w.state.in_(("synced", "partial")), Wallet.syncs > 0)
        .order_by(w.position)
    )
    for row in list(query.tuples()):
        yield ReadWallet(*row)


def trade_counts(result_id: int) -> dict[int, tuple[int, int]]:
    """Return position → (trades, mints) that a result counted for the wallet; wallets without trades are absent."""
    a = Allocation
    query = a.select(a.position, fn.sum(a.buys + a.sells), fn.count(a.mint_id)).where(a.result_id == result_id)
    rows = db.execute(query.group_by(a.position)).fetchall()
    return {position: (int(trades), mints) for position, trades, mints in rows}


def pin_evidence_bounds(analysis_id: int, read: Sequence[ReadWallet], counts: Mapping[int, tuple[int, int]]) -> None:
    """Store with an analysis which data its result used, so that later syncs do not change its evidence.

    `counts` is of `trade_counts`. Call inside the transaction that shows the result.
    """
    w = AnalysisWallet
    fields = [getattr(w, name) for name in (*PINNED, "trades", "mints")]
    rows = (
        (*(getattr(one, name) for name in PINNED), *counts.get(one.position, (0, 0)), analysis_id, one.position)
        for one in read
    )
    sql.update((w.analysis_id, w.position), fields, rows)


def without_job(kind: str, within_s: float) -> list[Analysis]:
    """Return the analyses completed within the last `within_s` seconds that never had a job of this kind."""
    had = JobAnalysis.select(JobAnalysis.analysis_id).join(Job, on=(Job.id == JobAnalysis.job_id))
    recent = (Analysis.state == "complete") & (Analysis.finished_at > database.now_s() - within_s)
    return list(Analysis.select().where(recent, Analysis.id.not_in(had.where(Job.kind == kind))))


def state_counts(analysis_id: int) -> dict[str, int]:
    """Return how many wallets of an analysis are in each state."""
    # COUNT(*) instead of a column: the index alone answers it.
    query = "SELECT state, COUNT(*) FROM analysis_wallet WHERE analysis_id = ? GROUP BY state"
    return dict(sql.rows(query, analysis_id))
