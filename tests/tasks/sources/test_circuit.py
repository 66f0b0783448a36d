"""The circuit breaker of a market service (`tasks/sources/rate_limit/circuit.py`), in memory and on Redis."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator

import pytest

from tasks.sources.rate_limit.circuit import CircuitBreaker, circuit_for
from tasks.sources.rate_limit.clock import Clock
from tasks.sources.rate_limit.limiter import RateLimiter, close_limiters, limiter_for
from tests.support.scripted_service import FakeClock


@pytest.fixture
def circuit(clock: FakeClock) -> CircuitBreaker:
    return circuit_for("x", 5, 60, clock=clock.clock, burst=4)


def sent(
    circuit: CircuitBreaker, clock: FakeClock, seconds: float, *, urgent: bool = False, step: float = 0.02
) -> list[float]:
    """Take permissions for so many seconds, each request succeeding at once; return their times."""
    start, times = clock.now(), []
    while clock.now() - start < seconds:
        if circuit.try_acquire(urgent=urgent) == 0:
            times.append(clock.now() - start)
            circuit.succeeded()
        clock.time += step
    return times


def test_requests_are_paced(circuit: CircuitBreaker, clock: FakeClock) -> None:
    times = sent(circuit, clock, 20)
    assert 99 <= len(times) <= 101
    assert min(later - earlier for earlier, later in zip(times, times[1:], strict=False)) > 0.15


def test_a_gap_gives_a_small_burst(circuit: CircuitBreaker, clock: FakeClock) -> None:
    clock.time += 0.5  # two and a half were due
    assert [circuit.try_acquire() for _ in range(3)] == [0, 0, 0]
    assert circuit.try_acquire() > 0
    clock.time += 100
    assert [circuit.try_acquire() for _ in range(5)] == [0] * 5  # four that were due, and this one
    assert circuit.try_acquire() > 0


def test_without_burst_a_gap_gives_nothing(clock: FakeClock) -> None:
    circuit = circuit_for("x", 0.5, 60, clock=clock.clock)
    clock.time += 100
    assert circuit.try_acquire() == 0
    assert circuit.try_acquire() == 1.0  # two seconds to go, but asking again is worth it after one


@pytest.mark.parametrize(("per_s", "most", "reserved"), [(5.0, 300, 30), (0.5, 30, 3), (1.0, 60, 6)])
def test_the_last_tenth_of_a_window_is_reserved_for_urgent_requests(
    clock: FakeClock, per_s: float, most: int, reserved: int
) -> None:
    circuit = circuit_for("x", per_s, 60, clock=clock.clock)
    assert len(sent(circuit, clock, 60.5)) == most - reserved
    urgent = [circuit.try_acquire(urgent=True) for _ in range(reserved + 1)]
    assert urgent[:reserved] == [0] * reserved
    assert urgent[reserved] > 0


@pytest.mark.parametrize("seed", range(4))
def test_no_window_ever_holds_more_than_the_service_allows(clock: FakeClock, seed: int) -> None:
    circuit = circuit_for("x", 5, 60, clock=clock.clock, burst=4)
    chance = random.Random(seed)
    times: list[float] = []
    for _ in range(6000):
        if circuit.try_acquire(urgent=chance.random() < 0.3) == 0:
            times.append(clock.now())
            circuit.succeeded()
        clock.time += chance.choice([0, 0, 0.01, 0.1, 0.1, 0.3 * (seed % 2)])
    for start in times:
        assert sum(start <= at <= start + 60 for at in times) <= 300
    assert len(times) > 300


def test_the_suggested_wait_is_bounded(circuit: CircuitBreaker, clock: FakeClock) -> None:
    circuit.try_acquire()
    assert 0.02 <= circuit.try_acquire() <= 1
    clock.time += 0.19
    assert circuit.try_acquire() == 0.02
    circuit.failed(100)
    assert circuit.try_acquire(urgent=True) == 1


def test_one_failure_changes_nothing(circuit: CircuitBreaker) -> None:
    assert circuit.try_acquire(urgent=True) == 0
    circuit.failed()
    assert [circuit.try_acquire(urgent=True) for _ in range(3)] == [0, 0, 0]


def test_more_failures_open_the_circuit_for_longer(circuit: CircuitBreaker, clock: FakeClock) -> None:
    waits = []
    for _ in range(6):
        start = clock.now()
        while circuit.try_acquire(urgent=True):
            clock.time += 0.05
        waits.append(clock.now() - start)
        circuit.failed()
    assert waits == pytest.approx([0, 0, 1, 2, 4, 5], abs=0.1)
    clock.time += 6
    assert circuit.try_acquire(urgent=True) == 0
    circuit.succeeded()
    assert [circuit.try_acquire(urgent=True) for _ in range(3)] == [0, 0, 0]


def test_jitter_shortens_a_wait(clock: FakeClock) -> None:
    hasty = Clock(clock.now, clock.sleep, lambda: 0.0)
    circuit = circuit_for("x", 5, 60, clock=hasty)
    for _ in range(2):
        circuit.try_acquire(urgent=True)
        circuit.failed()
    clock.time += 0.51
    assert circuit.try_acquire(urgent=True) == 0


def test_a_failing_service_gets_one_request_at_a_time(circuit: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(3):
        assert circuit.try_acquire(urgent=True) == 0
    circuit.failed()
    circuit.failed()
    clock.time += 2
    assert circuit.try_acquire(urgent=True) > 0  # the third is still out
    circuit.failed()
    clock.time += 3
    assert circuit.try_acquire(urgent=True) == 0
    assert 0.02 <= circuit.try_acquire(urgent=True) <= 0.2
    circuit.succeeded()
    assert circuit.try_acquire(urgent=True) == 0
    assert circuit.try_acquire(urgent=True) == 0


def test_an_unused_permission_frees_its_slot(circuit: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(2):
        assert circuit.try_acquire(urgent=True) == 0
        circuit.failed()
    clock.sleep(10)
    assert circuit.try_acquire(urgent=True) == 0
    assert circuit.try_acquire(urgent=True) > 0
    circuit.unused()
    assert circuit.try_acquire(urgent=True) == 0


def test_a_request_that_never_reports_stops_counting(circuit: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(2):
        circuit.try_acquire(urgent=True)
        circuit.failed()
    clock.time += 2
    assert circuit.try_acquire(urgent=True) == 0
    clock.time += 29.9
    assert circuit.try_acquire(urgent=True) > 0
    clock.time += 0.2
    assert circuit.try_acquire(urgent=True) == 0


@pytest.mark.parametrize(
    ("retry_after_s", "throttled", "pause"),
    [(7.0, True, 7), (7.0, False, 7), (100.0, True, 30), (None, True, 1), (0.0, True, 1), (None, False, 0)],
)
def test_a_requested_pause_is_kept(
    circuit: CircuitBreaker, clock: FakeClock, retry_after_s: float | None, throttled: bool, pause: float
) -> None:
    circuit.try_acquire(urgent=True)
    circuit.failed(retry_after_s, throttled=throttled)
    assert limiter_for("x", 5, 60, clock=clock.clock).paused_s() == pause
    clock.time += pause
    assert circuit.try_acquire(urgent=True) == 0


def test_refusals_without_retry_after_double_the_pause(circuit: CircuitBreaker, clock: FakeClock) -> None:
    limiter = limiter_for("x", 5, 60, clock=clock.clock)
    pauses = []
    for _ in range(7):
        circuit.failed(throttled=True)
        pauses.append(limiter.paused_s())
        clock.time += 40
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    circuit.succeeded()
    circuit.failed(throttled=True)
    assert limiter.paused_s() == 1


def test_acquire_waits_for_a_permission(circuit: CircuitBreaker, clock: FakeClock) -> None:
    start = clock.now()
    assert all(circuit.acquire() for _ in range(11))
    assert clock.now() - start == pytest.approx(2, abs=0.1)
    asked = iter([False, False])
    assert not circuit.acquire(lambda: next(asked, True))
    assert not circuit.acquire(lambda: True, urgent=True)


def test_threads_share_it(clock: FakeClock) -> None:
    circuit = CircuitBreaker(RateLimiter("x", 1, 60, clock=clock.clock), 1, clock=clock.clock)
    taken: list[float] = []

    def take() -> None:
        taken.extend(circuit.try_acquire(urgent=True) for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(0) == 60


def test_the_process_has_one_circuit_per_name_until_closed(clock: FakeClock) -> None:
    circuit = circuit_for("x", 5, 60, clock=clock.clock)
    assert circuit_for("x", 5, 60, clock=clock.clock) is circuit
    assert circuit_for("y", 5, 60, clock=clock.clock) is not circuit
    close_limiters()
    assert circuit_for("x", 5, 60, clock=clock.clock) is not circuit


Circuits = tuple[CircuitBreaker, CircuitBreaker]


@pytest.fixture
def circuits(redis_url: str, clock: FakeClock) -> Iterator[Circuits]:
    """Two circuit breakers, as in two processes."""
    name = uuid.uuid4().hex
    limiters = [RateLimiter(name, 0.5, 60, redis_url, clock.clock) for _ in range(2)]
    yield CircuitBreaker(limiters[0], 0.5, clock=clock.clock), CircuitBreaker(limiters[1], 0.5, clock=clock.clock)
    for limiter in limiters:
        limiter.close()


def test_processes_share_the_window(circuits: Circuits) -> None:
    one, other = circuits
    assert [one.try_acquire(urgent=True) for _ in range(27)] == [0] * 27
    assert other.try_acquire() == 1  # three are left for the urgent
    assert [other.try_acquire(urgent=True) for _ in range(3)] == [0] * 3
    assert one.try_acquire(urgent=True) == other.try_acquire(urgent=True) == 1


def test_processes_share_the_pace(circuits: Circuits, clock: FakeClock) -> None:
    one, other = circuits
    assert one.try_acquire() == 0
    clock.time += 10
    assert other.try_acquire() == 1  # Redis counts on its own clock, on which two seconds have not passed
    assert other.try_acquire(urgent=True) == 0


def test_processes_share_a_pause(circuits: Circuits, clock: FakeClock) -> None:
    one, other = circuits
    one.try_acquire(urgent=True)
    one.failed(30)
    assert other.try_acquire(urgent=True) == 1


def test_a_restarted_process_finds_the_used_units_on_redis(redis_url: str, clock: FakeClock) -> None:
    name = uuid.uuid4().hex
    first = circuit_for(name, 0.5, 60, redis_url, clock.clock)
    assert [first.try_acquire(urgent=True) for _ in range(30)] == [0] * 30
    close_limiters()
    assert circuit_for(name, 0.5, 60, redis_url, clock.clock).try_acquire(urgent=True) == 1
