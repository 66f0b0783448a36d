"""The faults that the made-up services can show: what goes wrong and when. Applies none of them itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Faults:
    """All faults; the defaults are a healthy service.

    A `…_fraction` is a share of HTTP requests; a `…_next` counts down with each request that it hits. `target` is the
    service that `fail_…`, `drop_…`, `garble_…` and `hang_…` hit: all, rpc, market, dexscreener or jupiter.
    """

    latency_ms: float = 0.0
    # Added to DexScreener and Jupiter; images and the chain do not wait for it.
    market_latency_ms: float = 0.0
    # Requests a second to each market service (0: no limit); above it HTTP 429 with Retry-After.
    market_requests_per_s: float = 0.0
    target: str = "all"
    # Answered with `fail_status`.
    fail_status: int = 503
    fail_fraction: float = 0.0
    fail_next: int = 0
    # The connection closes in the middle of the response.
    drop_fraction: float = 0.0
    drop_next: int = 0
    # half: half of the response; html: a page with status 200; object: one error object.
    garble: str = "half"
    garble_fraction: float = 0.0
    garble_next: int = 0
    # The response is ready, and held back for `hang_s`.
    hang_s: float = 30.0
    hang_fraction: float = 0.0
    # The first requests for each signature get null, as from a node that lags.
    null_first: int = 0
    shuffle_batches: bool = False
    # The status of every batch (0: none is refused), and the largest batch that is not refused with 413 (0: any).
    batch_refusal: int = 0
    max_batch: int = 0
    # Address → invalid (-32602) or throttled (always 429).
    failing_addresses: dict[str, str] = field(default_factory=dict)
    unavailable_methods: tuple[str, ...] = ()
    transactions_for_address: bool = False
    # The number of each wallet's newest transactions that have not happened yet.
    hide_newest: int = 0
