"""Sends calls to an RPC service: many in one request where it takes batches, at the service's rate, and again when a
fault is temporary. Knows no method and no result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tasks.errors import SourceError
from tasks.sources.http import HttpError, TooMuch
from tasks.sources.rate_limit.clock import Clock, Stop, Stopped
from tasks.sources.solana import rpc
from tasks.sources.solana.endpoint import LABEL, SOURCE, Capabilities, Endpoint, connection_for
from tasks.sources.solana.rpc import Call, Outcome, RpcError

LARGEST_BATCH = 100
TRIES = 4
BASE_S = 0.5
CAP_S = 8.0
LONGEST_PAUSE_S = 10.0
TIMES = {2: "twice", 3: "three times", 4: "four times"}


class BatchRefused(Exception):
    """A batch of `size` calls was turned away as such; `too_large` when fewer may pass."""

    def __init__(self, size: int, too_large: bool):
        super().__init__(size, too_large)
        self.size = size
        self.too_large = too_large


class RpcCaller:
    """Asks an endpoint, keeping to what `traits` knows of it and writing there what it learns about batches.

    `learnt` is called after every change of `traits`.
    """

    def __init__(
        self, endpoint: Endpoint, traits: Capabilities, learnt: Callable[[], None], stop: Stop | None, clock: Clock
    ):
        self._url = endpoint.url
        self._line = connection_for(endpoint, clock)
        self._traits, self._learnt, self._stop, self._clock = traits, learnt, stop, clock

    @property
    def batch_size(self) -> int:
        """How many calls go into one request: 1 to 100."""
        known = self._traits.batch_size or LARGEST_BATCH
        return max(1, min(LARGEST_BATCH, self._line.limiter.capacity, known))

    def ask(self, calls: Sequence[Call]) -> list[Outcome]:
        """Return each call's result or error, in order; no call gives an empty list without asking.

        Raises the `SourceError` when the service gave nothing at all. Once something is there, a fault of the whole
        service only takes the place of what is still missing.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(calls):
            answered = self._ask_chunk(calls[len(outcomes) : len(outcomes) + self.batch_size])
            if fault := _common_fault(answered):
                if not outcomes:
                    raise fault
                answered = [fault] * (len(calls) - len(outcomes))
            outcomes += answered
        return outcomes

    def _ask_chunk(self, calls: Sequence[Call]) -> list[Outcome]:
        """Return the outcomes of the first calls, as many as there are: fewer than asked after a refusal."""
        try:
            return self._persist(calls)
        except BatchRefused as refused:
            refusal = refused
        if refusal.too_large:
            self._learn_size(max(1, refusal.size // 2))
            return []
        # Is it batches that are refused, or everything? One call alone tells.
        alone = self._persist(calls[:1])
        if not isinstance(alone[0], SourceError):
            self._learn_size(1)
        return alone

    def _learn_size(self, size: int) -> None:
        self._traits.batch_size = size
        self._learnt()

    def _persist(self, calls: Sequence[Call]) -> list[Outcome]:
        """Send, and send again what failed for a time: up to four tries, unless the service wants a longer pause."""
        outcomes: list[Outcome] = [None] * len(calls)
        texts: list[list[str]] = [[] for _ in calls]
        pending = list(range(len(calls)))
        for attempt in range(1, TRIES + 1):
            for index, outcome in zip(pending, self._try([calls[i] for i in pending]), strict=True):
                outcomes[index] = outcome
                texts[index].append(str(outcome) if isinstance(outcome, SourceError) else "")
            pending = [i for i in pending if _may_recover(outcomes[i])]
            if not pending or attempt == TRIES or not self._breathe(attempt, [outcomes[i] for i in pending]):
                break
        return _with_counts(outcomes, texts)

    def _breathe(self, attempt: int, faults: Sequence[SourceError]) -> bool:
        """Wait before the next try, at random so that clients do not come back together; False when it is too long.

        A wait that the service asked for is the limiter's: everybody keeps it, this client on its next try.
        """
        asked = max(fault.retry_after_s or 0.0 for fault in faults)
        if asked == 0:
            self._clock.wait(self._clock.chance() * min(CAP_S, BASE_S * 2 ** (attempt - 1)), self._stop)
        return asked <= LONGEST_PAUSE_S

    def _try(self, calls: Sequence[Call]) -> list[Outcome]:
        try:
            return [self._send_one(calls[0])] if len(calls) == 1 else self._send_batch(calls)
        except SourceError as fault:
            return [fault] * len(calls)

    def _send_one(self, call: Call) -> Outcome:
        try:
            return rpc.read_answer(self._post(call.body(1), 1), self._url)
        except HttpError as fault:
            beside = rpc.read_answer(fault.answer, self._url)
            known = isinstance(beside, RpcError) and (beside.permanent or beside.code in rpc.TEMPORARY)
            if fault.permanent and known:
                return beside
            raise

    def _send_batch(self, calls: Sequence[Call]) -> list[Outcome]:
        bodies = [call.body(number) for number, call in enumerate(calls, 1)]
        try:
            answer = self._post(bodies, len(calls))
        except TooMuch:
            raise BatchRefused(len(calls), too_large=True) from None
        except HttpError as fault:
            if not fault.permanent or fault.status == 401:
                raise
            beside = rpc.read_answer(fault.answer, self._url)
            raise BatchRefused(len(calls), fault.status == 413 or rpc.speaks_of_size(beside)) from None
        if isinstance(answer, list):
            return rpc.read_batch(answer, len(calls), self._url)
        raise self._judge(answer, len(calls))

    def _judge(self, answer: object, size: int) -> BatchRefused | SourceError:
        """What it means that one object answered a whole batch."""
        outcome = rpc.read_answer(answer, self._url)
        if rpc.refuses_batches(outcome):
            return BatchRefused(size, rpc.speaks_of_size(outcome))
        return outcome if isinstance(outcome, SourceError) else BatchRefused(size, too_large=False)

    def _post(self, payload: object, cost: int) -> object:
        limiter = self._line.limiter
        rest = limiter.paused_s()
        if rest > LONGEST_PAUSE_S:
            raise SourceError(SOURCE, f"{LABEL} asked for a pause", permanent=False, retry_after_s=rest)
        if not limiter.acquire(cost, self._stop):
            raise Stopped(SOURCE)
        try:
            return self._line.http.post(self._url, payload)
        except HttpError as fault:
            if fault.retry_after_s and not fault.permanent:
                limiter.pause(fault.retry_after_s)
            raise


def _may_recover(outcome: Outcome) -> bool:
    return isinstance(outcome, SourceError) and not outcome.permanent and not isinstance(outcome, Stopped)


def _common_fault(outcomes: Sequence[Outcome]) -> SourceError | None:
    """The one fault that all calls share because it is the service's; None when at least one has its own outcome."""
    first = outcomes[0] if outcomes else None
    if not isinstance(first, SourceError) or any(outcome is not first for outcome in outcomes):
        return None
    its_own = len(outcomes) == 1 and isinstance(first, RpcError) and not rpc.is_throttle(first)
    return None if its_own else first


def _with_counts(outcomes: Sequence[Outcome], texts: Sequence[Sequence[str]]) -> list[Outcome]:
    """Let the errors that stayed say how often it was tried. A fault that calls share stays one object."""
    made: dict[tuple[int, str], SourceError] = {}
    counted: list[Outcome] = []
    for outcome, said in zip(outcomes, texts, strict=True):
        if _may_recover(outcome) and len(said) > 1:
            times = TIMES[len(said)]
            text = f"{outcome} {times}" if len(set(said)) == 1 else f"{outcome}, when tried {times}"
            outcome = made.setdefault((id(outcome), text), _reworded(outcome, text))
        counted.append(outcome)
    return counted


def _reworded(error: SourceError, text: str) -> SourceError:
    if isinstance(error, RpcError):
        return RpcError(text, code=error.code, permanent=error.permanent)
    return SourceError(error.source, text, permanent=error.permanent, retry_after_s=error.retry_after_s)
