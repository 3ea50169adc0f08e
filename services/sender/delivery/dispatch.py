"""One message, once, at the right pace.

Each number has a line (see `pace`). What joins it was claimed in one transaction that also asked
the gates and committed the messages as *attempting*; when a slot comes, the call starts. Calls run
side by side; their outcomes are written together, many in a transaction. Whatever dies between the
commit and the outcome leaves an attempting message whose lease ends: it becomes *unknown*, and is
not sent again before a status or the deadline decides.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from services.sender.delivery.claiming import Claiming, Claims, Contacts, person_of
from services.sender.delivery.moves import Decided, Settled
from services.sender.delivery.outcome import (
    Answer,
    Halted,
    Outcome,
    RetryAt,
    Returned,
    Then,
    Unclear,
    judge,
    rule_of,
)
from services.sender.delivery.pace import Claimed, Line, Pair, Throttle, Told
from services.sender.model import Address, Lane, Message, Number

_NUMBERS_EVERY: Final = timedelta(seconds=1)
_AGAIN: Final = timedelta(seconds=1)  # after an outage
_OUTCOMES: Final = 500
_LINGER: Final = timedelta(milliseconds=40)  # outcomes wait for others, to be written together
_DRAIN_S: Final = 4.0  # of calls, and again of writing, within the grace of a stopping process
_RESERVED: Final = 0.1  # of the places, kept for what goes before bulk
_OTHERS: Final = 0.25  # of the places, kept by a number that has its share for the others


class Ended(NamedTuple):
    """A call that ended, and what was called."""

    settled: Settled
    decided: Decided


class Outbox(Claims, Protocol):
    """The messages, as dispatch needs them."""

    async def numbers(self) -> Sequence[Number]:
        """Those that send, each with the share of its limit that is kept for conversations."""
        ...

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Store the outcomes of calls and publish what follows."""
        ...

    async def expire(self, now: int) -> int:
        """Attempting messages whose lease ended become unknown; unknown ones whose deadline passed
        fail, or are sent again where the policy says so; those that wait beyond their last moment
        end. Returns how many there were."""
        ...

    async def rejoin(self, now: int) -> int:
        """Fold in statuses that came before anybody knew whose they are; returns how many."""
        ...

    async def reopen(self, phone_number_ids: Sequence[str], now: int) -> int:
        """Ask again what waits for these numbers, which may send; returns how many."""
        ...


class Platform(Protocol):
    """Meta's Cloud API."""

    async def send(self, message: Message, address: Address) -> Answer:
        """One call; never raises for what the network or Meta does."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how long things may take."""

    concurrency: int
    """Calls under way in this process."""
    lease_ms: int
    """How long an attempting message belongs to its process; longer than any call."""
    call_ms: int
    """How long a call may take: none begins of which the lease would end meanwhile."""


def told_of(ended: Sequence[Ended]) -> Told:
    """What the limiters learn from calls of one number."""
    answered = failed = throttled = replied = 0
    for settled, decided in ended:
        match settled.outcome:
            case Returned() | RetryAt(_, "upload"):
                continue
            case Unclear() | RetryAt(_, "connect" | "server"):
                failed += 1
            case RetryAt(_, _, code) if rule_of(code).then == Then.SLOW_NUMBER:
                throttled += 1
            case _:
                answered += 1
                replied += decided.message.lane == Lane.REPLY
    return Told(answered, failed, throttled, replied)


def blocked_of(ended: Sequence[Ended]) -> list[Pair]:
    """Pairs of one number that Meta wants left alone for a while."""
    return [
        Pair(person_of(decided), burst=False, block_ms=outcome.time - settled.time)
        for settled, decided in ended
        if isinstance(outcome := settled.outcome, RetryAt)
        and rule_of(outcome.code).then == Then.BLOCK_PAIR
    ]


class Dispatcher:
    """Sends what is due, for as long as it runs."""

    def __init__(
        self,
        outbox: Outbox,
        contacts: Contacts,
        platform: Platform,
        throttle: Throttle,
        clock: Clock,
        random: Callable[[], float],
        limits: Limits,
        passing: Callable[[BaseException], bool],
        stopped: Callable[[Message], bool] = lambda _: False,
        waited: Callable[[Message, int], None] = lambda *_: None,
    ) -> None:
        """`passing` tells errors that pass by themselves from those that must end the process;
        `stopped` whether the call of a message must not begin after all; `waited` hears for how
        many milliseconds a message waited for its number's turn."""
        self._waited = waited
        self._stopped = stopped
        self._outbox = outbox
        self._claiming = Claiming(outbox, contacts, throttle, self._now, limits.lease_ms)
        self._platform = platform
        self._throttle = throttle
        self._clock = clock
        self._random = random
        self._limits = limits
        self._passing = passing
        self._lines: dict[str, tuple[Line[Decided], asyncio.Task[None]]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._under_way: Counter[str] = Counter()  # calls, by number
        self._ended: asyncio.Queue[Ended] = asyncio.Queue()
        self._refresh = asyncio.Event()
        self._broken: BaseException | None = None

    def wake(self, phone_number_id: str = "") -> None:
        """Something may be due, of one number or of any: look at once."""
        for name, (line, _) in self._lines.items():
            if phone_number_id in {"", name}:
                line.wake()

    async def heard(self, received: Mapping[str, int]) -> None:
        """So many messages came in, by number: Meta counts them as well."""
        for phone_number_id, n in received.items():
            if phone_number_id in self._lines:
                number = self._lines[phone_number_id][0].number
                await self._throttle.told(number, Told(received=n))

    async def run(self) -> None:
        """Dispatch until cancelled; calls under way are then finished and written."""
        recorder = asyncio.create_task(self._record(), name="outcomes")
        try:
            async with asyncio.TaskGroup() as group:
                await self._serve(group, recorder)
        finally:
            if self._calls:
                await asyncio.wait(self._calls, timeout=_DRAIN_S)
            if not recorder.done():
                # What cannot be written now stays attempting and becomes unknown: never lost.
                await asyncio.wait(
                    [asyncio.create_task(self._ended.join(), name="drain"), recorder],
                    timeout=_DRAIN_S,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            recorder.cancel()
            await asyncio.gather(recorder, return_exceptions=True)
            self._lines.clear()

    async def _serve(self, group: asyncio.TaskGroup, recorder: asyncio.Task[None]) -> None:
        """Keep a line for each number that sends, and move on what nobody answered."""
        while True:
            if recorder.done():
                recorder.result()
            if self._broken is not None:
                raise self._broken
            self._refresh.clear()
            try:
                await self._outbox.expire(self._now())
                await self._outbox.rejoin(self._now())
                numbers = await self._outbox.numbers()
                await self._outbox.reopen(
                    [one.phone_number_id for one in numbers if one.sends(self._now())], self._now()
                )
                self._keep_lines(group, numbers)
            except Exception as error:
                if not self._passing(error):
                    raise
            with suppress(TimeoutError):
                async with asyncio.timeout(_NUMBERS_EVERY.total_seconds()):
                    await self._refresh.wait()

    def _keep_lines(self, group: asyncio.TaskGroup, numbers: Sequence[Number]) -> None:
        found = {number.phone_number_id: number for number in numbers}
        for gone in self._lines.keys() - found.keys():
            self._lines.pop(gone)[1].cancel()
        for name, number in found.items():
            if name in self._lines:
                self._lines[name][0].number = number
                continue
            line = Line(
                number,
                self._throttle,
                self._claim,
                self._start,
                partial(self._room, name),
                self._give_back,
            )
            task = group.create_task(self._keep(line), name=f"line {name}")
            self._lines[name] = line, task

    async def _keep(self, line: Line[Decided]) -> None:
        """Let a line run through outages."""
        while True:
            try:
                await line.run()
            except* Exception as errors:
                if not all(self._passing(error) for error in errors.exceptions):
                    raise
            await self._clock.sleep(_AGAIN)

    # --- before the call ----------------------------------------------------------------------

    async def _claim(self, number: Number, places: Sequence[int]) -> Claimed[Decided]:
        return await self._claiming.claim(number, places, partial(self._give_back, wait_s=0.0))

    def _room(self, phone_number_id: str, lane: int) -> bool:
        """Whether one more call of a number's lane may be under way."""
        most = self._limits.concurrency
        free = most - len(self._calls)
        if lane == Lane.BULK:
            free -= int(most * _RESERVED)
        if len(self._lines) > 1 and self._under_way[phone_number_id] * len(self._lines) >= most:
            free -= int(most * _OTHERS)
        return free > 0

    def _give_back(self, one: Decided, wait_s: float) -> None:
        now = self._now()
        self._settle(one, Returned(now + int(wait_s * 1000), "limiter_number"), now)

    # --- the call -----------------------------------------------------------------------------

    def _start(self, one: Decided) -> None:
        message, now = one.message, self._now()
        late = now + self._limits.call_ms > message.due_time or 0 < message.not_after < now
        if late or self._stopped(message):
            self._give_back(one, 0.0)
            return
        self._waited(message, now + self._limits.lease_ms - message.due_time)
        call = asyncio.create_task(self._call(one))
        self._calls.add(call)
        self._under_way[message.phone_number_id] += 1
        call.add_done_callback(partial(self._end, message.phone_number_id))

    def _end(self, phone_number_id: str, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._under_way[phone_number_id] -= 1
        for line, _ in self._lines.values():
            line.stir()
        if not call.cancelled() and (error := call.exception()) is not None:
            self._broken = self._broken or error
            self._refresh.set()

    async def _call(self, one: Decided) -> None:
        assert one.address is not None  # only such stand in line
        answer = await self._platform.send(one.message, one.address)
        now = self._now()
        outcome = judge(answer, now, one.message.attempts, self._random)
        self._settle(one, outcome, now, answer.traceparent)

    def _settle(self, one: Decided, outcome: Outcome, now: int, traceparent: str = "") -> None:
        settled = Settled(one.message, outcome, now, traceparent)
        self._ended.put_nowait(Ended(settled, one))

    # --- after the call -----------------------------------------------------------------------

    async def _record(self) -> None:
        """Write outcomes, all that wait in one transaction; an outage only makes them wait."""
        while True:
            ended = [await self._ended.get()]
            await self._clock.sleep(_LINGER)
            while len(ended) < _OUTCOMES and not self._ended.empty():
                ended.append(self._ended.get_nowait())
            await self._write([one.settled for one in ended])
            await self._tell(ended)
            if any(isinstance(one.settled.outcome, Halted) for one in ended):
                self._refresh.set()
            for _ in ended:
                self._ended.task_done()

    async def _write(self, settled: Sequence[Settled]) -> None:
        while True:
            try:
                await self._outbox.settle(settled)
            except Exception as error:
                if not self._passing(error):
                    raise
                await self._clock.sleep(_AGAIN)
            else:
                return

    async def _tell(self, ended: Sequence[Ended]) -> None:
        """Let the limiters learn; what they miss in an outage they learn from the next calls."""
        by_number: dict[str, list[Ended]] = defaultdict(list)
        for one in ended:
            by_number[one.settled.message.phone_number_id].append(one)
        for name, of_number in by_number.items():
            if name not in self._lines:
                continue
            try:
                await self._throttle.told(self._lines[name][0].number, told_of(of_number))
                await self._throttle.pairs(name, blocked_of(of_number))
            except Exception as error:
                if not self._passing(error):
                    raise

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())
