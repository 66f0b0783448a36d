"""Writes a picture of every page, light and dark, desktop and phone, to var/pictures: `make pictures`."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
import time
import urllib.request
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tasks.simulator.samples import sample_lists
from tasks.simulator.scenario import Scenario
from tasks.simulator.server import Simulator
from tests import servers
from tests.browser.conftest import SEED, chromium, demo_environ

TARGET = servers.ROOT / "var" / "pictures"
SIZES = {"desktop": {"width": 1440, "height": 1000}, "phone": {"width": 390, "height": 844}}


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    scenario = Scenario(seed=SEED)
    with (
        Simulator(scenario) as chain,
        tempfile.TemporaryDirectory() as folder,
        servers.program(pathlib.Path(folder), demo_environ(chain), ("web", "pipeline", "enrichment")) as running,
        sync_playwright() as playwright,
    ):
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=sandbox)
        text = sample_lists(scenario)[0].text
        lines = [line.partition(",") for line in text.splitlines()]
        wallets = [{"address": address, "label": label or None} for address, _, label in lines]
        chain.set_faults(latency_ms=400)
        waiting = post(running.url, wallets)
        take(browser, {"progress": waiting})
        chain.set_faults(latency_ms=0)
        wait(waiting)
        take(browser, {"filling": waiting})
        wait_for_tokens(waiting)
        take(browser, pages(running.url, waiting))
    print(f"{len(list(TARGET.glob('*.png')))} pictures in {TARGET}")


def post(url: str, wallets: list[dict[str, Any]]) -> str:
    body = json.dumps({"wallets": wallets, "label": "Launch cohort"}).encode()
    request = urllib.request.Request(f"{url}/analyses", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return f"{url}/analyses/{json.load(answer)['id']}"


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def wait(page: str) -> None:
    while get(f"{page}.json")["state"] != "complete":
        time.sleep(0.3)


def wait_for_tokens(page: str) -> None:
    while get(f"{page}/enrichment.json")["pending"]:
        time.sleep(0.3)


def pages(url: str, analysis: str) -> dict[str, str]:
    pair = get(f"{analysis}/pairs.json?sort=matched&limit=1")["pairs"][0]
    a, b = pair["wallet_a"], pair["wallet_b"]
    job = get(f"{url}/activity.json")["jobs"][0]["id"]
    mints = ",".join(one["mint"] for one in get(f"{analysis}.json")["summary"]["top_tokens"])
    return {
        "front": f"{url}/",
        "result": analysis,
        "pairs": f"{analysis}/pairs",
        "pairs-narrowed": f"{analysis}/pairs?sort=lift&insight=leader_and_follower",
        "pair": f"{analysis}/pairs/{a}/{b}",
        "wallet": f"{analysis}/wallets/{a}",
        "enrichment": f"{analysis}/enrichment",
        "tokens": f"{url}/tokens?mints={mints}",
        "activity": f"{url}/activity",
        "job": f"{url}/jobs/{job}",
        "error": f"{url}/analyses/none",
    }


def take(browser: Browser, addresses: dict[str, str]) -> None:
    for size, viewport in SIZES.items():
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=viewport, color_scheme=scheme, is_mobile=size == "phone")
            page = context.new_page()
            for name, address in addresses.items():
                page.goto(address)
                page.wait_for_timeout(700 if name == "progress" else 150)
                page.screenshot(path=TARGET / f"{name}-{size}-{scheme}.png", full_page=True)
            context.close()


if __name__ == "__main__":
    sys.exit(main())
