"""What tests of the web app share: made-up addresses, synced wallets, forms, analyses and their jobs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import base58
from flask.testing import FlaskClient

from tasks.jobs import executor
from tasks.measures.trades import Derived, Movement
from tasks.storage import database, wallets
from tasks.storage.models.analyses import Analysis
from tasks.storage.models.jobs import Job
from tasks.storage.models.wallets import Wallet
from tasks.storage.sync_cursor import Cursor
from tasks.storage.wallets import FetchedTransaction

SOL = 10**9
START_AT = 1_760_000_000
KEY = re.compile(r"[0-9a-f]{32}")


def address(number: int | str) -> str:
    """Return a well-formed address that nobody has."""
    return base58.b58encode(hashlib.sha256(f"web {number}".encode()).digest()).decode()


def mint(number: int) -> str:
    return address(f"mint {number}")


Trade = tuple[str, str, float, int]
"""Side, mint, SOL and seconds after START_AT."""


def buys(*amounts: float, first: int = 0, at: int = 0) -> list[Trade]:
    """Return one buy for each amount of SOL, of successive mints (0: none of that mint)."""
    return [("buy", mint(first + i), sol, at + 60 * i) for i, sol in enumerate(amounts) if sol]


def sync(name: int | str, trades: Sequence[Trade], *, failed: int = 0, holdings: Sequence[str] = ()) -> str:
    """Record a wallet as if it had been synced just now; return its address."""
    found = address(name)
    with database.session():
        wallet_id = wallets.ensure_wallets([found])[found]
        transactions = [_transaction(found, i, trade) for i, trade in enumerate(trades)]
        transactions += [
            FetchedTransaction(_signature(found, -1 - i), 90 + i, None, START_AT - 60 * i) for i in range(failed)
        ]
        wallets.store_transactions(wallet_id, 1, transactions)
        wallets.store_holdings(wallet_id, {held: (5, 6) for held in holdings}, 1)
        newest, oldest = [10**9, "new"], [0, "old"]
        with database.write():
            cursor = Cursor([], done=len(transactions), newest=newest, oldest=oldest)
            wallets.finish_sync(Wallet.get_by_id(wallet_id), cursor, "synced", None)
    return found


def _signature(wallet: str, number: int) -> str:
    return base58.b58encode(hashlib.sha512(f"{wallet} {number}".encode()).digest()).decode()


def _transaction(wallet: str, number: int, trade: Trade) -> FetchedTransaction:
    side, token, sol, after_s = trade
    signature, slot, at = _signature(wallet, number), 1_000 + after_s, START_AT + after_s
    priced = side in ("buy", "sell")
    movement = Movement(
        signature, slot, number, at, side, token, 1_000_000, 6, "SOL" if priced else None,
        round(sol * SOL) if priced else None, 1, False,
    )  # fmt: skip
    return FetchedTransaction(signature, slot, number, at, derived=Derived((movement,), None))


def token(client: FlaskClient) -> str:
    """Return the CSRF token of the front page."""
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def post_form(client: FlaskClient, path: str, data: dict[str, Any] | None = None, **options: Any) -> Any:
    """Post a form with its CSRF token."""
    return client.post(path, data={"csrf_token": token(client), **(data or {})}, **options)


def work(kinds: Sequence[str] = ("provisional", "similarity")) -> None:
    """Do the queued jobs of some kinds."""
    with database.session():
        query = Job.select(Job.id).where(Job.state == "queued", Job.kind.in_(kinds))
        ids = [row[0] for row in query.tuples()]
    for job_id in ids:
        executor.run(job_id)


def start(client: FlaskClient, addresses: Sequence[str], **body: Any) -> str:
    """Start an analysis by JSON; return its key."""
    answer = client.post("/analyses", json={"wallets": [{"address": one} for one in addresses], **body})
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


def finish(client: FlaskClient, addresses: Sequence[str], **body: Any) -> str:
    """Start an analysis of synced wallets and compute its result; return its key."""
    key = start(client, addresses, **body)
    work()
    assert client.get(f"/analyses/{key}.json").json["state"] == "complete"
    return key


def row(key: str) -> Analysis:
    with database.session():
        return Analysis.get(Analysis.key == key)


def one_line(page: str) -> str:
    """Return a page with its line breaks as spaces: templates break lines inside of tags and sentences."""
    return re.sub(r"[ \n]+", " ", page)
