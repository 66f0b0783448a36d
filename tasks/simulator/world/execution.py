"""Carries out what the wallets of a unit mean to do, with running balances; decides no plan and renders nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from tasks.simulator.world.balances import LAMPORTS, RESERVE, Purse
from tasks.simulator.world.events import LEGACY, Event, Lot, Party, Route, What
from tasks.simulator.world.plans import Intent
from tasks.simulator.world.scenario import Scenario
from tasks.simulator.world.tokens import QUOTES, USDC, USDT, WSOL, Catalogue, Token, sol_usd
from tasks.simulator.world.wallets import Unit

_VERSIONS = (LEGACY, 0, 0, 1, 1)
_LEAST_LAMPORTS = 400_000  # nothing is traded for less, so that every planned trade stands out of dust
_MOST_UNITS = 2 * 10**16  # bought at once, so that sums stay within the 64 bits that a token account has


class Ledger:
    """The balances of one unit's wallets over time, and the events that moved them."""

    def __init__(self, scenario: Scenario, catalogue: Catalogue, unit: Unit, rnd: Random):
        self.scenario, self.catalogue, self.unit, self.rnd = scenario, catalogue, unit, rnd
        self.purses = [Purse(member.address) for member in unit.members]
        self.events: list[Event] = []
        self._place = (0, 0)
        self._doings: dict[str, Callable[[Intent, Purse], None]] = {
            "fund": self._fund, "send": self._send, "give": self._give, "airdrop": self._airdrop,
            "claim": self._claim, "wrap": self._wrap, "close": self._close, "failed": self._fail,
            "rate": self._rate, "buy": self._buy, "multi": self._multi, "duo": self._duo,
            "sell": self._sell, "exchange": self._exchange, "direct": self._direct,
        }  # fmt: skip

    def run(self, intents: Iterable[Intent]) -> list[Event]:
        """Carry out the intents, in order of time: exactly one event each."""
        for intent in intents:
            self._doings[intent.what](intent, self.purses[intent.wallet])
        return self.events

    # -- recording ---------------------------------------------------------------------------------

    def _record(self, intent: Intent, what: What, fee: int, *parties: Party, **facts: int | bool | Route) -> None:
        slot = self.scenario.slot_at(intent.at_s)
        last_slot, last = self._place
        order = last + 1 + int(self.rnd.random() * 3) if slot == last_slot else int(self.rnd.random() * 1_100)
        self._place = (slot, order)
        version = _VERSIONS[int(self.rnd.random() * 5)]
        head = (self.unit.number, len(self.events), slot, order, version, what, fee, parties)
        self.events.append(Event(*head, **facts))  # type: ignore[arg-type]  # the facts are Event's own fields

    def _network_fee(self, signers: int = 1) -> int:
        return 5_000 * signers + (int(self.rnd.random() ** 3 * 400_000) if self.rnd.random() < 0.8 else 0)

    def _tip(self) -> int:
        return int(self.rnd.random() ** 2 * 1_500_000) * 2 if self.rnd.random() < 0.3 else 0

    def _opened(self, purse: Purse, token: Token, amount: int, at_s: float) -> Lot:
        return purse.credit(token, amount, late=at_s > 0.4 * self.scenario.span_s)

    # -- transfers ---------------------------------------------------------------------------------

    def _fund(self, intent: Intent, purse: Purse) -> None:
        lamports = int(max(intent.size, 0.05) * LAMPORTS)
        self._record(intent, "transfer", self._network_fee(), purse.settle(lamports, 0, signed=False))

    def _top_up(self, intent: Intent, purse: Purse, wanted: int) -> None:
        self._record(intent, "transfer", 5_000, purse.settle(wanted * 6 + LAMPORTS, 0, signed=False))

    def _send(self, intent: Intent, purse: Purse) -> None:
        lamports, fee = int(intent.size * LAMPORTS), self._network_fee()
        if purse.lamports < lamports + fee + RESERVE:
            return self._top_up(intent, purse, lamports)
        parties = [purse.settle(-lamports, fee)]
        if intent.other >= 0:
            parties.append(self.purses[intent.other].settle(lamports, 0, signed=False))
        self._record(intent, "transfer", fee, *parties)

    def _give(self, intent: Intent, purse: Purse) -> None:
        if not purse.amount(intent.token) or purse.lamports < RESERVE:
            return self._fail(intent, purse)
        token, fee, other = self.catalogue.tokens[intent.token], self._network_fee(), self.purses[intent.other]
        given = purse.debit(token, purse.amount(intent.token), close=self.rnd.random() < 0.5)
        taken = self._opened(other, token, token_received(token, -given.change), intent.at_s)
        rent = taken.rent if taken.before is None else 0
        parties = (purse.settle(-rent, fee, given), other.settle(rent, 0, taken, signed=False))
        self._record(intent, "transfer", fee, *parties)

    def _airdrop(self, intent: Intent, purse: Purse) -> None:
        lot = self._opened(purse, self.catalogue.tokens[intent.token], self._whole(intent), intent.at_s)
        rent = lot.rent if lot.before is None else 0
        self._record(intent, "transfer", self._network_fee(), purse.settle(rent, 0, lot, signed=False))

    def _claim(self, intent: Intent, purse: Purse) -> None:
        if purse.lamports < RESERVE:
            return self._top_up(intent, purse, LAMPORTS)
        lot, fee = self._opened(purse, self.catalogue.tokens[intent.token], self._whole(intent), intent.at_s), 5_000
        deposit = 1_566_000
        self._record(intent, "transfer", fee, purse.settle(-deposit, fee, lot), deposit=deposit)

    def _whole(self, intent: Intent) -> int:
        return int(self.rnd.randrange(1, 50_000) * 10 ** self.catalogue.tokens[intent.token].decimals)

    def _wrap(self, intent: Intent, purse: Purse) -> None:
        lamports, fee = int(min(intent.size, 5.0) * LAMPORTS), self._network_fee()
        if purse.lamports < lamports + fee + RESERVE:
            return self._top_up(intent, purse, lamports)
        lot = self._opened(purse, self.catalogue.tokens[WSOL], lamports, intent.at_s)
        self._record(intent, "transfer", fee, purse.settle(0, fee, lot))

    def _close(self, intent: Intent, purse: Purse) -> None:
        empty = next((index for index, (amount, _) in purse.accounts.items() if not amount), None)
        if empty is None or purse.lamports < RESERVE:
            return self._fail(intent, purse)
        lot = purse.debit(self.catalogue.tokens[empty], 0, close=True)
        self._record(intent, "transfer", 5_000, purse.settle(0, 5_000, lot))

    def _fail(self, intent: Intent, purse: Purse) -> None:
        fee = self._network_fee()
        if purse.lamports < fee + RESERVE:
            return self._top_up(intent, purse, LAMPORTS)
        self._record(intent, "failed", fee, purse.settle(0, fee))

    # -- trades ------------------------------------------------------------------------------------

    def _rate(self, intent: Intent, purse: Purse) -> None:
        """Swap SOL against USDC, and now and then USDT; these are what a reader learns the SOL price from."""
        rate, stable = sol_usd(intent.at_s), self._stable()
        fee, held = self._network_fee(), purse.amount(stable.index)
        if held > 20_000_000 and self.rnd.random() < 0.4:
            lamports = int(held / 1e6 / rate * 0.998 * LAMPORTS)
            lot = purse.debit(stable, held, close=False)
        else:
            lamports = -max(20_000_000, int(intent.size * 4 * LAMPORTS))
            if purse.lamports < fee + RESERVE - lamports:
                return self._top_up(intent, purse, -lamports)
            lot = self._opened(purse, stable, int(-lamports / 1e9 * rate * 0.998 * 1e6), intent.at_s)
        self._record(intent, "rate", fee, purse.settle(lamports, fee, lot))

    def _stable(self) -> Token:
        return self.catalogue.tokens[USDC if self.rnd.random() < 0.8 else USDT]

    def _buy(self, intent: Intent, purse: Purse) -> None:
        if self.rnd.random() < 0.25:
            stable = self.catalogue.tokens[USDT if purse.amount(USDT) > purse.amount(USDC) else USDC]
            usd = int(intent.size * sol_usd(intent.at_s) * 1e6)
            if purse.amount(stable.index) >= usd > 0 and purse.lamports > RESERVE:
                return self._buy_with(intent, purse, stable, usd)
        self._buy_tokens(intent, purse, self.catalogue.tokens[intent.token])

    def _buy_with(self, intent: Intent, purse: Purse, stable: Token, usd: int) -> None:
        token, fee = self.catalogue.tokens[intent.token], self._network_fee()
        sponsored = self.rnd.random() < 0.3
        lots = (purse.debit(stable, usd, close=False), self._bought(intent, purse, token, intent.size))
        party = purse.settle(0, 0 if sponsored else fee, *lots)
        self._record(intent, "buy", fee, party, sponsored=sponsored)

    def _multi(self, intent: Intent, purse: Purse) -> None:
        first, second = self.catalogue.tokens[intent.token], self.catalogue.pick_traded(self.rnd, intent.at_s)
        self._buy_tokens(intent, purse, *{first.index: first, second.index: second}.values())

    def _buy_tokens(self, intent: Intent, purse: Purse, *tokens: Token) -> None:
        pay, tip, fee = _lamports(intent.size), self._tip(), self._network_fee()
        if purse.lamports < pay + tip + fee + RESERVE:
            return self._top_up(intent, purse, pay)
        lots = [self._bought(intent, purse, token, pay / LAMPORTS / len(tokens)) for token in tokens]
        sponsored, luck = self.rnd.random() < 0.04, self.rnd.random()
        deposit = 1_346_200 if luck < 0.08 and not sponsored else 0
        if purse.amount(WSOL) >= pay:
            lots.append(purse.debit(self.catalogue.tokens[WSOL], pay, close=False))
        party = purse.settle(-pay - tip - deposit, 0 if sponsored else fee, *lots)
        temporary = luck > 0.6 and len(lots) == len(tokens)
        facts = {"sponsored": sponsored, "tip": tip, "deposit": deposit, "temporary": temporary}
        self._record(intent, "buy", fee, party, **facts)

    def _bought(self, intent: Intent, purse: Purse, token: Token, sol: float) -> Lot:
        amount = int(sol / token.price_sol(intent.at_s) * 0.99 * 10**token.decimals)
        return self._opened(purse, token, token_received(token, max(2, min(amount, _MOST_UNITS))), intent.at_s)

    def _duo(self, intent: Intent, purse: Purse) -> None:
        other, fee, token = self.purses[intent.other], self._network_fee(2), self.catalogue.tokens[intent.token]
        pay = _lamports(intent.size)
        # A reader cannot tell who paid for the other's new account: both have theirs already.
        opened = token.index in purse.accounts and token.index in other.accounts
        if not opened or min(purse.lamports, other.lamports) < pay + fee + RESERVE:
            return self._buy(intent, purse)
        payments = (pay, pay // 20 * 18)
        lots = [
            self._bought(intent, buyer, token, paid / LAMPORTS)
            for buyer, paid in zip((purse, other), payments, strict=True)
        ]
        parties = (purse.settle(-payments[0], fee, lots[0]), other.settle(-payments[1], 0, lots[1]))
        self._record(intent, "buy", fee, *parties)

    def _sell(self, intent: Intent, purse: Purse) -> None:
        held, token = purse.amount(intent.token), self.catalogue.tokens[intent.token]
        if not held or purse.lamports < RESERVE:
            return self._buy(intent, purse)
        amount = held if intent.size >= 1 else max(1, int(held * intent.size))
        sold = purse.debit(token, amount, close=amount == held and self.rnd.random() < 0.5)
        proceeds, fee = self._proceeds(intent, token, amount), self._network_fee()
        sponsored = self.rnd.random() < 0.04
        facts: dict[str, int | bool] = {"sponsored": sponsored}
        lots, sol = [sold], proceeds
        if self.rnd.random() < 0.15:
            stable, sol = self._stable(), 0
            usd = max(1, int(proceeds / 1e9 * sol_usd(intent.at_s) * 1e6))
            lots.append(self._opened(purse, stable, usd, intent.at_s))
        elif proceeds > LAMPORTS // 10:
            facts["tip"] = self._tip()
            sol -= facts["tip"]
        facts["temporary"] = sol != 0 and self.rnd.random() < 0.4
        self._record(intent, "sell", fee, purse.settle(sol, 0 if sponsored else fee, *lots), **facts)

    def _proceeds(self, intent: Intent, token: Token, amount: int) -> int:
        value = amount / 10**token.decimals * token.price_sol(intent.at_s) * 0.99
        return _lamports(min(value, 400.0))

    def _exchange(self, intent: Intent, purse: Purse) -> None:
        self._swap_tokens(intent, purse, "sol" if self.rnd.random() < 0.6 else "usdc")

    def _direct(self, intent: Intent, purse: Purse) -> None:
        self._swap_tokens(intent, purse, "direct")

    def _swap_tokens(self, intent: Intent, purse: Purse, route: Route) -> None:
        held = [index for index, (amount, _) in purse.accounts.items() if index >= QUOTES and amount]
        held = [index for index in held if index != intent.token]
        if not held or purse.lamports < RESERVE:
            return self._buy(intent, purse)
        given = self.catalogue.tokens[held[int(self.rnd.random() * len(held))]]
        amount, fee = purse.amount(given.index), self._network_fee()
        value = self._proceeds(intent, given, amount)
        lots = (
            purse.debit(given, amount, close=False),
            self._bought(intent, purse, self.catalogue.tokens[intent.token], value / LAMPORTS),
        )
        through = {"sol": value, "usdc": int(value / 1e9 * sol_usd(intent.at_s) * 1e6)}.get(route, 0)
        self._record(intent, "exchange", fee, purse.settle(0, fee, *lots), route=route, through=through)


def _lamports(sol: float) -> int:
    """Return lamports, at least `_LEAST_LAMPORTS`, and a multiple of 20 so that equal parts come out whole."""
    return max(_LEAST_LAMPORTS, int(sol * LAMPORTS)) // 20 * 20


def token_received(token: Token, sent: int) -> int:
    """Return what arrives when so much is sent: a transfer fee may be withheld."""
    return sent - sent * token.transfer_fee_bps // 10_000
