"""Permission to ask a market service (`tasks/sources/rate_limit/circuit.py`), in memory and on Redis."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator

import pytest

from tasks.sources.rate_limit.circuit import CircuitBreaker, gate_for
from tasks.sources.rate_limit.clock import Clock
from tasks.sources.rate_limit.limiter import RateLimiter, close_limiters, limiter_for
from tests.tasks.sources.scripted_service import FakeClock


@pytest.fixture
def gate(clock: FakeClock) -> CircuitBreaker:
    return gate_for("x", 5, 60, clock=clock.clock, burst=4)


def sent(
    gate: CircuitBreaker, clock: FakeClock, seconds: float, *, urgent: bool = False, step: float = 0.02
) -> list[float]:
    """Ask again and again for so long; every request succeeds at once. Returns the times of permissions."""
    start, times = clock.now(), []
    while clock.now() - start < seconds:
        if gate.take(urgent=urgent) == 0:
            times.append(clock.now() - start)
            gate.succeeded()
        clock.time += step
    return times


def test_requests_are_paced(gate: CircuitBreaker, clock: FakeClock) -> None:
    times = sent(gate, clock, 20)
    assert 99 <= len(times) <= 101
    assert min(later - earlier for earlier, later in zip(times, times[1:], strict=False)) > 0.15


def test_a_gap_is_caught_up_a_little(gate: CircuitBreaker, clock: FakeClock) -> None:
    clock.time += 0.5  # two and a half were due
    assert [gate.take() for _ in range(3)] == [0, 0, 0]
    assert gate.take() > 0
    clock.time += 100
    assert [gate.take() for _ in range(5)] == [0] * 5  # four that were due, and this one
    assert gate.take() > 0


def test_a_gate_without_credit_catches_up_nothing(clock: FakeClock) -> None:
    gate = gate_for("x", 0.5, 60, clock=clock.clock)
    clock.time += 100
    assert gate.take() == 0
    assert gate.take() == 1.0  # two seconds to go, but asking again is worth it after one


@pytest.mark.parametrize(("per_s", "most", "kept"), [(5.0, 300, 30), (0.5, 30, 3), (1.0, 60, 6)])
def test_the_last_tenth_of_a_window_is_for_the_urgent(clock: FakeClock, per_s: float, most: int, kept: int) -> None:
    gate = gate_for("x", per_s, 60, clock=clock.clock)
    assert len(sent(gate, clock, 60.5)) == most - kept
    urgent = [gate.take(urgent=True) for _ in range(kept + 1)]
    assert urgent[:kept] == [0] * kept
    assert urgent[kept] > 0


@pytest.mark.parametrize("seed", range(4))
def test_no_window_ever_holds_more_than_the_service_allows(clock: FakeClock, seed: int) -> None:
    gate = gate_for("x", 5, 60, clock=clock.clock, burst=4)
    chance = random.Random(seed)
    times: list[float] = []
    for _ in range(6000):
        if gate.take(urgent=chance.random() < 0.3) == 0:
            times.append(clock.now())
            gate.succeeded()
        clock.time += chance.choice([0, 0, 0.01, 0.1, 0.1, 0.3 * (seed % 2)])
    for start in times:
        assert sum(start <= at <= start + 60 for at in times) <= 300
    assert len(times) > 300


def test_asking_again_is_worth_it_soon(gate: CircuitBreaker, clock: FakeClock) -> None:
    gate.take()
    assert 0.02 <= gate.take() <= 1
    clock.time += 0.19
    assert gate.take() == 0.02
    gate.failed(100)
    assert gate.take(urgent=True) == 1


def test_one_failure_stops_nobody(gate: CircuitBreaker) -> None:
    assert gate.take(urgent=True) == 0
    gate.failed()
    assert [gate.take(urgent=True) for _ in range(3)] == [0, 0, 0]


def test_more_failures_close_the_gate_for_longer(gate: CircuitBreaker, clock: FakeClock) -> None:
    waits = []
    for _ in range(6):
        start = clock.now()
        while gate.take(urgent=True):
            clock.time += 0.05
        waits.append(clock.now() - start)
        gate.failed()
    assert waits == pytest.approx([0, 0, 1, 2, 4, 5], abs=0.1)
    clock.time += 6
    assert gate.take(urgent=True) == 0
    gate.succeeded()
    assert [gate.take(urgent=True) for _ in range(3)] == [0, 0, 0]


def test_chance_shortens_a_wait(clock: FakeClock) -> None:
    hasty = Clock(clock.now, clock.sleep, lambda: 0.0)
    gate = gate_for("x", 5, 60, clock=hasty)
    for _ in range(2):
        gate.take(urgent=True)
        gate.failed()
    clock.time += 0.51
    assert gate.take(urgent=True) == 0


def test_a_failing_service_is_asked_by_one_at_a_time(gate: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(3):
        assert gate.take(urgent=True) == 0
    gate.failed()
    gate.failed()
    clock.time += 2
    assert gate.take(urgent=True) > 0  # the third is still out
    gate.failed()
    clock.time += 3
    assert gate.take(urgent=True) == 0
    assert 0.02 <= gate.take(urgent=True) <= 0.2
    gate.succeeded()
    assert gate.take(urgent=True) == 0
    assert gate.take(urgent=True) == 0


def test_a_permission_that_was_not_used_keeps_no_other_away(gate: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(2):
        assert gate.take(urgent=True) == 0
        gate.failed()
    clock.sleep(10)
    assert gate.take(urgent=True) == 0
    assert gate.take(urgent=True) > 0
    gate.unused()
    assert gate.take(urgent=True) == 0


def test_a_request_that_never_reports_stops_counting(gate: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(2):
        gate.take(urgent=True)
        gate.failed()
    clock.time += 2
    assert gate.take(urgent=True) == 0
    clock.time += 29.9
    assert gate.take(urgent=True) > 0
    clock.time += 0.2
    assert gate.take(urgent=True) == 0


@pytest.mark.parametrize(
    ("retry_after_s", "throttled", "pause"),
    [(7.0, True, 7), (7.0, False, 7), (100.0, True, 30), (None, True, 1), (0.0, True, 1), (None, False, 0)],
)
def test_what_the_service_asks_for_is_kept(
    gate: CircuitBreaker, clock: FakeClock, retry_after_s: float | None, throttled: bool, pause: float
) -> None:
    gate.take(urgent=True)
    gate.failed(retry_after_s, throttled=throttled)
    assert limiter_for("x", 5, 60, clock=clock.clock).paused_s() == pause
    clock.time += pause
    assert gate.take(urgent=True) == 0


def test_refusals_that_name_no_time_double_the_pause(gate: CircuitBreaker, clock: FakeClock) -> None:
    limiter = limiter_for("x", 5, 60, clock=clock.clock)
    pauses = []
    for _ in range(7):
        gate.failed(throttled=True)
        pauses.append(limiter.paused_s())
        clock.time += 40
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    gate.succeeded()
    gate.failed(throttled=True)
    assert limiter.paused_s() == 1


def test_it_waits_until_it_may(gate: CircuitBreaker, clock: FakeClock) -> None:
    start = clock.now()
    assert all(gate.wait() for _ in range(11))
    assert clock.now() - start == pytest.approx(2, abs=0.1)
    asked = iter([False, False])
    assert not gate.wait(lambda: next(asked, True))
    assert not gate.wait(lambda: True, urgent=True)


def test_threads_share_it(clock: FakeClock) -> None:
    gate = CircuitBreaker(RateLimiter("x", 1, 60, clock=clock.clock), 1, clock=clock.clock)
    taken: list[float] = []

    def take() -> None:
        taken.extend(gate.take(urgent=True) for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(0) == 60


def test_the_process_has_one_gate_of_a_name_until_it_closes_them(clock: FakeClock) -> None:
    gate = gate_for("x", 5, 60, clock=clock.clock)
    assert gate_for("x", 5, 60, clock=clock.clock) is gate
    assert gate_for("y", 5, 60, clock=clock.clock) is not gate
    close_limiters()
    assert gate_for("x", 5, 60, clock=clock.clock) is not gate


Gates = tuple[CircuitBreaker, CircuitBreaker]


@pytest.fixture
def gates(redis_url: str, clock: FakeClock) -> Iterator[Gates]:
    """Two gates as two processes have them."""
    name = uuid.uuid4().hex
    limiters = [RateLimiter(name, 0.5, 60, redis_url, clock.clock) for _ in range(2)]
    yield CircuitBreaker(limiters[0], 0.5, clock=clock.clock), CircuitBreaker(limiters[1], 0.5, clock=clock.clock)
    for limiter in limiters:
        limiter.close()


def test_processes_share_the_window(gates: Gates) -> None:
    one, other = gates
    assert [one.take(urgent=True) for _ in range(27)] == [0] * 27
    assert other.take() == 1  # three are left for the urgent
    assert [other.take(urgent=True) for _ in range(3)] == [0] * 3
    assert one.take(urgent=True) == other.take(urgent=True) == 1


def test_processes_share_the_pace(gates: Gates, clock: FakeClock) -> None:
    one, other = gates
    assert one.take() == 0
    clock.time += 10
    assert other.take() == 1  # Redis counts on its own clock, on which two seconds have not passed
    assert other.take(urgent=True) == 0


def test_processes_share_a_pause(gates: Gates, clock: FakeClock) -> None:
    one, other = gates
    one.take(urgent=True)
    one.failed(30)
    assert other.take(urgent=True) == 1


def test_a_process_that_starts_again_finds_what_was_taken(redis_url: str, clock: FakeClock) -> None:
    name = uuid.uuid4().hex
    first = gate_for(name, 0.5, 60, redis_url, clock.clock)
    assert [first.take(urgent=True) for _ in range(30)] == [0] * 30
    close_limiters()
    assert gate_for(name, 0.5, 60, redis_url, clock.clock).take(urgent=True) == 1
