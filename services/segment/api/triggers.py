"""gRPC: triggers and their occurrences."""

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from chassis import paging
from chassis.answers import Answers
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
    TestTriggerRequest,
    TestTriggerResponse,
    Trigger,
    TriggerServiceServicer,
    UpdateTriggerRequest,
    UpdateTriggerResponse,
)
from services.segment.api import nouns, trigger_nouns
from services.segment.api.occurrences import Occurrences
from services.segment.api.trials import Trials
from services.segment.defining.triggers import TriggerDefinitions
from services.segment.engine.definitions import trigger_of
from services.segment.engine.membership import Membership
from services.segment.engine.model import TriggerRecord
from services.segment.failures import OccurrenceNotFound, TriggerNotFound
from services.segment.jobs.declared import Declared
from services.segment.tables.definitions import DefinitionsStore
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
        occurrences: Occurrences,
        trials: Trials,
        answers: Answers,
    ) -> None:
        self._definitions = definitions
        self._store = store
        self._membership = membership
        self._declared = declared
        self._occurrences = occurrences
        self._trials = trials
        self._answers = answers

    async def CreateTrigger(
        self, request: CreateTriggerRequest, context: Any
    ) -> CreateTriggerResponse:
        """Makes a trigger."""
        draft = trigger_nouns.trigger_draft(request.trigger, request.paused)
        await self._declared.refresh()
        await self._membership.reload()
        made = await self._definitions.create_trigger(
            draft, request.request_id, request.validate_only
        )
        await self._membership.reload()
        return CreateTriggerResponse(trigger=trigger_nouns.trigger(made))

    async def GetTrigger(self, request: GetTriggerRequest, context: Any) -> GetTriggerResponse:
        """Returns a trigger."""
        found = trigger_of(await self._store.catalogue(), request.trigger_id)
        if request.version not in (0, found.definition.version):
            former = await self._store.trigger_version(request.trigger_id, request.version)
            if former is None:
                raise TriggerNotFound(request.trigger_id)
            found = msgspec.structs.replace(former, state=found.state, edit=found.edit)
        return GetTriggerResponse(trigger=trigger_nouns.trigger(found))

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
        page, more = paging.page(query, found, size, lambda one: [one.definition.name])
        return ListTriggersResponse(
            triggers=[trigger_nouns.trigger(one) for one in page], next_page_token=more
        )

    async def UpdateTrigger(
        self, request: UpdateTriggerRequest, context: Any
    ) -> UpdateTriggerResponse:
        """Changes a trigger."""
        given = request.trigger

        def change(record: TriggerRecord) -> TriggerRecord:
            wanted = trigger_nouns.changed(record, given, request.update_mask.paths)
            return trigger_nouns.trigger_draft(wanted, record.definition.paused)

        async def respond() -> UpdateTriggerResponse:
            await self._declared.refresh()
            await self._membership.reload()
            changed = await self._definitions.update_trigger(
                given.trigger_id, given.etag, change, request.validate_only
            )
            await self._membership.reload()
            return UpdateTriggerResponse(trigger=trigger_nouns.trigger(changed))

        if request.validate_only:
            return await respond()
        return await self._answers.once(request, request.request_id, respond, UpdateTriggerResponse)

    async def ArchiveTrigger(
        self, request: ArchiveTriggerRequest, context: Any
    ) -> ArchiveTriggerResponse:
        """Ends a trigger."""
        ended, cancelled = await self._definitions.archive_trigger(request.trigger_id, request.etag)
        await self._membership.reload()
        return ArchiveTriggerResponse(
            trigger=trigger_nouns.trigger(ended), cancelled_count=cancelled
        )

    async def PauseTrigger(
        self, request: PauseTriggerRequest, context: Any
    ) -> PauseTriggerResponse:
        """Stops a trigger's actions."""
        paused = await self._definitions.pause_trigger(request.trigger_id, True)
        await self._membership.reload()
        return PauseTriggerResponse(trigger=trigger_nouns.trigger(paused))

    async def ResumeTrigger(
        self, request: ResumeTriggerRequest, context: Any
    ) -> ResumeTriggerResponse:
        """Lets a trigger act again."""
        resumed = await self._definitions.pause_trigger(request.trigger_id, False)
        await self._membership.reload()
        self._membership.sooner.set()
        return ResumeTriggerResponse(trigger=trigger_nouns.trigger(resumed))

    async def TestTrigger(
        self, request: TestTriggerRequest, context: Any
    ) -> AsyncIterator[TestTriggerResponse]:
        """Replays history through a trigger."""
        await self._declared.refresh()
        await self._membership.reload()
        async for response in self._trials.stream(request):
            yield response

    async def GetOccurrence(
        self, request: GetOccurrenceRequest, context: Any
    ) -> GetOccurrenceResponse:
        """Returns one occurrence."""
        found = await self._occurrences.one(request.occurrence_id)
        if found is None:
            raise OccurrenceNotFound(request.occurrence_id)
        await self._membership.reload()
        told = trigger_nouns.occurrence(found)
        if explanation := await self._occurrences.explained(found):
            told.explanation.CopyFrom(explanation)
        return GetOccurrenceResponse(occurrence=told)

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
        found = await self._occurrences.listed(
            request.trigger_id, contact, states, between, place or _LAST, size + 1
        )
        page, more = paging.page(
            query, found, size, lambda one: [one.cause_time, one.occurrence_id]
        )
        return ListOccurrencesResponse(
            occurrences=[trigger_nouns.occurrence(one) for one in page], next_page_token=more
        )
