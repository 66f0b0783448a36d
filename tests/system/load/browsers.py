"""Browsers that hold pages open: they poll as the pages' attributes say, look at other pages, and never wait in line.

A request is due at a fixed time, whether or not the one before was answered; what it waited counts from then on.
"""

from __future__ import annotations

import asyncio
import html
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

POLL_S, LOOK_S = 2.0, 15.0
SHOWN = re.compile(r'name="shown" value="(\w+)"')
NEWER = re.compile(r'id="newer"[^>]*hx-get="([^"]+)"')
TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass
class Waits:
    """How long answers took, in seconds, by kind of request; and what came instead of an answer."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"poll": [], "page": []})
    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def percentile(self, kind: str, share: float) -> float:
        """In milliseconds."""
        return float(np.percentile(self.seconds[kind], share)) * 1000

    def told(self, kind: str) -> str:
        places = ", ".join(f"p{share} {self.percentile(kind, share):.0f} ms" for share in (50, 95, 99))
        return f"{len(self.seconds[kind]):,} {kind}s: {places}, longest {self.percentile(kind, 100):.0f} ms"


async def browse(url: str, keys: list[str], count: int, seconds: float, chance: random.Random) -> Waits:
    """Let so many browsers hold two of these analyses open each; return what they waited."""
    waits = Waits()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, timeout=TIMEOUT) as session:
        end = time.monotonic() + seconds
        people = [_person(session, waits, chance.sample(keys, 2), end, chance) for _ in range(count)]
        await asyncio.gather(*people)
    return waits


async def _person(
    session: aiohttp.ClientSession, waits: Waits, keys: list[str], end: float, chance: random.Random
) -> None:
    tabs = [Tab(session, waits, f"/analyses/{key}") for key in keys]
    pages = [f"/analyses/{key}{tail}" for key in keys for tail in ("", "/pairs", ".json")] + ["/"]
    await asyncio.gather(
        *(repeat(tab.poll, POLL_S, end, chance) for tab in tabs),
        repeat(lambda due: ask(session, waits, "page", chance.choice(pages), due), LOOK_S, end, chance),
    )


async def repeat(do: Callable[[float], Awaitable[Any]], every_s: float, end: float, chance: random.Random) -> None:
    """Do something again and again, from a moment of its own on, each time when it is due."""
    due, doing = time.monotonic() + chance.uniform(0, every_s), set[asyncio.Task[Any]]()
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.ensure_future(do(due))
        doing.add(task)
        task.add_done_callback(doing.discard)
        due += every_s
    if doing:
        await asyncio.gather(*doing)


class Tab:
    """An analysis that is open: it polls as htmx does, says which result it shows, and loads a newer one."""

    def __init__(self, session: aiohttp.ClientSession, waits: Waits, page: str):
        self._session, self._waits, self._page = session, waits, page
        self._shown, self._over = "none", False

    async def poll(self, due: float) -> None:
        if self._over:
            return
        headers = {"HX-Request": "true", "HX-Target": "progress", "HX-Current-URL": f"http://localhost{self._page}"}
        path = f"{self._page}/progress?shown={self._shown}"
        status, text = await ask(self._session, self._waits, "poll", path, due, headers)
        self._over = status == 286
        self._shown = shown[1] if (shown := SHOWN.search(text)) else self._shown
        if newer := NEWER.search(text):
            headers |= {"HX-Target": "newer"}
            await ask(self._session, self._waits, "page", html.unescape(newer[1]), time.monotonic(), headers)


async def ask(
    session: aiohttp.ClientSession, waits: Waits, kind: str, path: str, due: float,
    headers: dict[str, str] | None = None,
) -> tuple[int, str]:  # fmt: skip
    """Send one request, note when its last byte had come, and return status and body; (0, "") without an answer."""
    try:
        async with session.get(path, headers=headers) as answer:
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        waits.errors[type(error).__name__] += 1
        return 0, ""
    waits.answers[str(answer.status)] += 1
    waits.seconds[kind].append(time.monotonic() - due)
    if answer.status == 503 and "Retry-After" not in answer.headers:
        waits.errors["503 without Retry-After"] += 1
    return answer.status, text


async def storm(url: str, keys: list[str], count: int, seconds: float) -> Waits:
    """Let so many ask for whole pages as fast as they are answered: more than can be done."""
    waits = Waits()
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0), timeout=TIMEOUT) as session:
        end = time.monotonic() + seconds

        async def hammer(number: int) -> None:
            while time.monotonic() < end:
                await ask(session, waits, "page", f"/analyses/{keys[number % len(keys)]}", time.monotonic())

        await asyncio.gather(*(hammer(number) for number in range(count)))
    return waits
