"""One message, once, at the right pace.

A turn asks the limiter of a number for tokens, claims that many due messages in one transaction
that also asks the gates and commits the others as *attempting*, and starts their calls. Calls run
side by side; their outcomes are written together, many in a transaction. Whatever dies between the
commit and the outcome leaves an attempting message whose lease ends: it becomes *unknown*, and is
never sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from chassis.clock import Clock, milliseconds_of
from services.sender import gates
from services.sender.gates import Asked, GateVerdict, Verdict
from services.sender.model import (
    UNCONFIRMED,
    Address,
    CampaignPhase,
    Contact,
    Happening,
    Message,
    Number,
    State,
    Template,
)
from services.sender.outcome import (
    Answer,
    Halted,
    Outcome,
    Refused,
    RetryAt,
    Sent,
    Unclear,
    judge,
)
from services.sender.progress import Fact, Kind, learn

_NUMBERS_EVERY_MS: Final = 1_000
_BATCH: Final = 250
_OUTCOMES: Final = 500
_DRAIN_S: Final = 4.0  # of calls, and again of writing, within the grace of a stopping process
_RESERVED: Final = 0.1  # of the places, kept for numbers and lanes that come after a full batch


class Candidate(NamedTuple):
    """A due message with what the gates ask about, but for the person."""

    message: Message
    phase: int | None
    template: Template | None
    window_time: int
    saturation_time: int


class Decided(NamedTuple):
    """What became of a claimed message: attempting when there is an address."""

    message: Message
    address: Address | None
    verdict: GateVerdict | None


Decide = Callable[[Sequence[Candidate]], Awaitable[Sequence[Decided]]]


class Settled(NamedTuple):
    """A call that ended, and what it means."""

    message_id: str
    phone_number_id: str
    outcome: Outcome
    time: int
    traceparent: str


class Outbox(Protocol):
    """The messages, as dispatch needs them."""

    async def numbers(self) -> Sequence[Number]:
        """Those that send."""
        ...

    async def claim(
        self, phone_number_id: str, limit: int, now: int, decide: Decide
    ) -> Sequence[Decided]:
        """Take due messages, first lanes first, and store what `decide` makes of them.

        Nobody else takes them meanwhile. Everything is stored together or, when something fails,
        nothing.
        """
        ...

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Store the outcomes of calls and publish what follows."""
        ...

    async def expire(self, now: int, unknown_until: int) -> int:
        """Attempting messages whose lease ended become unknown; unknown ones whose deadline passed
        fail. Returns how many there were."""
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


class Grant(NamedTuple):
    """What a limiter gives now, and after how many milliseconds there is more."""

    tokens: int
    wait_ms: int


class Throttle(Protocol):
    """The limiter of a number, shared by all replicas."""

    async def take(self, phone_number_id: str, rate: float, wanted: int) -> Grant:
        """Up to `wanted` tokens."""
        ...

    async def give_back(self, phone_number_id: str, tokens: int) -> None:
        """Return what was not used."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, and how long things may take."""

    concurrency: int
    """Calls under way in this process."""
    lease_ms: int
    """How long an attempting message belongs to its process; longer than any call."""
    unknown_ms: int
    """How long an unknown message waits for a status."""


def permit(candidate: Candidate, contact: Contact | None, now: int, lease_ms: int) -> Decided:
    """Ask the gates and move the message: attempting, held, suppressed or cancelled."""
    message = candidate.message
    asked = Asked(
        now,
        message,
        candidate.phase,
        candidate.template,
        contact,
        candidate.window_time,
        candidate.saturation_time,
    )
    verdict = gates.decide(asked)
    if candidate.template is not None:
        message.category = asked.category
    if verdict is None:
        assert contact is not None  # the address gate passed
        address = gates.address_of(contact, message.phone_number_id)
        assert address is not None
        message.state, message.gate, message.reason = State.ATTEMPTING, "", ""
        message.attempts += 1
        message.attempt_time, message.due_time = now, now + lease_ms
        message.market = address.market
        return Decided(message, address, None)
    message.gate, message.reason = verdict.gate, verdict.reason
    if verdict.verdict == Verdict.WAIT:
        message.state, message.due_time = State.HELD, verdict.next_time
    elif candidate.phase == CampaignPhase.CANCELLED:
        message.state = State.CANCELLED
    else:
        message.state = State.SUPPRESSED
    return Decided(message, None, verdict)


def settle(message: Message, done: Settled, unknown_ms: int) -> list[Happening]:
    """Move a message by the outcome of its call; returns what is to be published.

    A status may have come first: then only what a status says counts.
    """
    outcome, now = done.outcome, done.time
    if isinstance(outcome, Sent):
        message.wamid = message.wamid or outcome.wamid
        happenings = learn(message, [Fact(Kind.SENT, now, outcome.wamid)])
        for happening in happenings:
            happening.traceparent = done.traceparent
        return happenings
    if message.state not in {State.ATTEMPTING, State.UNKNOWN}:
        return []
    match outcome:
        case RetryAt(time, why):
            message.state, message.reason, message.due_time = State.PLANNED, why, time
            return []
        case Halted(kind, code):
            message.state, message.reason, message.due_time = State.PLANNED, kind, now
            message.error_code = code
            return []
        case Refused(kind, code):
            return learn(message, [Fact(Kind.FAILED, now, error_code=code, error_kind=kind)])
        case Unclear(why):
            return doubt(message, why, now, unknown_ms)


def doubt(message: Message, why: str, now: int, unknown_ms: int) -> list[Happening]:
    """Park a message of which nobody knows whether it was accepted."""
    if message.state != State.ATTEMPTING:
        return []
    message.state, message.reason, message.due_time = State.UNKNOWN, why, now + unknown_ms
    return [Happening("message_unknown", message, now)]


def give_up(message: Message, now: int) -> list[Happening]:
    """No status came in time: count the message as failed; it is not repeated."""
    return learn(message, [Fact(Kind.FAILED, now, error_kind=UNCONFIRMED)])


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
        self._wake = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Queue[Settled] = asyncio.Queue()
        self._broken: BaseException | None = None
        self._numbers: Sequence[Number] = ()
        self._numbers_until = 0

    def wake(self) -> None:
        """Something may be due: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Dispatch until cancelled; calls under way are then finished and written."""
        recorder = asyncio.create_task(self._record(), name="outcomes")
        try:
            await self._forever(recorder)
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

    async def _forever(self, recorder: asyncio.Task[None]) -> None:
        while True:
            if recorder.done():
                recorder.result()
            if self._broken is not None:
                raise self._broken
            self._wake.clear()
            try:
                wait_ms = await self.turn()
            except Exception as error:
                if not self._passing(error):
                    raise
                wait_ms = 1_000
                self._wake.clear()
            if wait_ms:
                await self._rest(wait_ms)

    async def _rest(self, wait_ms: int) -> None:
        """Until woken; a limiter's short wait is waited out whoever calls."""
        if wait_ms < 50:
            await asyncio.sleep(wait_ms / 1000)
            return
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._wake.wait()
        except TimeoutError:
            return

    async def turn(self) -> int:
        """Start what may start now; returns after how many milliseconds to look again."""
        now = milliseconds_of(self._clock.now())
        if now >= self._numbers_until:
            await self._outbox.expire(now, now + self._limits.unknown_ms)
            self._numbers = await self._outbox.numbers()
            self._numbers_until = now + _NUMBERS_EVERY_MS
        wait_ms = _NUMBERS_EVERY_MS
        for number in self._numbers:
            wait_ms = min(wait_ms, await self._serve(number))
        return wait_ms

    async def _serve(self, number: Number) -> int:
        free = self._limits.concurrency - len(self._calls)
        if free <= self._limits.concurrency * _RESERVED:
            return 5
        wanted = min(free, _BATCH)
        grant = await self._throttle.take(number.phone_number_id, number.throughput, wanted)
        if not grant.tokens:
            return max(grant.wait_ms, 1)
        started = claimed = 0
        try:
            decided = await self._outbox.claim(
                number.phone_number_id,
                grant.tokens,
                milliseconds_of(self._clock.now()),
                self._decide,
            )
            claimed = len(decided)
            for one in decided:
                if one.address is not None:
                    started += 1
                    call = asyncio.create_task(self._call(one.message, one.address))
                    self._calls.add(call)
                    call.add_done_callback(self._end)
        finally:
            if started < grant.tokens:
                await self._throttle.give_back(number.phone_number_id, grant.tokens - started)
        return 0 if claimed == grant.tokens else _NUMBERS_EVERY_MS

    def _end(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            self._broken = self._broken or call.exception()

    async def _decide(self, candidates: Sequence[Candidate]) -> Sequence[Decided]:
        contacts = await self._contacts.get(
            list({candidate.message.contact_id for candidate in candidates})
        )
        now = milliseconds_of(self._clock.now())
        lease_ms = self._limits.lease_ms
        return [permit(c, contacts.get(c.message.contact_id), now, lease_ms) for c in candidates]

    async def _call(self, message: Message, address: Address) -> None:
        answer = await self._platform.send(message, address)
        now = milliseconds_of(self._clock.now())
        outcome = judge(answer, now, message.attempts, self._random)
        self._ended.put_nowait(
            Settled(message.message_id, message.phone_number_id, outcome, now, answer.traceparent)
        )

    async def _record(self) -> None:
        """Write outcomes, all that wait in one transaction; an outage only makes them wait."""
        while True:
            settled = [await self._ended.get()]
            while len(settled) < _OUTCOMES and not self._ended.empty():
                settled.append(self._ended.get_nowait())
            while True:
                try:
                    await self._outbox.settle(settled)
                except Exception as error:
                    if not self._passing(error):
                        raise
                    await self._clock.sleep(timedelta(seconds=1))
                else:
                    break
            if any(isinstance(one.outcome, Halted) for one in settled):
                self._numbers_until = 0
            for _ in settled:
                self._ended.task_done()
