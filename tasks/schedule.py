"""What happens by the clock, and the module that a worker loads: importing it registers every handler.

Every consumer schedules; a tick inserts (name, minute) uniquely, and only the winner acts.
"""

from __future__ import annotations

import functools
import logging
import time

from huey import crontab

from tasks import analyse, enrich, lifecycle, pulse, queues, recovery, sync
from tasks.queues import SETTINGS, enrichment, pipeline
from tasks.records import counters, database, expiry, heartbeats, prices, results, wants
from tasks.records.models import Tick
from tasks.sources.limits import keep_diaries

__all__ = ["enrichment", "pipeline", "start_worker", "tick"]

log = logging.getLogger("walletkin.schedule")

HANDLERS = (sync, analyse, enrich)
KEPT_MINUTES = 60
ENRICHMENT_GRACE_S = 15.0  # its jobs are few, so that looking for their messages costs little

database.open_database(SETTINGS)
prices.open_prices(SETTINGS)


def tick(name: str, now: float | None = None) -> bool:
    """Take this minute's tick of a name. True for exactly one caller on all machines."""
    minute = int((time.time() if now is None else now) // 60)
    with database.session(), database.write():
        # Ticks still to come were taken before the clock was set back, and must not silence it until then.
        Tick.delete().where(Tick.name == name, Tick.minute > minute + 1).execute()
        won = Tick.insert(name=name, minute=minute).on_conflict_ignore().as_rowcount().execute() == 1
        if won:
            Tick.delete().where(Tick.name == name, Tick.minute < minute - KEPT_MINUTES).execute()
    return bool(won)


@pipeline.periodic_task(crontab(), name="recover_pipeline", priority=queues.TOP_PRIORITY)
def recover_pipeline() -> None:
    """Put back what was lost in the pipeline, and delete results that nobody sees any more."""
    if tick("recover pipeline"):
        recovery.recover("pipeline")
        with database.session():
            lifecycle.mend()
            results.tidy()


@pipeline.periodic_task(crontab(), name="count", priority=queues.TOP_PRIORITY)
def count() -> None:
    """Count the jobs that have ended, and forget processes that are long silent."""
    if tick("count"):
        with database.session():
            counters.count_ended_jobs()
            heartbeats.prune()


@pipeline.periodic_task(crontab(), name="expire", priority=queues.TOP_PRIORITY)
def expire() -> None:
    """Remove what ended KEEP_DAYS ago; what there is no time for now is removed a minute later."""
    if tick("expire"):
        with database.session():
            counters.count_ended_jobs()  # before they are gone
            removed = expiry.expire(SETTINGS.keep_days)
        if removed.analyses or removed.jobs:
            log.info("expired", extra={"analyses": removed.analyses, "jobs": removed.jobs})


@enrichment.periodic_task(crontab(), name="recover_enrichment", priority=queues.TOP_PRIORITY)
def recover_enrichment() -> None:
    """Put back enrichment jobs whose worker or message was lost, and ask for what nobody asks for."""
    if tick("recover enrichment"):
        recovery.recover("enrichment", grace_s=ENRICHMENT_GRACE_S)
        enrich.tidy()
        enrich.make_up()
        enrich.maintain()


def start_worker(queue: str) -> None:
    """Migrate, and take up what an earlier worker left behind; every worker does it once, before its first job."""
    keep_diaries(SETTINGS.data_dir)
    database.migrate()
    pulse.start(queue, functools.partial(recovery.announce_silent, queue))
    if queue == "enrichment":
        with database.session():
            wants.restage(len(SETTINGS.source_order))
    recovery.recover(queue, grace_s=0.0)
    if queue == "enrichment":
        enrich.maintain()
