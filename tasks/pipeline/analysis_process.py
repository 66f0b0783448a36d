"""Runs a comparison in a child process: the sparse products hold the interpreter's lock for seconds.

`python -m tasks.pipeline.analysis_process` reads settings and input from its standard input, ends at once when that
closes (the parent is gone), and writes its answer to its standard output. The parent watches the job meanwhile and
kills the child of a job that is lost or cancelled.
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
from tasks.settings import Settings, configure, timing
from tasks.storage import database
from tasks.storage.models.jobs import Job

log = logging.getLogger("walletkin.jobs")

CHECK_EVERY_S = 0.5
"""A child without a step for so long hangs: the longest step of 20,000 wallets takes about twenty seconds."""
ERRORS = {"lost_claim": claims.LostClaim, "no_waiters": waiters.NoWaiters, "foreseen": WalletkinError}
STOPPED = (-signal.SIGTERM, -signal.SIGINT)
"""A service manager may stop every process of a unit at once; that is a lost lease, not a failed attempt."""


class ChildCrashed(Exception):
    """The process ended without an answer, or with an unexpected error, which its log has."""


def run(analysis_input: AnalysisInput, settings: Settings) -> None:
    """Build a result in a child process; return when it is stored.

    Raises the child's LostClaim, NoWaiters or WalletkinError, any other error as ChildCrashed; LostClaim or NoWaiters
    also when the job is lost or cancelled meanwhile, and Stalled when the child makes no step for `child_silent_s`.
    """
    started = time.monotonic()
    with ChildProcess("tasks.pipeline.analysis_process") as child:
        child.send((settings, analysis_input))
        answer = _wait(child, analysis_input.claim)
    if "error" in answer:
        raise ERRORS.get(answer["kind"], ChildCrashed)(answer["error"])
    log.info(
        "%s wallets compared in %.1f s (%.1f s of processor time), the process's peak memory %.0f MB",
        len(analysis_input.wallets), time.monotonic() - started, answer["processor_s"], answer["peak_mb"],
    )  # fmt: skip


def _wait(child: ChildProcess, claim: claims.Claim) -> dict[str, Any]:
    """Watch the job until the child ends; return its last message. Before that it sends None at every step."""
    while (code := child.exit_code(CHECK_EVERY_S)) is None:
        _check(claim)
        if time.monotonic() - child.last_message_at > (silent_s := timing().child_silent_s):
            raise Stalled(f"The comparison made no progress for {silent_s / 60:.0f} minutes and was stopped.")
    answer = [None, *child.received()][-1]
    if code in STOPPED:
        raise claims.LostClaim("The process that compares wallets was told to stop.")
    if answer is None:
        raise ChildCrashed(f"The process that compares wallets ended with code {code}.")
    return dict(answer)


def _check(claim: claims.Claim) -> None:
    """Raise LostClaim or NoWaiters, without writing; the executor renews the lease."""
    if Job.select(Job.claim_token).where(Job.id == claim.job_id).scalar() != claim.token:
        raise claims.LostClaim(f"Job {claim.job_id} belongs to another worker.")
    waiters.check_waiters(claim)


def main() -> None:
    """Read the input, build the result, and send {"peak_mb", "processor_s"} or {"error", "kind"}."""
    send = stdout_writer()
    settings, analysis_input = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_exit_with_parent, name="parent", daemon=True).start()
    configure(settings)
    database.open_database(settings)
    gc.set_threshold(1_000_000)  # millions of rows, none of them in a cycle: collecting them again and again is waste
    send(_answer(analysis_input, lambda: send(None)))


def _exit_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through the buffer, whose lock a thread at the end may not hold
    os._exit(1)


def _answer(analysis_input: AnalysisInput, heartbeat: Callable[[], None]) -> dict[str, Any]:
    try:
        with database.session():
            build_result.build(analysis_input, heartbeat)
    except claims.LostClaim as error:
        return {"kind": "lost_claim", "error": str(error)}
    except waiters.NoWaiters as error:
        return {"kind": "no_waiters", "error": str(error)}
    except WalletkinError as error:
        return {"kind": "foreseen", "error": str(error)}
    except Exception as error:
        logging.exception("the comparison failed unexpectedly")
        return {"kind": "unexpected", "error": f"{type(error).__name__}: {str(error)[:LONGEST_MESSAGE]}"}
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"peak_mb": used.ru_maxrss / 1024, "processor_s": used.ru_utime + used.ru_stime}


if __name__ == "__main__":
    main()
