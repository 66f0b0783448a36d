"""The clients of the test: they start analyses, read them and ask for prices, and ask again when nobody answers."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support.waiting import HANG_S

AGAIN_S = 0.3
AWAY = "no answer"
"""How a request is counted that met a dead process."""


@dataclass
class LoadClients:
    """What was accepted (number → id of the analysis, ids of refreshing jobs), and how requests were answered."""

    url: str
    lists: list[list[str]]
    chance: random.Random
    accepted: dict[int, str] = field(default_factory=dict)
    refreshes: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _lines: threading.local = field(default_factory=threading.local)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response | None:
        """Send a request once; None when it was not answered. Anything that no reader should see is noted."""
        if not hasattr(self._lines, "session"):
            self._lines.session = requests.Session()
        try:
            answer = self._lines.session.request(method, self.url + path, timeout=HANG_S, **more)
        except requests.RequestException as error:
            self.answers[AWAY] += 1
            if isinstance(error, requests.Timeout):
                self.strange.append(f"{method} {path[:10]}: no answer within {HANG_S:.0f} s")
            return None
        self.answers[str(answer.status_code)] += 1
        if answer.status_code >= 500 and answer.status_code != 503:
            self.strange.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    def post(self, number: int) -> str:
        """Start the analysis of a list, with the same key until it is accepted; return its id."""
        body = {"wallets": [{"address": address} for address in self.lists[number]]}
        while True:
            answer = self.ask("POST", "/analyses", json=body, headers={"Idempotency-Key": f"chaos-{number}"})
            if answer is not None and answer.status_code == 202:
                return str(answer.json()["id"])
            if answer is not None and answer.status_code < 500:
                raise AssertionError(f"not accepted: {answer.status_code} {answer.text[:200]}")
            time.sleep(AGAIN_S)

    def rerun(self, key: str) -> str:
        """Run an analysis again under its own parameters, and return the id of the new one."""
        answer = self.ask("POST", f"/analyses/{key}/rerun", json={})
        assert answer is not None, "no answer"
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def get(self, path: str) -> Any:
        """Read some JSON; ask until it comes."""
        while True:
            answer = self.ask("GET", path)
            if answer is not None and answer.status_code == 200:
                return answer.json()
            if answer is not None and answer.status_code < 500:
                raise AssertionError(f"{path}: {answer.status_code}")
            time.sleep(AGAIN_S)

    def start_analyses(self, every_s: float) -> None:
        """Start one analysis after another, until it is over or there are no more lists."""
        for number in range(len(self.lists)):
            if self.over.wait(every_s if number else 0):
                return
            self.accepted[number] = self.post(number)

    def read(self) -> None:
        """Look at whatever there is."""
        while not self.over.wait(self.chance.uniform(0.02, 0.2)):
            known = list(self.accepted.values())
            page = f"/analyses/{self.chance.choice(known)}" if known else "/"
            ending = self.chance.choice(["", ".json", "/progress", "/progress.json", "/pairs", "/pairs.json"])
            self.ask("GET", page + (ending if known else ""))

    def refresh(self, every_s: float) -> None:
        """Ask for the prices of a newer analysis again."""
        while not self.over.wait(every_s):
            known = list(self.accepted.values())[-10:]
            answer = self.ask("POST", f"/analyses/{self.chance.choice(known)}/refresh", json={}) if known else None
            if answer is not None and answer.status_code == 202:
                self.refreshes.append(answer.json()["id"])

    def at_work(self, analyses_every_s: float, refreshes_every_s: float) -> list[threading.Thread]:
        """Let all of them begin; they end when `over` is set."""
        doing: list[Callable[[], None]] = [
            lambda: self.start_analyses(analyses_every_s),
            self.read,
            self.read,
            lambda: self.refresh(refreshes_every_s),
        ]
        threads = [threading.Thread(target=self._carefully, args=(do,)) for do in doing]
        for thread in threads:
            thread.start()
        return threads

    def _carefully(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as fault:  # a thread's own would be lost
            self.strange.append(f"{type(fault).__name__}: {fault}")
