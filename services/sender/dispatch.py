"""One message, once, at the right pace.

Each number has a line (see `pace`). What joins it was claimed in one transaction that also asked
the gates and committed the messages as *attempting*; when a slot comes, the call starts. Calls run
side by side; their outcomes are written together, many in a transaction. Whatever dies between the
commit and the outcome leaves an attempting message whose lease ends: it becomes *unknown*, and is
not sent again before a status or the deadline decides.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from services.sender.gates import Candidate, GateVerdict, Verdict
from services.sender.model import DAY_MS, Address, Contact, Lane, Message, Number
from services.sender.moves import Decided, Settled, hold, permit
from services.sender.outcome import (
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
from services.sender.pace import Claimed, Line, Pair, Throttle, Told

_NUMBERS_EVERY: Final = timedelta(seconds=1)
_AGAIN: Final = timedelta(seconds=1)  # after an outage
_OUTCOMES: Final = 500
_LINGER: Final = timedelta(milliseconds=20)  # outcomes wait for others, to be written together
_DRAIN_S: Final = 4.0  # of calls, and again of writing, within the grace of a stopping process
_RESERVED: Final = 0.1  # of the places, kept for what goes before bulk


Decide = Callable[[Sequence[Candidate]], Awaitable[Sequence[Decided]]]


class _Ended(NamedTuple):
    """A call that ended, and what was called."""

    settled: Settled
    decided: Decided


class Outbox(Protocol):
    """The messages, as dispatch needs them."""

    async def numbers(self) -> Sequence[Number]:
        """Those that send, each with the share of its limit that is kept for conversations."""
        ...

    async def claim(
        self, phone_number_id: str, places: Sequence[int], now: int, decide: Decide
    ) -> tuple[Sequence[Decided], bool]:
        """Take due messages, at most so many of each lane, and store what `decide` makes of them.

        Nobody else takes them meanwhile. Everything is stored together or, when something fails,
        nothing. True: of some lane as many were due as were asked for.
        """
        ...

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Store the outcomes of calls and publish what follows."""
        ...

    async def expire(self, now: int) -> int:
        """Attempting messages whose lease ended become unknown; unknown ones whose deadline passed
        fail, or are sent again where the policy says so. Returns how many there were."""
        ...


class Contacts(Protocol):
    """Profile, as dispatch needs it."""

    async def get(self, contact_ids: Sequence[str]) -> Mapping[str, Contact]:
        """Addresses, consents, zone and language of those that exist."""
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


def told_of(ended: Sequence[_Ended]) -> Told:
    """What the limiters learn from calls of one number."""
    answered = failed = throttled = replied = 0
    for settled, decided in ended:
        match settled.outcome:
            case Returned():
                continue
            case Unclear() | RetryAt(_, "connect" | "server"):
                failed += 1
            case RetryAt(_, _, code) if rule_of(code).then == Then.SLOW_NUMBER:
                throttled += 1
            case _:
                answered += 1
                replied += decided.message.lane == Lane.REPLY
    return Told(answered, failed, throttled, replied)


def blocked_of(ended: Sequence[_Ended]) -> list[Pair]:
    """Pairs of one number that Meta wants left alone for a while."""
    return [
        Pair(_person(decided), burst=False, block_ms=outcome.time - settled.time)
        for settled, decided in ended
        if isinstance(outcome := settled.outcome, RetryAt)
        and rule_of(outcome.code).then == Then.BLOCK_PAIR
    ]


def _person(one: Decided) -> str:
    assert one.address is not None  # only those that have one are called
    return one.address.wa_id or one.address.bsuid


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
    ) -> None:
        """`passing` tells errors that pass by themselves from those that must end the process."""
        self._outbox = outbox
        self._contacts = contacts
        self._platform = platform
        self._throttle = throttle
        self._clock = clock
        self._random = random
        self._limits = limits
        self._passing = passing
        self._lines: dict[str, tuple[Line[Decided], asyncio.Task[None]]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Queue[_Ended] = asyncio.Queue()
        self._place = asyncio.Event()
        self._refresh = asyncio.Event()
        self._broken: BaseException | None = None

    def wake(self) -> None:
        """Something may be due: look at once."""
        for line, _ in self._lines.values():
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
                self._keep_lines(group, await self._outbox.numbers())
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
                self._room,
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
        async def decide(candidates: Sequence[Candidate]) -> Sequence[Decided]:
            return await self._limited(number, candidates, await self._decide(candidates))

        decided, more = await self._outbox.claim(
            number.phone_number_id, places, self._now(), decide
        )
        ready = [(one.message.lane, one) for one in decided if one.address is not None]
        return Claimed(ready, more)

    async def _decide(self, candidates: Sequence[Candidate]) -> Sequence[Decided]:
        contacts = await self._contacts.get(
            list({candidate.message.contact_id for candidate in candidates})
        )
        now = self._now()
        lease_ms = self._limits.lease_ms
        return [permit(c, contacts.get(c.message.contact_id), now, lease_ms) for c in candidates]

    async def _limited(
        self, number: Number, candidates: Sequence[Candidate], decided: Sequence[Decided]
    ) -> Sequence[Decided]:
        """Those of which neither the portfolio nor the person has had enough."""
        now = self._now()
        held: dict[str, Decided] = {}
        limit = number.daily_limit
        if limit is not None:
            opening = [
                one
                for candidate, one in zip(candidates, decided, strict=True)
                if one.address and now >= candidate.window_time + DAY_MS
            ]
            waits = await self._throttle.reach(
                number.portfolio, limit, [one.message.contact_id for one in opening]
            )
            values = {"tier.limit": limit}
            for one, wait_ms in zip(opening, waits, strict=True):
                if wait_ms:
                    until = now + wait_ms
                    reached = GateVerdict("tier", Verdict.WAIT, "tier_reached", values, until)
                    held[one.message.message_id] = hold(one, reached, tell=True)
        going = [one for one in decided if one.address and one.message.message_id not in held]
        waits = await self._throttle.pairs(
            number.phone_number_id,
            [Pair(_person(one), one.message.lane == Lane.REPLY) for one in going],
        )
        for one, wait_ms in zip(going, waits, strict=True):
            if wait_ms:
                busy = GateVerdict("limiter_pair", Verdict.WAIT, "pair", {}, now + wait_ms)
                held[one.message.message_id] = hold(one, busy, tell=False)
        return [held.get(one.message.message_id, one) for one in decided]

    async def _room(self, lane: int) -> None:
        """Return when one more call of a lane may be under way."""
        most = self._limits.concurrency
        if lane == Lane.BULK:
            most = max(1, int(most * (1 - _RESERVED)))
        while len(self._calls) >= most:
            self._place.clear()
            await self._place.wait()

    def _give_back(self, one: Decided, wait_s: float) -> None:
        now = self._now()
        self._settle(one, Returned(now + int(wait_s * 1000), "limiter_number"), now)

    # --- the call -----------------------------------------------------------------------------

    def _start(self, one: Decided) -> None:
        call = asyncio.create_task(self._call(one))
        self._calls.add(call)
        call.add_done_callback(self._end)

    def _end(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._place.set()
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
        self._ended.put_nowait(_Ended(settled, one))

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

    async def _tell(self, ended: Sequence[_Ended]) -> None:
        """Let the limiters learn; what they miss in an outage they learn from the next calls."""
        by_number: dict[str, list[_Ended]] = defaultdict(list)
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
