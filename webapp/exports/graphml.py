"""The graph of a result as GraphML, written a part at a time: wallets are nodes, kept pairs are edges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from tasks.storage import database, pairs, results
from tasks.storage.models.analyses import Analysis

NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
NODE_KEYS = (("label", "string"), ("cluster", "int"), ("x", "double"), ("y", "double"))
EDGE_KEYS = (("overall", "double"), ("behavioural", "double"), ("capital", "double"), ("shared", "int")) + (
    ("q_value", "double"), ("matched", "int"), ("insights", "string"), ("cluster_edge", "boolean")
)  # fmt: skip
ROWS_PER_CHUNK = 500
# What XML 1.0 cannot hold, escaped or not.
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(analysis: Analysis, result: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[str]:
    """Yield a GraphML document; unknown values are left out. The graph's own data say how the result was made.

    A `cluster_edge` is one of the pairs that hold a cluster together.
    """
    # The request's own connection is gone by the time that this is read.
    with database.session():
        names, places = results.addresses(analysis.id), results.wallets(result["id"])
    facts = _facts(provenance)
    yield _head(facts)
    yield from _gathered(_nodes(names, places))
    yield from _gathered(_edge(row, names) for row in _pairs(result))
    yield "</graph>\n</graphml>\n"


def _pairs(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return pairs.stream(result["id"], kept=result["summary"]["pairs_kept"])


def _facts(provenance: Mapping[str, Any]) -> dict[str, str]:
    facts = {**provenance, **provenance["parameters"]}
    del facts["parameters"]
    texts = {name: " ".join(value) if isinstance(value, list) else value for name, value in facts.items()}
    return {name: str(value) for name, value in texts.items() if value not in (None, "")}


def _head(facts: Mapping[str, str]) -> str:
    keys = [("graph", name, "string") for name in facts]
    keys += [("node", *key) for key in NODE_KEYS] + [("edge", *key) for key in EDGE_KEYS]
    declared = "".join(
        f'<key id="{owner}-{name}" for="{owner}" attr.name="{name}" attr.type="{kind}"/>\n'
        for owner, name, kind in keys
    )
    opening = f'<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="{NAMESPACE}">\n'
    return f'{opening}{declared}<graph id="walletkin" edgedefault="undirected">\n{_data("graph", facts)}\n'


def _nodes(names: Mapping[int, tuple[str, str | None]], places: Mapping[int, Mapping[str, Any]]) -> Iterator[str]:
    for position, (address, label) in names.items():
        values = {"label": label or address, **places.get(position, {})}
        yield f"<node id={quoteattr(address)}>{_data('node', values)}</node>\n"


def _edge(row: Mapping[str, Any], names: Mapping[int, tuple[str, str | None]]) -> str:
    a, b = names[row["wallet_a"]][0], names[row["wallet_b"]][0]
    values = {name: row.get(name) for name, _ in EDGE_KEYS}
    values |= {"insights": " ".join(row["insights"]) or None, "cluster_edge": str(row["edge"]).lower()}
    return f"<edge source={quoteattr(a)} target={quoteattr(b)}>{_data('edge', values)}</edge>\n"


def _data(owner: str, values: Mapping[str, Any]) -> str:
    known = ((name, value) for name, value in values.items() if value is not None)
    return "".join(f'<data key="{owner}-{name}">{_text(value)}</data>' for name, value in known)


def _text(value: Any) -> str:
    return escape(NOT_XML.sub("", str(value)))


def _gathered(lines: Iterable[str]) -> Iterator[str]:
    """Put lines together into pieces worth sending."""
    waiting: list[str] = []
    for line in lines:
        waiting.append(line)
        if len(waiting) == ROWS_PER_CHUNK:
            yield "".join(waiting)
            waiting.clear()
    yield "".join(waiting)
