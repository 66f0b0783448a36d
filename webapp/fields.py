"""The field types that the JSON shapes are made of: as annotations for mypy, as JSON Schema through msgspec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar, cast

from msgspec import Meta

from webapp.urls import Address as AddressConverter

BASE58 = f"^{AddressConverter.regex}$"
Shape = TypeVar("Shape")


def one_of(values: Iterable[str]) -> Meta:
    """Return the constraint of a text that is one of a few words."""
    return Meta(extra_json_schema={"enum": list(values)})


Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Key = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Address = Annotated[str, Meta(pattern=BASE58)]
Mint = Annotated[str, Meta(pattern=BASE58)]
Time = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z$",
        extra_json_schema={"format": "date-time"},
    ),
]
Cursor = Annotated[str, Meta(min_length=1, description="Opaque: send it back as `after` for the next page.")]


def pick(shape: type[Shape], row: Mapping[str, Any]) -> Shape:
    """Return the members of a TypedDict, in its order, from a row that has them among others. Raises KeyError."""
    return cast(Shape, {key: row[key] for key in shape.__annotations__})
