"""What a trigger would have done: profile's history replayed through it, nothing written.

It reads beside live updates and holds the histories of one answer of profile; whoever goes away
ends it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple, TypeAlias

import grpc
import structlog
from google.protobuf.field_mask_pb2 import FieldMask
from msgspec.structs import replace

from chassis import paging
from chassis.callers import call
from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid, TokenInvalid
from chassis.times import milliseconds, timestamp
from merhaba.profile.v1 import (
    ContactHistory,
    ProfileServiceStub,
    StreamHistoryRequest,
    StreamHistoryResponse,
)
from merhaba.segment.v1 import (
    Explanation,
    Occurrence,
    TestTriggerRequest,
    TestTriggerResponse,
)
from services.segment import wire
from services.segment.api import explaining, trigger_nouns
from services.segment.api.members import shown, too_short
from services.segment.api.nouns import instant
from services.segment.api.occurrences import explained
from services.segment.defining.triggers import TriggerDefinitions
from services.segment.engine import model
from services.segment.engine.membership import Membership
from services.segment.engine.replay import Replay, Told
from services.segment.engine.rules import Compiler, TriggerRule
from services.segment.engine.state import ContactState
from services.segment.engine.trial import Trial, trial
from services.segment.failures import ServiceUnavailable
from services.segment.jobs.reading import FACTS
from services.segment.roles import Viewer

_Told: TypeAlias = Told[Explanation | None]

_WEEK_MS: Final = 7 * 86_400_000
_AHEAD_MS: Final = 1_000  # between our clock and the caller's
_MOST_CONTACTS: Final = 1_000
_AT_ONCE: Final = 200
_TELL_EVERY_S: Final = 1.0
_BREATHE_EVERY_S: Final = 0.02  # the same processor serves everybody else
_MASK: Final = "***"

_logger = structlog.get_logger()


class _Place(NamedTuple):
    """Where a test stands."""

    version: int
    """The trigger's."""
    start: int
    end: int
    cursor: str = ""
    """Profile's, between two contacts."""
    told: int = 0
    """How many occurrences were told of those behind that."""
    passed: int = 0
    total: int = 0


_KINDS: Final = (int, int, int, str, int, int, int)


class Trials:
    """Replays histories through triggers."""

    def __init__(
        self,
        definitions: TriggerDefinitions,
        membership: Membership,
        compiler: Compiler,
        profile: ProfileServiceStub,
        clock: Clock,
        personal: Callable[[str], bool],
    ) -> None:
        """`personal`: knows attributes by their names in expressions."""
        self._definitions = definitions
        self._membership = membership
        self._compiler = compiler
        self._profile = profile
        self._clock = clock
        self._personal = personal

    async def stream(self, request: TestTriggerRequest) -> AsyncIterator[TestTriggerResponse]:
        """What would have come, until the last contact. Raises what is wrong with the request."""
        draft = None
        if request.WhichOneof("subject") is None:
            raise FieldInvalid("trigger", "missing; give a trigger_id, or a trigger")
        if request.HasField("trigger"):
            draft = trigger_nouns.trigger_draft(request.trigger, paused=False).definition
        definition, segments = await self._definitions.tested(request.trigger_id, draft)
        query = paging.query(request)
        place = self._place(request, query, definition.version)
        places = self._membership.rules.places
        tried = trial(definition, segments, self._compiler, places, place.start, place.end)
        caller = call.get().caller
        _logger.info("audit", read="test trigger", caller=caller.name)
        sight = _Sight(Viewer(caller.role, self._personal), tried)
        run = _Run(tried, query, place, sight, request.show_unmet)
        histories = self._profile.StreamHistory(_asking(request, tried, place.cursor))
        try:
            async with aclosing(_beating(histories)) as told:
                async for response in told:
                    if response is None:
                        yield run.answer()
                        continue
                    async for answer in run.take(response):
                        yield answer
        except grpc.aio.AioRpcError as error:
            if place.cursor and error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise TokenInvalid("cursor") from error
            raise ServiceUnavailable("profile") from error
        yield run.answer()

    def _place(self, request: TestTriggerRequest, query: bytes, version: int) -> _Place:
        if found := paging.place(request.cursor, query, _KINDS, "cursor"):
            place = _Place(*found)
            if place.version != version:
                raise TokenInvalid("cursor")  # the trigger is another one now
            return place
        now = milliseconds_of(self._clock.now())
        start, end = instant(request.start_time, now - _WEEK_MS), instant(request.end_time, now)
        if end > now + _AHEAD_MS:
            raise FieldInvalid("end_time", "is yet to come; leave it out for now")
        if start >= end:
            raise FieldInvalid("start_time", "not before end_time")
        return _Place(version, start, end)


def _asking(request: TestTriggerRequest, tried: Trial, cursor: str) -> StreamHistoryRequest:
    if len(request.contact_ids) > _MOST_CONTACTS:
        raise FieldInvalid("contact_ids", "more than 1,000", limit=str(_MOST_CONTACTS))
    return StreamHistoryRequest(
        cursor=cursor,
        contact_ids=[
            wire.contact_id(one, f"contact_ids[{at}]") for at, one in enumerate(request.contact_ids)
        ],
        names=tried.names,
        start_time=timestamp(tried.since),
        read_mask=FieldMask(paths=[*FACTS, "events"]),
    )


async def _beating(
    histories: "grpc.aio.UnaryStreamCall[Any, StreamHistoryResponse]",
) -> AsyncGenerator[StreamHistoryResponse | None, None]:
    """What profile tells; None whenever it has told nothing for a while."""
    reading = asyncio.ensure_future(histories.read())
    try:
        while True:
            done, _ = await asyncio.wait([reading], timeout=_TELL_EVERY_S)
            if not done:
                yield None
                continue
            response = reading.result()
            if not isinstance(response, StreamHistoryResponse):
                return
            yield response
            reading = asyncio.ensure_future(histories.read())
    finally:
        reading.cancel()
        histories.cancel()


class _Sight:
    """What the caller may see of what would have come."""

    def __init__(self, viewer: Viewer, tried: Trial) -> None:
        self._viewer = viewer
        self._registry = tried.rules.registry
        rule = tried.trigger
        self._key = rule.key is None or self._sees(rule.key.source)
        self._hidden = {n for n, e in rule.action.parameters.items() if not self._sees(e.source)}

    def noun(self, told: _Told) -> Occurrence:
        """As the caller is told of it."""
        one = told.occurrence
        parameters = {n: _MASK if n in self._hidden else v for n, v in one.parameters.items()}
        if one.key and not self._key:
            one = replace(one, key=_MASK, occurrence_id="")  # which follows from the key
        noun = trigger_nouns.occurrence(replace(one, parameters=parameters))
        if told.explanation is not None:
            if not self._viewer.sees_all:
                explaining.veil(told.explanation, self._sees)
            noun.explanation.CopyFrom(told.explanation)
        return noun

    def _sees(self, text: str) -> bool:
        return self._viewer.sees_all or shown(self._viewer, text, self._registry)


class _Run:
    """One stream of answers."""

    def __init__(
        self, tried: Trial, query: bytes, place: _Place, sight: _Sight, show_unmet: bool
    ) -> None:
        self._trial = tried
        self._query = query
        self._place = place
        self._skip = place.told
        self._sight = sight
        self._show_unmet = show_unmet
        self._replay: Replay[Explanation | None] | None = None
        """Of a contact whose history goes on."""
        self._found: list[Occurrence] = []
        """Not told yet."""
        self._time = asyncio.get_running_loop().time
        self._answered = self._breathed = self._time()

    async def take(self, response: StreamHistoryResponse) -> AsyncIterator[TestTriggerResponse]:
        """Replay what profile told. Raises `HistoryTooShort`."""
        oldest = {name: milliseconds(time) for name, time in response.oldest_times.items()}
        if wrong := self._trial.missing(oldest):
            raise too_short(*wrong)
        for history in response.histories:
            for found in self._live(history):
                self._add(found)
                if self._due():
                    yield self.answer()
                if self._time() - self._breathed > _BREATHE_EVERY_S:
                    await asyncio.sleep(0)
                    self._breathed = self._time()
        if self._replay is None:
            self._skip = 0
            self._place = self._place._replace(
                cursor=response.cursor,
                told=-len(self._found),
                passed=response.passed_count,
                total=response.total_count,
            )
        if self._found or self._due():
            yield self.answer()

    def answer(self) -> TestTriggerResponse:
        """What is found and not told yet; nothing is a heartbeat."""
        found, self._found = self._found, []
        self._place = self._place._replace(told=self._place.told + len(found))
        self._answered = self._time()
        return TestTriggerResponse(
            cursor=paging.token(self._query, self._place),
            occurrences=found,
            passed_count=self._place.passed,
            total_count=max(self._place.passed, self._place.total),
        )

    def _live(self, history: ContactHistory) -> Iterator[Sequence[_Told]]:
        past = wire.past(history, self._trial.rules.wanted)
        if self._replay is None or self._replay.contact_id != past.contact_id:
            self._replay = Replay(self._trial, past.contact_id, self._explain, self._show_unmet)
        yield from self._replay.take(past)
        if not history.continued:
            yield from self._replay.finish()
            self._replay = None

    def _explain(
        self, trigger: TriggerRule, occurrence: model.Occurrence, state: ContactState
    ) -> Explanation | None:
        if trigger.condition is None:
            return None
        return explained(trigger, occurrence, state, self._trial.rules)

    def _add(self, found: Sequence[_Told]) -> None:
        known = min(self._skip, len(found))
        self._skip -= known
        self._found += map(self._sight.noun, found[known:])

    def _due(self) -> bool:
        late = self._time() - self._answered >= _TELL_EVERY_S
        return late or len(self._found) >= _AT_ONCE
