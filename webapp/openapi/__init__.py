"""The description of the JSON that this app answers with, as OpenAPI 3.1. It describes and enforces nothing.

`schemas.py` has the shapes, `paths.py` the routes; a test holds both against every answer of the test suite.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tasks.pipeline.start import VERSION
from webapp.openapi.parameters import PARAMETERS
from webapp.openapi.paths import PATHS
from webapp.openapi.schemas import SCHEMAS

ABOUT = """Finds Solana wallets that move together. Times are ISO 8601 in UTC; what is unknown is null, never 0;
measures lie between 0 and 1. The id of an analysis is the key to it: whoever has it may read it, and it is listed to
nobody else. A request in JSON needs `Content-Type: application/json`, and is refused when `Origin` is a foreign one."""


@cache
def document() -> dict[str, Any]:
    """Return the whole description; not to be changed, for others get the same."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Walletkin", "version": VERSION, "description": ABOUT},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": PATHS,
        "components": {"schemas": SCHEMAS, "parameters": PARAMETERS},
    }
