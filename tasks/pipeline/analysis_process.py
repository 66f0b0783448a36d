"""Runs the analysis stage in a process of its own: the sparse products hold the interpreter's lock for seconds.

`python -m tasks.pipeline.analysis_process` takes settings and order from its standard input, ends at once when that closes (its parent is
gone), and answers on its standard output. The parent watches the job meanwhile, and kills what nobody wants any more.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tasks.errors import LONGEST_MESSAGE, Stalled, WalletkinError
from tasks.jobs import claims, waiters
from tasks.pipeline import build_result
from tasks.pipeline.analysis_input import AnalysisInput
from tasks.pipeline.child_process import ChildProcess, stdout_writer
from tasks.settings import Settings, configure
from tasks.storage import database
from tasks.storage.models.jobs import Job

log = logging.getLogger("walletkin.jobs")

LOOK_EVERY_S = 0.5
SILENT_S = 600.0
"""A child that takes no step for so long hangs: the longest step of 20,000 wallets takes some twenty seconds."""
RAISED = {"lost": claims.LostClaim, "unwanted": waiters.NoWaiters, "foreseen": WalletkinError}
STOPPED = (-signal.SIGTERM, -signal.SIGINT)
"""A service manager may stop every process of a unit at once; that is a lost lease, and no attempt."""


class ChildCrashed(Exception):
    """The process ended without an answer, or with an error that nobody foresaw; its log has it."""


def run(order: AnalysisInput, settings: Settings) -> None:
    """Compute an order in a child process, until it is done or the job is cancelled or another's.

    Raises what the child raised, as far as it is an error of ours; anything else as `Broken`. A child that says nothing
    for `SILENT_S` is ended, and that is `Stalled`.
    """
    started = time.monotonic()
    with ChildProcess("tasks.pipeline.analysis_process") as process:
        process.tell((settings, order))
        answer = _wait(process, order.claim)
    if "error" in answer:
        raise RAISED.get(answer["kind"], ChildCrashed)(answer["error"])
    log.info(
        "%s wallets compared in %.1f s (%.1f s of processor time), the process's peak memory %.0f MB",
        len(order.read), time.monotonic() - started, answer["processor_s"], answer["peak_mb"],
    )  # fmt: skip


def _wait(process: ChildProcess, claim: claims.Claim) -> dict[str, Any]:
    """Look after the job until there is an answer; before it the child says None with every step that it makes."""
    while (code := process.ended(LOOK_EVERY_S)) is None:
        _check(claim)
        if time.monotonic() - process.heard_at > SILENT_S:
            raise Stalled(f"The comparison made no progress for {SILENT_S / 60:.0f} minutes and was stopped.")
    answer = [None, *process.said()][-1]
    if code in STOPPED:
        raise claims.LostClaim("The process that compares wallets was told to stop.")
    if answer is None:
        raise ChildCrashed(f"The process that compares wallets ended with code {code}.")
    return dict(answer)


def _check(claim: claims.Claim) -> None:
    """Raise LostClaim or Unwanted without writing; the lease is renewed elsewhere."""
    if Job.select(Job.claim_token).where(Job.id == claim.job_id).scalar() != claim.token:
        raise claims.LostClaim(f"Job {claim.job_id} is no longer ours.")
    waiters.check_waiters(claim)


def main() -> None:
    """Take an order, compute it, and answer {"peak_mb", "processor_s"} or {"error", "kind"}."""
    say = stdout_writer()
    settings, order = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    configure(settings)
    database.open_database(settings)
    gc.set_threshold(1_000_000)  # it would look through millions of rows again and again, none of them in a circle
    say(_answer(order, lambda: say(None)))


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through the buffer, whose lock a thread at the end may not hold
    os._exit(1)


def _answer(order: AnalysisInput, alive: Callable[[], None]) -> dict[str, Any]:
    try:
        with database.session():
            build_result.compute(order, alive)
    except claims.LostClaim as error:
        return {"kind": "lost", "error": str(error)}
    except waiters.NoWaiters as error:
        return {"kind": "unwanted", "error": str(error)}
    except WalletkinError as error:
        return {"kind": "foreseen", "error": str(error)}
    except Exception as error:
        logging.exception("the comparison failed unexpectedly")
        return {"kind": "unexpected", "error": f"{type(error).__name__}: {str(error)[:LONGEST_MESSAGE]}"}
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"peak_mb": used.ru_maxrss / 1024, "processor_s": used.ru_utime + used.ru_stime}


if __name__ == "__main__":
    main()
