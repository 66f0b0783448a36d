"""The description of the JSON that this app answers with, as OpenAPI 3.1. It describes and enforces nothing.

`paths.py` has the routes and their types, of which `schemas.py` makes the schemas; every JSON answer of the test suite
is checked against them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tasks.pipeline.start import VERSION
from webapp.openapi.parameters import PARAMETERS
from webapp.openapi.paths import PATHS, SHAPES
from webapp.openapi.schemas import components

ABOUT = """Finds Solana wallets that move together. Times are ISO 8601 in UTC; what is unknown is null, never 0;
measures lie between 0 and 1. The id of an analysis is the key to it: everyone who has it may read it, and it is listed
for nobody else. A request in JSON needs `Content-Type: application/json`; one from a foreign `Origin` is refused."""


@cache
def document() -> dict[str, Any]:
    """Return the whole description: one shared object, not to be changed."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Walletkin", "version": VERSION, "description": ABOUT},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": PATHS,
        "components": {"schemas": components(SHAPES), "parameters": PARAMETERS},
    }
