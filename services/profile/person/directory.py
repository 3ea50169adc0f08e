"""The directory: who is who, what happened to them, what they agreed to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple, Protocol

from chassis.ahead import ahead
from chassis.failures import Failure
from services.profile.person import consent
from services.profile.person.model import (
    NOBODY,
    Consent,
    Contact,
    ContactNotFound,
    Happening,
    IdentitiesConflict,
    Identity,
    Outcome,
    StoredEvent,
)
from services.profile.person.part import Part

Ref = str | Identity
"""A contact's id, or one of its identities."""

_PAGE_BYTES: Final = 1024 * 1024  # of events in one piece of a history, and in one page
_HISTORY_EVENTS: Final = 1_000
_BEGINNING: Final = -(1 << 62)
_FIRST_CONTACTS: Final = 100  # of a stream of histories, until it is known what they have
_EVENTS_AT_ONCE: Final = 5_000  # of such contacts
_PART: Final = 125  # of the contacts asked for, looked up at once


class Mark(NamedTuple):
    """A place in the order of (time, id), between two events."""

    time: int = _BEGINNING
    event: str = NOBODY


class EventQuery(NamedTuple):
    """Which events: by name (none is all) and time (ms; the end excluded)."""

    names: Sequence[str] = ()
    start: int = _BEGINNING
    end: int = 1 << 62
    oldest_first: bool = True


class ContactQuery(NamedTuple):
    """Which contacts; what is empty or 0 chooses all. Times in ms, ends excluded."""

    contact_ids: Sequence[str] | None = None
    identities: Sequence[Identity] = ()
    start_create: int = 0
    end_create: int = 1 << 62
    start_update: int = 0
    shard: int = 0
    shards: int = 1


class Chapter(NamedTuple):
    """A contact, or the continuation of one, with events and consents."""

    contact: Contact
    events: Sequence[StoredEvent]
    consents: Sequence[Consent]
    first: bool
    continued: bool
    read_time: int
    """Everything recorded before is in it (ms)."""


class Cursor(NamedTuple):
    """How far a stream of histories is: all of the contacts up to this one, or, with a mark, this
    one's events up to there."""

    contact_id: str = NOBODY
    mark: Mark | None = None
    passed: int = 0
    read_time: int = 0
    """With a mark: of the contact's first piece."""


class HistoryPage(NamedTuple):
    """Some contacts and the beginnings of their histories, as of one moment."""

    contacts: Sequence[Contact]
    events: Mapping[str, Sequence[StoredEvent]]
    """Contact → its first events, one more than asked for when there are more."""
    consents: Mapping[str, Sequence[Consent]]
    read_time: int
    sizes: Mapping[str, int]
    """Contact → bytes of what is kept of it besides events."""


class Profiles(Protocol):
    """Where contacts are kept."""

    async def record(
        self, happenings: Sequence[Happening], strict: bool
    ) -> Sequence[Outcome | Failure | None]:
        """Take in happenings, each once; None is a repeat.

        Strict: raises the first failure and changes nothing. Else failures stand in the place of
        the happenings they refuse.
        """
        ...

    async def merge(self, contact_id: str, other_id: str, cause: Happening) -> str:
        """Make one person of two; returns the one that stays. Raises `ContactNotFound`."""
        ...

    async def unmerge(self, absorbed_id: str, cause: Happening) -> str:
        """Part a contact from the one that absorbed it, whose id is returned; its own, if it
        stands by itself. Raises `ContactNotFound` and `NotMerged`."""
        ...

    async def find(self, identities: Sequence[Identity]) -> Mapping[Identity, str]:
        """Where the identities lead: to an id of somebody, who may stand for it or not."""
        ...

    async def load(
        self, contact_ids: Sequence[str], part: Part | None = None
    ) -> Mapping[str, Contact]:
        """Contacts by the ids asked for; a merged one is the one that stayed. `part`: of their
        documents only that."""
        ...

    async def seek(
        self, identities: Sequence[Identity], part: Part | None = None
    ) -> Mapping[Identity, Contact]:
        """Contacts by the identities that lead to them, as `load` has them."""
        ...

    async def contacts(self, query: ContactQuery, after: str, limit: int) -> Sequence[Contact]:
        """Contacts in the order of their ids."""
        ...

    async def events(
        self, contact_ids: Sequence[str], query: EventQuery, beyond: Mark | None, limit: int
    ) -> Sequence[StoredEvent]:
        """Events of one person in order of time, beyond a mark."""
        ...

    async def consents(
        self, contact_ids: Sequence[str], purposes: Sequence[str], before: Mark | None, limit: int
    ) -> Sequence[Consent]:
        """Lines of one person's ledger, newest first, before a mark."""
        ...

    async def histories(
        self,
        query: ContactQuery,
        events: EventQuery | None,
        after: str,
        limit: int,
        each: int,
        consents: bool = True,
        part: Part | None = None,
    ) -> HistoryPage:
        """Contacts in the order of their ids with their first events, unless None are asked for,
        and, with `consents`, all lines of their ledgers. `part`: of their documents only that."""
        ...

    async def estimate(self) -> int:
        """How many contacts there are, roughly."""
        ...


class Directory:
    """Everything that is asked of and told to profile."""

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    async def record(self, happenings: Sequence[Happening]) -> None:
        """Take in what happened, wholly or not at all. Raises the first `Failure`."""
        await self._profiles.record(happenings, strict=True)

    async def write(self, said: Sequence[Happening | Failure]) -> Sequence[Outcome | Failure]:
        """Take in what a caller says, each by itself; what was refused before stays refused."""
        happenings = [one for one in said if isinstance(one, Happening)]
        outcomes = iter(await self._profiles.record(happenings, strict=False) if happenings else ())
        found: list[Outcome | Failure] = []
        for one in said:
            outcome = one if isinstance(one, Failure) else next(outcomes)
            if outcome is None and isinstance(one, Happening):
                outcome = await self._repeated(one)
            assert outcome is not None
            found.append(outcome)
        return found

    async def _repeated(self, happening: Happening) -> Outcome | Failure:
        refs: list[Ref] = [happening.contact_id or happening.identities[0]]
        (contact,) = await self.find(refs)
        if contact is None:
            return _nobody()
        return Outcome(contact.contact_id, False, contact.document.etag)

    async def merge(self, contact_id: str, other_id: str, cause: Happening) -> str:
        """Make one person of two; returns the one that stays. Raises `ContactNotFound`."""
        return await self._profiles.merge(contact_id, other_id, cause)

    async def unmerge(self, absorbed_id: str, cause: Happening) -> str:
        """Part a contact from the one that absorbed it, whose id is returned; its own, if it stands
        by itself. Raises `ContactNotFound` and `NotMerged`."""
        return await self._profiles.unmerge(absorbed_id, cause)

    async def resolve(self, identities: Sequence[Identity]) -> str:
        """Who has these identities. Raises `ContactNotFound` or `IdentitiesConflict`."""
        found = sorted({one.contact_id for one in await self.find(identities) if one})
        if not found:
            raise _nobody()
        if len(found) > 1:
            raise IdentitiesConflict(
                "the identities belong to different people: merge them, or ask for one",
                contact_ids=",".join(found),
            )
        return found[0]

    async def find(self, refs: Sequence[Ref], part: Part | None = None) -> list[Contact | None]:
        """Contacts in the order asked for; None for nobody. `part`: of their documents only
        that."""
        if len(refs) <= _PART:
            return await self._some(refs, part)
        # While some are opened and decoded, Postgres looks for the others.
        async with asyncio.TaskGroup() as tasks:
            parts = [
                tasks.create_task(self._some(refs[first : first + _PART], part))
                for first in range(0, len(refs), _PART)
            ]
        return [one for some in parts for one in some.result()]

    async def _some(self, refs: Sequence[Ref], part: Part | None) -> list[Contact | None]:
        asked = [ref for ref in refs if isinstance(ref, Identity)]
        named = [ref for ref in refs if not isinstance(ref, Identity)]
        known = await self._profiles.seek(asked, part) if asked else {}
        contacts = await self._profiles.load(named, part) if named else {}
        return [known.get(ref) if isinstance(ref, Identity) else contacts.get(ref) for ref in refs]

    async def contact(self, ref: Ref) -> Contact:
        """One contact. Raises `ContactNotFound`."""
        (contact,) = await self.find([ref])
        if contact is None:
            raise _nobody("" if isinstance(ref, Identity) else ref)
        return contact

    async def contacts(self, query: ContactQuery, after: str, limit: int) -> Sequence[Contact]:
        """Contacts in the order of their ids."""
        if query.identities:
            owners = await self._profiles.find(query.identities)
            query = query._replace(identities=(), contact_ids=sorted(set(owners.values())))
        return await self._profiles.contacts(query, after, limit)

    async def events(
        self, contact_id: str, query: EventQuery, beyond: Mark | None, limit: int
    ) -> tuple[Contact, Sequence[StoredEvent], Mark | None]:
        """A page of events of a contact, and where the next begins."""
        contact = await self.contact(contact_id)
        found = await self._profiles.events(contact.ids, query, beyond, limit + 1)
        page = _fitting(found[:limit])
        more = len(page) < len(found)
        return contact, page, Mark(page[-1].time, page[-1].event) if more else None

    async def consents(
        self, contact: Contact, purposes: Sequence[str], before: Mark | None, limit: int
    ) -> tuple[Sequence[Consent], Mark | None]:
        """A page of a contact's ledger, newest first, and where the next begins."""
        found = await self._profiles.consents(contact.ids, purposes, before, limit + 1)
        page = found[:limit]
        last = page[-1] if len(found) > limit else None
        return page, Mark(last.event_time, last.consent_id) if last else None

    async def consent(self, contact: Contact, purpose: str, moment: int | None) -> Consent | None:
        """The line that holds of a purpose, or held at a moment."""
        if moment is None:
            return consent.standing(contact.document.consents.values(), purpose)
        before: Mark | None = Mark(moment + 1, "")
        while True:
            page, before = await self.consents(contact, [purpose], before, 100)
            found = consent.standing(page, purpose)
            if found is not None or before is None:
                return found

    async def histories(
        self,
        query: ContactQuery,
        events: EventQuery | None,
        cursor: Cursor,
        contacts: int,
        each: int,
        consents: bool = True,
        part: Part | None = None,
    ) -> AsyncGenerator[tuple[Cursor, Sequence[Chapter]], None]:
        """Contacts with their events in pieces of bounded size, and how far each piece goes.

        At most `contacts` are read at once, fewer where they have many events, with `each` so many
        of their first ones; the next while a piece is worked on.
        """
        if cursor.mark is not None:
            assert events is not None, "only among events there are marks"
            started = (await self._profiles.load([cursor.contact_id])).get(cursor.contact_id)
            if started is not None:
                async for piece in self._rest(started, events, cursor.mark, cursor):
                    yield piece
            cursor = Cursor(cursor.contact_id, None, cursor.passed + 1)
        pages = self._pages(query, events, cursor.contact_id, contacts, each, consents, part)
        async with aclosing(ahead(pages)) as told:
            async for page in told:
                pending: list[Chapter] = []
                size = 0
                for contact in page.contacts:
                    found = page.events.get(contact.contact_id, ())
                    first = _fitting(found[:each])
                    continued = len(first) < len(found)
                    lines = page.consents.get(contact.contact_id, ())
                    pending.append(Chapter(contact, first, lines, True, continued, page.read_time))
                    size += sum(len(event.body) for event in first)
                    size += page.sizes.get(contact.contact_id, 0) // 2  # never all of it is told
                    after = Cursor(contact.contact_id, None, cursor.passed + 1)
                    if continued:
                        assert events is not None
                        mark = Mark(first[-1].time, first[-1].event)
                        inside = Cursor(contact.contact_id, mark, cursor.passed, page.read_time)
                        yield inside, pending
                        async for piece in self._rest(contact, events, mark, inside):
                            yield piece
                    elif size > _PAGE_BYTES:
                        yield after, pending
                    cursor = after
                    if continued or size > _PAGE_BYTES:
                        pending, size = [], 0
                if pending:
                    yield cursor, pending

    async def _pages(
        self,
        query: ContactQuery,
        events: EventQuery | None,
        after: str,
        most: int,
        each: int,
        consents: bool,
        part: Part | None,
    ) -> AsyncGenerator[HistoryPage, None]:
        """Contacts behind one, so many at once as their events allow."""
        limit = min(most, _FIRST_CONTACTS)
        while True:
            page = await self._profiles.histories(query, events, after, limit, each, consents, part)
            if not page.contacts:
                return
            after = page.contacts[-1].contact_id
            read = sum(map(len, page.events.values()))
            if read > _EVENTS_AT_ONCE:
                limit = max(limit // 2, 1)
            elif read < _EVENTS_AT_ONCE // 4:
                limit = min(limit * 2, most)
            yield page

    async def _rest(
        self, contact: Contact, events: EventQuery, mark: Mark, cursor: Cursor
    ) -> AsyncIterator[tuple[Cursor, Sequence[Chapter]]]:
        """What of a contact's events lies beyond a mark."""
        continued = True
        while continued:
            found = await self._profiles.events(contact.ids, events, mark, _HISTORY_EVENTS + 1)
            page = _fitting(found[:_HISTORY_EVENTS])
            continued = len(page) < len(found)
            chapter = Chapter(contact, page, (), False, continued, cursor.read_time)
            if continued:
                mark = Mark(page[-1].time, page[-1].event)
                yield cursor._replace(mark=mark), [chapter]
            else:
                yield Cursor(contact.contact_id, None, cursor.passed + 1), [chapter]

    async def estimate(self) -> int:
        """How many contacts there are, roughly."""
        return await self._profiles.estimate()


def _fitting(events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
    """As many of the first events as one piece may hold; at least one."""
    size = 0
    for count, event in enumerate(events):
        size += len(event.body)
        if size > _PAGE_BYTES and count:
            return events[:count]
    return events


def _nobody(contact_id: str = "") -> ContactNotFound:
    facts = {"contact_id": contact_id} if contact_id else {}
    return ContactNotFound("nobody is that contact; look it up by an identity", **facts)
