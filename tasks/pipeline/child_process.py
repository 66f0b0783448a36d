"""A second process beside this one, for work that would hold this one up: started, spoken to and ended in one way.

Both speak in pickles, over its standard input and output. It runs in a session of its own: what stops this process's
group lets this process finish, and must not end the work first.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class ChildProcess:
    """Python running one of our modules; it is killed at the end of the block, whatever it does then.

    `heard_at` is when it last said something, by the monotonic clock; at first, when it was started.
    """

    def __init__(self, module: str):
        self._module = module
        self._said: list[Any] = []
        self._reader = threading.Thread(target=self._listen, name=module, daemon=True)

    def __enter__(self) -> ChildProcess:
        self.process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        self.heard_at = time.monotonic()
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self._reader.join()
        self.process.wait()
        self.no_more()
        self.process.stdout.close()  # type: ignore[union-attr]  # it was asked for

    def tell(self, what: Any) -> None:
        """Hand something over. With a process that is gone it is lost, which shows when the answer is missing."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(what, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()

    def no_more(self) -> None:
        """Close its standard input: there is nothing more to come."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # type: ignore[union-attr]  # it was asked for

    def ended(self, within_s: float) -> int | None:
        """Wait for its end for so many seconds; return its exit code, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(within_s)
        return None

    def said(self) -> list[Any]:
        """Wait until it has said everything, and return that in its order."""
        self._reader.join()
        return self._said

    def _listen(self) -> None:
        """Take what it says as it comes: a full pipe would stop it."""
        assert self.process.stdout is not None
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                self._said.append(pickle.load(self.process.stdout))
                self.heard_at = time.monotonic()


def stdout_writer() -> Callable[[Any], None]:
    """Return how such a process says something; whatever else is printed goes to the standard error from now on."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(what: Any) -> None:
        pickle.dump(what, out, pickle.HIGHEST_PROTOCOL)
        out.flush()

    return say
