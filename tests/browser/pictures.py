"""Writes a picture of every page in every state, light and dark, desktop and phone, to var/pictures."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

from playwright.sync_api import Browser, Error, sync_playwright

from tasks.simulator.server import Simulator
from tasks.simulator.world.scenario import Scenario
from tests.browser.catalogue import PLACES, Site, build_site, visit
from tests.browser.conftest import HANG_MS, SEED, chromium, demo_environ
from tests.support import servers

TARGET = servers.ROOT / "var" / "pictures"
SIZES = {"desktop": {"width": 1440, "height": 1000}, "phone": {"width": 390, "height": 844}}


def main(names: list[str]) -> int:
    """Take the pictures of the places that are named, of all without any; return how many could not be taken."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with (
        Simulator(Scenario(seed=SEED)) as chain,
        tempfile.TemporaryDirectory() as live,
        tempfile.TemporaryDirectory() as frozen,
        servers.program(pathlib.Path(live), demo_environ(chain), ("web", "pipeline", "enrichment")) as running,
        build_site(running, chain, pathlib.Path(frozen), demo_environ(chain)) as site,
        sync_playwright() as playwright,
    ):
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=sandbox)
        failures = sum(take(browser, site, size, names) for size in SIZES)
    print(f"{len(list(TARGET.glob('*.png')))} pictures in {TARGET}, {failures} could not be taken")
    return failures


def take(browser: Browser, site: Site, size: str, names: list[str]) -> int:
    """Go through the places at one size, light and dark; return how many could not be shown."""
    failures = 0
    for place in PLACES:
        if names and place.name not in names:
            continue
        context = browser.new_context(viewport=SIZES[size], color_scheme="light", is_mobile=size == "phone")
        try:
            page = context.new_page()
            page.set_default_timeout(HANG_MS)
            visit(page, site, place)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.wait_for_timeout(200)
                page.screenshot(path=TARGET / f"{place.name}-{size}-{scheme}.png", full_page=True)
        except (AssertionError, Error) as problem:
            failures += 1
            print(f"{place.name} on {size}: {str(problem).splitlines()[0]}")
        finally:
            context.close()
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) and 1)
