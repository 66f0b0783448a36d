"""The small parts that schemas are written with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "number", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
CURSOR: Schema = {"type": "string", "minLength": 1, "description": "The mark of a page; opaque."}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


TIME, KEY, ADDRESS, MINT = ref("Time"), ref("Key"), ref("Address"), ref("Mint")


def maybe(schema: Schema) -> Schema:
    """Return the schema of something that may be unknown."""
    if "type" in schema and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def listed(items: Schema, **bounds: int) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items} | bounds


def choice(values: Sequence[str]) -> Schema:
    """Return the schema of one of a few words."""
    return {"type": "string", "enum": list(values)}


def by(key: Schema, value: Schema) -> Schema:
    """Return the schema of a mapping whose names are no fixed ones."""
    return {"type": "object", "propertyNames": key, "additionalProperties": value}


def shape(properties: Mapping[str, Schema], *, optional: Sequence[str] = (), about: str | None = None) -> Schema:
    """Return the schema of an object with these members and no others; all of them are there but for `optional`."""
    required = [name for name in properties if name not in optional]
    made = {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}
    return made | ({"description": about} if about else {})
