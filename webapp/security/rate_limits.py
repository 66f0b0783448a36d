"""How much one client may ask for: analyses an hour, changes and pages a minute. Whoever asks for more is answered 429.

A client is a browser, by the id in its signed cookie, else an address; of IPv6 the first 64 bits, which one subscriber
has whole. Cookies are had for the asking, so that all browsers of an address together are bounded too, far higher: many
people may share one. The operator is not limited, nor are files and what a load balancer asks.

The library `limits` counts: in Redis where the settings name one, for all processes together; else each process alone.
While Redis is away each counts alone too, and nobody is refused for it.
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
"""How many times as much as one browser all browsers of an address together may ask for."""
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
    """Decides what is counted, and against which limit."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._counter = RequestCounter(settings.redis_url)
        self._reads = _rule("pages a minute", RateLimitItemPerMinute, settings.reads_per_minute, CROWD)
        self._posts = _rule("changes a minute", RateLimitItemPerMinute, settings.posts_per_minute, CROWD)
        self._starts = _rule("analyses an hour", RateLimitItemPerHour, settings.analyses_per_hour, STARTING_CROWD)

    def admit(self) -> None:
        """Count the request. Raises Problem (429) when its client has asked for too much."""
        if request.endpoint in UNLIMITED or access.is_operator(self._settings):
            return
        self._refuse(self._reads if request.method in READING else self._posts, self._counter.take)
        if request.method == "POST" and request.endpoint in STARTS:
            self._refuse(self._starts, self._counter.has_room)
            g.starts = self._starts

    def count_start(self, response: Response) -> Response:
        """Count the analysis that was started; what was refused, say for a mistake in a form, does not count."""
        rule = g.pop("starts", None)
        if rule and response.status_code < 400:
            for item, who in _counted(rule):
                self._counter.take(item, who)
        return response

    def _refuse(self, rule: LimitRule | None, passes: Callable[[RateLimitItem, str], bool]) -> None:
        for item, who in _counted(rule):
            if not passes(item, who):
                wait_s = self._counter.wait_s(item, who)
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
    """Yield what a request counts against, and who for: a browser and its address, or without a cookie that alone."""
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


def _digest(who: str) -> str:
    """Return what stands for a client in the counts: nobody who reads Redis learns a cookie or an address."""
    return hashlib.sha256(who.encode()).hexdigest()[:32]


class RequestCounter:
    """Counts in Redis, else in this process."""

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

    def take(self, item: RateLimitItem, who: str) -> bool:
        """Count one for this client; False, and nothing is counted, when that would be too many."""
        return self._ask(lambda counter: counter.hit(item, who))

    def has_room(self, item: RateLimitItem, who: str) -> bool:
        """Whether one more would be let in; counts nothing."""
        return self._ask(lambda counter: counter.test(item, who))

    def wait_s(self, item: RateLimitItem, who: str) -> float:
        """Return after how many seconds one more is let in, for a client that was refused."""
        at = self._ask(lambda counter: counter.get_window_stats(item, who).reset_time)
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
