"""Judges every page in every state: accessibility, HTML, policy, console, layout, focus, motion.

The catalogue says which pages and states there are. A test here that fails names the place in its id, and says which
rule which element breaks.
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser import conformance, screenshots
from tests.browser.catalogue import PLACES, Place, Stage, visit

pytestmark = pytest.mark.slow

DESKTOP, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
WIDTHS = (2560, 1920, 1440, 1100, 1024, 768, 700, 600, 390, 360, 320)
ZOOMED = 320
"""What 1280 pixels are at 400 % zoom."""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
ROUNDING = 1
REFUSED = re.compile(r"status of (400|404|422)")

Findings = dict[str, list[str]]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_place_is_as_it_should_be(browser: Browser, stage: Stage, place: Place, viewport: Any) -> None:
    with opened(browser, stage, place, viewport) as (page, sent, complaints):
        found = judged(page, sent, phone=viewport is PHONE)
        found["console"] = complaints
    assert {what: faults for what, faults in found.items() if faults} == {}


@contextlib.contextmanager
def opened(browser: Browser, stage: Stage, place: Place, viewport: Any) -> Iterator[tuple[Page, str, list[str]]]:
    """Open a place in a browser of its own; yield its page, the HTML that was sent, and what the console says."""
    context = browser.new_context(viewport=viewport, is_mobile=viewport is PHONE, has_touch=viewport is PHONE)
    try:
        page = context.new_page()
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        listen(page, complaints, refused=place.status != 200 or place.name == "front-refused")
        yield page, visit(page, stage, place), complaints
    finally:
        context.close()


def listen(page: Page, complaints: list[str], refused: bool) -> None:
    """Collect errors and warnings; that a page was refused the browser says too, and it is what was wanted."""

    def hear(message: Any) -> None:
        if message.type in ("error", "warning") and not (refused and REFUSED.search(message.text)):
            complaints.append(f"{message.type}: {message.text}")

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))


def judged(page: Page, sent: str, phone: bool) -> Findings:
    """Return what is wrong with the page that stands there, by what was looked at.

    The server sends the same to both, so that only one is asked for its HTML; widths go on where a phone ends.
    """
    found: Findings = {}
    if not phone:
        found["html as sent"] = conformance.problems(sent)
        found["inline as sent"] = conformance.inline(sent)
    stands = page.content()
    found["html as it stands"] = conformance.problems(stands)
    # A script may set a style by the object model, which the policy allows; it may write none.
    found["inline as it stands"] = [one for one in conformance.inline(stands) if not one.endswith("has style")]
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found["motion"] = page.evaluate(screenshots.MOVING)
    found["axe, light"] = violations(page, AXE)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    found["axe, dark"] = violations(page, COLOURS)
    found |= focused(page)
    return found | laid_out(page, phone)


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    return [
        f"{broken['id']}: {node['target'][0]} {node['html'][:120]} ({_why(node)})"
        for broken in Axe().run(page, options=options).response["violations"]
        for node in broken["nodes"]
    ]


def _why(node: dict[str, Any]) -> str:
    checks = [*node["any"], *node["all"], *node["none"]]
    return "; ".join(check["message"] for check in checks)[:200]


def focused(page: Page) -> Findings:
    page.keyboard.press("Tab")  # from here on focus is the keyboard's
    return {"focus": page.evaluate(screenshots.UNSEEN_FOCUS)}


def laid_out(page: Page, phone: bool) -> Findings:
    """Look at every width, also with the spacing that WCAG 1.4.12 must allow."""
    if phone:
        return {f"at {width} px": cut_off(page, width) for width in (390, 360, 320)} | spaced_out(page, 320)
    return {f"at {width} px": cut_off(page, width) for width in WIDTHS} | spaced_out(page, 1280, 768, ZOOMED)


def spaced_out(page: Page, *widths: int) -> Findings:
    page.evaluate(screenshots.SPACE_OUT)
    return {f"spaced out at {width} px": cut_off(page, width) for width in widths}


def cut_off(page: Page, width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(120)  # a phone takes a moment to lay itself out anew
    wide = page.evaluate("document.documentElement.scrollWidth")
    sideways = [f"the page is {wide} px wide"] if wide > width + ROUNDING else []
    return sideways + page.evaluate(screenshots.CUT_OFF)


# Parts that htmx puts into a page

PARTS = (
    ("pairs", "rows", "pairs", "<ol>{}</ol>"),
    ("pairs-next", "rows", "pairs", "<ol>{}</ol>"),
    ("pair", "evidence", "pair", "{}"),
    ("pair", "pair-tokens", "pair", "{}"),
    ("progress", "stage", "progress", "{}"),
    ("enrichment", "enrichment", "enrichment", "{}"),
    ("activity", "jobs", "activity", "{}"),
    ("job", "job", "job", "{}"),
    ("tokens", "tokens", "tokens", "{}"),
    ("tokens", "tokens", "filling-tokens", "{}"),
)


@pytest.mark.parametrize(
    ("name", "target", "path", "around"), PARTS, ids=lambda value: value if value[0] != "<" else ""
)
def test_parts_that_htmx_asks_for_are_valid_too(stage: Stage, name: str, target: str, path: str, around: str) -> None:
    address = stage.paths[path]
    if name == "pairs-next":
        address += f"?limit=5&after={_next(address)}"
    request = urllib.request.Request(address, headers={"HX-Request": "true", "HX-Target": target})
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
    # What a part refers to is in the page that it comes into; a title that comes along htmx gives to the page.
    elsewhere = ("which is not there", "<title>: there is more than one")
    found = [one for one in conformance.problems(whole(text, around)) if not one.endswith(elsewhere)]
    assert found == []
    assert conformance.inline(text) == []


def _next(address: str) -> str:
    with urllib.request.urlopen(f"{address}.json?limit=5") as answer:
        return str(json.load(answer)["next"])


def whole(text: str, around: str) -> str:
    """Put a part into a page, unless it is one."""
    return text if text.lstrip().lower().startswith("<!doctype") else conformance.PAGE.format(around.format(text))
