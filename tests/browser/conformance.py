"""Checks HTML by the HTML standard, without Java and without a browser.

justhtml, a parser that follows the standard, reports errors in the text. The rules here cover what neither it nor axe
nor djlint reports: ids, references to ids, misplaced controls and blocks, misspelt attributes. (The Nu checker needs
Java; html5lib is of 2020.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from justhtml import JustHTML

PAGE = '<!doctype html><html lang="en-GB"><head><title>Part of a page</title></head><body>{}</body></html>'


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


REFERENCES = words(
    "for form list popovertarget headers aria-labelledby aria-describedby aria-controls aria-owns aria-details "
    "aria-errormessage aria-activedescendant"
)
"""Attributes that name ids, some of them several, separated by spaces."""
TEXT_ONLY = words("p h1 h2 h3 h4 pre em strong small abbr data time code b i mark span label button output")
BLOCKS = words("article section nav header footer main h1 h2 h3 h4 p ol ul li dl dt dd figure div table form details")
CONTROLS = words("button input select textarea label summary")
ATTRIBUTES = words(
    "id class role title lang hidden tabindex style inert popover autofocus open name value type href rel target "
    "download src alt width height loading decoding referrerpolicy srcset sizes charset content media async defer "
    "method action enctype novalidate autocomplete disabled checked selected required readonly placeholder pattern "
    "min max minlength maxlength step size multiple accept rows cols wrap for form formaction formmethod list "
    "label low high optimum datetime scope colspan rowspan headers start reversed spellcheck inputmode as "
    "enterkeyhint autocapitalize popovertarget popovertargetaction http-equiv dirname formnovalidate crossorigin"
)


def problems(text: str) -> list[str]:
    """Return what is wrong with a whole page, one sentence each, which names the element; empty if nothing is."""
    document = JustHTML(text, sanitize=False, collect_errors=True, scripting_enabled=False)
    found = [f"line {error.line}: {error.code}" for error in document.errors]
    nodes = list(elements(document.root))
    ids = Counter(node.attrs["id"] for node in nodes if "id" in node.attrs)
    found += [f"id {name!r} is given {count} times" for name, count in ids.items() if count > 1]
    for node in nodes:
        found += [f"{tag(node)}: {fault}" for fault in (*dangling(node, ids), *misplaced(node), *misspelt(node))]
    return found


def inline(text: str) -> list[str]:
    """Return the scripts, styles and handlers written in the HTML, which the security policy forbids."""
    found = []
    for node in elements(JustHTML(text, sanitize=False, scripting_enabled=False).root):
        if node.name == "style" or (node.name == "script" and (not node.attrs.get("src") or node.to_text().strip())):
            found.append(f"{tag(node)} in the page")
        for name, value in node.attrs.items():
            plain = name.lower()
            if plain == "style" or plain.startswith(("on", "hx-on")) or str(value).lstrip().startswith("javascript:"):
                found.append(f"{tag(node)} has {name}")
    return found


def elements(node: Any) -> Iterator[Any]:
    """Yield the elements below a node in document order, also those inside a template."""
    content = getattr(node, "template_content", None)
    for child in [*(getattr(node, "children", None) or []), *(content.children if content is not None else [])]:
        if child.name and child.name[0] not in "#!":
            yield child
        yield from elements(child)


def tag(node: Any) -> str:
    """Return the start tag, shortened."""
    shown = "".join(f' {name}="{str(value)[:40]}"' for name, value in list(node.attrs.items())[:3])
    return f"<{node.name}{shown}>"


def is_svg(node: Any) -> bool:
    return str(node.namespace or "html") not in ("html", "None")


def above(node: Any) -> Iterator[Any]:
    while (node := node.parent) is not None:
        yield node


def dangling(node: Any, ids: Counter[str]) -> Iterator[str]:
    """References to ids that are not on the page."""
    for name in REFERENCES:
        for one in str(node.attrs.get(name) or "").split():
            if one not in ids:
                yield f"{name} names {one!r}, which is not there"
    target = str(node.attrs.get("href") or "")
    if target.startswith("#") and len(target) > 1 and target[1:] not in ids:
        yield f"href leads to {target!r}, which is not there"


def misplaced(node: Any) -> Iterator[str]:
    """Controls inside controls, blocks inside text, and a `details` that does not begin with its summary."""
    if is_svg(node):
        return
    parents = [one.name for one in above(node)]
    control = node.name in CONTROLS or (node.name == "a" and "href" in node.attrs)
    if control and {"a", "button", "summary"} & set(parents):
        yield "is a control inside a control"
    holder = next((name for name in parents if name not in ("a", "noscript")), "")
    if node.name in BLOCKS and holder in TEXT_ONLY:
        yield f"is a block inside <{holder}>, which holds text only"
    if node.name == "details" and next((one.name for one in elements(node)), "") != "summary":
        yield "does not begin with its summary"


def misspelt(node: Any) -> Iterator[str]:
    """Attributes that no element has; `hx-…` are htmx's, and axe knows those of ARIA."""
    if not is_svg(node):
        for name in set(node.attrs) - ATTRIBUTES:
            if not name.startswith(("data-", "hx-", "aria-")):
                yield f"no attribute {name}"
