"""The other side of every event: pools, tips, sponsors and strangers, so that each transaction balances."""

from __future__ import annotations

from functools import lru_cache

from tasks.simulator.chain.accounts import AccountList, TokenRow
from tasks.simulator.world.addresses import derive_address, token_account
from tasks.simulator.world.events import AccountChange, Event, Party
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


def collect_accounts(event: Event, catalogue: Catalogue) -> AccountList:
    """Return the accounts and balances of an event; all lamports sum to minus the fee."""
    accounts = AccountList(event)
    _signers(accounts, event)
    for party in event.parties:
        _own_accounts(accounts, party, catalogue)
    _costs(accounts, event)
    if event.what == "transfer":
        _strangers(accounts, event, catalogue)
    elif event.what == "exchange":
        _exchange(accounts, event, catalogue)
    elif event.what != "failed":
        for party in event.parties:
            _trade(accounts, event, party, catalogue)
    return accounts


def _signers(accounts: AccountList, event: Event) -> None:
    if event.payer is None:
        kind = "sponsor" if event.sponsored else "sender"
        before = accounts.noise() * 900 + 10_000_000_000_000
        accounts.signer(_other(kind, event.unit % 97), before, before - event.fee)
    for party in event.parties:
        (accounts.signer if party.signed else accounts.account)(party.address, party.before, party.after)


def _own_accounts(accounts: AccountList, party: Party, catalogue: Catalogue) -> None:
    for change in party.changes:
        token = catalogue.tokens[change.token]
        account = token_account(party.address, token.mint)
        accounts.account(account, *change.lamports)
        accounts.rows.append(TokenRow(account, party.address, token, change.before, change.after))


def _costs(accounts: AccountList, event: Event) -> None:
    first = event.parties[0]
    if event.temporary:
        accounts.account(token_account(first.address, f"temporary/{event.sequence}"), 0, 0)
    if event.deposit:
        accounts.account(_other(first.address, event.sequence), 0, event.deposit)
    if event.tip:
        accounts.gain(TIP_ACCOUNTS[event.sequence % len(TIP_ACCOUNTS)], event.tip)


def _strangers(accounts: AccountList, event: Event, catalogue: Catalogue) -> None:
    """Let a stranger take or give what the parties do not move among themselves."""
    lamports = -sum(party.sol for party in event.parties) - event.deposit
    stranger = accounts.signers[0] if event.payer is None else _other("stranger", event.sequence % 997)
    if lamports:
        accounts.gain(stranger, lamports)
    if len(event.parties) == 1:
        for change in event.parties[0].changes:
            if change.token != WSOL and change.delta:
                _counter(accounts, stranger, catalogue.tokens[change.token], change)


def _counter(accounts: AccountList, owner: str, token: Token, change: AccountChange) -> None:
    """Let the owner take what the change gave, or give what it took; a transfer fee is withheld from what arrives."""
    fee, delta = token.transfer_fee_bps, change.delta
    moved = -(delta * 10_000 // (10_000 - fee)) if delta > 0 else -delta - -delta * fee // 10_000
    accounts.gain_token(owner, token, moved)


def _trade(accounts: AccountList, event: Event, party: Party, catalogue: Catalogue) -> None:
    """Add the pools of a one-sided trade, or of SOL against a stablecoin."""
    changes = [change for change in party.changes if change.token >= QUOTES]
    stables = [change for change in party.changes if WSOL < change.token < QUOTES]
    for change in changes:
        token = catalogue.tokens[change.token]
        _counter(accounts, pool_of(token.mint), token, change)
    pools = [catalogue.tokens[change.token] for change in changes or stables]
    for change in stables:
        accounts.gain_token(pool_of(pools[0].mint), catalogue.tokens[change.token], -change.delta)
    costs = event.tip + event.deposit if party is event.parties[0] else 0
    _pay_pools(accounts, event, catalogue, pools, -party.sol - costs)


def _pay_pools(accounts: AccountList, event: Event, catalogue: Catalogue, pools: list[Token], lamports: int) -> None:
    """Move the SOL of the pools in equal parts; a platform takes 1 % of every fourth trade."""
    if not lamports:
        return
    if event.sequence % 4 == 0 and event.what != "rate":
        cut = abs(lamports) // 100
        accounts.gain(_FEES, cut)
        lamports -= cut
    part = lamports // len(pools)
    for index, token in enumerate(pools):
        _move_sol(accounts, catalogue, token, lamports - part * (len(pools) - 1) if index == 0 else part)


def _move_sol(accounts: AccountList, catalogue: Catalogue, token: Token, lamports: int) -> None:
    """A third of the pools are bonding curves, which hold SOL itself; the others hold it wrapped."""
    if token.index % 3 == 0:
        accounts.gain(pool_of(token.mint), lamports)
    else:
        accounts.gain_token(pool_of(token.mint), catalogue.tokens[WSOL], lamports)


def _exchange(accounts: AccountList, event: Event, catalogue: Catalogue) -> None:
    given, taken = (catalogue.tokens[change.token] for change in event.parties[0].changes)
    first, last = pool_of(given.mint), pool_of(taken.mint)
    _counter(accounts, first, given, event.parties[0].changes[0])
    _counter(accounts, last if event.through else first, taken, event.parties[0].changes[1])
    if not event.through:
        return
    through = catalogue.tokens[WSOL if event.route == "sol" else USDC]
    cut = event.through * 25 // 10_000
    accounts.gain_token(first, through, -event.through)
    accounts.gain_token(last, through, event.through - cut)
    accounts.gain_token(_FEES, through, cut)
