"""Executes the planned actions of a unit's wallets, with running balances; plans and renders nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from tasks.simulator.world.balances import LAMPORTS, RESERVE, WalletBalances
from tasks.simulator.world.events import LEGACY, AccountChange, Event, Party, Route, What
from tasks.simulator.world.plans import Action
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import QUOTES, USDC, USDT, WSOL, Catalogue, Token, sol_usd
from tasks.simulator.world.wallets import Unit

_VERSIONS = (LEGACY, 0, 0, 1, 1)
_LEAST_LAMPORTS = 400_000  # nothing is traded for less, so that no planned trade is dust
_MOST_UNITS = 2 * 10**16  # bought at once, so that sums stay within the 64 bits that a token account has


class Execution:
    """The balances of one unit's wallets over time, and the events that moved them."""

    def __init__(self, scenario: Scenario, catalogue: Catalogue, unit: Unit, rnd: Random):
        self.scenario, self.catalogue, self.unit, self.rnd = scenario, catalogue, unit, rnd
        self.balances = [WalletBalances(member.address) for member in unit.members]
        self.events: list[Event] = []
        self._last = (0, 0)
        self._actions: dict[str, Callable[[Action, WalletBalances], None]] = {
            "fund": self._fund, "send": self._send, "give": self._give, "airdrop": self._airdrop,
            "claim": self._claim, "wrap": self._wrap, "close": self._close, "failed": self._fail,
            "rate": self._rate, "buy": self._buy, "multi": self._multi, "duo": self._duo,
            "sell": self._sell, "exchange": self._exchange, "direct": self._direct,
        }  # fmt: skip

    def run(self, actions: Iterable[Action]) -> list[Event]:
        """Execute the actions, in order of time: exactly one event each."""
        for action in actions:
            self._actions[action.what](action, self.balances[action.wallet])
        return self.events

    # -- recording ---------------------------------------------------------------------------------

    def _record(self, action: Action, what: What, fee: int, *parties: Party, **facts: int | bool | Route) -> None:
        slot = self.scenario.slot_at(action.at_s)
        last_slot, last_order = self._last
        order = last_order + 1 + int(self.rnd.random() * 3) if slot == last_slot else int(self.rnd.random() * 1_100)
        self._last = (slot, order)
        version = _VERSIONS[int(self.rnd.random() * 5)]
        head = (self.unit.number, len(self.events), slot, order, version, what, fee, parties)
        self.events.append(Event(*head, **facts))  # type: ignore[arg-type]  # the facts are Event's own fields

    def _network_fee(self, signers: int = 1) -> int:
        return 5_000 * signers + (int(self.rnd.random() ** 3 * 400_000) if self.rnd.random() < 0.8 else 0)

    def _tip(self) -> int:
        return int(self.rnd.random() ** 2 * 1_500_000) * 2 if self.rnd.random() < 0.3 else 0

    def _credit(self, wallet: WalletBalances, token: Token, amount: int, at_s: float) -> AccountChange:
        return wallet.credit(token, amount, late=at_s > 0.4 * self.scenario.span_s)

    # -- transfers ---------------------------------------------------------------------------------

    def _fund(self, action: Action, wallet: WalletBalances) -> None:
        lamports = int(max(action.size, 0.05) * LAMPORTS)
        self._record(action, "transfer", self._network_fee(), wallet.move_sol(lamports, 0, signed=False))

    def _top_up(self, action: Action, wallet: WalletBalances, lamports: int) -> None:
        self._record(action, "transfer", 5_000, wallet.move_sol(lamports * 6 + LAMPORTS, 0, signed=False))

    def _send(self, action: Action, wallet: WalletBalances) -> None:
        lamports, fee = int(action.size * LAMPORTS), self._network_fee()
        if wallet.lamports < lamports + fee + RESERVE:
            return self._top_up(action, wallet, lamports)
        parties = [wallet.move_sol(-lamports, fee)]
        if action.other >= 0:
            parties.append(self.balances[action.other].move_sol(lamports, 0, signed=False))
        self._record(action, "transfer", fee, *parties)

    def _give(self, action: Action, wallet: WalletBalances) -> None:
        if not wallet.amount(action.token) or wallet.lamports < RESERVE:
            return self._fail(action, wallet)
        token, fee, other = self.catalogue.tokens[action.token], self._network_fee(), self.balances[action.other]
        given = wallet.debit(token, wallet.amount(action.token), close=self.rnd.random() < 0.5)
        taken = self._credit(other, token, token_received(token, -given.delta), action.at_s)
        rent = taken.rent if taken.before is None else 0
        parties = (wallet.move_sol(-rent, fee, given), other.move_sol(rent, 0, taken, signed=False))
        self._record(action, "transfer", fee, *parties)

    def _airdrop(self, action: Action, wallet: WalletBalances) -> None:
        change = self._credit(wallet, self.catalogue.tokens[action.token], self._whole(action), action.at_s)
        rent = change.rent if change.before is None else 0
        self._record(action, "transfer", self._network_fee(), wallet.move_sol(rent, 0, change, signed=False))

    def _claim(self, action: Action, wallet: WalletBalances) -> None:
        if wallet.lamports < RESERVE:
            return self._top_up(action, wallet, LAMPORTS)
        change, fee = self._credit(wallet, self.catalogue.tokens[action.token], self._whole(action), action.at_s), 5_000
        deposit = 1_566_000
        self._record(action, "transfer", fee, wallet.move_sol(-deposit, fee, change), deposit=deposit)

    def _whole(self, action: Action) -> int:
        return int(self.rnd.randrange(1, 50_000) * 10 ** self.catalogue.tokens[action.token].decimals)

    def _wrap(self, action: Action, wallet: WalletBalances) -> None:
        lamports, fee = int(min(action.size, 5.0) * LAMPORTS), self._network_fee()
        if wallet.lamports < lamports + fee + RESERVE:
            return self._top_up(action, wallet, lamports)
        change = self._credit(wallet, self.catalogue.tokens[WSOL], lamports, action.at_s)
        self._record(action, "transfer", fee, wallet.move_sol(0, fee, change))

    def _close(self, action: Action, wallet: WalletBalances) -> None:
        empty = next((index for index, (amount, _) in wallet.accounts.items() if not amount), None)
        if empty is None or wallet.lamports < RESERVE:
            return self._fail(action, wallet)
        change = wallet.debit(self.catalogue.tokens[empty], 0, close=True)
        self._record(action, "transfer", 5_000, wallet.move_sol(0, 5_000, change))

    def _fail(self, action: Action, wallet: WalletBalances) -> None:
        fee = self._network_fee()
        if wallet.lamports < fee + RESERVE:
            return self._top_up(action, wallet, LAMPORTS)
        self._record(action, "failed", fee, wallet.move_sol(0, fee))

    # -- trades ------------------------------------------------------------------------------------

    def _rate(self, action: Action, wallet: WalletBalances) -> None:
        """Swap SOL against USDC, or sometimes USDT; readers learn the SOL price from these."""
        rate, stable = sol_usd(action.at_s), self._stable()
        fee, held = self._network_fee(), wallet.amount(stable.index)
        if held > 20_000_000 and self.rnd.random() < 0.4:
            lamports = int(held / 1e6 / rate * 0.998 * LAMPORTS)
            change = wallet.debit(stable, held, close=False)
        else:
            lamports = -max(20_000_000, int(action.size * 4 * LAMPORTS))
            if wallet.lamports < fee + RESERVE - lamports:
                return self._top_up(action, wallet, -lamports)
            change = self._credit(wallet, stable, int(-lamports / 1e9 * rate * 0.998 * 1e6), action.at_s)
        self._record(action, "rate", fee, wallet.move_sol(lamports, fee, change))

    def _stable(self) -> Token:
        return self.catalogue.tokens[USDC if self.rnd.random() < 0.8 else USDT]

    def _buy(self, action: Action, wallet: WalletBalances) -> None:
        if self.rnd.random() < 0.25:
            stable = self.catalogue.tokens[USDT if wallet.amount(USDT) > wallet.amount(USDC) else USDC]
            usd = int(action.size * sol_usd(action.at_s) * 1e6)
            if wallet.amount(stable.index) >= usd > 0 and wallet.lamports > RESERVE:
                return self._buy_with(action, wallet, stable, usd)
        self._buy_tokens(action, wallet, self.catalogue.tokens[action.token])

    def _buy_with(self, action: Action, wallet: WalletBalances, stable: Token, usd: int) -> None:
        token, fee = self.catalogue.tokens[action.token], self._network_fee()
        sponsored = self.rnd.random() < 0.3
        changes = (wallet.debit(stable, usd, close=False), self._bought(action, wallet, token, action.size))
        party = wallet.move_sol(0, 0 if sponsored else fee, *changes)
        self._record(action, "buy", fee, party, sponsored=sponsored)

    def _multi(self, action: Action, wallet: WalletBalances) -> None:
        first, second = self.catalogue.tokens[action.token], self.catalogue.pick_traded(self.rnd, action.at_s)
        self._buy_tokens(action, wallet, *{first.index: first, second.index: second}.values())

    def _buy_tokens(self, action: Action, wallet: WalletBalances, *tokens: Token) -> None:
        pay, tip, fee = _lamports(action.size), self._tip(), self._network_fee()
        if wallet.lamports < pay + tip + fee + RESERVE:
            return self._top_up(action, wallet, pay)
        changes = [self._bought(action, wallet, token, pay / LAMPORTS / len(tokens)) for token in tokens]
        sponsored, draw = self.rnd.random() < 0.04, self.rnd.random()
        deposit = 1_346_200 if draw < 0.08 and not sponsored else 0
        if wallet.amount(WSOL) >= pay:
            changes.append(wallet.debit(self.catalogue.tokens[WSOL], pay, close=False))
        party = wallet.move_sol(-pay - tip - deposit, 0 if sponsored else fee, *changes)
        temporary = draw > 0.6 and len(changes) == len(tokens)
        facts = {"sponsored": sponsored, "tip": tip, "deposit": deposit, "temporary": temporary}
        self._record(action, "buy", fee, party, **facts)

    def _bought(self, action: Action, wallet: WalletBalances, token: Token, sol: float) -> AccountChange:
        amount = int(sol / token.price_sol(action.at_s) * 0.99 * 10**token.decimals)
        return self._credit(wallet, token, token_received(token, max(2, min(amount, _MOST_UNITS))), action.at_s)

    def _duo(self, action: Action, wallet: WalletBalances) -> None:
        other, fee, token = self.balances[action.other], self._network_fee(2), self.catalogue.tokens[action.token]
        pay = _lamports(action.size)
        # Who pays for a new account of the other cannot be told, so both must have theirs already.
        opened = token.index in wallet.accounts and token.index in other.accounts
        if not opened or min(wallet.lamports, other.lamports) < pay + fee + RESERVE:
            return self._buy(action, wallet)
        payments = (pay, pay // 20 * 18)
        changes = [
            self._bought(action, buyer, token, paid / LAMPORTS)
            for buyer, paid in zip((wallet, other), payments, strict=True)
        ]
        parties = (wallet.move_sol(-payments[0], fee, changes[0]), other.move_sol(-payments[1], 0, changes[1]))
        self._record(action, "buy", fee, *parties)

    def _sell(self, action: Action, wallet: WalletBalances) -> None:
        held, token = wallet.amount(action.token), self.catalogue.tokens[action.token]
        if not held or wallet.lamports < RESERVE:
            return self._buy(action, wallet)
        amount = held if action.size >= 1 else max(1, int(held * action.size))
        sold = wallet.debit(token, amount, close=amount == held and self.rnd.random() < 0.5)
        proceeds, fee = self._proceeds(action, token, amount), self._network_fee()
        sponsored = self.rnd.random() < 0.04
        facts: dict[str, int | bool] = {"sponsored": sponsored}
        changes, sol = [sold], proceeds
        if self.rnd.random() < 0.15:
            stable, sol = self._stable(), 0
            usd = max(1, int(proceeds / 1e9 * sol_usd(action.at_s) * 1e6))
            changes.append(self._credit(wallet, stable, usd, action.at_s))
        elif proceeds > LAMPORTS // 10:
            facts["tip"] = self._tip()
            sol -= facts["tip"]
        facts["temporary"] = sol != 0 and self.rnd.random() < 0.4
        self._record(action, "sell", fee, wallet.move_sol(sol, 0 if sponsored else fee, *changes), **facts)

    def _proceeds(self, action: Action, token: Token, amount: int) -> int:
        value = amount / 10**token.decimals * token.price_sol(action.at_s) * 0.99
        return _lamports(min(value, 400.0))

    def _exchange(self, action: Action, wallet: WalletBalances) -> None:
        self._swap_tokens(action, wallet, "sol" if self.rnd.random() < 0.6 else "usdc")

    def _direct(self, action: Action, wallet: WalletBalances) -> None:
        self._swap_tokens(action, wallet, "direct")

    def _swap_tokens(self, action: Action, wallet: WalletBalances, route: Route) -> None:
        held = [index for index, (amount, _) in wallet.accounts.items() if index >= QUOTES and amount]
        held = [index for index in held if index != action.token]
        if not held or wallet.lamports < RESERVE:
            return self._buy(action, wallet)
        given = self.catalogue.tokens[held[int(self.rnd.random() * len(held))]]
        amount, fee = wallet.amount(given.index), self._network_fee()
        value = self._proceeds(action, given, amount)
        changes = (
            wallet.debit(given, amount, close=False),
            self._bought(action, wallet, self.catalogue.tokens[action.token], value / LAMPORTS),
        )
        through = {"sol": value, "usdc": int(value / 1e9 * sol_usd(action.at_s) * 1e6)}.get(route, 0)
        self._record(action, "exchange", fee, wallet.move_sol(0, fee, *changes), route=route, through=through)


def _lamports(sol: float) -> int:
    """Return lamports, at least `_LEAST_LAMPORTS` and a multiple of 20, so that equal parts are integers."""
    return max(_LEAST_LAMPORTS, int(sol * LAMPORTS)) // 20 * 20


def token_received(token: Token, sent: int) -> int:
    """Return the amount received of an amount sent, less the transfer fee."""
    return sent - sent * token.transfer_fee_bps // 10_000
