"""Gives a target its inputs, and keeps the figures: how many, the slowest, what went wrong."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.system.fuzz.targets import Target

ROUND = 500
"""Inputs drawn in one go: Hypothesis remembers all of a go, and a long run is to be judged by its memory."""
HANG_S = 60


@dataclass
class Figures:
    """What came of the inputs of one target."""

    inputs: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    failures: list[str] = field(default_factory=list)


class Hang(BaseException):
    """An input that takes for ever; no handler of the program may catch it."""


def run(target: Target, count: int, start: int = 0) -> Figures:
    """Give a target `count` inputs; a failure ends its round, is kept with the input, and the next round begins."""
    figures = Figures()
    number = start
    while figures.inputs < count:
        _round(target, min(ROUND, count - figures.inputs), number, figures)
        number += 1
    return figures


def _round(target: Target, count: int, number: int, figures: Figures) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(made=target.inputs)
    def take(made: Any) -> None:
        begun = time.thread_time()  # of the processor: the machine may have other things to do
        try:
            with _guarded():
                target.take(made)
        finally:
            took = time.thread_time() - begun
            figures.inputs += 1
            if took > figures.slowest_s:
                figures.slowest_s, figures.slowest = took, _short(made)

    before = figures.inputs
    try:
        take()
    except (Exception, Hang):
        figures.failures.append(traceback.format_exc()[-3000:])
    figures.inputs = max(figures.inputs, before + 1)


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hang

    former = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def _short(made: Any) -> str:
    text = made if isinstance(made, str) else made.decode("latin-1") if isinstance(made, bytes) else repr(made)
    return f"{ascii(text[:60])} ({len(text):,} characters)"
