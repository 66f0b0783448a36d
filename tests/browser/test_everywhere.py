"""Checks every page in every state of the catalogue: accessibility, HTML, policy, console, layout, focus, motion.

The id of a failing test names the page and state; the message names the rule and the element that breaks it.
"""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser import conformance, screenshots
from tests.browser.catalogue import PLACES, Place, Site, visit
from tests.support.waiting import HANG_S

pytestmark = pytest.mark.slow

WIDTHS = {"desktop": (2560, 1920, 1440, 1100, 1024, 768, 700, 600, 390, 360, 320), "phone": (390, 360, 320)}
SPACED = {"desktop": (1280, 768, 320), "phone": (320,)}
"""Widths checked with the spacing of WCAG 1.4.12; 320 is 1280 pixels at 400 % zoom."""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
ROUNDING = 1
REFUSED = re.compile(r"status of (400|404|422)")

Findings = dict[str, list[str]]


STOP = """() => { const one = document.activeElement;
  window.stops ??= new Set();
  if (one === document.body) return "out";
  if (window.stops.has(one)) return "again";
  window.stops.add(one); return "new"; }"""
MOST_STOPS = 60


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_page_is_as_it_should_be(page: Page, site: Site, place: Place) -> None:
    complaints = listen(page, place)
    sent = visit(page, site, place)
    found = judged(page, sent) | accessible(page) | {"sideways": cut_off(page, 1440)}
    found |= {"focus is trapped": [] if place.act else trapped(page), "console": complaints}
    assert {what: faults for what, faults in found.items() if faults} == {}


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("viewport", WIDTHS)
def test_a_page_fits_every_width(request: pytest.FixtureRequest, site: Site, place: Place, viewport: str) -> None:
    page = request.getfixturevalue("page" if viewport == "desktop" else "phone_page")
    complaints = listen(page, place)
    visit(page, site, place)
    found = {"console": complaints} | (accessible(page) if viewport == "phone" else {})
    found |= {f"at {width} px": cut_off(page, width) for width in WIDTHS[viewport]}
    page.evaluate(screenshots.SPACE_OUT)
    found |= {f"spaced out at {width} px": cut_off(page, width) for width in SPACED[viewport]}
    assert {what: faults for what, faults in found.items() if faults} == {}


def listen(page: Page, place: Place) -> list[str]:
    """Collect errors and warnings of the console; a refusal that the state is about is none."""
    complaints: list[str] = []
    refused = place.status != 200 or place.name == "front-refused"

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not (refused and REFUSED.search(message.text)):
            complaints.append(f"{message.type}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    return complaints


def trapped(page: Page) -> list[str]:
    """Press Tab through the page: no stop may hold the focus, or come again before all others."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop == "again":
            return [page.evaluate("document.activeElement.outerHTML.slice(0, 200)")]
        if stop == "out":
            break
    return []


def judged(page: Page, sent: str) -> Findings:
    """Check the HTML, as sent and as scripts left it."""
    stands = page.content()
    return {
        "html as sent": conformance.problems(sent),
        "inline as sent": conformance.inline(sent),
        "html as it stands": conformance.problems(stands),
        # The policy lets a script set a style through the object model, but not write one.
        "inline as it stands": [one for one in conformance.inline(stands) if not one.endswith("has style")],
    }


def accessible(page: Page) -> Findings:
    """Check motion, the rules of axe in light and colours in dark, and that focus shows."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    found: Findings = {"motion": page.evaluate(screenshots.MOVING), "axe, light": violations(page, AXE)}
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    found["axe, dark"] = violations(page, COLOURS)
    page.keyboard.press("Tab")  # from here on focus is the keyboard's
    return found | {"focus": page.evaluate(screenshots.UNSEEN_FOCUS)}


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    return [
        f"{broken['id']}: {node['target'][0]} {node['html'][:120]} ({_why(node)})"
        for broken in Axe().run(page, options=options).response["violations"]
        for node in broken["nodes"]
    ]


def _why(node: dict[str, Any]) -> str:
    checks = [*node["any"], *node["all"], *node["none"]]
    return "; ".join(check["message"] for check in checks)[:200]


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
def test_parts_that_htmx_asks_for_are_valid_too(site: Site, name: str, target: str, path: str, around: str) -> None:
    address = site.paths[path]
    if name == "pairs-next":
        address += f"?limit=5&after={_next(address)}"
    request = urllib.request.Request(address, headers={"HX-Request": "true", "HX-Target": target})
    with urllib.request.urlopen(request, timeout=HANG_S) as answer:
        text = answer.read().decode()
        # What a part refers to is in the page that it comes into.
        found = [one for one in conformance.problems(whole(text, around)) if not one.endswith("which is not there")]
    assert found == []
    assert conformance.inline(text) == []


def _next(address: str) -> str:
    with urllib.request.urlopen(f"{address}.json?limit=5", timeout=HANG_S) as answer:
        return str(json.load(answer)["next"])


def whole(text: str, around: str) -> str:
    """Put a part into a page, unless it is one."""
    return text if text.lstrip().lower().startswith("<!doctype") else conformance.PAGE.format(around.format(text))
