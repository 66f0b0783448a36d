"""What stands beside the enrichment in its benchmark: the queue of the seed's sketch, built plainly.

One job for each request for a token, oldest first, four workers, one token a call: DexScreener, and Jupiter for what
it does not know. A 429 is waited out. No packing, no order, no look at what is under way already.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

import requests

WORKERS = 4


class Sketch:
    """Resolves tokens one by one. `done` holds when each request was finished (perf_counter s)."""

    def __init__(self, url: str):
        self.url = url
        self.calls = 0
        self.done: dict[tuple[str, str], float] = {}
        self._jobs: queue.Queue[tuple[str, str]] = queue.Queue()
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True).start()

    def ask_for(self, who: str, mints: Sequence[str]) -> None:
        for mint in mints:
            self._jobs.put((who, mint))

    def wait(self) -> None:
        self._jobs.join()

    def _work(self) -> None:
        session = requests.Session()
        while True:
            who, mint = self._jobs.get()
            pairs = self._get(session, f"{self.url}/tokens/v1/solana/{mint}")
            if not pairs:
                self._get(session, f"{self.url}/tokens/v2/search?query={mint}")
            self.done[who, mint] = time.perf_counter()
            self._jobs.task_done()

    def _get(self, session: requests.Session, address: str) -> object:
        while True:
            self.calls += 1
            answer = session.get(address, timeout=30)
            if answer.status_code != 429:
                return answer.json()
            time.sleep(float(answer.headers.get("Retry-After", 1)))
