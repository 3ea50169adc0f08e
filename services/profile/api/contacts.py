"""ProfileService over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from chassis import paging, streams
from chassis.ahead import ahead
from chassis.answers import Answers
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid
from chassis.times import milliseconds, timestamp
from merhaba.profile.v1 import (
    BatchGetContactsRequest,
    BatchGetContactsResponse,
    ContactHistory,
    GetContactRequest,
    GetContactResponse,
    ListContactsRequest,
    ListContactsResponse,
    ListEventsRequest,
    ListEventsResponse,
    MergeContactsRequest,
    MergeContactsResponse,
    ProfileServiceServicer,
    ResolveContactRequest,
    ResolveContactResponse,
    SetAttributesRequest,
    SetAttributesResponse,
    StreamHistoryRequest,
    StreamHistoryResponse,
    UnmergeContactRequest,
    UnmergeContactResponse,
    UpsertContactsRequest,
    UpsertContactsResponse,
    UpsertResult,
    WatchContactsRequest,
    WatchContactsResponse,
)
from merhaba.profile.v1 import Contact as WireContact
from services.profile.api import watch
from services.profile.contract import asked, chapters, views
from services.profile.contract.masks import Mask
from services.profile.person import attributes
from services.profile.person.directory import (
    Chapter,
    ContactQuery,
    Cursor,
    Directory,
    EventQuery,
    Mark,
)
from services.profile.person.model import (
    NOBODY,
    Contact,
    ContactNotFound,
    Happening,
)
from services.profile.person.part import Part
from services.profile.rights.category_store import CategoryStore
from services.profile.rights.limits import limits
from services.profile.tables.reads import Reader, Reads
from services.profile.tables.registry import RegistryStore

_MOST: Final = 500
_SCANNED: Final = 5_000  # contacts looked at for one page when few of them pass the filter
_MOST_SHARDS: Final = 65_536
_HISTORY_CONTACTS: Final = 500
_HISTORY_EVENTS: Final = 200
_NEVER: Final = 1 << 62

Call = Any  # what grpc knows of a call; the guard has looked at it


class ProfileApi(ProfileServiceServicer):
    """Who people are, what is known of them and what they did."""

    def __init__(
        self,
        directory: Directory,
        reads: Reads,
        answers: Answers,
        watch: streams.Watch,
        clock: Clock,
        region: str,
        registry: RegistryStore,
        categories: CategoryStore,
    ) -> None:
        """`region`: of phone numbers without a country code."""
        self._directory = directory
        self._reads = reads
        self._answers = answers
        self._watch = watch
        self._clock = clock
        self._region = region
        self._registry = registry
        self._categories = categories

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    async def _mask(self, paths: Iterable[str], reader: Reader) -> Mask:
        if reader.sight.personal:
            return Mask(paths, WireContact.DESCRIPTOR, reader.sight)
        known = await self._registry.current()
        return Mask(paths, WireContact.DESCRIPTOR, reader.sight, known.personal)

    async def _oldest_times(self, names: Sequence[str]) -> dict[str, Timestamp]:
        """Of these events, those that are deleted by their age, and from when on they are kept."""
        known = await limits(self._categories, self._registry)
        found = {name: known.of(name) for name in names} if known else {}
        return {
            name: timestamp(self._now() - one.retention)
            for name, one in found.items()
            if one and one.retention
        }

    async def ResolveContact(
        self, request: ResolveContactRequest, context: Call
    ) -> ResolveContactResponse:
        """Tell who the person is."""
        reader = self._reads.reader()
        asked.batch(request.identities, "identities", 20)
        found = [asked.identity(one, self._region) for one in request.identities]
        contact_id = await self._directory.resolve(found)
        async with reader.read([contact_id], ["contact_id"]):
            return ResolveContactResponse(contact_id=contact_id)

    async def GetContact(self, request: GetContactRequest, context: Call) -> GetContactResponse:
        """Return one contact."""
        reader = self._reads.reader()
        mask = await self._mask(request.read_mask.paths, reader)
        ref = reader.named(asked.reference(request.contact, self._region))
        found = await self._directory.contact(ref)
        async with reader.read([found.contact_id], mask.fields):
            return GetContactResponse(contact=views.contact(found, mask, self._now()))

    async def BatchGetContacts(
        self, request: BatchGetContactsRequest, context: Call
    ) -> BatchGetContactsResponse:
        """Return many contacts in one read."""
        reader = self._reads.reader()
        asked.batch(request.contacts, "contacts", _MOST)
        mask = await self._mask(request.read_mask.paths, reader)
        refs = [reader.named(asked.reference(ref, self._region)) for ref in request.contacts]
        found = await self._directory.find(refs, mask.part)
        now = self._now()
        nobody = ContactNotFound("nobody is that contact; look it up by an identity")
        async with reader.read([one.contact_id for one in found if one], mask.fields):
            return views.results(found, mask, now, nobody)

    async def ListContacts(
        self, request: ListContactsRequest, context: Call
    ) -> ListContactsResponse:
        """List contacts by id."""
        reader = self._reads.reader()
        asking, size = paging.query(request), paging.size(request.page_size, most=_MOST)
        (after,) = paging.place(request.page_token, asking, [str]) or (NOBODY,)
        chosen = request.filter
        paths = request.read_mask.paths or ("contact_id",)
        mask = await self._mask(paths, reader)
        if chosen.identities:
            asked.batch(chosen.identities, "filter.identities", _MOST)
        identities = [asked.identity(one, self._region) for one in chosen.identities]
        for identity in identities:
            reader.named(identity)
        query = ContactQuery(
            identities=identities,
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
        async with reader.read([one.contact_id for one in passed], mask.fields):
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

    async def MergeContacts(
        self, request: MergeContactsRequest, context: Call
    ) -> MergeContactsResponse:
        """Join two contacts that are one person."""
        reader = self._reads.reader()
        mask = Mask((), WireContact.DESCRIPTOR, reader.sight)
        one, other = map(asked.known_id, (request.contact_id, request.absorbed_contact_id))

        async def respond() -> MergeContactsResponse:
            cause = asked.related(self._now(), asked.call_id(request.request_id))
            stays = await self._directory.merge(one, other, cause)
            return MergeContactsResponse(contact=WireContact(contact_id=stays))

        # Kept is only who it is: what is known of people stands nowhere unsealed.
        answer = await self._answers.once(
            request, request.request_id, respond, MergeContactsResponse
        )
        found = await self._directory.contact(answer.contact.contact_id)
        async with reader.read([found.contact_id], mask.fields):
            return MergeContactsResponse(contact=views.contact(found, mask, self._now()))

    async def UnmergeContact(
        self, request: UnmergeContactRequest, context: Call
    ) -> UnmergeContactResponse:
        """Undo a merge."""
        reader = self._reads.reader()
        mask = Mask((), WireContact.DESCRIPTOR, reader.sight)
        absorbed_id = asked.known_id(request.absorbed_contact_id)

        async def respond() -> UnmergeContactResponse:
            cause = asked.related(self._now(), asked.call_id(request.request_id))
            person_id = await self._directory.unmerge(absorbed_id, cause)
            return UnmergeContactResponse(contact=WireContact(contact_id=person_id))

        answer = await self._answers.once(
            request, request.request_id, respond, UnmergeContactResponse
        )
        found = await self._directory.contact(answer.contact.contact_id)
        split = await self._directory.contact(absorbed_id)
        parted = found.contact_id != split.contact_id
        async with reader.read([found.contact_id, split.contact_id], mask.fields):
            return UnmergeContactResponse(
                contact=views.contact(found, mask, self._now()) if parted else None,
                split_contact=views.contact(split, mask, self._now()),
            )

    async def ListEvents(self, request: ListEventsRequest, context: Call) -> ListEventsResponse:
        """List what happened to a contact."""
        reader = self._reads.reader()
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
        async with reader.read([contact.contact_id], ["events"]):
            return ListEventsResponse(
                events=[views.event(one, contact.contact_id) for one in events],
                next_page_token=paging.token(asking, mark) if mark else "",
            )

    async def StreamHistory(
        self, request: StreamHistoryRequest, context: Call
    ) -> AsyncIterator[StreamHistoryResponse]:
        """Stream contacts with what happened to them."""
        reader = self._reads.reader()
        asking = paging.query(request)
        place = paging.place(request.cursor, asking, [str, int, str, int, int], "cursor")
        mask = Mask(request.read_mask.paths, ContactHistory.DESCRIPTOR, reader.sight)
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
        histories = self._directory.histories(
            contacts,
            events if "events" in mask else None,
            _cursor(place),
            _HISTORY_CONTACTS,
            _HISTORY_EVENTS,
            "consents" in mask,
            _part(mask, request.attribute_names),
        )
        # The next answer is made while one is sent.
        async with aclosing(ahead(self._told(request, asking, mask, reader, histories))) as told:
            async for response in told:
                yield response

    async def _told(
        self,
        request: StreamHistoryRequest,
        asking: bytes,
        mask: Mask,
        reader: Reader,
        histories: AsyncGenerator[tuple[Cursor, Sequence[Chapter]], None],
    ) -> AsyncGenerator[StreamHistoryResponse, None]:
        shards = request.shard_count or 1
        total = len(request.contact_ids) or await self._directory.estimate() // shards
        oldest_times = await self._oldest_times(request.names)
        names = list(request.attribute_names)
        everybody = not (names or request.skip_empty)
        async with aclosing(histories):
            async for cursor, piece in histories:
                told = [one for one in piece if everybody or _concerned(one, names)]
                async with reader.read([one.contact.contact_id for one in told], mask.fields):
                    token = paging.token(asking, _parts(cursor))
                    most = max(total, cursor.passed)
                    response = chapters.response(told, mask, token, cursor.passed, most)
                    for name, time in oldest_times.items():
                        response.oldest_times[name].CopyFrom(time)
                oldest_times = {}
                yield response

    async def WatchContacts(
        self, request: WatchContactsRequest, context: Call
    ) -> AsyncIterator[WatchContactsResponse]:
        """Stream changes of contacts as they happen."""
        reader = self._reads.reader()
        async for cursor, events in watch.changes(self._watch, request):
            contact_ids = list(dict.fromkeys(event.contact_id for event in events))
            async with reader.read(contact_ids, ["events"]):
                response = WatchContactsResponse(cursor=cursor, events=events)
            yield response


def _passes(found: Contact, request: ListContactsRequest) -> bool:
    chosen = request.filter
    if chosen.states and views.standing(found) not in chosen.states:
        return False
    if chosen.languages and attributes.language(found.document)[0] not in chosen.languages:
        return False
    return not chosen.stages or found.standing.stage in chosen.stages


def _part(mask: Mask, names: Iterable[str]) -> Part | None:
    """What of documents is looked at for a mask, and to know who has one of these."""
    part, names = mask.part, frozenset(names)
    if part is None or any(name.startswith("traits.") for name in names):
        return None
    return part if part.attributes is None else Part(part.attributes | names)


def _concerned(chapter: Chapter, names: Sequence[str]) -> bool:
    """Whether a history holds what was asked for: events, or a value of one of the attributes."""
    return bool(chapter.events) or any(views.has(chapter.contact, name) for name in names)


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
