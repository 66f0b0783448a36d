"""Judges HTML by the HTML standard, without Java and without a browser.

justhtml, a parser that follows the standard to the letter, reports what is wrong in the text; the rules here judge
the tree: which element may be where, with which attributes, and whether every id that is referred to is there. `hx-…`
is allowed on every element: htmx's own attributes are the one thing that we use beyond the standard.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from justhtml import JustHTML

from tests.browser import html_tables

PAGE = '<!doctype html><html lang="en-GB"><head><title>Part of a page</title></head><body>{}</body></html>'
TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:?\d\d)?)?|P.+|\d\d:\d\d(:\d\d)?")
NAME_START = re.compile(r"[a-z_]", re.IGNORECASE)


def problems(text: str) -> list[str]:
    """Return what is wrong with a whole page, each in one sentence that names the element; empty when nothing is."""
    document = JustHTML(text, sanitize=False, collect_errors=True, scripting_enabled=False)
    found = [f"line {error.line}: {error.code}" for error in document.errors]
    nodes = list(elements(document.root))
    ids = Counter(node.attrs["id"] for node in nodes if "id" in node.attrs)
    found += [f"id {name!r} is given {count} times" for name, count in ids.items() if count > 1]
    for node in nodes:
        found += [f"{described(node)}: {fault}" for rule in RULES for fault in rule(node)]
        found += [f"{described(node)}: {fault}" for fault in dangling(node, ids)]
    return found


def inline(text: str) -> list[str]:
    """Return every script, style and handler that stands in the HTML itself, which our security policy forbids."""
    found = []
    for node in elements(JustHTML(text, sanitize=False, scripting_enabled=False).root):
        if node.name == "style" or (node.name == "script" and (not node.attrs.get("src") or node.to_text().strip())):
            found.append(f"{described(node)} in the page")
        for name, value in node.attrs.items():
            plain = name.lower()
            if plain == "style" or plain.startswith(("on", "hx-on")) or str(value).lstrip().startswith("javascript:"):
                found.append(f"{described(node)} has {name}")
    return found


def elements(node: Any) -> Iterator[Any]:
    """Yield the elements below a node, in the order of the text; also those inside a template."""
    for child in [*(getattr(node, "children", None) or []), *_inside(node)]:
        if is_element(child):
            yield child
        yield from elements(child)


def _inside(node: Any) -> list[Any]:
    content = getattr(node, "template_content", None)
    return list(content.children) if content is not None else []


def is_element(node: Any) -> bool:
    return bool(node.name) and node.name[0] not in "#!"


def described(node: Any) -> str:
    """Return the start tag, shortened, so that one can find it."""
    shown = "".join(f' {name}="{str(value)[:40]}"' for name, value in list(node.attrs.items())[:3])
    return f"<{node.name}{shown}>"


def is_svg(node: Any) -> bool:
    return str(node.namespace or "html") not in ("html", "None")


def ancestors(node: Any) -> Iterator[Any]:
    while (node := node.parent) is not None:
        yield node


def children(node: Any) -> list[Any]:
    return [child for child in node.children or [] if is_element(child)]


# The rules: each takes an element and yields what is wrong with it.


def known(node: Any) -> Iterator[str]:
    """The element exists, and so does each of its attributes."""
    if is_svg(node):
        if node.name not in html_tables.SVG:
            yield "no such element in SVG"
        return
    if node.name not in html_tables.ATTRIBUTES:
        yield "no such element"
        return
    allowed = html_tables.GLOBAL | html_tables.ATTRIBUTES[node.name]
    for name in node.attrs:
        if name.startswith(("data-", "hx-")) or (name.startswith("aria-") and name[5:] in html_tables.ARIA):
            continue
        if name not in allowed:
            yield f"no attribute {name}"


def complete(node: Any) -> Iterator[str]:
    """What must be there is there, and what is empty may be empty."""
    for name in sorted(html_tables.REQUIRED.get(node.name, set()) - set(node.attrs)):
        yield f"lacks {name}"
    if node.name in ("title", "h1", "h2", "h3", "h4") and not is_svg(node) and not node.to_text().strip():
        yield "is empty"
    if node.name == "details" and not any(child.name == "summary" for child in children(node)):
        yield "has no summary"
    if node.name == "dl":
        yield from _groups(node)


def _groups(node: Any) -> Iterator[str]:
    """Each term has its definition, inside of a div too."""
    for group in [node, *(child for child in children(node) if child.name == "div")]:
        names = [child.name for child in children(group) if child.name not in html_tables.ANYWHERE]
        if group is not node and set(names) - {"dt", "dd"}:
            yield f"a group holds {sorted(set(names) - {'dt', 'dd'})}"
        terms = [name for name in names if name in ("dt", "dd")]
        if terms and (terms[0] != "dt" or terms[-1] != "dd"):
            yield f"a group does not go from term to definition: {terms}"
        if group is node and terms and len(terms) != len(names):
            yield "mixes groups in a div with groups without"


def valued(node: Any) -> Iterator[str]:
    """Attributes have values that their element knows."""
    for name, value in node.attrs.items():
        words = html_tables.WORDS.get((node.name, name)) or html_tables.WORDS.get(("*", name))
        if words is not None and (value or "").lower() not in words:
            yield f"{name} cannot be {value!r}"
        if name in html_tables.NUMBERS and not is_svg(node) and not str(value).isdigit():
            yield f"{name} is no number: {value!r}"
        if name == "tabindex" and str(value) not in ("0", "-1"):
            yield f"tabindex {value} makes an order of its own"
        if name == "role" and set(str(value).split()) - html_tables.ROLES:
            yield f"no role {value!r}"
        if name == "id" and (not value or re.search(r"\s", value)):
            yield f"{value!r} cannot be an id"
    yield from _measured(node)


def _measured(node: Any) -> Iterator[str]:
    if node.name == "time":
        stamp = node.attrs.get("datetime", node.to_text())
        if not TIME.fullmatch(stamp):
            yield f"{stamp!r} is no time"
    if node.name in ("meter", "progress") and node.attrs.get("value") is not None:
        value, least, most = (float(node.attrs.get(name, default)) for name, default in
                              (("value", 0), ("min", 0), ("max", 1)))  # fmt: skip
        if not least <= value <= most:
            yield f"{value} is not within {least} and {most}"


def placed(node: Any) -> Iterator[str]:
    """The parent may hold it, and it comes where it must come."""
    parent = node.parent
    if is_svg(node) or parent is None or not is_element(parent) or node.name in html_tables.ANYWHERE:
        return
    allowed = html_tables.CHILDREN.get(parent.name)
    if allowed is not None and node.name not in allowed:
        yield f"must not be a child of <{parent.name}>"
    parents = html_tables.PARENTS.get(node.name)
    if parents is not None and parent.name not in parents:
        yield f"must not be a child of <{parent.name}>"
    if node.name in html_tables.FIRST and children(parent)[0] is not node:
        yield f"is not the first child of <{parent.name}>"
    if node.name in html_tables.BLOCKS:
        yield from _inline_parent(node)


def _inline_parent(node: Any) -> Iterator[str]:
    """A block inside of text: links pass on what their own parent allows."""
    above = next((one for one in ancestors(node) if one.name not in ("a", "noscript")), None)
    if above is None:
        return
    heading = node.name in ("h1", "h2", "h3", "h4", "hgroup")
    wrong = above.name in html_tables.INLINE_PARENTS or (above.name == "summary" and not heading)
    if wrong or (above.name == "legend" and not heading):
        yield f"is a block inside of <{above.name}>, which holds text only"
    if above.name == "dt" and (heading or node.name in ("header", "footer", "section", "article", "nav", "aside")):
        yield "must not be in a <dt>"


def interactive(node: Any) -> bool:
    if is_svg(node):
        return node.name == "a"
    if node.name == "input":
        return node.attrs.get("type") != "hidden"
    if node.name == "a":
        return "href" in node.attrs
    return node.name in ("button", "select", "textarea", "label", "summary") or "tabindex" in node.attrs


def unnested(node: Any) -> Iterator[str]:
    """No control is inside of another; a label may hold the one that it names."""
    if not interactive(node):
        return
    for above in ancestors(node):
        if above.name in ("a", "button", "summary") or (above.name == "label" and node.name in ("a", "label")):
            yield f"is a control inside of {described(above)}"
        if node.name == "form" and above.name == "form":
            yield "is a form inside of a form"


def labelled(node: Any) -> Iterator[str]:
    """A label names one control."""
    if node.name != "label":
        return
    inside = [
        one for one in elements(node) if one.name in ("input", "select", "textarea", "button", "meter", "progress")
    ]
    if len(inside) > 1:
        yield f"holds {len(inside)} controls"
    if inside and "for" in node.attrs and inside[0].attrs.get("id") != node.attrs["for"]:
        yield "names one control and holds another"
    if not inside and "for" not in node.attrs:
        yield "names no control"


def single(node: Any) -> Iterator[str]:
    """One main part, one top heading."""
    if node.name in ("main", "h1", "title") and not is_svg(node):
        root = [one for one in ancestors(node)][-1]
        if sum(one.name == node.name and not is_svg(one) for one in elements(root)) > 1:
            yield "there is more than one"


RULES: tuple[Callable[[Any], Iterator[str]], ...] = (
    known, complete, valued, placed, unnested, labelled, single,
)  # fmt: skip


def dangling(node: Any, ids: Counter[str]) -> Iterator[str]:
    """Every id that is referred to exists on the page."""
    for name, several in html_tables.REFERENCES.items():
        wanted = node.attrs.get(name)
        if wanted is None or (name == "for" and node.name not in ("label", "output")):
            continue
        for one in wanted.split() if several else [wanted]:
            if one not in ids:
                yield f"{name} names {one!r}, which is not there"
    target = str(node.attrs.get("href") or "")
    if target.startswith("#") and len(target) > 1 and target[1:] not in ids:
        yield f"href leads to {target!r}, which is not there"
