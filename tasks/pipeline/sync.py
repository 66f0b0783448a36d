"""The job `sync`: reads one wallet from the chain, in slices: its history, unread transactions, holdings.

Stores its cursor after every batch, so that a killed sync continues from there.
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
from tasks.settings import current, timing
from tasks.sources.rate_limit.clock import Stopped
from tasks.sources.solana.client import SolanaClient
from tasks.sources.solana.endpoint import Capabilities, Endpoint
from tasks.sources.solana.parse import SignatureInfo
from tasks.storage import database, rpc_capabilities, sync_cursor, wallet_mints, wallets
from tasks.storage.models.wallets import Wallet
from tasks.storage.sync_cursor import Cursor
from tasks.storage.wallets import FetchedTransaction

PAGE = 1000
HISTORY_PAGE = 100
CHANGED_BY_LISTING = ("ranges", "newest", "truncated", "hole")


def rpc_client(job_id: str) -> SolanaClient:
    """Return an RPC client for one job, with the stored capabilities of the service."""
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
    """Fail the sync. A new wallet with some transactions becomes partial; a known one keeps its data."""
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
    """Do a slice of a wallet's sync, about SLICE_S, then requeue the rest."""
    wallet = workflow.wallet_of(claim.target)
    workflow.wallet_started(claim, wallet.id)
    cursor = _start(wallet)
    sync = _Sync(claim, wallet, cursor, rpc_client(claim.job_id))
    end_at = time.monotonic() + timing().slice_s
    try:
        while sync.step():
            waiters.check_waiters(claim)
            if time.monotonic() > end_at:
                claims.requeue(claim)
                return
    except Stopped:
        claims.requeue(claim)


def _start(wallet: Wallet) -> Cursor:
    """Return the stored cursor, otherwise a new one: newer transactions, then older ones up to the history limit."""
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
    """Return a part of the history, newest first, both ends excluded; `left` limits the signatures read from it."""
    limit = current().history_limit if left is None else left
    return {"before": before, "until": until, "until_slot": until_slot, "left": limit, "token": None, "listed": False}


def _leftover(cursor: Cursor, *, counted: bool) -> Cursor:
    """Return the cursor that a failed sync leaves to the next one: its unread ranges, from the last signature read."""
    _unlist(cursor)
    for one in cursor.ranges:
        one["token"] = None
    if counted:
        return Cursor(ranges=cursor.ranges, stage="again", newest=cursor.newest)
    cursor.stage, cursor.listed = "again", cursor.done
    return cursor


def _unlist(cursor: Cursor) -> None:
    """Undo the listing of the unread part of the page, as if only the read part had been listed."""
    if cursor.position < len(cursor.page) and cursor.stage == "history" and cursor.unlisted:
        read, newest = cursor.position, cursor.newest
        for name, value in cursor.unlisted.items():
            setattr(cursor, name, value)
        if read:
            cursor.newest = newest
            cursor.ranges[0] |= {"before": cursor.page[read - 1][0], "left": cursor.ranges[0]["left"] - read}
    cursor.page, cursor.position, cursor.unlisted = [], 0, None


class _Sync:
    """One slice of a wallet's sync. `step` does the next request and returns whether there is more to do."""

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
            self._list_unread()
        elif cursor.stage == "unread":
            self._read_holdings()
        else:
            self._finish()
            return False
        return True

    def _next_page(self) -> None:
        """List the next page of the first range, or close the range when it is listed to its end."""
        range_ = self.cursor.ranges[0]
        if range_["listed"]:
            self._close_range()
        elif range_["token"] or (range_["before"] is None and self.client.has_history(self.wallet.address)):
            self._read_history_page(range_)
        else:
            self._list_signatures(range_)

    def _close_range(self) -> None:
        closed = self.cursor.ranges.pop(0)
        if closed["until"] is None and self.cursor.last:
            self.cursor.oldest = self.cursor.last
        self._save()

    def _list_signatures(self, range_: dict[str, Any]) -> None:
        """List signatures, one more than needed, which shows whether the history limit truncates the wallet."""
        limit = max(2, min(PAGE, range_["left"] + 1))  # two, in case one is unreadable
        infos = self.client.signatures(self.wallet.address, before=range_["before"], until=range_["until"], limit=limit)
        self.cursor.unlisted = {name: deepcopy(getattr(self.cursor, name)) for name in CHANGED_BY_LISTING}
        needed = self._needed(range_, infos, is_last=infos.listed < limit)
        self.cursor.page = [[i.signature, i.slot, i.transaction_index, i.block_at, i.failed] for i in needed]
        self.cursor.position = 0
        self.cursor.listed += len(needed)
        self._record_unreadable(infos.unreadable)
        self._save(new_page=True, total=self.cursor.listed)

    def _needed(self, range_: dict[str, Any], infos: list[SignatureInfo], *, is_last: bool) -> list[SignatureInfo]:
        """Return the part of a page above known history and within the limit, and update the range."""
        fresh = infos
        for index, info in enumerate(infos):
            known = range_["until_slot"] is not None and info.slot < range_["until_slot"]
            if known or info.signature == range_["until"]:
                fresh, is_last = infos[:index], True
                break
        needed = fresh[: range_["left"]]
        if len(fresh) > len(needed):
            is_last = True
            self._truncate(range_)
        if needed and range_["before"] is None:
            self.cursor.newest = [needed[0].slot, needed[0].signature]
        range_["left"] -= len(needed)
        range_["listed"] = is_last
        if needed:
            range_["before"] = needed[-1].signature
        return needed

    def _truncate(self, range_: dict[str, Any]) -> None:
        """Mark the wallet as truncated at the history limit, and drop the ranges below."""
        self.cursor.truncated = True
        if range_["until"] is not None:
            self.cursor.hole = True
            range_["until"] = None  # this range is now the lowest
        del self.cursor.ranges[1:]

    def _read_history_page(self, range_: dict[str, Any]) -> None:
        """Read a page of full transactions, for a service with a method for that."""
        limit = min(HISTORY_PAGE, range_["left"] + 1)
        page = self.client.history(self.wallet.address, pagination_token=range_["token"], limit=limit)
        outcomes = {info.signature: outcome for info, outcome in page.items}
        infos = [info for info, _ in page.items]
        needed = self._needed(range_, infos, is_last=page.next_token is None)
        range_["token"] = page.next_token
        self.cursor.listed += len(needed)
        self._record_unreadable(page.unreadable)
        self._record([(info, outcomes[info.signature]) for info in needed])

    def _record_unreadable(self, count: int) -> None:
        """Record that a list had entries whose signatures cannot be read."""
        if count:
            self.cursor.reason = f"The list of transactions has entries that cannot be read ({count} on one page)"

    def _read_batch(self) -> None:
        """Fetch the next transactions of the page, as many as fit one request.

        Failed ones are not fetched: the list says that they failed, so that their audit rows have no token.
        """
        size, batch, fetched = self.client.batch_size, [], 0
        for entry in self.cursor.page[self.cursor.position :]:
            fetched += not entry[4]
            if fetched > size:
                break
            batch.append(SignatureInfo(*entry))
        self.cursor.position += len(batch)
        outcomes = self._fetch([info for info in batch if not info.failed])
        self._record([(info, outcomes.get(info.signature)) for info in batch])

    def _fetch(self, infos: Sequence[SignatureInfo]) -> dict[str, Transaction | SourceError]:
        return self.client.transactions(infos) if infos else {}

    def _record(self, outcomes: Sequence[tuple[SignatureInfo, Transaction | SourceError | None]]) -> None:
        """Store a batch and the cursor after it, in one transaction."""
        cursor = self.cursor
        if outcomes and cursor.stage == "history":
            cursor.done += len(outcomes)
            cursor.last = [outcomes[-1][0].slot, outcomes[-1][0].signature]
        self._save([self._fetched(info, outcome) for info, outcome in outcomes], total=cursor.listed)

    def _fetched(self, info: SignatureInfo, outcome: Transaction | SourceError | None) -> FetchedTransaction:
        where = (info.signature, info.slot, info.transaction_index, info.block_at)
        if isinstance(outcome, SourceError):
            return FetchedTransaction(*where, None, str(outcome), outcome.permanent)
        if outcome is None or outcome.failed:
            return FetchedTransaction(*where)
        derived = derive(outcome, self.wallet.address)
        if not wallets.fits(derived):
            return FetchedTransaction(*where, None, "Its amounts are larger than any that exist.", True)
        return FetchedTransaction(*where, derived)

    def _list_unread(self) -> None:
        """Put transactions that could not be read before on the page, to retry them once."""
        unread = wallets.unread(self.wallet.id, temporary_only=True, most=PAGE)
        self.cursor.stage = "unread"
        self.cursor.page = [[o.signature, o.slot, o.transaction_index, o.block_at, False] for o in unread]
        self.cursor.position = 0
        self._save(new_page=True)

    def _read_holdings(self) -> None:
        """Read the present holdings; they stay unknown when the service does not support that."""
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

    def _save(self, fetched: Sequence[FetchedTransaction] = (), *, new_page: bool = False, **progress: int) -> None:
        with database.write():
            claims.renew_or_raise(self.claim, done=self.cursor.done, attempts=0, lost_leases=0, **progress)
            if fetched:
                wallets.store_transactions(self.wallet.id, self.wallet.syncs + 1, fetched)
            sync_cursor.save_cursor(self.wallet.id, self.cursor, with_page=new_page)


def _unread_reason(wallet_id: int) -> str | None:
    """Return how many transactions could not be read, and why the newest of them could not; None without any."""
    count = wallets.count_unread(wallet_id)
    if not count:
        return None
    first = wallets.unread(wallet_id, most=1)[0].unread
    noun = "transaction" if count == 1 else "transactions"
    return f"{count:,} {noun} could not be read: {first}"
