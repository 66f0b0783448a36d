"""What is measured, for Prometheus; and each request counted and given an id that its answer and its log lines carry.

All numbers are of all processes together: they are read out of the database, so that any web process answers for all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tasks.jobs import priority, queues
from tasks.metrics import BEYOND, JOB_BOUNDS_S, REQUEST_BOUNDS_S
from tasks.operations import heartbeat, metric_store, queue_stats
from tasks.operations.metric_store import Totals

log = logging.getLogger("walletkin.web")

STATUSES = ("pending", "resolved", "unlisted", "failed")
TIER_NAMES = {tier: name for name, tier in priority.TIERS.items()}


def exposition() -> bytes:
    """Return everything in Prometheus's text format; this process's own last counts are written down first."""
    try:
        heartbeat.flush_metrics()
    except Exception:
        log.warning("what was counted could not be written down; it will be later")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Everything())
    return generate_latest(registry)


class _Everything(Collector):
    """All metrics, read from the database on each request."""

    def collect(self) -> Iterable[Metric]:
        totals = metric_store.totals()
        yield _histogram(
            "walletkin_request_seconds", "Requests answered, and how long each took.",
            ("method", "endpoint", "status"), totals, "requests", REQUEST_BOUNDS_S,
        )  # fmt: skip
        yield _counter(
            "walletkin_requests_refused", "Requests for which there was no place.", (), totals.get("refused", {(): 0.0})
        )
        yield _counter("walletkin_jobs", "Jobs that ended.", ("kind", "outcome"), totals.get("jobs", {}))
        yield _histogram(
            "walletkin_job_seconds", "From the beginning of a job to its end.", ("kind",), totals, "job_seconds",
            JOB_BOUNDS_S,
        )  # fmt: skip
        calls = totals.get("source_calls", {})
        yield _counter("walletkin_source_calls", "Requests to outside services.", ("source", "outcome"), calls)
        yield from _queue_gauges()
        yield from _other_gauges()


def _counter(name: str, text: str, labels: Sequence[str], rows: Mapping[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key in sorted(rows):
        if len(key) == len(labels):
            family.add_metric(key, rows[key])
    return family


def _histogram(
    name: str, text: str, labels: Sequence[str], totals: Totals, counted: str, bounds: Sequence[float]
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    buckets, sums = totals.get(counted, {}), totals.get(f"{counted}_sum", {})
    for key in sorted(sums):
        family.add_metric(key, buckets=list(_cumulative(buckets, key, bounds)), sum_value=sums[key])
    return family


def _cumulative(
    buckets: Mapping[tuple[str, ...], float], key: tuple[str, ...], bounds: Sequence[float]
) -> Iterator[tuple[str, float]]:
    """Return (bound, how many were at or below it), as Prometheus wants them; the rows hold each bucket alone."""
    so_far = 0.0
    for bound in (*map(repr, bounds), BEYOND):
        so_far += buckets.get((*key, bound), 0.0)
        yield bound, so_far


def _queue_gauges() -> Iterator[Metric]:
    jobs = GaugeMetricFamily("walletkin_queue_jobs", "Jobs that have not ended.", labels=("queue", "tier", "state"))
    oldest = GaugeMetricFamily(
        "walletkin_queue_oldest_seconds", "For how long the job that waits longest has waited; 0 when none does.",
        labels=("queue", "tier"),
    )  # fmt: skip
    found = {(one.queue, one.tier): one for one in queue_stats.depths()}
    for queue in queues.QUEUES:
        for tier, name in TIER_NAMES.items():
            depth = found.get((queue, tier))
            for state in ("running", "waiting", "put_off"):
                jobs.add_metric((queue, name, state), getattr(depth, state) if depth else 0)
            oldest.add_metric((queue, name), depth.oldest_s or 0.0 if depth else 0.0)
    yield jobs
    yield oldest


def _other_gauges() -> Iterator[Metric]:
    processes = GaugeMetricFamily("walletkin_processes", "Processes heard of within 45 s.", labels=("role",))
    alive = [one.role for one in heartbeat.processes() if one.is_alive]
    for role in ("web", *queues.QUEUES):
        processes.add_metric((role,), alive.count(role))
    tokens = GaugeMetricFamily("walletkin_tokens", "Tokens of the registry.", labels=("status",))
    found = queue_stats.token_counts()
    for status in STATUSES:
        tokens.add_metric((status,), found.get(status, 0))
    yield processes
    yield tokens
    yield GaugeMetricFamily("walletkin_database_bytes", "Size of the database.", value=queue_stats.database_bytes())
