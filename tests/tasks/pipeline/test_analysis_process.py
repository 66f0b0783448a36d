"""Comparisons in a child process, and behaviour in a second one: results, crashes, hangs, cancelled jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tasks.jobs import claims, executor, waiters
from tasks.pipeline import (
    analysis_process,
    behaviour_process,
    build_result,
    child_process,
    compare,
    load,
)
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.settings import configure, current
from tasks.storage import pairs, results
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.results import Pair, Result
from tests.conftest import both_databases, set_timing
from tests.support import servers
from tests.support.synced import (
    TradeSpec,
    begin,
    complete,
    crowd,
    job_of,
    stored_state,
    sync,
    trade_at_random,
)
from tests.support.waiting import HANG_S

pytestmark = pytest.mark.usefixtures("records")


def test_behaviour_computed_in_a_second_process_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    history = crowd()
    here = complete(list(history))
    monkeypatch.setattr(load, "PROCESS_FROM_TRADES", 0)
    there = complete(list(history))
    assert there.state == "complete"
    assert stored_state(there)[1] == stored_state(here)[1]


def test_a_behaviour_process_that_dies_is_an_error_and_leaves_no_process() -> None:
    page = behaviour_process.BehaviourBatch([[]] * 8, [0], [None], [{}])
    with behaviour_process.ProcessWorker() as worker:
        worker.submit(page)
        worker.child.process.kill()
        worker.child.process.wait()
        worker.submit(page)
        with pytest.raises(RuntimeError):
            worker.results()
    with behaviour_process.ProcessWorker() as worker, contextlib.suppress(ZeroDivisionError):
        raise ZeroDivisionError
    assert worker.child.process.returncode == -signal.SIGKILL


@pytest.fixture
def in_child(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to have every analysis compared in a child process."""

    def use() -> None:
        monkeypatch.setattr(compare, "INLINE_WALLETS", 0)
        configure(dataclasses.replace(current(), database_url=database_url))

    return use


@both_databases
def test_a_child_process_stores_the_same(in_child: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    history = crowd()
    here = complete(list(history))
    in_child()
    with caplog.at_level("INFO", logger="walletkin.jobs"):
        there = complete(list(history))
    assert there.state == "complete"
    assert there.result_id != here.result_id
    assert stored_state(there) == stored_state(here)
    assert "peak memory" in caplog.text
    assert job_of(there).done == job_of(there).total


def test_large_analyses_keep_pairs_that_chance_does_not_explain(
    in_child: Callable[[], None],
) -> None:
    """Two wallets share 14 rare mints, but no capital to speak of, and each has 60 others with the same capital."""
    in_child()
    rng = random.Random(4)
    pool, rare = [f"mint {n}" for n in range(600)], [TradeSpec(n, f"rare {n}", sol=1e-6) for n in range(14)]
    heavy = [[TradeSpec(n, f"{side} {n}", sol=100.0) for n in range(3)] for side in ("left", "right")]
    names = [f"wallet {n:03d}" for n in range(505)]
    for number, name in enumerate(names):
        if number < 2:
            made = heavy[number] + rare
        elif number < 122:
            made = heavy[number % 2] + [TradeSpec(9, mint) for mint in rng.sample(pool, 5)]
        else:
            made = [TradeSpec(9, mint) for mint in rng.sample(pool, 20)]
        sync(name, made)
    analysis = complete(names)
    summary = results.result(analysis.result_id)["summary"]
    assert summary["pairs_kept"] < summary["pairs_total"] == 505 * 504 // 2
    special = pairs.pair(analysis.result_id, 0, 1)
    assert special["overall"] < 0.34
    assert special["q_value"] < 0.01
    assert pairs.count(analysis.result_id, position=0, least=special["overall"]) > 50
    assert Pair.select().where(Pair.result_id == analysis.result_id).count() == summary["pairs_kept"]
    strange = Pair.select().where(Pair.overall < special["overall"], Pair.q_value >= 0.01, Pair.wallet_a == 0)
    assert strange.count() == 0


def input_of(analysis: Analysis) -> AnalysisInput:
    claim = claims.claim_job(job_of(analysis).id)
    assert claim is not None
    return compare._input(claim, analysis)


def test_the_child_of_a_cancelled_job_is_killed(in_child: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    history = crowd(strangers=3)
    in_child()
    analysis = begin(list(history))
    monkeypatch.setattr(analysis_process, "CHECK_EVERY_S", 0.01)
    order = input_of(analysis)
    waiters.cancel(order.claim.job_id)
    with pytest.raises(claims.LostClaim):
        analysis_process.run(order, current())
    assert Pair.select().count() == 0


def test_an_error_in_the_child_is_the_error_of_the_job(in_child: Callable[[], None]) -> None:
    history = crowd(strangers=3)
    in_child()
    analysis = begin(list(history))
    order = input_of(analysis)
    for read, kind in ((order.wallets, analysis_process.ChildCrashed), ([], analysis_process.ChildCrashed)):
        bad = dataclasses.replace(order, analysis_id=0, wallets=read)
        with pytest.raises(kind, match="AnalysisDoesNotExist"):
            analysis_process.run(bad, current())


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGKILL, analysis_process.ChildCrashed), (signal.SIGTERM, claims.LostClaim)],
    ids=["killed is an error", "stopped is no attempt"],
)
def test_a_child_that_ends_early(
    in_child: Callable[[], None], monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    history = crowd(strangers=3)
    in_child()
    order = input_of(begin(list(history)))
    at_each_check(monkeypatch, lambda process: process.send_signal(number))
    with pytest.raises(error):
        analysis_process.run(order, current())


def at_each_check(monkeypatch: pytest.MonkeyPatch, do: Callable[[subprocess.Popen[bytes]], None]) -> None:
    """Call `do` with every started child whenever its job is checked."""
    started: list[subprocess.Popen[bytes]] = []
    start, look = subprocess.Popen, analysis_process._check

    def note(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))
        return started[-1]

    def check_and_do(claim: claims.Claim) -> None:
        look(claim)
        for process in started:
            do(process)

    monkeypatch.setattr(child_process.subprocess, "Popen", note)
    monkeypatch.setattr(analysis_process, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(analysis_process, "_check", check_and_do)


def test_a_child_that_hangs_is_killed_and_its_job_retried(
    in_child: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    history = crowd(strangers=3)
    in_child()
    analysis = begin(list(history))
    at_each_check(monkeypatch, lambda process: process.send_signal(signal.SIGSTOP))
    set_timing(monkeypatch, child_silent_s=0.3)
    executor.run(job_of(analysis).id)
    job = job_of(analysis)
    assert (job.state, job.attempts, job.claim_token) == ("queued", 1, None)
    assert job.error == "The comparison made no progress for 0 minutes and was stopped."
    assert [row.dropped for row in Result.select()] == [True]


def test_a_child_that_makes_progress_is_not_killed(
    in_child: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    history = crowd(strangers=3)
    in_child()
    messages = []
    monkeypatch.setattr(analysis_process, "CHECK_EVERY_S", 0.01)
    watch = analysis_process._wait

    def watched(process: child_process.ChildProcess, claim: claims.Claim) -> dict[str, Any]:
        answer = watch(process, claim)
        messages.extend(process.received())
        return answer

    monkeypatch.setattr(analysis_process, "_wait", watched)
    assert complete(list(history)).state == "complete"
    assert len(messages) > 5
    assert messages[:-1] == [None] * (len(messages) - 1)


@pytest.mark.parametrize("limit", ["INLINE_WALLETS", "INLINE_TRADES"])
def test_many_wallets_or_many_trades_are_compared_in_a_child(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    history = crowd(strangers=3)
    ran: list[int] = []
    monkeypatch.setattr(
        analysis_process, "run", lambda order, _: ran.append(len(order.wallets)) or build_result.build(order)
    )
    monkeypatch.setattr(compare, limit, 8 if limit == "INLINE_WALLETS" else sum(map(len, history.values())))
    complete(list(history))
    assert ran == []
    monkeypatch.setattr(compare, limit, getattr(compare, limit) - 1)
    complete(list(history))
    assert ran == [8]


def test_the_child_ends_when_its_parent_is_gone(in_child: Callable[[], None]) -> None:
    in_child()
    rng = random.Random(5)
    names = [f"wallet {n:03d}" for n in range(60)]
    for name in names:
        sync(name, trade_at_random(rng, 60))
    order = input_of(begin(names))
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.pipeline.analysis_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=servers.ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    pickle.dump((current(), order), process.stdin)
    process.stdin.close()
    assert process.wait(HANG_S) == 1
    assert b"peak_mb" not in process.stdout.read()
    process.stdout.close()
