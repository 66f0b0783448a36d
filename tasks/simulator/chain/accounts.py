"""The accounts of one transaction with their balances before and after; knows no JSON."""

from __future__ import annotations

from typing import NamedTuple

from tasks.simulator.world.addresses import token_account
from tasks.simulator.world.events import Event
from tasks.simulator.world.tokens import WSOL, Token

VAULT_RENT = 2_039_280


class TokenRow(NamedTuple):
    """One token account in the transaction; amounts None where it does not exist."""

    account: str
    owner: str
    token: Token
    before: int | None
    after: int | None


class AccountList:
    """Accounts in the order of the message.

    `looked_up` accounts come from a lookup table where the transaction's version has them.
    """

    __slots__ = ("signers", "plain", "looked_up", "before", "after", "rows", "uses_tables", "_noise")

    def __init__(self, event: Event):
        self.signers: list[str] = []
        self.plain: list[str] = []
        self.looked_up: list[str] = []
        self.before: dict[str, int] = {}
        self.after: dict[str, int] = {}
        self.rows: list[TokenRow] = []
        self.uses_tables = event.version == 0
        self._noise = (event.unit * 7_919 + event.sequence + 1) * 2_654_435_761

    def noise(self) -> int:
        """Return a pseudo-random number below 2^31, the same each time the event is rendered."""
        self._noise = (self._noise * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        return self._noise

    def signer(self, address: str, before: int, after: int) -> None:
        """Add an account that signed, the payer first."""
        self.signers.append(address)
        self.before[address], self.after[address] = before, after

    def account(self, address: str, before: int, after: int) -> None:
        """Add an account of the message itself."""
        self.plain.append(address)
        self.before[address], self.after[address] = before, after

    def gain(self, address: str, lamports: int) -> None:
        """Add lamports, below 0 too, to an account outside the world; its balance is made up."""
        if address in self.before:
            self.after[address] += lamports
            return
        (self.looked_up if self.uses_tables else self.plain).append(address)
        before = abs(lamports) * 30 + self.noise() * 20 + 1_000_000
        self.before[address], self.after[address] = before, before + lamports

    def gain_token(self, owner: str, token: Token, amount: int) -> None:
        """Add tokens, below 0 too, to an owner outside the world; wSOL moves the account's lamports too."""
        account = token_account(owner, token.mint)
        if account in self.before:
            return self._merge(account, token, amount)
        before = abs(amount) * 40 + self.noise()
        rent = VAULT_RENT + (before if token.index == WSOL else 0)
        (self.looked_up if self.uses_tables else self.plain).append(account)
        self.before[account] = rent
        self.after[account] = rent + amount if token.index == WSOL else rent
        self.rows.append(TokenRow(account, owner, token, before, before + amount))

    def _merge(self, account: str, token: Token, amount: int) -> None:
        index = next(index for index, row in enumerate(self.rows) if row.account == account)
        row = self.rows[index]
        self.rows[index] = row._replace(after=(row.after or 0) + amount)
        self.after[account] += amount if token.index == WSOL else 0
