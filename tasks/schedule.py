"""What happens by the clock, and the module that a worker loads: importing it registers every handler.

Every consumer schedules; a tick inserts (name, minute) uniquely, and only the winner acts.
"""

from __future__ import annotations

import time

from huey import crontab

from tasks import analyse, lifecycle, queues, recovery, sync
from tasks.queues import SETTINGS, enrichment, pipeline
from tasks.records import database, results
from tasks.records.models import Tick

__all__ = ["enrichment", "pipeline", "start_worker", "tick"]

HANDLERS = (sync, analyse)
KEPT_MINUTES = 60

database.open_database(SETTINGS)


def tick(name: str, now: float | None = None) -> bool:
    """Take this minute's tick of a name. True for exactly one caller on all machines."""
    minute = int((time.time() if now is None else now) // 60)
    with database.session(), database.write():
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


@enrichment.periodic_task(crontab(), name="recover_enrichment", priority=queues.TOP_PRIORITY)
def recover_enrichment() -> None:
    """Put back enrichment jobs whose worker or message was lost."""
    if tick("recover enrichment"):
        recovery.recover("enrichment")


def start_worker(queue: str) -> None:
    """Migrate, and take up what an earlier worker left behind; every worker does it once, before its first job."""
    database.migrate()
    recovery.recover(queue, grace_s=0.0)
