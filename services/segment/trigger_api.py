"""gRPC: triggers and their occurrences."""

from typing import Any, Final

from chassis import paging
from chassis.failures import FieldInvalid
from merhaba.segment.v1 import (
    ArchiveTriggerRequest,
    ArchiveTriggerResponse,
    CreateTriggerRequest,
    CreateTriggerResponse,
    GetOccurrenceRequest,
    GetOccurrenceResponse,
    GetTriggerRequest,
    GetTriggerResponse,
    ListOccurrencesRequest,
    ListOccurrencesResponse,
    ListTriggersRequest,
    ListTriggersResponse,
    Occurrence,
    PauseTriggerRequest,
    PauseTriggerResponse,
    ResumeTriggerRequest,
    ResumeTriggerResponse,
    Trigger,
    TriggerServiceServicer,
)
from services.segment import nouns
from services.segment.declared import Declared
from services.segment.definitions import trigger_of
from services.segment.definitions_store import DefinitionsStore
from services.segment.failures import OccurrenceNotFound, TriggerNotFound
from services.segment.membership import Membership
from services.segment.trigger_definitions import TriggerDefinitions
from services.segment.wire import contact_id

_END: Final = 2**62
_LAST: Final = (_END, "~")  # behind the newest


class TriggerApi(TriggerServiceServicer):
    """What starts by itself when something happens. Meaning and errors: the contract."""

    def __init__(
        self,
        definitions: TriggerDefinitions,
        store: DefinitionsStore,
        membership: Membership,
        declared: Declared,
    ) -> None:
        self._definitions = definitions
        self._store = store
        self._membership = membership
        self._declared = declared

    async def CreateTrigger(
        self, request: CreateTriggerRequest, context: Any
    ) -> CreateTriggerResponse:
        """Makes a trigger."""
        draft = nouns.trigger_draft(request.trigger, request.paused)
        await self._declared.refresh()
        await self._membership.reload()
        made = await self._definitions.create_trigger(
            draft, request.request_id, request.validate_only
        )
        await self._membership.reload()
        return CreateTriggerResponse(trigger=nouns.trigger(made))

    async def GetTrigger(self, request: GetTriggerRequest, context: Any) -> GetTriggerResponse:
        """Returns a trigger."""
        found = trigger_of(await self._store.catalogue(), request.trigger_id)
        if request.version not in (0, found.definition.version):
            raise TriggerNotFound(request.trigger_id)
        return GetTriggerResponse(trigger=nouns.trigger(found))

    async def ListTriggers(
        self, request: ListTriggersRequest, context: Any
    ) -> ListTriggersResponse:
        """Lists triggers, by name."""
        query, size = paging.query(request), paging.size(request.page_size, most=500)
        after = paging.place(request.page_token, query, [str])
        states = {Trigger.State.Name(s)[6:].lower() for s in request.states}
        catalogue = await self._store.catalogue()
        found = sorted(
            (
                one
                for one in catalogue.triggers.values()
                if (not request.names or one.definition.name in request.names)
                and (one.state in states if states else one.state != "archived")
                and (after is None or one.definition.name > after[0])
            ),
            key=lambda one: one.definition.name,
        )
        page = found[:size]
        more = paging.token(query, [page[-1].definition.name]) if len(found) > size else ""
        return ListTriggersResponse(
            triggers=[nouns.trigger(one) for one in page], next_page_token=more
        )

    async def ArchiveTrigger(
        self, request: ArchiveTriggerRequest, context: Any
    ) -> ArchiveTriggerResponse:
        """Ends a trigger."""
        ended, cancelled = await self._definitions.archive_trigger(request.trigger_id, request.etag)
        await self._membership.reload()
        return ArchiveTriggerResponse(trigger=nouns.trigger(ended), cancelled_count=cancelled)

    async def PauseTrigger(
        self, request: PauseTriggerRequest, context: Any
    ) -> PauseTriggerResponse:
        """Stops a trigger's actions."""
        paused = await self._definitions.pause_trigger(request.trigger_id, True)
        await self._membership.reload()
        return PauseTriggerResponse(trigger=nouns.trigger(paused))

    async def ResumeTrigger(
        self, request: ResumeTriggerRequest, context: Any
    ) -> ResumeTriggerResponse:
        """Lets a trigger act again."""
        resumed = await self._definitions.pause_trigger(request.trigger_id, False)
        await self._membership.reload()
        self._membership.sooner.set()
        return ResumeTriggerResponse(trigger=nouns.trigger(resumed))

    async def GetOccurrence(
        self, request: GetOccurrenceRequest, context: Any
    ) -> GetOccurrenceResponse:
        """Returns one occurrence."""
        found = await self._store.occurrence(request.occurrence_id)
        if found is None:
            raise OccurrenceNotFound(request.occurrence_id)
        return GetOccurrenceResponse(occurrence=nouns.occurrence(found))

    async def ListOccurrences(
        self, request: ListOccurrencesRequest, context: Any
    ) -> ListOccurrencesResponse:
        """Lists occurrences, newest cause first."""
        if not request.trigger_id and not request.contact_id:
            raise FieldInvalid("trigger_id", "give a trigger_id or a contact_id")
        contact = contact_id(request.contact_id) if request.contact_id else ""
        states = [Occurrence.State.Name(s)[6:].lower() for s in request.states]
        between = nouns.instant(request.start_time, 0), nouns.instant(request.end_time, _END)
        query, size = paging.query(request), paging.size(request.page_size)
        place = paging.place(request.page_token, query, [int, str])
        found = await self._store.occurrences(
            request.trigger_id, contact, states, between, place or _LAST, size + 1
        )
        page = found[:size]
        more = ""
        if len(found) > size:
            more = paging.token(query, [page[-1].cause_time, page[-1].occurrence_id])
        return ListOccurrencesResponse(
            occurrences=[nouns.occurrence(one) for one in page], next_page_token=more
        )
