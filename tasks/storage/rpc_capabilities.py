"""Capabilities of RPC endpoints, stored so that not every start probes them. Stores no URL, which may hold a key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tasks.storage import database
from tasks.storage.models.operations import RpcCapabilities

VALID_S = 86_400.0  # an endpoint may get new methods: probe again after a day


def load_capabilities(url: str) -> dict[str, Any]:
    """Return the capabilities of an endpoint, stored less than a day ago; empty without any."""
    row = RpcCapabilities.get_or_none(RpcCapabilities.endpoint == _name(url))
    if row is None or row.learnt_at < database.now_s() - VALID_S:
        return {}
    return dict(json.loads(row.traits))


def save_capabilities(url: str, traits: Mapping[str, Any]) -> None:
    """Store the capabilities of an endpoint."""
    updated = [RpcCapabilities.traits, RpcCapabilities.learnt_at]
    with database.write():
        RpcCapabilities.insert(
            endpoint=_name(url), traits=json.dumps(dict(traits)), learnt_at=database.now_s()
        ).on_conflict(conflict_target=[RpcCapabilities.endpoint], preserve=updated).execute()


def _name(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
