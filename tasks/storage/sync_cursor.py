"""Where an unfinished sync of a wallet stands."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tasks.storage.models.wallets import SyncCursor


@dataclass(slots=True)
class Cursor:
    """Where a sync stands; kept after every batch, so that a killed one goes on from there.

    `ranges` are the stretches of history still to read, newest first, each {"before", "until", "until_slot", "left",
    "token", "listed"}; `page` the signatures of the first range that were listed last, of which `position` are done;
    `unlisted` how ranges, newest, truncated and hole stood before that page was listed.
    `done` counts the signatures looked at, `listed` those known to be there. `newest`, `oldest` and `last` are
    (slot, signature); `hole` says that the history limit left a gap above what an earlier sync had read.
    """

    ranges: list[dict[str, Any]]
    page: list[list[Any]] = field(default_factory=list)
    position: int = 0
    done: int = 0
    listed: int = 0
    stage: str = "history"
    newest: list[Any] | None = None
    oldest: list[Any] | None = None
    last: list[Any] | None = None
    truncated: bool = False
    hole: bool = False
    unlisted: dict[str, Any] | None = None
    reason: str | None = None


CURSOR_STATE = (
    "ranges",
    "done",
    "listed",
    "stage",
    "newest",
    "oldest",
    "last",
    "truncated",
    "hole",
    "unlisted",
    "reason",
)


def load_cursor(wallet_id: int) -> Cursor | None:
    """Return where the wallet's unfinished sync stands, None when there is none."""
    row = SyncCursor.get_or_none(SyncCursor.wallet_id == wallet_id)
    if row is None:
        return None
    return Cursor(page=json.loads(row.page), position=row.position, **json.loads(row.state))


def save_cursor(wallet_id: int, cursor: Cursor, *, with_page: bool = True) -> None:
    """Keep where a sync stands; the page, which is large, only when it changed."""
    state = json.dumps({name: getattr(cursor, name) for name in CURSOR_STATE})
    if not with_page:
        SyncCursor.update(state=state, position=cursor.position).where(SyncCursor.wallet_id == wallet_id).execute()
        return
    kept = [SyncCursor.state, SyncCursor.position, SyncCursor.page]
    SyncCursor.insert(
        wallet_id=wallet_id, state=state, position=cursor.position, page=json.dumps(cursor.page)
    ).on_conflict(conflict_target=[SyncCursor.wallet_id], preserve=kept).execute()


def drop_cursor(wallet_id: int) -> None:
    """Forget where a sync stood: it is done."""
    SyncCursor.delete().where(SyncCursor.wallet_id == wallet_id).execute()
