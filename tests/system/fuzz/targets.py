"""Who gets the hostile input, and what may come of it: an answer, or the one error that is meant for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tasks.errors import InputError, SourceError
from tasks.sources.http import parse_json
from tasks.sources.market.dexscreener import DexScreener
from tasks.sources.market.jupiter import Jupiter
from tasks.sources.solana import parse as solana_parse
from tasks.sources.solana import rpc
from tasks.storage.cursors import decode_cursor, encode_cursor
from tasks.storage.job_log import jobs_page
from tests.system.fuzz import samples, strategies
from webapp.intake.encoding import decode
from webapp.intake.rows import Intake, read, read_json_wallets

API_KEY = "5ecret-key-0123456789"
KEY_URL = f"https://rpc.example/?api-key={API_KEY}"


class Target(NamedTuple):
    """`take` raises whatever must not happen; `share` of a hundred inputs are for it."""

    inputs: st.SearchStrategy[Any]
    take: Callable[[Any], object]
    share: int


def paste(text: str) -> None:
    """Read a pasted list; every row is judged, and can be shown and kept."""
    _check_intake(read(text))


def upload(data: bytes) -> None:
    """Read a file of any encoding; what is no text is one error."""
    try:
        text = decode(data)
    except InputError:
        return
    _check_intake(read(text))


def json_wallets(body: bytes) -> None:
    """Read a JSON list of wallets."""
    try:
        items = parse_json(body)
    except ValueError:
        return
    try:
        found = read_json_wallets(items.get("wallets") if isinstance(items, dict) else items)
    except InputError:
        return
    _check_intake(found)


def _check_intake(found: Intake) -> None:
    addresses = [row.address for row in found.accepted]
    assert len(set(addresses)) == len(addresses)
    for row in found.rows:
        assert (row.reason is None) == (row.verdict == "accepted")
        assert len(row.text) <= 120
        assert row.label is None or 0 < len(row.label) <= 80
        f"{row.text}{row.label}{row.reason}".encode()


def node_answer(body: bytes) -> None:
    """Read an answer of a Solana node, whatever was asked: values in range, or a `SourceError` that holds no key."""
    try:
        answer = parse_json(body)
    except ValueError:
        return
    outcomes = rpc.read_batch(answer, 3, KEY_URL) if isinstance(answer, list) else [rpc.read_answer(answer, KEY_URL)]
    for outcome in outcomes:
        for parse in (
            solana_parse.parse_transaction,
            solana_parse.parse_signatures,
            solana_parse.parse_holdings,
            solana_parse.parse_balance,
        ):
            told = _parsed(parse, outcome)
            assert API_KEY not in told
            told.encode()


def _parsed(parse: Callable[[object], object], outcome: object) -> str:
    """Return what was read, or the text of the error, as a text."""
    if isinstance(outcome, SourceError):
        return str(outcome)
    try:
        return ascii(parse(outcome))
    except SourceError as error:
        return str(error)


class _Replies:
    """Stands in for the HTTP of a market source: gives the body that it was given, read as any body is."""

    def __init__(self) -> None:
        self.body = b""

    def get(self, url: str, **options: Any) -> Any:
        try:
            return parse_json(self.body)
        except ValueError:
            raise SourceError("market", "not JSON", permanent=False) from None


def _market(source: Any) -> Callable[[bytes], None]:
    replies = source._client._http = _Replies()
    source.circuit.acquire = lambda *args, **options: True

    def take(body: bytes) -> None:
        replies.body = body
        for listing in _answered(lambda: source.listings([samples.MINT, samples.WSOL]), {}).values():
            assert listing.price_usd is None or 0 < listing.price_usd <= 1e9
            json.dumps(asdict(listing), allow_nan=False).encode()
        assert 0 < _answered(source.sol_usd, 1.0) <= 1e9

    return take


def _answered(ask: Callable[[], Any], otherwise: Any) -> Any:
    """Return what a source answers; a body that cannot be used is a fault for a time."""
    try:
        return ask()
    except SourceError as error:
        if error.permanent:
            raise
        return otherwise


def cursor(text: str) -> None:
    """Read a page mark; only ours are read, and they come back as they were."""
    for given in (text, base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("=")):
        for length in (1, 2, 3):
            try:
                values = decode_cursor(given, length)
            except InputError:
                continue
            assert decode_cursor(encode_cursor(values), length) == values


def log_cursor(text: str) -> None:
    """Ask the log of jobs for a page with this mark."""
    try:
        jobs_page(after=text or None)
    except InputError:
        return


def offline() -> dict[str, Target]:
    """Return the targets that need no app."""
    return {
        "pasted lists": Target(strategies.PASTES, paste, 15),
        "files": Target(strategies.LONG_FILES, upload, 20),
        "JSON wallets": Target(strategies.wire(samples.WALLETS), json_wallets, 9),
        "answers of a node": Target(strategies.wire(samples.NODE), node_answer, 20),
        "DexScreener": Target(strategies.wire(samples.DEXSCREENER), _market(DexScreener("http://127.0.0.1:1")), 12),
        "Jupiter": Target(strategies.wire(samples.JUPITER), _market(Jupiter("http://127.0.0.1:1")), 8),
        "page marks": Target(strategies.CURSORS, cursor, 6),
    }
