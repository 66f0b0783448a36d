"""What one wallet holds at one time."""

from __future__ import annotations

from tasks.simulator.world.events import AccountChange, Party
from tasks.simulator.world.tokens import TOKEN_2022_PROGRAM, Token

LAMPORTS = 1_000_000_000
RESERVE = 25_000_000  # left in a wallet for fees, tips and rent
# Rent of a token account before and after the chain lowered it (SIMD-0437): old accounts keep the old rent.
_RENT, _RENT_LOWERED = 2_039_280, 1_488_440
_RENT_2022, _RENT_2022_LOWERED = 2_074_080, 1_513_840


class WalletBalances:
    """A wallet's lamports and its token accounts: index in the catalogue → [amount, rent]."""

    __slots__ = ("address", "lamports", "accounts")

    def __init__(self, address: str):
        self.address = address
        self.lamports = 0
        self.accounts: dict[int, list[int]] = {}

    def amount(self, token: int) -> int:
        """Return the base units held, 0 without an account."""
        account = self.accounts.get(token)
        return account[0] if account else 0

    def credit(self, token: Token, amount: int, *, late: bool) -> AccountChange:
        """Add to the token's account, opened if missing; a `late` one costs the lowered rent."""
        account = self.accounts.get(token.index)
        if account is None:
            rent = rent_of(token, late=late)
            self.accounts[token.index] = [amount, rent]
            return AccountChange(token.index, None, amount, rent)
        before = account[0]
        account[0] = before + amount
        return AccountChange(token.index, before, account[0], account[1])

    def debit(self, token: Token, amount: int, *, close: bool) -> AccountChange:
        """Take from the token's account and, with `close`, close it; it must be empty then."""
        account = self.accounts[token.index]
        before, rent = account
        account[0] = before - amount
        if close:
            del self.accounts[token.index]
        return AccountChange(token.index, before, None if close else account[0], rent)

    def move_sol(self, sol: int, fee: int, *changes: AccountChange, signed: bool = True) -> Party:
        """Move lamports so that wallet and token accounts together gain `sol` less the fee it pays."""
        before = self.lamports
        in_accounts = sum(end - start for start, end in (change.lamports for change in changes))
        self.lamports = before + sol - fee - in_accounts
        return Party(self.address, signed, before, self.lamports, sol, changes)


def rent_of(token: Token, *, late: bool) -> int:
    """Return the rent of a new account of the token, in lamports."""
    if token.program == TOKEN_2022_PROGRAM:
        return _RENT_2022_LOWERED if late else _RENT_2022
    return _RENT_LOWERED if late else _RENT
