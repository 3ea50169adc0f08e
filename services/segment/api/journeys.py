"""gRPC: journeys, the people in them, and the map of stages."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import orjson

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock, milliseconds_of
from chassis.failures import BatchTooLarge, FieldInvalid
from chassis.ids import derived_id, fresh_id
from chassis.times import milliseconds, timestamp
from merhaba.segment.v1 import (
    ArchiveJourneyRequest,
    ArchiveJourneyResponse,
    CreateJourneyRequest,
    CreateJourneyResponse,
    ExitInstancesRequest,
    ExitInstancesResponse,
    GetInstanceRequest,
    GetInstanceResponse,
    GetJourneyPictureRequest,
    GetJourneyPictureResponse,
    GetJourneyRequest,
    GetJourneyResponse,
    GetStageMapRequest,
    GetStageMapResponse,
    Journey,
    JourneyInstance,
    JourneyServiceServicer,
    ListInstancesRequest,
    ListInstancesResponse,
    ListJourneysRequest,
    ListJourneysResponse,
    PauseJourneyRequest,
    PauseJourneyResponse,
    ResumeJourneyRequest,
    ResumeJourneyResponse,
    StageCount,
    StageFlow,
    StageMap,
    StartInstancesRequest,
    StartInstancesResponse,
    UpdateJourneyRequest,
    UpdateJourneyResponse,
)
from services.segment.api import journey_nouns as nouns
from services.segment.api.journey_views import JourneyViews
from services.segment.defining.journeys import JourneyDefinitions
from services.segment.engine.definitions import journey_of
from services.segment.engine.journeys.model import Exit, JourneyRecord, Start
from services.segment.engine.journeys.moves import MOST_PARAMETERS
from services.segment.engine.journeys.words import WORDS
from services.segment.engine.membership import Membership
from services.segment.engine.model import Happening
from services.segment.failures import (
    ContactNotFound,
    InstanceNotFound,
    JourneyArchived,
    JourneyNotFound,
    JourneyPaused,
)
from services.segment.jobs.declared import Declared
from services.segment.tables.definitions import DefinitionsStore
from services.segment.tables.journeys import JourneyStore
from services.segment.wire import contact_id

_END: Final = 2**62
_LAST: Final = (_END, "~")  # behind the newest
_MOST: Final = 500
_MOST_REASON: Final = 1_000
_MONTH: Final = timedelta(days=30)
_MOST_DAYS: Final = 400
_ATTEMPTS: Final = 3


class JourneyApi(JourneyServiceServicer):
    """Several steps with waits, for each contact by itself. Meaning and errors: the contract."""

    def __init__(
        self,
        definitions: JourneyDefinitions,
        catalogue: DefinitionsStore,
        store: JourneyStore,
        views: JourneyViews,
        membership: Membership,
        declared: Declared,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._definitions = definitions
        self._catalogue = catalogue
        self._store = store
        self._views = views
        self._membership = membership
        self._declared = declared
        self._answers = answers
        self._clock = clock

    async def CreateJourney(
        self, request: CreateJourneyRequest, context: Any
    ) -> CreateJourneyResponse:
        """Makes a journey."""
        draft = nouns.journey_draft(request.journey, "paused" if request.paused else "active")
        await self._declared.refresh()
        await self._membership.reload()
        made = await self._definitions.create(draft, request.request_id, request.validate_only)
        await self._membership.reload()
        return CreateJourneyResponse(journey=nouns.journey(made))

    async def GetJourney(self, request: GetJourneyRequest, context: Any) -> GetJourneyResponse:
        """Returns a journey."""
        found = await self._journey(request.journey_id, request.version)
        return GetJourneyResponse(journey=nouns.journey(found))

    async def ListJourneys(
        self, request: ListJourneysRequest, context: Any
    ) -> ListJourneysResponse:
        """Lists journeys, by name."""
        query, size = paging.query(request), paging.size(request.page_size, most=500)
        after = paging.place(request.page_token, query, [str])
        states = {Journey.State.Name(s)[6:].lower() for s in request.states}
        journeys = (await self._catalogue.catalogue()).journeys
        found = sorted(
            (
                one
                for one in journeys.values()
                if (not request.names or one.definition.name in request.names)
                and (one.state in states if states else one.state != "archived")
                and (after is None or one.definition.name > after[0])
            ),
            key=lambda one: one.definition.name,
        )
        page, more = paging.page(query, found, size, lambda one: [one.definition.name])
        return ListJourneysResponse(
            journeys=[nouns.journey(one) for one in page], next_page_token=more
        )

    async def UpdateJourney(
        self, request: UpdateJourneyRequest, context: Any
    ) -> UpdateJourneyResponse:
        """Changes a journey."""
        given = request.journey
        ordered = nouns.migration(request.migration) if request.HasField("migration") else None

        def change(record: JourneyRecord) -> JourneyRecord:
            wanted = nouns.changed(record, given, request.update_mask.paths)
            return nouns.journey_draft(wanted, record.state)

        async def respond() -> UpdateJourneyResponse:
            await self._declared.refresh()
            await self._membership.reload()
            earlier: Mapping[int, Sequence[str]] = {}
            if ordered is not None:
                oldest = ordered.oldest_version
                earlier = await self._store.standing_places(given.journey_id, oldest)
            changed, migrating = await self._definitions.update(
                given.journey_id, given.etag, change, ordered, earlier, request.validate_only
            )
            await self._membership.reload()
            return UpdateJourneyResponse(journey=nouns.journey(changed), migrating_count=migrating)

        if request.validate_only:
            return await respond()
        return await self._answers.once(request, request.request_id, respond, UpdateJourneyResponse)

    async def ArchiveJourney(
        self, request: ArchiveJourneyRequest, context: Any
    ) -> ArchiveJourneyResponse:
        """Ends a journey."""

        async def respond() -> ArchiveJourneyResponse:
            ended, exited = await self._definitions.archive(request.journey_id, request.etag)
            await self._membership.reload()
            return ArchiveJourneyResponse(journey=nouns.journey(ended), exited_count=exited)

        return await self._answers.once(
            request, request.request_id, respond, ArchiveJourneyResponse
        )

    async def PauseJourney(
        self, request: PauseJourneyRequest, context: Any
    ) -> PauseJourneyResponse:
        """Stops a journey."""

        async def respond() -> PauseJourneyResponse:
            paused = await self._definitions.pause(request.journey_id, True)
            await self._membership.reload()
            return PauseJourneyResponse(journey=nouns.journey(paused))

        return await self._answers.once(request, request.request_id, respond, PauseJourneyResponse)

    async def ResumeJourney(
        self, request: ResumeJourneyRequest, context: Any
    ) -> ResumeJourneyResponse:
        """Lets a journey go on."""

        async def respond() -> ResumeJourneyResponse:
            resumed = await self._definitions.pause(request.journey_id, False)
            await self._membership.reload()
            return ResumeJourneyResponse(journey=nouns.journey(resumed))

        return await self._answers.once(request, request.request_id, respond, ResumeJourneyResponse)

    async def StartInstances(
        self, request: StartInstancesRequest, context: Any
    ) -> StartInstancesResponse:
        """Starts a journey for contacts."""
        contact_ids = _contacts(request.contact_ids)
        parameters = _parameters(request.parameters_json)

        async def respond() -> StartInstancesResponse:
            key = await self._key(request.journey_id, parameters)
            known = await self._store.known(contact_ids)
            for one in contact_ids:
                if one not in known:
                    raise ContactNotFound(one)
            cause = request.request_id or fresh_id("req")
            order = Start(request.journey_id, cause, parameters)
            await self._order([(one, order) for one in dict.fromkeys(contact_ids)])
            found = await self._store.latest(request.journey_id, key, contact_ids)
            return StartInstancesResponse(
                instances=[nouns.instance(found[one]) for one in contact_ids if one in found]
            )

        return await self._answers.once(
            request, request.request_id, respond, StartInstancesResponse
        )

    async def ExitInstances(
        self, request: ExitInstancesRequest, context: Any
    ) -> ExitInstancesResponse:
        """Takes contacts out of a journey."""
        instance_ids = list(request.instance_ids)
        _check_size("instance_ids", len(instance_ids))
        if len(request.reason) > _MOST_REASON:
            raise FieldInvalid("reason", f"over {_MOST_REASON} characters", limit=str(_MOST_REASON))

        async def respond() -> ExitInstancesResponse:
            found = await self._store.chosen(instance_ids)
            for one in instance_ids:
                if one not in found:
                    raise InstanceNotFound(one)
            reason = request.reason or "somebody took it out"
            for _ in range(_ATTEMPTS):  # a merge may take it to another contact meanwhile
                live = [one for one in found.values() if one.end_time is None]
                if not live:
                    break
                await self._order([(o.contact_id, Exit(o.instance_id, reason)) for o in live])
                found = await self._store.chosen(instance_ids)
            return ExitInstancesResponse(
                instances=[nouns.instance(found[one]) for one in instance_ids if one in found]
            )

        return await self._answers.once(request, request.request_id, respond, ExitInstancesResponse)

    async def GetInstance(self, request: GetInstanceRequest, context: Any) -> GetInstanceResponse:
        """Returns one instance."""
        found = await self._store.chosen([request.instance_id])
        if request.instance_id not in found:
            raise InstanceNotFound(request.instance_id)
        record = found[request.instance_id]
        visits = await self._store.visits(record)
        return GetInstanceResponse(instance=nouns.instance(record, visits))

    async def ListInstances(
        self, request: ListInstancesRequest, context: Any
    ) -> ListInstancesResponse:
        """Lists instances, newest first."""
        if not request.journey_id and not request.contact_id:
            raise FieldInvalid("journey_id", "give a journey_id or a contact_id")
        contact = contact_id(request.contact_id) if request.contact_id else ""
        states = [JourneyInstance.State.Name(s)[6:].lower() for s in request.states]
        query, size = paging.query(request), paging.size(request.page_size)
        place = paging.place(request.page_token, query, [int, str])
        found = await self._store.instances(
            request.journey_id,
            contact,
            request.key,
            states,
            request.step_id,
            (place[0], place[1]) if place else _LAST,
            size + 1,
        )
        page, more = paging.page(query, found, size, lambda one: [one.start_time, one.instance_id])
        return ListInstancesResponse(
            instances=[nouns.instance(one) for one in page], next_page_token=more
        )

    async def GetJourneyPicture(
        self, request: GetJourneyPictureRequest, context: Any
    ) -> GetJourneyPictureResponse:
        """Draws a journey."""
        if request.language not in WORDS:
            raise FieldInvalid("language", "not `en` or `tr`")
        journey = await self._journey(request.journey_id, request.version)
        svg, found = await self._views.picture(journey, request.language, request.dark)
        return GetJourneyPictureResponse(svg=svg, read_time=timestamp(found))

    async def GetStageMap(self, request: GetStageMapRequest, context: Any) -> GetStageMapResponse:
        """Tells how the base stands and moves."""
        now = self._clock.now()
        start, end = milliseconds_of(now - _MONTH), milliseconds_of(now)
        if request.HasField("start_time"):
            start = milliseconds(request.start_time)
        if request.HasField("end_time"):
            end = milliseconds(request.end_time)
        if not 0 <= end - start <= _MOST_DAYS * 86_400_000:
            raise FieldInvalid("end_time", f"0 to {_MOST_DAYS} days after start_time")
        try:
            ZoneInfo(request.zone or "UTC")
        except (ValueError, OSError, LookupError):
            raise FieldInvalid(
                "zone", "no zone of this name; write it as Europe/Istanbul"
            ) from None
        told, found = await self._views.stages(start, end, request.zone or "UTC")
        return GetStageMapResponse(
            stage_map=StageMap(
                counts=[StageCount(stage=s, contact_count=n) for s, n in told.counts.items()],
                flows=[
                    StageFlow(
                        day=one.day,
                        previous_stage=one.previous,
                        stage=one.stage,
                        contact_count=one.contacts,
                    )
                    for one in told.flows
                ],
            ),
            read_time=timestamp(found),
        )

    @property
    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    async def _journey(self, journey_id: str, version: int) -> JourneyRecord:
        found = journey_of(await self._catalogue.catalogue(), journey_id)
        if version in (0, found.definition.version):
            return found
        former = await self._store.version(journey_id, version)
        if former is None:
            raise JourneyNotFound(journey_id)
        return msgspec.structs.replace(former, state=found.state, edit=found.edit)

    async def _key(self, journey_id: str, parameters: Mapping[str, Any]) -> str:
        """What an instance started now is about. Raises what forbids it."""
        await self._membership.reload()
        record = journey_of(await self._catalogue.catalogue(), journey_id)
        if record.state == "archived":
            raise JourneyArchived(journey_id)
        if record.state == "paused":
            raise JourneyPaused(journey_id)
        rule = self._membership.rules.journeys.latest(journey_id)
        if rule is None:
            return ""
        key = rule.key_of(parameters)
        if key is None:
            raise FieldInvalid("parameters_json", "the journey's key has no value by them")
        return key

    async def _order(self, orders: Sequence[tuple[str, Start | Exit]]) -> None:
        """Have contacts started or taken out, each in the walk of its state."""
        now = self._now
        happenings = [
            Happening(
                event_id=derived_id("evt", *_named(order), one),
                contact_id=one,
                time=now,
                name="",
                orders=(order,),
                received=now,
            )
            for one, order in orders
        ]
        await self._membership.process(lambda _: happenings)


def _named(order: Start | Exit) -> tuple[str, str]:
    if isinstance(order, Start):
        return order.journey_id, order.cause_id
    return "exit", order.instance_id


def _contacts(given: Sequence[str]) -> list[str]:
    _check_size("contact_ids", len(given))
    return [contact_id(one, f"contact_ids[{at}]") for at, one in enumerate(given)]


def _check_size(field: str, given: int) -> None:
    if not given:
        raise FieldInvalid(field, f"missing; 1 to {_MOST}")
    if given > _MOST:
        raise BatchTooLarge(field, _MOST, given)


def _parameters(data: bytes) -> Mapping[str, Any]:
    if len(data) > MOST_PARAMETERS:
        raise FieldInvalid(
            "parameters_json", f"over {MOST_PARAMETERS} bytes", limit=str(MOST_PARAMETERS)
        )
    try:
        found = orjson.loads(data or b"{}")
    except orjson.JSONDecodeError:
        raise FieldInvalid("parameters_json", "not JSON") from None
    if not isinstance(found, dict):
        raise FieldInvalid("parameters_json", "not a JSON object")
    return found
