"""Does what triggers and steps have done outside: webhooks, attributes; and delayed starts.

Whoever does something holds it for a while; what a crash leaves is done again when that is over.
So a receiver may be called twice, and knows it by the occurrence's id.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import structlog

from chassis.clock import Clock, milliseconds_of
from chassis.ids import derived_id
from chassis.transient import transient
from services.segment.engine.actions import Answer, Deed, SetAction, StartAction, WebhookAction
from services.segment.engine.journeys.model import Start
from services.segment.engine.membership import Membership
from services.segment.engine.model import Happening

ATTEMPTS: Final = 10
LEASE_MS: Final = 60_000
_AT_ONCE: Final = 200
_PER_HOST: Final = 50
"""Calls at once, so that one receiver that does not answer does not take everybody's place."""
_FIRST_WAIT_MS: Final = 5_000
_LONGEST_WAIT_MS: Final = 3_600_000
_CROWDED_MS: Final = 1_000
_LOOK_EVERY_S: Final = 0.1

_logger = structlog.get_logger()


class Claim(NamedTuple):
    """Something to be done now, and the how manieth attempt that is."""

    deed: Deed
    attempt: int


class Result(NamedTuple):
    """What came of an attempt."""

    deed: Deed
    attempt: int
    state: str
    """`fired`, `failed` or `missed`; `waiting`: it is done again at `next_time`."""
    reason: str
    next_time: int = 0


class Store(Protocol):
    """What this needs kept."""

    async def claim(self, now: int, until: int, limit: int) -> list[Claim]:
        """Those that are due and that nobody holds, to be held until then; only of triggers and
        journeys that act."""
        ...

    async def settle(self, results: Sequence[Result], now: int) -> None:
        """Write what came of them."""
        ...


Call = Callable[[Deed, int], Awaitable[Answer]]
Put = Callable[[Sequence[Deed]], Awaitable[Sequence[Answer | None]]]
"""Sets attributes; None: it is to be asked again."""


class Deeds:
    """Does one after the other, many at once."""

    def __init__(
        self, store: Store, membership: Membership, call: Call, put: Put, clock: Clock
    ) -> None:
        self._store = store
        self._membership = membership
        self._call = call
        self._put = put
        self._clock = clock
        self._busy: set[asyncio.Task[None]] = set()
        self._hosts: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    claimed = await self._claim()
                except Exception as error:
                    if not transient(error):
                        raise
                    _logger.warning("deeds wait", error=type(error).__name__)
                    claimed = []
                for each in self._parts(claimed):
                    task = tasks.create_task(self._safely(each), name="deeds")
                    self._busy.add(task)
                    task.add_done_callback(self._busy.discard)
                if not claimed:
                    await asyncio.sleep(_LOOK_EVERY_S)

    async def work(self) -> int:
        """Do what is due now; returns how many that were."""
        claimed = await self._claim()
        for each in self._parts(claimed):
            await self._do(each)
        return len(claimed)

    async def _claim(self) -> list[Claim]:
        free = _AT_ONCE - len(self._busy)
        if free <= 0:
            return []
        now = self._now
        return await self._store.claim(now, now + LEASE_MS, free)

    @property
    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    @staticmethod
    def _parts(claimed: Sequence[Claim]) -> list[list[Claim]]:
        """Attributes are set together, all else is done each by itself."""
        together = [one for one in claimed if isinstance(one.deed.action, SetAction)]
        alone = [[one] for one in claimed if not isinstance(one.deed.action, SetAction)]
        return [*alone, together] if together else alone

    async def _safely(self, claimed: list[Claim]) -> None:
        try:
            await self._do(claimed)
        except Exception as error:
            if not transient(error):
                raise
            # What is not settled is done again when the lease is over.
            _logger.warning("deeds are left", error=type(error).__name__)

    async def _do(self, claimed: list[Claim]) -> None:
        now = self._now
        late = [one for one in claimed if _too_late(one.deed, now)]
        rest = [one for one in claimed if not _too_late(one.deed, now)]
        results = [
            Result(one.deed, one.attempt - 1, "missed", "its not-after time had passed")
            for one in late
        ]
        match rest[0].deed.action if rest else None:
            case WebhookAction(url=url):
                results.append(await self._post(rest[0], urlsplit(url).hostname or "", now))
            case SetAction():
                results += await self._set(rest)
            case StartAction(journey_id=journey_id):
                results.append(await self._start(rest[0], journey_id, now))
        await self._store.settle(results, self._now)

    async def _post(self, claim: Claim, host: str, now: int) -> Result:
        if self._hosts[host] >= _PER_HOST:
            reason = "its receiver is busy"
            return Result(claim.deed, claim.attempt - 1, "waiting", reason, now + _CROWDED_MS)
        self._hosts[host] += 1
        try:
            answer = await self._call(claim.deed, now)
        finally:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
        return self._result(claim, answer, again=not answer.done)

    async def _set(self, claimed: Sequence[Claim]) -> list[Result]:
        answers = await self._put([one.deed for one in claimed])
        return [
            self._result(claim, Answer(False, "profile did not answer"), again=True)
            if answer is None
            else self._result(claim, answer, again=False)
            for claim, answer in zip(claimed, answers, strict=True)
        ]

    async def _start(self, claim: Claim, journey_id: str, now: int) -> Result:
        deed = claim.deed
        started = Happening(
            event_id=derived_id("evt", "start", deed.deed_id),
            contact_id=deed.contact_id,
            time=now,
            name="",
            orders=(Start(journey_id, deed.deed_id, deed.parameters),),
            received=deed.due_time,
            traceparent=deed.traceparent,
        )
        refused = await self._membership.process(lambda _: [started])
        if reason := refused.get(deed.deed_id):
            return Result(*claim, "failed", reason)
        return Result(*claim, "fired", "it was started")

    def _result(self, claim: Claim, answer: Answer, again: bool) -> Result:
        deed, attempt = claim
        if answer.done or not again:
            return Result(deed, attempt, "fired" if answer.done else "failed", answer.reason)
        if attempt >= ATTEMPTS:
            return Result(deed, attempt, "failed", f"{answer.reason}, {attempt} times")
        next_time = self._now + wait_of(attempt)
        if deed.not_after_time is not None and next_time > deed.not_after_time:
            return Result(deed, attempt, "missed", f"{answer.reason}, until it was too late")
        return Result(deed, attempt, "waiting", answer.reason, next_time)


def wait_of(attempt: int) -> int:
    """How long (ms) after an attempt, counted from 1, the next one comes."""
    wait: int = _FIRST_WAIT_MS * 3 ** (attempt - 1)
    return min(wait, _LONGEST_WAIT_MS)


def _too_late(deed: Deed, now: int) -> bool:
    return deed.not_after_time is not None and now > deed.not_after_time
