"""The cursor of an unfinished sync of a wallet."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tasks.storage.models.wallets import SyncCursor


@dataclass(slots=True)
class Cursor:
    """The state of a sync, stored after every batch, so that a killed sync continues from it.

    `ranges` are the parts of the history still to read, newest first, each {"before", "until", "until_slot", "left",
    "token", "listed"}; `page` the last listed signatures of the first range, of which `position` are done; `unlisted`
    the values of ranges, newest, truncated and hole before that page was listed. `done` counts the signatures read,
    `listed` those listed. `newest`, `oldest` and `last` are (slot, signature); `hole`: the history limit left a gap
    above what an earlier sync had read.
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
    """Return the cursor of the wallet's unfinished sync, None without one."""
    row = SyncCursor.get_or_none(SyncCursor.wallet_id == wallet_id)
    if row is None:
        return None
    return Cursor(page=json.loads(row.page), position=row.position, **json.loads(row.state))


def save_cursor(wallet_id: int, cursor: Cursor, *, with_page: bool = True) -> None:
    """Store a cursor; the page, which is large, only `with_page`."""
    state = json.dumps({name: getattr(cursor, name) for name in CURSOR_STATE})
    if not with_page:
        SyncCursor.update(state=state, position=cursor.position).where(SyncCursor.wallet_id == wallet_id).execute()
        return
    updated = [SyncCursor.state, SyncCursor.position, SyncCursor.page]
    SyncCursor.insert(
        wallet_id=wallet_id, state=state, position=cursor.position, page=json.dumps(cursor.page)
    ).on_conflict(conflict_target=[SyncCursor.wallet_id], preserve=updated).execute()


def drop_cursor(wallet_id: int) -> None:
    """Delete the cursor of a sync that has ended."""
    SyncCursor.delete().where(SyncCursor.wallet_id == wallet_id).execute()
