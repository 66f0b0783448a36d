"""Schemas made from the types of presenters and forms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from webapp.forms.refresh import Refresh

Schema = dict[str, Any]
"""A JSON Schema."""
TEMPLATE = "#/components/schemas/{name}"


class Nothing(msgspec.Struct):
    """No member is needed."""


class Description(msgspec.Struct):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


OPEN = (Nothing, Description, Refresh)
"""Types whose objects may have further members."""


def ref(shape: type) -> Schema:
    """Return a reference to the schema of a type."""
    return {"$ref": TEMPLATE.format(name=shape.__name__)}


def components(shapes: Iterable[type]) -> dict[str, Schema]:
    """Return name → schema of the types and of all that they consist of."""
    _, found = msgspec.json.schema_components(shapes, ref_template=TEMPLATE)
    for name in found.keys() - {shape.__name__ for shape in OPEN}:
        found[name]["additionalProperties"] = False
    return found
