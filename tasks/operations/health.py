"""Readiness (`/readyz`): database, queues, a live worker for each queue, and progress. Reasons name no analysis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.jobs import queues
from tasks.operations import heartbeat, queue_stats
from tasks.operations.heartbeat import Process
from tasks.operations.queue_stats import QueueDepth
from tasks.settings import timing
from tasks.storage import database

log = logging.getLogger("walletkin.health")


@dataclass(slots=True)
class Health:
    """The result of the checks. `checks`: name → whether it passed, None if unknown. `oldest_waiting_s`: queue → the
    longest wait of a job, None if none waits.
    """

    checks: dict[str, bool | None]
    oldest_waiting_s: dict[str, float | None]
    reasons: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return all(self.checks.values())


def check() -> Health:
    """Run all checks; never raises."""
    health = Health({"database": None, "queue": None}, dict.fromkeys(queues.QUEUES))
    health.checks |= dict.fromkeys((*queues.QUEUES, "waiting"))
    _note(health, "queue", _queues_answer(), "The queue does not answer.")
    try:
        with database.session():
            depths, processes = queue_stats.depths(), heartbeat.processes()
    except Exception:
        log.exception("the database cannot be reached")
        _note(health, "database", False, "The database does not answer.")
        return health
    health.checks["database"] = True
    _check_workers(health, processes)
    _check_waiting(health, depths, processes)
    return health


def _note(health: Health, name: str, well: bool, reason: str) -> None:
    health.checks[name] = well
    if not well:
        health.reasons.append(reason)


def _queues_answer() -> bool:
    try:
        return all(queue.pending_count() >= 0 for queue in queues.QUEUES.values())
    except Exception:
        log.exception("the queues cannot be reached")
        return False


def _check_workers(health: Health, processes: Sequence[Process]) -> None:
    alive = {one.role for one in processes if one.is_alive}
    for name in queues.QUEUES:
        silence = f"No worker of the queue {name} is known to be running."
        _note(health, name, name in alive, silence)


def _check_waiting(health: Health, depths: Sequence[QueueDepth], processes: Sequence[Process]) -> None:
    """The newest jobs run first, so an old one may wait for long, but not while all workers are idle."""
    health.checks["waiting"] = True
    stuck_s = timing().stuck_s
    for name in queues.QUEUES:
        waits = [one.oldest_s for one in depths if one.queue == name and one.oldest_s is not None]
        oldest = health.oldest_waiting_s[name] = max(waits, default=None)
        idle = not any(one.queue == name and one.running for one in depths)
        rested = all(one.worked_s is None or one.worked_s > stuck_s for one in processes if one.role == name)
        if oldest is not None and oldest > stuck_s and idle and rested:
            _note(health, "waiting", False, f"A job of the queue {name} has waited {oldest:.0f} s, and none is done.")
