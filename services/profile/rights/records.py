"""Everything profile holds of a person, as records that are theirs to take along."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from chassis.postgres import Pool
from chassis.readable import readable
from chassis.times import timestamp
from merhaba.event.v1 import Event
from merhaba.profile.v1 import Contact as WireContact
from merhaba.profile.v1 import ExportedRecord
from services.profile.contract import views
from services.profile.contract.masks import Mask
from services.profile.person.directory import EventQuery, Mark, Profiles
from services.profile.person.model import Contact
from services.profile.tables.reads import ReadQuery, Reads

_SERVICE: Final = "profile"
_PAGE: Final = 200
_DATASETS: Final = ("contact", "consent", "event", "personal_data_read")
_NEVER: Final = 1 << 62

Piece = tuple[str, Sequence[ExportedRecord]]
"""Records, and the cursor behind them."""


class Records:
    """What profile holds of people."""

    def __init__(self, pool: Pool, profiles: Profiles, reads: Reads) -> None:
        self._pool = pool
        self._profiles = profiles
        self._reads = reads

    async def told(self, contact: Contact, cursor: str, now: int) -> AsyncIterator[Piece]:
        """All records behind a cursor (empty: from the beginning)."""
        dataset, *place = cursor.split(" ") if cursor else [""]
        datasets = _DATASETS[_DATASETS.index(dataset) if dataset else 0 :]
        for name in datasets:
            beyond = (int(place[0]), place[1]) if len(place) > 1 else None
            async for piece in self._dataset(name, contact, beyond, now):
                yield piece
            place = []

    def _dataset(
        self, name: str, contact: Contact, beyond: tuple[int, str] | None, now: int
    ) -> AsyncIterator[Piece]:
        match name:
            case "contact":
                return self._contact(contact, now)
            case "consent":
                return self._consents(contact, beyond)
            case "event":
                return self._events(contact, beyond)
            case _:
                return self._personal_data_reads(contact, beyond)

    async def _contact(self, contact: Contact, now: int) -> AsyncIterator[Piece]:
        yield "consent", [*_portrait(contact, now), *await self._links(contact)]

    async def _links(self, contact: Contact) -> list[ExportedRecord]:
        rows = await self._pool.fetch(
            "SELECT member_id::text, other_id::text, evidence, event_time,"
            " cut_time IS NOT NULL AS cut FROM links"
            " WHERE member_id = ANY($1::uuid[]) OR other_id = ANY($1::uuid[])"
            " ORDER BY link_number",
            contact.ids,
        )
        return [_record("link", row["event_time"], dict(row)) for row in rows]

    async def _consents(
        self, contact: Contact, beyond: tuple[int, str] | None
    ) -> AsyncIterator[Piece]:
        before = Mark(*beyond) if beyond else None
        while page := await self._profiles.consents(contact.ids, (), before, _PAGE):
            before = Mark(page[-1].event_time, page[-1].consent_id)
            yield (
                f"consent {before.time} {before.event}",
                [
                    _record("consent", line.event_time, msgspec.structs.asdict(line))
                    for line in page
                ],
            )

    async def _events(
        self, contact: Contact, beyond: tuple[int, str] | None
    ) -> AsyncIterator[Piece]:
        after = Mark(*beyond) if beyond else None
        while page := await self._profiles.events(contact.ids, EventQuery(), after, _PAGE):
            after = Mark(page[-1].time, page[-1].event)
            yield (
                f"event {after.time} {after.event}",
                [_record("event", one.time, readable(Event.FromString(one.body))) for one in page],
            )

    async def _personal_data_reads(
        self, contact: Contact, beyond: tuple[int, str] | None
    ) -> AsyncIterator[Piece]:
        before = (beyond[0], int(beyond[1])) if beyond else None
        query = ReadQuery(contact.ids, "", -_NEVER, _NEVER)
        while page := await self._reads.list(query, before, _PAGE):
            before = (page[-1].time, page[-1].read_id)
            yield (
                f"personal_data_read {before[0]} {before[1]}",
                [
                    _record(
                        "personal_data_read",
                        one.time,
                        {
                            "caller": one.caller,
                            "purpose": one.purpose,
                            "method": one.method,
                            "fields": one.fields,
                        },
                    )
                    for one in page
                ],
            )


def _portrait(contact: Contact, now: int) -> Iterator[ExportedRecord]:
    """What is known of a person now."""
    view = readable(views.contact(contact, Mask((), WireContact.DESCRIPTOR), now))
    for dataset, field in (
        ("identity", "identities"),
        ("address", "addresses"),
        ("attribute", "attributes"),
        ("trait", "traits"),
        ("consent_state", "consents"),
    ):
        for one in view.pop(field, []):
            yield _record(dataset, None, one)
    yield _record("contact", contact.create_time, view)
    document = contact.document
    yield _record("memory", None, {"tallies": msgspec.to_builtins(document.tallies, str_keys=True)})
    if document.restriction.create_time:
        told = msgspec.structs.asdict(document.restriction)
        yield _record("restriction", document.restriction.create_time, told)


def _record(dataset: str, time: int | None, told: Mapping[str, Any]) -> ExportedRecord:
    return ExportedRecord(
        service=_SERVICE,
        dataset=dataset,
        record_time=timestamp(time),
        record_json=orjson.dumps(told, default=str, option=orjson.OPT_NON_STR_KEYS),
    )
