"""Limits per client: analyses an hour, changes and pages a minute; above them 429.

A client is a browser, by the id in its signed cookie, otherwise an address (of IPv6 the first 64 bits, which belong to
one subscriber). Cookies are free, so all browsers of an address share a far higher limit. Not limited: the operator,
static files and probes of a load balancer.

The library `limits` counts, in Redis for all processes together, otherwise in each process. While Redis is away each
process counts alone, and no request is refused for that.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, Response, g, request
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasks.settings import Settings, timing
from tasks.sources.rate_limit.redis_guard import RedisGuard
from webapp.errors import Problem
from webapp.markup.filters import duration
from webapp.security import access

log = logging.getLogger("walletkin.web")
T = TypeVar("T")

UNLIMITED = ("static", "vendor_htmx", "favicon", "operations.healthz", "operations.readyz")
STARTS = ("analyses.create", "analyses.rerun", "analyses.retry_all", "wallets.retry")
READING = ("GET", "HEAD", "OPTIONS")
CROWD, STARTING_CROWD = 50, 10
"""How many times the limit of one browser applies to all browsers of an address together."""
REDIS_TIMEOUT_S = 1.0
TOO_MANY = "The limit of {:,} {} was reached. Try again in {}."


@dataclass(frozen=True)
class LimitRule:
    """A limit for one client and the one for all browsers of an address; `what` names what is counted."""

    what: str
    own: RateLimitItem
    crowd: RateLimitItem


def register(app: Flask, settings: Settings) -> None:
    """Count the requests of each client, and refuse those over its limits."""
    limits = Limits(settings)
    app.before_request(limits.admit)
    app.after_request(limits.count_start)


class Limits:
    """Applies the limits to requests."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._counter = RequestCounter(settings.redis_url)
        self._reads = _rule("pages a minute", RateLimitItemPerMinute, settings.reads_per_minute, CROWD)
        self._posts = _rule("changes a minute", RateLimitItemPerMinute, settings.posts_per_minute, CROWD)
        self._starts = _rule("analyses an hour", RateLimitItemPerHour, settings.analyses_per_hour, STARTING_CROWD)

    def admit(self) -> None:
        """Count the request. Raises Problem (429) when the client is over its limits."""
        if request.endpoint in UNLIMITED or access.is_operator(self._settings):
            return
        self._refuse(self._reads if request.method in READING else self._posts, self._counter.hit)
        if request.method == "POST" and request.endpoint in STARTS:
            self._refuse(self._starts, self._counter.has_room)
            g.starts = self._starts

    def count_start(self, response: Response) -> Response:
        """Count a started analysis; a refused request, such as an invalid form, does not count."""
        rule = g.pop("starts", None)
        if rule and response.status_code < 400:
            for item, client in _counted(rule):
                self._counter.hit(item, client)
        return response

    def _refuse(self, rule: LimitRule | None, passes: Callable[[RateLimitItem, str], bool]) -> None:
        for item, client in _counted(rule):
            if not passes(item, client):
                wait_s = self._counter.wait_s(item, client)
                message = TOO_MANY.format(item.amount, rule.what if rule else "", duration(wait_s))
                raise Problem(429, "too_many_requests", message, retry_after_s=wait_s)


def _rule(what: str, period: type[RateLimitItem], amount: int, crowd: int) -> LimitRule | None:
    """Return a rule, None where the setting is 0: no limit."""
    return (
        LimitRule(what, period(amount, namespace=what), period(amount * crowd, namespace=f"{what} crowd"))
        if amount
        else None
    )


def _counted(rule: LimitRule | None) -> Iterator[tuple[RateLimitItem, str]]:
    """Yield what a request counts against, and for which client: browser and address, without a cookie the address."""
    if rule is None:
        return
    browser, network = access.browser_id(), _network(request.remote_addr or "")
    yield rule.own, _digest(browser or network)
    if browser:
        yield rule.crowd, _digest(network)


def _network(address: str) -> str:
    """Return what one subscriber has of addresses: an IPv4 address, the first 64 bits of one of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((found.packed[:8] + bytes(8), 64)))


def _digest(client: str) -> str:
    """Return the name of a client in the counts: Redis holds no cookie and no address."""
    return hashlib.sha256(client.encode()).hexdigest()[:32]


class RequestCounter:
    """Counts in Redis, otherwise in this process."""

    def __init__(self, redis_url: str | None):
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = SlidingWindowCounterRateLimiter(_redis(redis_url)) if redis_url else None
        self._guard = RedisGuard(
            log,
            StorageError,
            away_s=timing().counter_away_s,
            without="each process counts the requests of its clients alone",
            again="the requests of clients are counted together again",
        )

    def hit(self, item: RateLimitItem, client: str) -> bool:
        """Count one for this client; False, and nothing is counted, when that would be too many."""
        return self._ask(lambda counter: counter.hit(item, client))

    def has_room(self, item: RateLimitItem, client: str) -> bool:
        """Whether one more would be let in; counts nothing."""
        return self._ask(lambda counter: counter.test(item, client))

    def wait_s(self, item: RateLimitItem, client: str) -> float:
        """Return after how many seconds one more is let in, for a client that was refused."""
        at = self._ask(lambda counter: counter.get_window_stats(item, client).reset_time)
        # A window that has just ended still counts whole; what one request takes of it goes in this time.
        return max(1.0, at - time.time()) + item.get_expiry() / item.amount

    def _ask(self, question: Callable[[SlidingWindowCounterRateLimiter], T]) -> T:
        """Ask Redis; where there is none, and while it is away, the counts of this process."""
        shared = self._shared
        answer = None if shared is None else self._guard.call(lambda: question(shared))
        return question(self._alone) if answer is None else answer


def _redis(url: str) -> RedisStorage:
    """Connect to nothing yet; one try with a short wait, for every request would wait so long."""
    # The options are those of redis-py, of which the types of `limits` know the plain ones only.
    options: dict[str, Any] = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
    options["retry"] = Retry(NoBackoff(), 0)
    return RedisStorage(url, key_prefix="walletkin", wrap_exceptions=True, **options)
