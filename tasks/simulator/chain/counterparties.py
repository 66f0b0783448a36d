"""Finds the other side of every event: pools, tips, sponsors and strangers, so that nothing appears from nowhere."""

from __future__ import annotations

from functools import lru_cache

from tasks.simulator.chain.accounts import Sheet, TokenRow
from tasks.simulator.world.addresses import derive_address, token_account
from tasks.simulator.world.events import Event, Lot, Party
from tasks.simulator.world.tokens import QUOTES, USDC, WSOL, Catalogue, Token

# The accounts that block builders take tips through.
TIP_ACCOUNTS = (
    "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5",
    "HFqU5x63VTqvQss8hp11i4wVV8bD44PvwucfZ2bU7gRe",
    "Cw8CFyM9FkoMi7K7Crf6HNQqf4uEMzpKw6QNghXLvLkY",
    "ADaUMid9yfUytqMBgopwjb2DTLSokTSzL1zt6iGPaS49",
    "DfXygSm4jCyNCybVYYK6DwvWqjKee8pbDmJGcLWNDXjh",
)
_FEES = derive_address("platform", "fees")


@lru_cache(maxsize=4_096)
def pool_of(mint: str) -> str:
    """Return the authority of the pool that trades a mint."""
    return derive_address("pool", mint)


@lru_cache(maxsize=4_096)
def _other(kind: str, number: int) -> str:
    return derive_address("other", kind, number)


def draw_sheet(event: Event, catalogue: Catalogue) -> Sheet:
    """Return the accounts and balances of an event; all lamports sum to minus the fee."""
    sheet = Sheet(event)
    _signers(sheet, event)
    for party in event.parties:
        _own_accounts(sheet, party, catalogue)
    _costs(sheet, event)
    if event.what == "transfer":
        _strangers(sheet, event, catalogue)
    elif event.what == "exchange":
        _exchange(sheet, event, catalogue)
    elif event.what != "failed":
        for party in event.parties:
            _trade(sheet, event, party, catalogue)
    return sheet


def _signers(sheet: Sheet, event: Event) -> None:
    if event.payer is None:
        kind = "sponsor" if event.sponsored else "sender"
        before = sheet.noise() * 900 + 10_000_000_000_000
        sheet.signer(_other(kind, event.unit % 97), before, before - event.fee)
    for party in event.parties:
        (sheet.signer if party.signed else sheet.account)(party.address, party.before, party.after)


def _own_accounts(sheet: Sheet, party: Party, catalogue: Catalogue) -> None:
    for lot in party.lots:
        token = catalogue.tokens[lot.token]
        account = token_account(party.address, token.mint)
        sheet.account(account, *lot.lamports)
        sheet.rows.append(TokenRow(account, party.address, token, lot.before, lot.after))


def _costs(sheet: Sheet, event: Event) -> None:
    first = event.parties[0]
    if event.temporary:
        sheet.account(token_account(first.address, f"temporary/{event.sequence}"), 0, 0)
    if event.deposit:
        sheet.account(_other(first.address, event.sequence), 0, event.deposit)
    if event.tip:
        sheet.gain(TIP_ACCOUNTS[event.sequence % len(TIP_ACCOUNTS)], event.tip)


def _strangers(sheet: Sheet, event: Event, catalogue: Catalogue) -> None:
    """Let whoever is outside the world take or give what the parties do not pass among themselves."""
    lamports = -sum(party.sol for party in event.parties) - event.deposit
    stranger = sheet.signers[0] if event.payer is None else _other("stranger", event.sequence % 997)
    if lamports:
        sheet.gain(stranger, lamports)
    if len(event.parties) == 1:
        for lot in event.parties[0].lots:
            if lot.token != WSOL and lot.change:
                _counter(sheet, stranger, catalogue.tokens[lot.token], lot)


def _counter(sheet: Sheet, owner: str, token: Token, lot: Lot) -> None:
    """Let the owner take what the lot gave, or give what it took; a transfer fee is withheld from what arrives."""
    fee, change = token.transfer_fee_bps, lot.change
    moved = -(change * 10_000 // (10_000 - fee)) if change > 0 else -change - -change * fee // 10_000
    sheet.gain_token(owner, token, moved)


def _trade(sheet: Sheet, event: Event, party: Party, catalogue: Catalogue) -> None:
    """Write the pools of a one-sided trade, or of SOL against a stablecoin."""
    lots = [lot for lot in party.lots if lot.token >= QUOTES]
    stables = [lot for lot in party.lots if WSOL < lot.token < QUOTES]
    for lot in lots:
        token = catalogue.tokens[lot.token]
        _counter(sheet, pool_of(token.mint), token, lot)
    pools = [catalogue.tokens[lot.token] for lot in lots or stables]
    for lot in stables:
        sheet.gain_token(pool_of(pools[0].mint), catalogue.tokens[lot.token], -lot.change)
    costs = event.tip + event.deposit if party is event.parties[0] else 0
    _pay_pools(sheet, event, catalogue, pools, -party.sol - costs)


def _pay_pools(sheet: Sheet, event: Event, catalogue: Catalogue, pools: list[Token], lamports: int) -> None:
    """Let the pools gain (or lose) the SOL in equal parts; a platform takes 1 % of every fourth trade."""
    if not lamports:
        return
    if event.sequence % 4 == 0 and event.what != "rate":
        cut = abs(lamports) // 100
        sheet.gain(_FEES, cut)
        lamports -= cut
    part = lamports // len(pools)
    for place, token in enumerate(pools):
        _move_sol(sheet, catalogue, token, lamports - part * (len(pools) - 1) if place == 0 else part)


def _move_sol(sheet: Sheet, catalogue: Catalogue, token: Token, lamports: int) -> None:
    """A third of the pools are bonding curves, which hold SOL itself; the others hold it wrapped."""
    if token.index % 3 == 0:
        sheet.gain(pool_of(token.mint), lamports)
    else:
        sheet.gain_token(pool_of(token.mint), catalogue.tokens[WSOL], lamports)


def _exchange(sheet: Sheet, event: Event, catalogue: Catalogue) -> None:
    given, taken = (catalogue.tokens[lot.token] for lot in event.parties[0].lots)
    first, last = pool_of(given.mint), pool_of(taken.mint)
    _counter(sheet, first, given, event.parties[0].lots[0])
    _counter(sheet, last if event.through else first, taken, event.parties[0].lots[1])
    if not event.through:
        return
    through = catalogue.tokens[WSOL if event.route == "sol" else USDC]
    cut = event.through * 25 // 10_000
    sheet.gain_token(first, through, -event.through)
    sheet.gain_token(last, through, event.through - cut)
    sheet.gain_token(_FEES, through, cut)
