"""ProfileService over gRPC."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid
from chassis.times import milliseconds
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    BatchGetContactsResponse,
    ContactHistory,
    ContactResult,
    GetContactRequest,
    GetContactResponse,
    ListContactsRequest,
    ListContactsResponse,
    ListEventsRequest,
    ListEventsResponse,
    ProfileServiceServicer,
    ResolveContactRequest,
    ResolveContactResponse,
    SetAttributesRequest,
    SetAttributesResponse,
    StreamHistoryRequest,
    StreamHistoryResponse,
    UpsertContactsRequest,
    UpsertContactsResponse,
    UpsertResult,
)
from merhaba.profile.v1 import Contact as WireContact
from services.profile import asked, attributes, views
from services.profile.directory import (
    Chapter,
    ContactQuery,
    Cursor,
    Directory,
    EventQuery,
    Mark,
)
from services.profile.model import (
    NOBODY,
    Contact,
    ContactNotFound,
    Happening,
)

_MOST: Final = 500
_SCANNED: Final = 5_000  # contacts looked at for one page when few of them pass the filter
_MOST_SHARDS: Final = 65_536
_HISTORY_CONTACTS: Final = 100
_HISTORY_EVENTS: Final = 200
_NEVER: Final = 1 << 62

Call = Any  # what grpc knows of a call; the guard has looked at it


class ProfileApi(ProfileServiceServicer):
    """Who people are, what is known of them and what they did."""

    def __init__(self, directory: Directory, answers: Answers, clock: Clock, region: str) -> None:
        """`region`: of phone numbers without a country code."""
        self._directory = directory
        self._answers = answers
        self._clock = clock
        self._region = region

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    async def ResolveContact(
        self, request: ResolveContactRequest, context: Call
    ) -> ResolveContactResponse:
        """Tell who the person is."""
        asked.batch(request.identities, "identities", 20)
        found = [asked.identity(one, self._region) for one in request.identities]
        return ResolveContactResponse(contact_id=await self._directory.resolve(found))

    async def GetContact(self, request: GetContactRequest, context: Call) -> GetContactResponse:
        """Return one contact."""
        mask = views.Mask(request.read_mask.paths, WireContact.DESCRIPTOR)
        found = await self._directory.contact(asked.reference(request.contact, self._region))
        return GetContactResponse(contact=views.contact(found, mask, self._now()))

    async def BatchGetContacts(
        self, request: BatchGetContactsRequest, context: Call
    ) -> BatchGetContactsResponse:
        """Return many contacts in one read."""
        asked.batch(request.contacts, "contacts", _MOST)
        mask = views.Mask(request.read_mask.paths, WireContact.DESCRIPTOR)
        refs = [asked.reference(ref, self._region) for ref in request.contacts]
        found, now = await self._directory.find(refs), self._now()
        nobody = ContactNotFound("nobody is that contact; look it up by an identity")
        return BatchGetContactsResponse(
            results=[
                ContactResult(failure=views.failed(index, nobody))
                if one is None
                else ContactResult(contact=views.contact(one, mask, now))
                for index, one in enumerate(found)
            ]
        )

    async def ListContacts(
        self, request: ListContactsRequest, context: Call
    ) -> ListContactsResponse:
        """List contacts by id."""
        asking, size = paging.query(request), paging.size(request.page_size, most=_MOST)
        (after,) = paging.place(request.page_token, asking, [str]) or (NOBODY,)
        chosen = request.filter
        paths = request.read_mask.paths or ("contact_id",)
        mask = views.Mask(paths, WireContact.DESCRIPTOR)
        if chosen.identities:
            asked.batch(chosen.identities, "filter.identities", _MOST)
        query = ContactQuery(
            identities=[asked.identity(one, self._region) for one in chosen.identities],
            start_create=milliseconds(chosen.start_create_time),
            end_create=milliseconds(chosen.end_create_time)
            if chosen.HasField("end_create_time")
            else _NEVER,
            start_update=milliseconds(chosen.start_update_time),
        )
        passed: list[Contact] = []
        scanned, more = 0, True
        while more and len(passed) < size and scanned < _SCANNED:
            found = await self._directory.contacts(query, after, size - len(passed))
            more = len(found) == size - len(passed)
            passed += [one for one in found if _passes(one, request)]
            scanned += len(found)
            after = found[-1].contact_id if found else after
        return ListContactsResponse(
            contacts=[views.contact(one, mask, self._now()) for one in passed],
            next_page_token=paging.token(asking, [after]) if more else "",
        )

    async def UpsertContacts(
        self, request: UpsertContactsRequest, context: Call
    ) -> UpsertContactsResponse:
        """Create or change contacts."""
        asked.batch(request.contacts, "contacts", _MOST)

        async def respond() -> UpsertContactsResponse:
            now, call = self._now(), asked.call_id(request.request_id)
            said: list[Happening | Failure] = []
            for index, given in enumerate(request.contacts):
                try:
                    said.append(
                        asked.upserted(given, self._region, now, call, request.request_id, index)
                    )
                except Failure as failure:
                    said.append(failure)
            return UpsertContactsResponse(
                results=[
                    UpsertResult(failure=views.failed(index, outcome))
                    if isinstance(outcome, Failure)
                    else UpsertResult(
                        contact_id=outcome.contact_id, created=outcome.created, etag=outcome.etag
                    )
                    for index, outcome in enumerate(await self._directory.write(said))
                ]
            )

        return await self._answers.once(
            request, request.request_id, respond, UpsertContactsResponse
        )

    async def SetAttributes(
        self, request: SetAttributesRequest, context: Call
    ) -> SetAttributesResponse:
        """Set or remove attributes of known contacts."""
        asked.batch(request.contacts, "contacts", _MOST)

        async def respond() -> SetAttributesResponse:
            now, call = self._now(), asked.call_id(request.request_id)
            source = request.source or "api"
            said: list[Happening | Failure] = []
            for index, given in enumerate(request.contacts):
                try:
                    ref = asked.reference(given.contact, self._region)
                    said.append(
                        asked.told(
                            ref, given.attributes, now, source, call, request.request_id, index
                        )
                    )
                except Failure as failure:
                    said.append(failure)
            outcomes = await self._directory.write(said)
            failures = [
                views.failed(index, outcome)
                for index, outcome in enumerate(outcomes)
                if isinstance(outcome, Failure)
            ]
            return SetAttributesResponse(
                accepted_count=len(outcomes) - len(failures), failures=failures
            )

        return await self._answers.once(request, request.request_id, respond, SetAttributesResponse)

    async def ListEvents(self, request: ListEventsRequest, context: Call) -> ListEventsResponse:
        """List what happened to a contact."""
        asking, size = paging.query(request), paging.size(request.page_size)
        beyond = paging.place(request.page_token, asking, [int, str])
        query = EventQuery(
            list(request.names),
            milliseconds(request.start_time) if request.HasField("start_time") else -_NEVER,
            milliseconds(request.end_time) if request.HasField("end_time") else _NEVER,
            request.oldest_first,
        )
        contact, events, mark = await self._directory.events(
            asked.known_id(request.contact_id), query, Mark(*beyond) if beyond else None, size
        )
        return ListEventsResponse(
            events=[views.event(one, contact.contact_id) for one in events],
            next_page_token=paging.token(asking, mark) if mark else "",
        )

    async def StreamHistory(
        self, request: StreamHistoryRequest, context: Call
    ) -> AsyncIterator[StreamHistoryResponse]:
        """Stream contacts with what happened to them."""
        asking = paging.query(request)
        place = paging.place(request.cursor, asking, [str, int, str, int, int], "cursor")
        mask = views.Mask(request.read_mask.paths, ContactHistory.DESCRIPTOR)
        shards = request.shard_count or 1
        if not 0 <= request.shard < shards <= _MOST_SHARDS:
            raise FieldInvalid("shard", f"from 0 to shard_count - 1, of {_MOST_SHARDS} at most")
        if request.contact_ids:
            asked.batch(request.contact_ids, "contact_ids", 10_000)
        contacts = ContactQuery(
            [asked.known_id(i) for i in request.contact_ids] or None,
            shard=request.shard,
            shards=shards,
        )
        events = EventQuery(
            list(request.names),
            milliseconds(request.start_time) if request.HasField("start_time") else -_NEVER,
        )
        total = len(request.contact_ids) or await self._directory.estimate() // shards
        async for cursor, chapters in self._directory.histories(
            contacts, events, _cursor(place), _HISTORY_CONTACTS, _HISTORY_EVENTS
        ):
            yield StreamHistoryResponse(
                cursor=paging.token(asking, _parts(cursor)),
                histories=[
                    views.history(chapter, mask)
                    for chapter in chapters
                    if _concerns(chapter, request.attribute_names)
                ],
                passed_count=cursor.passed,
                total_count=max(total, cursor.passed),
            )


def _passes(found: Contact, request: ListContactsRequest) -> bool:
    chosen = request.filter
    if chosen.states and WireContact.STATE_ACTIVE not in chosen.states:
        return False
    if chosen.languages and attributes.language(found.document)[0] not in chosen.languages:
        return False
    return not chosen.stages  # nobody stands in one yet


def _concerns(chapter: Chapter, names: Sequence[str]) -> bool:
    """Whether a history holds what was asked for: events, or a value of one of the attributes."""
    if not names or chapter.events:
        return True
    return any(views.has(chapter.contact.document, name) for name in names)


def _cursor(place: Sequence[object] | None) -> Cursor:
    if place is None:
        return Cursor()
    contact_id, time, event, passed, read_time = place
    assert isinstance(contact_id, str)
    assert isinstance(time, int)
    assert isinstance(event, str)
    assert isinstance(passed, int)
    assert isinstance(read_time, int)
    return Cursor(contact_id, Mark(time, event) if event else None, passed, read_time)


def _parts(cursor: Cursor) -> tuple[str, int, str, int, int]:
    mark = cursor.mark or Mark(0, "")
    return cursor.contact_id, mark.time, mark.event, cursor.passed, cursor.read_time
