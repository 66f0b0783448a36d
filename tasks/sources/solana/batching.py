"""Sends calls to an RPC service: in batches if it takes them, at its rate, and again after a temporary fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tasks.errors import SourceError
from tasks.sources.http import AnswerTooLarge, HttpError
from tasks.sources.rate_limit.clock import Clock, Stop, Stopped, backoff_s
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
    """The service refused a batch of `size` calls; `too_large` if fewer may pass."""

    def __init__(self, size: int, too_large: bool):
        super().__init__(size, too_large)
        self.size = size
        self.too_large = too_large


class RpcCaller:
    """Sends calls to one endpoint within its known `capabilities`, and learns which batches it takes.

    `on_learnt` is called after every change of `capabilities`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        capabilities: Capabilities,
        on_learnt: Callable[[], None],
        stop: Stop | None,
        clock: Clock,
    ):
        self._url = endpoint.url
        self._connection = connection_for(endpoint, clock)
        self._capabilities, self._on_learnt, self._stop, self._clock = capabilities, on_learnt, stop, clock

    @property
    def batch_size(self) -> int:
        """The number of calls in one request, 1 to 100."""
        known = self._capabilities.batch_size or LARGEST_BATCH
        return max(1, min(LARGEST_BATCH, self._connection.limiter.capacity, known))

    def call(self, calls: Sequence[Call]) -> list[Outcome]:
        """Return each call's result or error, in order; no calls give an empty list without a request.

        Raises the `SourceError` if the service answered nothing. If it fails later, the error stands in for each
        missing result.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < len(calls):
            answered = self._call_chunk(calls[len(outcomes) : len(outcomes) + self.batch_size])
            if fault := _common_fault(answered):
                if not outcomes:
                    raise fault
                answered = [fault] * (len(calls) - len(outcomes))
            outcomes += answered
        return outcomes

    def _call_chunk(self, calls: Sequence[Call]) -> list[Outcome]:
        """Return the outcomes of the first calls; after a refusal they are fewer than the calls."""
        try:
            return self._retry(calls)
        except BatchRefused as refused:
            refusal = refused
        if refusal.too_large:
            self._learn_batch_size(max(1, refusal.size // 2))
            return []
        # A single call shows whether the service refuses batches or everything.
        alone = self._retry(calls[:1])
        if not isinstance(alone[0], SourceError):
            self._learn_batch_size(1)
        return alone

    def _learn_batch_size(self, size: int) -> None:
        self._capabilities.batch_size = size
        self._on_learnt()

    def _retry(self, calls: Sequence[Call]) -> list[Outcome]:
        """Send, and resend what failed temporarily: up to four tries, unless the service asks for a longer pause."""
        outcomes: list[Outcome] = [None] * len(calls)
        texts: list[list[str]] = [[] for _ in calls]
        pending = list(range(len(calls)))
        for attempt in range(1, TRIES + 1):
            for index, outcome in zip(pending, self._try([calls[i] for i in pending]), strict=True):
                outcomes[index] = outcome
                texts[index].append(str(outcome) if isinstance(outcome, SourceError) else "")
            pending = [i for i in pending if _is_retryable(outcomes[i])]
            if not pending or attempt == TRIES or not self._backoff(attempt, [outcomes[i] for i in pending]):
                break
        return _with_counts(outcomes, texts)

    def _backoff(self, attempt: int, faults: Sequence[SourceError]) -> bool:
        """Wait with jitter before the next try; False if the service asks for too long a pause.

        The limiter keeps a pause that the service asks for, for all clients.
        """
        asked = max(fault.retry_after_s or 0.0 for fault in faults)
        if asked == 0:
            self._clock.wait(backoff_s(attempt, BASE_S, cap_s=CAP_S, jitter=self._clock.chance()), self._stop)
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
            error = rpc.read_answer(fault.answer, self._url)
            known = isinstance(error, RpcError) and (error.permanent or error.code in rpc.TEMPORARY)
            if fault.permanent and known:
                return error
            raise

    def _send_batch(self, calls: Sequence[Call]) -> list[Outcome]:
        bodies = [call.body(number) for number, call in enumerate(calls, 1)]
        try:
            answer = self._post(bodies, len(calls))
        except AnswerTooLarge:
            raise BatchRefused(len(calls), too_large=True) from None
        except HttpError as fault:
            if not fault.permanent or fault.status == 401:
                raise
            error = rpc.read_answer(fault.answer, self._url)
            raise BatchRefused(len(calls), fault.status == 413 or rpc.is_about_size(error)) from None
        if isinstance(answer, list):
            return rpc.read_batch(answer, len(calls), self._url)
        raise self._judge(answer, len(calls))

    def _judge(self, answer: object, size: int) -> BatchRefused | SourceError:
        """Return what a single object in answer to a batch means."""
        outcome = rpc.read_answer(answer, self._url)
        if rpc.refuses_batches(outcome):
            return BatchRefused(size, rpc.is_about_size(outcome))
        return outcome if isinstance(outcome, SourceError) else BatchRefused(size, too_large=False)

    def _post(self, payload: object, cost: int) -> object:
        limiter = self._connection.limiter
        rest = limiter.paused_s()
        if rest > LONGEST_PAUSE_S:
            raise SourceError(SOURCE, f"{LABEL} asked for a pause", permanent=False, retry_after_s=rest)
        if not limiter.acquire(cost, self._stop):
            raise Stopped(SOURCE)
        try:
            return self._connection.http.post(self._url, payload)
        except HttpError as fault:
            if fault.retry_after_s and not fault.permanent:
                limiter.pause(fault.retry_after_s)
            raise


def _is_retryable(outcome: Outcome) -> bool:
    return isinstance(outcome, SourceError) and not outcome.permanent and not isinstance(outcome, Stopped)


def _common_fault(outcomes: Sequence[Outcome]) -> SourceError | None:
    """Return the fault of the service that all calls share; None if one call has an outcome of its own."""
    first = outcomes[0] if outcomes else None
    if not isinstance(first, SourceError) or any(outcome is not first for outcome in outcomes):
        return None
    its_own = len(outcomes) == 1 and isinstance(first, RpcError) and not rpc.is_throttle(first)
    return None if its_own else first


def _with_counts(outcomes: Sequence[Outcome], texts: Sequence[Sequence[str]]) -> list[Outcome]:
    """Add the number of tries to the text of each remaining error. Calls that share a fault still share one object."""
    made: dict[tuple[int, str], SourceError] = {}
    counted: list[Outcome] = []
    for outcome, said in zip(outcomes, texts, strict=True):
        if _is_retryable(outcome) and len(said) > 1:
            times = TIMES[len(said)]
            text = f"{outcome} {times}" if len(set(said)) == 1 else f"{outcome}, when tried {times}"
            outcome = made.setdefault((id(outcome), text), _reworded(outcome, text))
        counted.append(outcome)
    return counted


def _reworded(error: SourceError, text: str) -> SourceError:
    if isinstance(error, RpcError):
        return RpcError(text, code=error.code, permanent=error.permanent)
    return SourceError(error.source, text, permanent=error.permanent, retry_after_s=error.retry_after_s)
