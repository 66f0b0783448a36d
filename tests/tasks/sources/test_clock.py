"""Waits that can be called off (`tasks/sources/rate_limit/clock.py`)."""

from __future__ import annotations

import pytest

from tasks.sources.rate_limit.clock import Stopped
from tests.support.scripted_service import FakeClock


def test_it_waits_in_slices() -> None:
    fake = FakeClock()
    assert fake.clock.wait(1.2)
    assert fake.slept == pytest.approx([0.5, 0.5, 0.2])


def test_it_does_not_wait_for_nothing() -> None:
    fake = FakeClock()
    assert fake.clock.wait(0)
    assert fake.clock.wait(-1)
    assert fake.slept == []


def test_it_ends_when_stopped() -> None:
    fake = FakeClock()
    assert not fake.clock.wait(100, lambda: len(fake.slept) == 3)
    assert not fake.clock.wait(0, lambda: True)
    assert len(fake.slept) == 3


def test_being_stopped_is_not_a_failure_of_the_service() -> None:
    stopped = Stopped("solana")
    assert (stopped.permanent, stopped.retry_after_s) == (False, 0.0)
