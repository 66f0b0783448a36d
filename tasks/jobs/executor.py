"""Runs a job when its message arrives: claims it, calls its handler, renews its lease, retries a failed attempt.

Modules register a handler for each kind of job with `handles`; `worker.py` imports them.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable

from peewee import InterfaceError, OperationalError

from tasks import logs
from tasks.errors import SourceError, Stalled, WalletkinError
from tasks.jobs import announce, claims, queues, waiters
from tasks.jobs.claims import Claim, LostClaim
from tasks.settings import timing
from tasks.sources.rate_limit.clock import backoff_s
from tasks.storage import database

log = logging.getLogger("walletkin.jobs")

DATABASE_AWAY = (OperationalError, InterfaceError)

# A handler does a slice of the work and finishes or requeues its claim; an exception ends the attempt.
Handler = Callable[[Claim], None]
_handlers: dict[str, Handler] = {}
_give_ups: dict[str, Callable[[Claim, str], None]] = {}

_held: dict[str, Claim] = {}
_held_lock = threading.Lock()
_renewer: threading.Thread | None = None
_last_active: float | None = None


def handles(kind: str, give_up: Callable[[Claim, str], None]) -> Callable[[Handler], Handler]:
    """Register the handler of a kind of job; `give_up` gets the claim and the reason after the last attempt."""

    def register(handler: Handler) -> Handler:
        _handlers[kind] = handler
        _give_ups[kind] = give_up
        return handler

    return register


def receive(queue: str, job_id: str) -> None:
    """Act on a message: run the job, or announce the jobs that have no message."""
    if job_id == queues.ANNOUNCE:
        with database.session():
            announce.announce_rest(queue)
        return
    run(job_id)


def run(job_id: str) -> None:
    """Run a slice of a job, unless it has ended or another worker holds it."""
    with database.session():
        claim = claims.claim_job(job_id)
        if claim is None:
            return
        _hold(claim)
        try:
            with logs.with_job(claim.job_id, claim.kind, claim.queue):
                log.debug("slice started")
                _work(claim)
        finally:
            _release(claim)


def _work(claim: Claim) -> None:
    try:
        if claim.is_poison:
            raise WalletkinError(f"Given up: its worker was lost {claim.lost_leases} times.")
        waiters.check_waiters(claim)
        _handlers[claim.kind](claim)
    except LostClaim:
        log.info("job %s (%s) was taken over or cancelled", claim.job_id, claim.kind)
    except waiters.NoWaiters:
        _finish_without_waiters(claim)
    except SourceError as error:
        _attempt_failed(claim, str(error), error.permanent, error.retry_after_s)
    except WalletkinError as error:
        _attempt_failed(claim, str(error), not isinstance(error, Stalled), None)
    except DATABASE_AWAY:
        log.warning("job %s (%s) lost its database", claim.job_id, claim.kind, exc_info=True)
        _abandon(claim)
    except Exception:
        log.exception("job %s (%s) failed unexpectedly", claim.job_id, claim.kind)
        _attempt_failed(claim, "An unexpected error; the operator's log has it.", False, None)


def _finish_without_waiters(claim: Claim) -> None:
    with contextlib.suppress(LostClaim), database.write():
        claims.finish(claim, "cancelled")


def _abandon(claim: Claim) -> None:
    """Leave a job to the next worker after a database failure: it counts as a lost lease, of which twenty are allowed.

    It does not count as an attempt; otherwise five restarts of the server would fail a sound job.
    """
    try:
        claims.abandon(claim, timing().database_back_s)
    except (*DATABASE_AWAY, LostClaim):
        log.info("job %s is recovered when its lease expires", claim.job_id)


def _attempt_failed(claim: Claim, reason: str, permanent: bool, retry_after_s: float | None) -> None:
    """Requeue the job with back-off, or give it up: after five attempts, or at once if the error is permanent."""
    log.warning("attempt failed: %s", reason)
    try:
        # Read from the row, not the claim: progress resets the count.
        failed = claims.attempts(claim.job_id)
        if permanent or failed + 1 >= claims.MOST_ATTEMPTS:
            _give_ups[claim.kind](claim, reason)
            return
        claims.requeue(claim, delay_s=retry_delay_s(failed, retry_after_s), error=reason)
    except LostClaim:
        log.info("job %s (%s) was taken over or cancelled", claim.job_id, claim.kind)


def retry_delay_s(attempts: int, retry_after_s: float | None) -> float:
    """Return the wait after a failed attempt (`attempts` failed before it): exponential with jitter, 1 to 60 s.

    Never less than the service asked for.
    """
    wait_s = backoff_s(attempts + 1, timing().retry_s, cap_s=timing().longest_retry_s, jitter=random.uniform(0.5, 1.0))
    return max(wait_s, retry_after_s or 0.0)


def idle_s() -> float | None:
    """Return the seconds since this process last held a job; None if it never did."""
    return None if _last_active is None else time.monotonic() - _last_active


def _mark_active() -> None:
    global _last_active
    _last_active = time.monotonic()


def _hold(claim: Claim) -> None:
    global _renewer
    _mark_active()
    with _held_lock:
        _held[claim.job_id] = claim
        if _renewer is None or not _renewer.is_alive():
            _renewer = threading.Thread(target=_renew_forever, name="lease renewal", daemon=True)
            _renewer.start()


def _release(claim: Claim) -> None:
    _mark_active()
    with _held_lock:
        if _held.get(claim.job_id) is claim:
            del _held[claim.job_id]


def _renew_forever() -> None:
    """Renew every lease of this process in a thread of its own, so that a long computation keeps its job."""
    pause = threading.Event()
    while not pause.wait(timing().renew_every_s):
        with _held_lock:
            held = list(_held.values())
        if not held:
            continue
        try:
            with database.session():
                claims.renew(held)
        except Exception:
            log.exception("leases could not be renewed; trying again in %s s", timing().renew_every_s)
