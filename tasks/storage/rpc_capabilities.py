"""What was learnt of RPC endpoints, so that it is not probed at every start. Keeps no address: it may hold a key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tasks.storage import database
from tasks.storage.models.operations import RpcCapabilities

KEPT_S = 86_400.0  # an endpoint may learn new methods; ask again after a day


def load_capabilities(url: str) -> dict[str, Any]:
    """Return what was learnt of an endpoint less than a day ago, empty when nothing was."""
    row = RpcCapabilities.get_or_none(RpcCapabilities.endpoint == _name(url))
    if row is None or row.learnt_at < database.now_s() - KEPT_S:
        return {}
    return dict(json.loads(row.traits))


def save_capabilities(url: str, traits: Mapping[str, Any]) -> None:
    """Keep what was learnt of an endpoint."""
    kept = [RpcCapabilities.traits, RpcCapabilities.learnt_at]
    with database.write():
        RpcCapabilities.insert(
            endpoint=_name(url), traits=json.dumps(dict(traits)), learnt_at=database.now_s()
        ).on_conflict(conflict_target=[RpcCapabilities.endpoint], preserve=kept).execute()


def _name(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
