"""What a worker process loads: the handlers of all jobs, the periodic tasks, and the start-up.

Every worker runs the schedule; a tick inserts a unique (name, minute), and only the process that succeeds acts.
"""

from __future__ import annotations

import functools
import logging
import time

from huey import crontab

from tasks import settings
from tasks.enrichment import cache, handler, token_queue, triggers
from tasks.jobs import executor, queues, recovery
from tasks.operations import heartbeat, metric_store
from tasks.pipeline import compare, sync, workflow
from tasks.storage import database, retention
from tasks.storage.models.jobs import ScheduleTick

log = logging.getLogger("walletkin.schedule")

HANDLERS = (sync, compare, handler)
KEPT_MINUTES = 60


def tick(name: str, now: float | None = None) -> bool:
    """Take this minute's tick of a name; True for exactly one caller on all machines."""
    minute = int((time.time() if now is None else now) // 60)
    with database.session(), database.write():
        # Future ticks date from before the clock was set back, and must not block it until then.
        ScheduleTick.delete().where(ScheduleTick.name == name, ScheduleTick.minute > minute + 1).execute()
        won = ScheduleTick.insert(name=name, minute=minute).on_conflict_ignore().as_rowcount().execute() == 1
        if won:
            ScheduleTick.delete().where(
                ScheduleTick.name == name, ScheduleTick.minute < minute - KEPT_MINUTES
            ).execute()
    return bool(won)


def recover_pipeline() -> None:
    """Recover lost pipeline jobs and stranded analyses, and delete unreferenced results."""
    if tick("recover pipeline"):
        recovery.recover("pipeline")
        with database.session():
            workflow.repair_stranded()
            retention.delete_unreferenced()


def count() -> None:
    """Count the jobs that have ended, and delete the heartbeats of processes that are long silent."""
    if tick("count"):
        with database.session():
            metric_store.count_ended_jobs()
            heartbeat.prune()


def expire() -> None:
    """Delete what ended KEEP_DAYS ago; the next run, a minute later, continues."""
    if tick("expire"):
        with database.session():
            metric_store.count_ended_jobs()  # before they are gone
            removed = retention.expire(settings.current().keep_days)
        if removed.analyses or removed.jobs:
            log.info("expired", extra={"analyses": removed.analyses, "jobs": removed.jobs})


def recover_enrichment() -> None:
    """Recover lost enrichment jobs and tokens, and submit missing and maintenance jobs."""
    if tick("recover enrichment"):
        _recover_enrichment(settings.timing().enrichment_grace_s)
        triggers.clean_up()
        triggers.backfill_enrichment()
        triggers.maintain()


PERIODIC = {"pipeline": (recover_pipeline, count, expire), "enrichment": (recover_enrichment,)}


def start(queue: str) -> None:
    """Open the database, cache and queues, migrate, and recover what an earlier worker left behind."""
    mine = settings.current()
    database.open_database(mine)
    cache.open_cache(mine)
    queues.open_queues(mine, executor.receive)
    for task in PERIODIC[queue]:
        queues.QUEUES[queue].periodic_task(crontab(), name=task.__name__, priority=queues.TOP_PRIORITY)(task)
    database.migrate()
    heartbeat.start(queue, functools.partial(recovery.announce_silent, queue))
    if queue == "enrichment":
        with database.session():
            token_queue.reset_stage(len(mine.source_order))
        _recover_enrichment(0.0)
        triggers.maintain()
    else:
        recovery.recover(queue, grace_s=0.0)


def _recover_enrichment(grace_s: float) -> None:
    """Release the tokens that dead processes claimed, then recover the jobs that wait for them."""
    with database.session():
        token_queue.release_dead_claims()
    recovery.recover("enrichment", grace_s=grace_s)
