"""What ended long ago is removed with all that is its own, and nothing else; also when somebody is killed half way."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tasks import errors, worker
from tasks.jobs import waiters
from tasks.operations import metric_store
from tasks.pipeline import start as pipeline_start
from tasks.settings import configure, current
from tasks.simulator.server import Simulator
from tasks.storage import analyses, database, results, retention
from tasks.storage.models import MODELS
from tasks.storage.models.analyses import Analysis, AnalysisIntake, AnalysisWallet
from tasks.storage.models.jobs import Job, JobAnalysis, JobEvent, ScheduleTick
from tasks.storage.models.results import Allocation, Pair, Result
from tasks.storage.models.tokens import Token
from tasks.storage.models.wallets import Movement, Wallet
from tests.conftest import both_databases
from tests.tasks.conftest import settle, start, work

pytestmark = [pytest.mark.usefixtures("reading")]
DAYS = 30
LATER_S = (DAYS + 1) * retention.DAY_S
KEPT = (Wallet, Movement, Token)


def contents() -> dict[str, list[tuple[Any, ...]]]:
    """Return the sorted rows of all tables, except unrelated ones."""
    return {
        model.__name__: sorted(model.select().tuples(), key=repr)
        for model in MODELS
        if model.__name__ not in ("Tick", "EndpointTraits", "Signing")
    }


def grow_old(analysis: Analysis, *, seconds: float = LATER_S) -> None:
    """Set back the end of an analysis and of the jobs that only it waited for."""
    Analysis.update(finished_at=Analysis.finished_at - seconds).where(Analysis.id == analysis.id).execute()
    mine = JobAnalysis.select(JobAnalysis.job_id).where(JobAnalysis.analysis_id == analysis.id)
    ids = [job_id for (job_id,) in mine.tuples()]
    Job.update(finished_at=Job.finished_at - seconds).where(Job.id.in_(ids)).execute()


@pytest.fixture
def two(chain: Simulator) -> tuple[Analysis, Analysis]:
    """Two analyses of the same wallets that are complete, the second a re-run of the first; all jobs have ended."""
    first = settle(chain.world.addresses[:3])
    again = pipeline_start.rerun(first, pipeline_start.parameters_of(first), key=pipeline_start.new_key(), owner=None)
    work()
    for (job_id,) in list(Job.select(Job.id).where(Job.finished_at.is_null()).tuples()):
        waiters.cancel(job_id)  # nobody works for the markets here
    second = Analysis.get_by_id(again.analysis.id)
    assert (first.state, second.state, second.parent_id) == ("complete", "complete", first.id)
    return first, second


def test_nothing_goes_before_its_time(two: tuple[Analysis, Analysis]) -> None:
    grow_old(two[0], seconds=(DAYS - 1) * retention.DAY_S)
    before = contents()
    assert retention.expire(DAYS) == retention.Removed(0, 0, False)
    assert contents() == before


def test_an_expired_analysis_leaves_nothing_but_tokens_wallets_and_trades(two: tuple[Analysis, Analysis]) -> None:
    first, second = two
    grow_old(first)
    kept = [sorted(model.select().tuples(), key=repr) for model in KEPT]
    pairs = list(Pair.select().where(Pair.result_id == second.result_id).tuples())
    removed = retention.expire(DAYS)
    assert (removed.analyses, removed.more) == (1, False)
    assert removed.jobs > 3
    assert [row.id for row in Analysis.select()] == [second.id]
    assert Analysis.get().parent_id is None
    for model in (AnalysisWallet, AnalysisIntake, JobAnalysis, Result):
        assert {row.analysis_id for row in model.select()} <= {second.id}, model
    for model in (Allocation, Pair):
        assert {row.result_id for row in model.select()} == {second.result_id}
    assert [sorted(model.select().tuples(), key=repr) for model in KEPT] == kept
    assert list(Pair.select().where(Pair.result_id == second.result_id).tuples()) == pairs
    left = {row.id for row in Job.select()}
    assert left == {row.job_id for row in JobAnalysis.select()}
    assert {row.job_id for row in JobEvent.select()} == left
    assert results.result(second.result_id)["wallets"] == 3


def test_all_analyses_gone_the_number_of_a_result_is_not_given_again(
    two: tuple[Analysis, Analysis], chain: Simulator
) -> None:
    last = max(row.id for row in Result.select())
    for analysis in two:
        grow_old(analysis)
    assert retention.expire(DAYS).analyses == 2
    assert Analysis.select().count() == Job.select().count() == JobEvent.select().count() == Pair.select().count() == 0
    ((left, owner, summary),) = Result.select(Result.id, Result.analysis_id, Result.summary).tuples()
    assert (left, owner, summary) == (last, 0, "{}")
    newer = settle(chain.world.addresses[:3])
    assert newer.result_id > last
    retention.expire(DAYS)
    assert {row.analysis_id for row in Result.select()} == {newer.id}


def test_a_running_analysis_never_goes(chain: Simulator) -> None:
    analysis = start(chain.world.addresses[:3])
    Analysis.update(created_at=0.0).execute()
    Job.update(enqueued_at=0.0).execute()
    assert retention.expire(DAYS) == retention.Removed(0, 0, False)
    assert Analysis.get().id == analysis.id
    work()
    assert Analysis.get().state == "complete"


def test_jobs_without_an_analysis_go_and_those_of_one_that_stays_stay(two: tuple[Analysis, Analysis]) -> None:
    first, _ = two
    mine = {row.job_id for row in JobAnalysis.select().where(JobAnalysis.analysis_id == first.id)}
    lone = sorted(mine)[0]
    JobAnalysis.delete().where(JobAnalysis.job_id == lone).execute()
    Job.update(finished_at=Job.finished_at - LATER_S).execute()
    assert retention.expire(DAYS) == retention.Removed(0, 1, False)
    left = {row.id for row in Job.select()}
    assert lone not in left
    assert mine - {lone} <= left
    assert JobEvent.select().where(JobEvent.job_id == lone).count() == 0


class Killed(BaseException):
    """Ends the work as SIGKILL would: no handler catches it, and open transactions are rolled back."""


@both_databases
def test_whoever_is_killed_between_any_two_writes_is_taken_over(
    two: tuple[Analysis, Analysis], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    grow_old(first)
    monkeypatch.setattr(retention, "PAIRS_PER_WRITE", 1)
    monkeypatch.setattr(retention, "JOBS_PER_WRITE", 2)
    begin, writes, left = database.write, 0, 0

    def write() -> Any:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return begin()

    monkeypatch.setattr(database, "write", write)
    while True:
        writes += 1
        left = writes  # each round gets a write further than the one before it
        try:
            removed = retention.expire(DAYS)
        except Killed:
            assert writes < 200, "it does not get on"
            with pytest.raises(errors.NotFound):  # as soon as anything is gone nobody finds the rest
                analyses.by_key(first.key)
            continue
        break
    assert writes > 5
    assert not removed.more
    assert [row.id for row in Analysis.select()] == [second.id]
    assert {row.job_id for row in JobEvent.select()} == {row.job_id for row in JobAnalysis.select()}
    assert {row.result_id for row in Pair.select()} == {second.result_id}


def test_what_there_is_no_time_for_is_removed_the_next_time(two: tuple[Analysis, Analysis]) -> None:
    for analysis in two:
        grow_old(analysis)
    assert retention.expire(DAYS, budget_s=-1.0) == retention.Removed(0, 0, True)
    assert Analysis.select().count() == 2
    assert retention.expire(DAYS).analyses == 2


@both_databases
def test_two_at_once_do_no_harm(two: tuple[Analysis, Analysis]) -> None:
    grow_old(two[0])
    retention._remove_analysis(two[0].id)
    retention._remove_analysis(two[0].id)
    assert [row.id for row in Analysis.select()] == [two[1].id]


def test_the_schedule_removes_what_keep_days_says_once_a_minute(
    two: tuple[Analysis, Analysis], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="walletkin.schedule")
    configure(dataclasses.replace(current(), keep_days=DAYS))
    grow_old(two[0])
    ended = Job.select().where(Job.finished_at < database.now_s() - metric_store.SETTLED_S).count()
    worker.expire()
    assert [row.id for row in Analysis.select()] == [two[1].id]
    assert sum(metric_store.totals()["jobs"].values()) == ended  # they were counted before they went
    (record,) = [one for one in caplog.records if one.message == "expired"]
    assert (record.analyses, record.jobs) == (1, ended)  # type: ignore[attr-defined]
    grow_old(two[1])
    worker.expire()  # in the same minute: somebody has done it
    if ScheduleTick.select().where(ScheduleTick.name == "expire").count() == 1:
        assert Analysis.select().count() == 1
