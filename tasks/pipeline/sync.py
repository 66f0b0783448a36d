"""Reads one wallet from the chain, in slices: its history, what could not be read before, its holdings.

The sync of a wallet is a job; this module is its handler. It judges no trade (`tasks/analysis` does) and keeps where it
stands after every batch, so that a killed sync goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any

from tasks.errors import SourceError
from tasks.jobs import announce, claims, executor, waiters
from tasks.measures.trades import derive
from tasks.measures.transaction import Transaction
from tasks.pipeline import workflow
from tasks.settings import current
from tasks.sources.rate_limit.clock import Stopped
from tasks.sources.solana.client import SolanaClient
from tasks.sources.solana.endpoint import Capabilities, Endpoint
from tasks.sources.solana.parse import SignatureInfo
from tasks.storage import database, rpc_capabilities, sync_cursor, wallet_mints, wallets
from tasks.storage.models.wallets import Wallet
from tasks.storage.sync_cursor import Cursor
from tasks.storage.wallets import FetchedTransaction

SLICE_S = 3.0
PAGE = 1000
HISTORY_PAGE = 100
MOVED_BY_LISTING = ("ranges", "newest", "truncated", "hole")


def rpc_client(job_id: str) -> SolanaClient:
    """Return a client of the RPC service for one job, with what was learnt of the service before."""
    url = current().solana_rpc_url
    endpoint = Endpoint(
        url, current().rpc_requests_per_s, current().max_transaction_version, redis_url=current().redis_url
    )
    return SolanaClient(
        endpoint,
        capabilities=Capabilities(**rpc_capabilities.load_capabilities(url)),
        on_learnt=lambda learnt: rpc_capabilities.save_capabilities(url, asdict(learnt)),
        stop=lambda: not waiters.has_waiters(job_id),
    )


def give_up(claim: claims.Claim, reason: str) -> None:
    """End a sync that cannot go on: what was read of a new wallet is kept as partial, the rest stays as it was."""
    wallet = workflow.wallet_of(claim.target)
    cursor = sync_cursor.load_cursor(wallet.id)
    with database.write():
        claims.finish(claim, "failed", error=reason)
        if cursor and cursor.done and not wallet.syncs:
            cursor.oldest = cursor.last
            wallets.finish_sync(wallet, cursor, "partial", reason)
            sync_cursor.save_cursor(wallet.id, _leftover(cursor, counted=True))
        else:
            wallets.mark_sync_failed(wallet, reason)
            if cursor:
                sync_cursor.save_cursor(wallet.id, _leftover(cursor, counted=False))
        job_ids = workflow.wallet_ended(claim, wallet.id)
        wallet_mints.record_mints(wallet.id)
    announce.announce(job_ids)


@executor.handles("sync", give_up)
def sync_wallet(claim: claims.Claim) -> None:
    """Do a slice of a wallet's sync: at most about three seconds, then the rest is handed back."""
    wallet = workflow.wallet_of(claim.target)
    workflow.wallet_started(claim, wallet.id)
    cursor = _start(wallet)
    sync = _Sync(claim, wallet, cursor, rpc_client(claim.job_id))
    end_at = time.monotonic() + SLICE_S
    try:
        while sync.step():
            waiters.check_waiters(claim)
            if time.monotonic() > end_at:
                claims.requeue(claim)
                return
    except Stopped:
        claims.requeue(claim)


def _start(wallet: Wallet) -> Cursor:
    """Return where to go on, or a new beginning: what is new, and what an earlier sync left unread below."""
    cursor = sync_cursor.load_cursor(wallet.id)
    if cursor is None:
        cursor = Cursor(ranges=[_range(wallet.newest_signature, wallet.newest_slot)])
        below = current().history_limit - wallet.transactions
        if wallet.truncated and below > 0:
            cursor.ranges.append(_range(before=wallet.oldest_signature, left=below))
    elif cursor.stage == "again":
        if cursor.newest is not None:
            slot, signature = cursor.newest
            cursor.ranges.insert(0, _range(signature, slot))
        cursor.stage = "history"
    else:
        return cursor
    with database.write():
        sync_cursor.save_cursor(wallet.id, cursor)
    return cursor


def _range(
    until: str | None = None, until_slot: int | None = None, *, before: str | None = None, left: int | None = None
) -> dict[str, Any]:
    """A stretch of history, newest first, both ends excluded; `left` bounds how many signatures are read of it."""
    limit = current().history_limit if left is None else left
    return {"before": before, "until": until, "until_slot": until_slot, "left": limit, "token": None, "listed": False}


def _leftover(cursor: Cursor, *, counted: bool) -> Cursor:
    """What a sync that was given up leaves to the next one: its unread ranges, from the last signature it read."""
    _unlist(cursor)
    for one in cursor.ranges:
        one["token"] = None
    if counted:
        return Cursor(ranges=cursor.ranges, stage="again", newest=cursor.newest)
    cursor.stage, cursor.listed = "again", cursor.done
    return cursor


def _unlist(cursor: Cursor) -> None:
    """Take back the part of the page that was listed but not read, as if only the part that was read had been."""
    if cursor.position < len(cursor.page) and cursor.stage == "history" and cursor.unlisted:
        read, newest = cursor.position, cursor.newest
        for name, value in cursor.unlisted.items():
            setattr(cursor, name, value)
        if read:
            cursor.newest = newest
            cursor.ranges[0] |= {"before": cursor.page[read - 1][0], "left": cursor.ranges[0]["left"] - read}
    cursor.page, cursor.position, cursor.unlisted = [], 0, None


class _Sync:
    """One slice of a wallet's sync. `step` does the next piece and says whether there is more."""

    def __init__(self, claim: claims.Claim, wallet: Wallet, cursor: Cursor, client: SolanaClient):
        self.claim = claim
        self.wallet = wallet
        self.cursor = cursor
        self.client = client

    def step(self) -> bool:
        cursor = self.cursor
        if cursor.position < len(cursor.page):
            self._read_batch()
        elif cursor.stage == "history" and cursor.ranges:
            self._next_page()
        elif cursor.stage == "history":
            self._ask_again()
        elif cursor.stage == "unread":
            self._read_holdings()
        else:
            self._finish()
            return False
        return True

    def _next_page(self) -> None:
        """List the next page of the range at hand, or close the range when all of it has been listed."""
        at_hand = self.cursor.ranges[0]
        if at_hand["listed"]:
            self._close_range()
        elif at_hand["token"] or (at_hand["before"] is None and self.client.has_history(self.wallet.address)):
            self._read_history_page(at_hand)
        else:
            self._list_signatures(at_hand)

    def _close_range(self) -> None:
        closed = self.cursor.ranges.pop(0)
        if closed["until"] is None and self.cursor.last:
            self.cursor.oldest = self.cursor.last
        self._save()

    def _list_signatures(self, at_hand: dict[str, Any]) -> None:
        """Ask for signatures; one more than are wanted, so that it shows whether the history limit cut any off."""
        asked = max(2, min(PAGE, at_hand["left"] + 1))  # two: should one be unreadable, the other leads on
        infos = self.client.signatures(
            self.wallet.address, before=at_hand["before"], until=at_hand["until"], limit=asked
        )
        self.cursor.unlisted = {name: deepcopy(getattr(self.cursor, name)) for name in MOVED_BY_LISTING}
        wanted = self._wanted(at_hand, infos, is_last=infos.listed < asked)
        self.cursor.page = [[i.signature, i.slot, i.transaction_index, i.block_at, i.failed] for i in wanted]
        self.cursor.position = 0
        self.cursor.listed += len(wanted)
        self._note_unreadable(infos.unreadable)
        self._save(new_page=True, total=self.cursor.listed)

    def _wanted(self, at_hand: dict[str, Any], infos: list[SignatureInfo], *, is_last: bool) -> list[SignatureInfo]:
        """Cut a page where known history begins or the limit is reached, and note how the range goes on."""
        fresh = infos
        for place, info in enumerate(infos):
            known = at_hand["until_slot"] is not None and info.slot < at_hand["until_slot"]
            if known or info.signature == at_hand["until"]:
                fresh, is_last = infos[:place], True
                break
        wanted = fresh[: at_hand["left"]]
        if len(fresh) > len(wanted):
            is_last = True
            self._cut_off(at_hand)
        if wanted and at_hand["before"] is None:
            self.cursor.newest = [wanted[0].slot, wanted[0].signature]
        at_hand["left"] -= len(wanted)
        at_hand["listed"] = is_last
        if wanted:
            at_hand["before"] = wanted[-1].signature
        return wanted

    def _cut_off(self, at_hand: dict[str, Any]) -> None:
        """The history limit leaves something unread; what lies below it is not looked at any more."""
        self.cursor.truncated = True
        if at_hand["until"] is not None:
            self.cursor.hole = True
            at_hand["until"] = None  # nothing below counts: this range is now the lowest
        del self.cursor.ranges[1:]

    def _read_history_page(self, at_hand: dict[str, Any]) -> None:
        """Read a page of whole transactions where the service has a method for it."""
        limit = min(HISTORY_PAGE, at_hand["left"] + 1)
        page = self.client.history(self.wallet.address, pagination_token=at_hand["token"], limit=limit)
        found = {info.signature: outcome for info, outcome in page.items}
        infos = [info for info, _ in page.items]
        wanted = self._wanted(at_hand, infos, is_last=page.next_token is None)
        at_hand["token"] = page.next_token
        self.cursor.listed += len(wanted)
        self._note_unreadable(page.unreadable)
        self._record([(info, found[info.signature]) for info in wanted])

    def _note_unreadable(self, count: int) -> None:
        """Keep that a list had entries which nobody can read, not even their signatures."""
        if count:
            self.cursor.reason = f"The list of transactions has entries that cannot be read ({count} on one page)"

    def _read_batch(self) -> None:
        """Fetch the next transactions of the page: as many as fit one request, failed ones not asked for."""
        size, batch, good = self.client.batch_size, [], 0
        for entry in self.cursor.page[self.cursor.position :]:
            good += not entry[4]
            if good > size:
                break
            batch.append(SignatureInfo(*entry))
        self.cursor.position += len(batch)
        outcomes = self._fetch([info for info in batch if not info.failed])
        self._record([(info, outcomes.get(info.signature)) for info in batch])

    def _fetch(self, infos: Sequence[SignatureInfo]) -> dict[str, Transaction | SourceError]:
        return self.client.transactions(infos) if infos else {}

    def _record(self, outcomes: Sequence[tuple[SignatureInfo, Transaction | SourceError | None]]) -> None:
        """Keep what became of a batch, and that it is done, in one transaction."""
        cursor = self.cursor
        if outcomes and cursor.stage == "history":
            cursor.done += len(outcomes)
            cursor.last = [outcomes[-1][0].slot, outcomes[-1][0].signature]
        self._save([self._looked(info, outcome) for info, outcome in outcomes], total=cursor.listed)

    def _looked(self, info: SignatureInfo, outcome: Transaction | SourceError | None) -> FetchedTransaction:
        where = (info.signature, info.slot, info.transaction_index, info.block_at)
        if isinstance(outcome, SourceError):
            return FetchedTransaction(*where, None, str(outcome), outcome.permanent)
        if outcome is None or outcome.failed:
            return FetchedTransaction(*where)
        derived = derive(outcome, self.wallet.address)
        if not wallets.fits(derived):
            return FetchedTransaction(*where, None, "Its amounts are larger than any that exist.", True)
        return FetchedTransaction(*where, derived)

    def _ask_again(self) -> None:
        """Put what an earlier request could not give on the page, to be asked for once more; then come the holdings."""
        waiting = wallets.unread(self.wallet.id, temporary_only=True, most=PAGE)
        self.cursor.stage = "unread"
        self.cursor.page = [[o.signature, o.slot, o.transaction_index, o.block_at, False] for o in waiting]
        self.cursor.position = 0
        self._save(new_page=True)

    def _read_holdings(self) -> None:
        """Read what the wallet holds now; a service that cannot say leaves them unknown."""
        self.cursor.stage = "finish"
        try:
            held = self.client.holdings(self.wallet.address)
        except SourceError as error:
            if not error.permanent:
                raise
            self.cursor.reason = f"Holdings could not be read: {error}"
            self._save()
            return
        with database.write():
            claims.renew_or_raise(self.claim, attempts=0)
            wallets.store_holdings(self.wallet.id, held.amounts, held.lamports)
            sync_cursor.save_cursor(self.wallet.id, self.cursor, with_page=False)

    def _finish(self) -> None:
        reason = _unread_reason(self.wallet.id) or self.cursor.reason
        with database.write():
            claims.finish(self.claim, "succeeded", detail=f"{self.cursor.done} new transactions")
            wallets.finish_sync(self.wallet, self.cursor, "partial" if reason else "synced", reason)
            sync_cursor.drop_cursor(self.wallet.id)
            job_ids = workflow.wallet_ended(self.claim, self.wallet.id)
            wallet_mints.record_mints(self.wallet.id)
        announce.announce(job_ids)

    def _save(self, looked: Sequence[FetchedTransaction] = (), *, new_page: bool = False, **progress: int) -> None:
        with database.write():
            claims.renew_or_raise(self.claim, done=self.cursor.done, attempts=0, lost_leases=0, **progress)
            if looked:
                wallets.store_transactions(self.wallet.id, self.wallet.syncs + 1, looked)
            sync_cursor.save_cursor(self.wallet.id, self.cursor, with_page=new_page)


def _unread_reason(wallet_id: int) -> str | None:
    """Say how many transactions could not be read and why the newest of them could not."""
    count = wallets.count_unread(wallet_id)
    if not count:
        return None
    first = wallets.unread(wallet_id, most=1)[0].unread
    noun = "transaction" if count == 1 else "transactions"
    return f"{count:,} {noun} could not be read: {first}"
