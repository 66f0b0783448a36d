"""Computes how wallets trade (`measures.behaviour`) as JSON: in this process or, for many wallets, in a second one.

`python -m tasks.pipeline.behaviour_process` is that process: it reads batches of trades from its standard input until
this closes, and writes the result of each to its standard output. It reads no database and no settings.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tasks.measures import behaviour
from tasks.pipeline.child_process import ChildProcess, stdout_writer

NAMES = [field.name for field in dataclasses.fields(behaviour.Behaviour)]


@dataclass(frozen=True, slots=True)
class BehaviourBatch:
    """The trades of some wallets: the columns of `behaviour.Trade`, wallet after wallet, and where each wallet's end.

    `holdings` and `prices_sol` have for each wallet what `behaviour.measure` takes.
    """

    columns: Sequence[Sequence[Any]]
    stops: Sequence[int]
    holdings: Sequence[dict[str, int] | None]
    prices_sol: Sequence[dict[str, float | None]]


def compute(batch: BehaviourBatch) -> list[str]:
    """Return the behaviour of every wallet of a batch as JSON."""
    trades = list(map(behaviour.Trade, *batch.columns))
    texts, start = [], 0
    for stop, holdings, prices_sol in zip(batch.stops, batch.holdings, batch.prices_sol, strict=True):
        measured = behaviour.measure(trades[start:stop], holdings, prices_sol)
        texts.append(json.dumps({name: getattr(measured, name) for name in NAMES}))
        start = stop
    return texts


class InlineWorker:
    """Computes each batch at once, in this process."""

    def __init__(self) -> None:
        self._results: list[str] = []

    def __enter__(self) -> InlineWorker:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, batch: BehaviourBatch) -> None:
        self._results += compute(batch)

    def results(self) -> list[str]:
        """Return the behaviour of all wallets, in the order in which they were submitted."""
        return self._results


class ProcessWorker:
    """Computes batches in a second process, which ends with the `with` block, or with this process."""

    def __init__(self) -> None:
        self.child = ChildProcess("tasks.pipeline.behaviour_process")
        self._submitted = 0

    def __enter__(self) -> ProcessWorker:
        self.child.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.child.__exit__(kind, error, at)

    def submit(self, batch: BehaviourBatch) -> None:
        """Send a batch; it is computed while the caller reads the next. `results` notices a process that has died."""
        self.child.send(batch)
        self._submitted += len(batch.stops)

    def results(self) -> list[str]:
        """Wait for the rest, and return the behaviour of all wallets, in the order in which they were submitted.

        Raises RuntimeError when the process died.
        """
        self.child.close_input()
        texts = [text for batch in self.child.received() for text in batch]
        if len(texts) != self._submitted:
            raise RuntimeError("The process that computes behaviour died.")
        return texts


def main() -> None:
    """Compute batches until the input closes."""
    send = stdout_writer()
    with contextlib.suppress(EOFError):
        while True:
            send(compute(pickle.load(sys.stdin.buffer)))


if __name__ == "__main__":
    # By its importable name: a pickled `behaviour_process.BehaviourBatch` is not a class of `__main__`.
    from tasks.pipeline import behaviour_process

    behaviour_process.main()
