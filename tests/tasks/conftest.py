"""A chain to read over HTTP, and a way to do the jobs of this process's database without a worker process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tasks.jobs import executor
from tasks.measures.well_known import DEFAULT_EXCLUDED
from tasks.pipeline import start as pipeline_start
from tasks.settings import configure, current
from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import plain_scenario
from tasks.sources.rate_limit.limiter import close_limiters
from tasks.sources.solana.endpoint import close_connections
from tasks.storage.analyses import NewAnalysis, NewWallet, Parameters
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Movement, Wallet


@pytest.fixture
def chain(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A made-up chain of three wallets with 250 transactions each, unless the test asks for (wallets, transactions)."""
    wallets, transactions = getattr(request, "param", (3, 250))
    with Simulator(plain_scenario(wallets, transactions)) as simulator:
        simulator.state.reset_stats()
        yield simulator


@pytest.fixture
def reading(chain: Simulator, monkeypatch: pytest.MonkeyPatch, records: None) -> Iterator[Callable[..., None]]:
    """Point the handlers at the chain; call it with settings to change them."""

    def use(**changes: Any) -> None:
        values = {"solana_rpc_url": chain.url, "rpc_requests_per_s": 100_000.0} | changes
        configure(dataclasses.replace(current(), **values))

    use(dexscreener_url=chain.url, jupiter_url=chain.url)
    yield use
    close_connections()
    close_limiters()


def start(addresses: Sequence[str], *, sync_ttl_s: float = 0, **parameters: Any) -> Analysis:
    """Make an analysis of some wallets."""
    values = {"window_days": None, "timing_window_s": 60, "tau": 0.5, "exclude": tuple(DEFAULT_EXCLUDED)} | parameters
    wallets = [NewWallet(address, line, None) for line, address in enumerate(addresses, 1)]
    new = NewAnalysis(pipeline_start.new_key(), wallets, Parameters(**values), "test", 1000, "test")
    return pipeline_start.create(new, sync_ttl_s=sync_ttl_s).analysis


def work(rounds: int = 200, queue: str = "pipeline") -> None:
    """Do every job of a queue that is due, newest first, until none is left that can be done now."""
    for _ in range(rounds):
        live = Job.state.in_(("queued", "running")) & (Job.queue == queue)
        waiting = Job.select(Job.id).where(live, Job.run_after.is_null())
        ids = [row[0] for row in waiting.order_by(Job.priority.desc()).tuples()]
        if not ids:
            return
        for job_id in ids:
            executor.run(job_id)


def make_due() -> None:
    """Let the waits of jobs that were put back be over."""
    Job.update(run_after=None).execute()


def settle(addresses: Sequence[str], **parameters: Any) -> Analysis:
    """Make an analysis and do all its work; retries are not waited for."""
    analysis = start(addresses, **parameters)
    for _ in range(8):
        work()
        make_due()
    return Analysis.get_by_id(analysis.id)


def wallet(address: str) -> Wallet:
    return Wallet.get(Wallet.address == address)


def trades(address: str) -> list[tuple[Any, ...]]:
    """Return the stored trades of a wallet: (signature, side, mint, amount, quote, quote amount, parts)."""
    sides = ("buy", "sell")
    query = (
        Movement.select(
            Movement.signature, Movement.side, Token.mint, Movement.amount, Movement.quote, Movement.quote_amount,
            Movement.parts,
        )
        .join(Token, on=(Token.id == Movement.mint_id))
        .where(Movement.wallet_id == wallet(address).id, Movement.side < 2)
    )  # fmt: skip
    return sorted((s, sides[side], m, int(a), q, qa or 0, p) for s, side, m, a, q, qa, p in query.tuples())
