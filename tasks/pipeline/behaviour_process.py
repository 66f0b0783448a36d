"""Keeps the books of wallets: the behaviour of each as JSON, worked out here or, for many, beside in a second process.

`python -m tasks.pipeline.behaviour_process` is that process: it takes pages of trades from its standard input until this closes, and answers
each on its standard output. It reads no database and knows no settings.
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

TOLD = [field.name for field in dataclasses.fields(behaviour.Behaviour)]


@dataclass(frozen=True, slots=True)
class BehaviourBatch:
    """What some wallets did: the columns of `behaviour.Trade`, wallet after wallet, and where each wallet's end.

    `holdings` and `prices_sol` are for each wallet what `behaviour.measure` takes.
    """

    columns: Sequence[Sequence[Any]]
    stops: Sequence[int]
    holdings: Sequence[dict[str, int] | None]
    prices_sol: Sequence[dict[str, float | None]]


def tell(page: BehaviourBatch) -> list[str]:
    """Return the behaviour of every wallet of a page as JSON."""
    trades = list(map(behaviour.Trade, *page.columns))
    told, start = [], 0
    for stop, holdings, prices_sol in zip(page.stops, page.holdings, page.prices_sol, strict=True):
        found = behaviour.measure(trades[start:stop], holdings, prices_sol)
        told.append(json.dumps({name: getattr(found, name) for name in TOLD}))
        start = stop
    return told


class InlineWorker:
    """Tells each page as it comes."""

    def __init__(self) -> None:
        self._told: list[str] = []

    def __enter__(self) -> InlineWorker:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def take(self, page: BehaviourBatch) -> None:
        self._told += tell(page)

    def told(self) -> list[str]:
        """Return the behaviour of all wallets, in the order in which they came."""
        return self._told


class ProcessWorker:
    """Has pages told by a second process, which ends with the block, or with this process."""

    def __init__(self) -> None:
        self.apart = ChildProcess("tasks.pipeline.behaviour_process")
        self._taken = 0

    def __enter__(self) -> ProcessWorker:
        self.apart.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.apart.__exit__(kind, error, at)

    def take(self, page: BehaviourBatch) -> None:
        """Hand a page over; it is told while the next is read. A lost process shows when all is asked for."""
        self.apart.tell(page)
        self._taken += len(page.stops)

    def told(self) -> list[str]:
        """Wait for the rest, and return the behaviour of all wallets in the order in which they came.

        Raises RuntimeError when the process was lost.
        """
        self.apart.no_more()
        told = [text for page in self.apart.said() for text in page]
        if len(told) != self._taken:
            raise RuntimeError("The process that keeps the books was lost.")
        return told


def main() -> None:
    """Tell pages until there are no more."""
    say = stdout_writer()
    with contextlib.suppress(EOFError):
        while True:
            say(tell(pickle.load(sys.stdin.buffer)))


if __name__ == "__main__":
    # Under its own name: what was pickled as `tasks.pipeline.behaviour_process` is not `__main__`'s.
    from tasks.pipeline import behaviour_process

    behaviour_process.main()
