"""A person's right to see and to erase: what the services that hold people answer in one way.

Messages of the contracts are given: what is built here has the fields that every service's
`PrivacyService` has (`cursor` and `records` of a response, those of a receipt).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeVar

import asyncpg
import orjson
from google.protobuf.message import Message

from chassis import paging
from chassis.clock import Clock
from chassis.failures import FieldInvalid, RequestIdReused, TokenInvalid
from chassis.postgres import Pool
from chassis.times import stamped

HEARTBEAT: Final = timedelta(seconds=4)  # leaves a second to be at most 5 on the way
_RESPONSE_BYTES: Final = 1024 * 1024
_ROWS: Final = 200
_ID_LENGTH: Final = 200

T = TypeVar("T")
R = TypeVar("R", bound=Message)

Count = Callable[[str, int], Awaitable[None]]
"""Told of a dataset how many records were erased."""


class Told(NamedTuple):
    """One record, or only how far looking for it went."""

    dataset: str
    place: str
    """Where to go on behind it."""
    record: Message | None


Readers = Mapping[str, Callable[[str], AsyncIterator[Told]]]
"""By dataset, in the order of telling: all its records behind a place (empty: all)."""


def rows(
    pool: Pool,
    dataset: str,
    source: str,
    contact_ids: Sequence[str],
    record: Callable[[asyncpg.Record], Message],
) -> Callable[[str], AsyncIterator[Told]]:
    """A reader of rows. `source`: a query about contacts ($1), in which `place` says in one word
    which row it is."""

    async def read(place: str) -> AsyncIterator[Told]:
        while True:
            page = await pool.fetch(
                f"SELECT * FROM ({source}) AS held WHERE place > $2 ORDER BY place LIMIT $3",  # noqa: S608 - a constant of the service
                *(contact_ids, place, _ROWS),
            )
            for row in page:
                place = row["place"]
                yield Told(dataset, place, record(row))
            if len(page) < _ROWS:
                return

    return read


async def export(
    request: Any,
    response: Callable[..., R],
    readers: Readers,
    clock: Clock,
    heartbeat: timedelta = HEARTBEAT,
) -> AsyncIterator[R]:
    """Responses to a request to export, from its cursor on; each resumes behind itself.

    `heartbeat`: the longest time without a response. Raises `TokenInvalid`.
    """
    query = paging.query(request)
    dataset, place = paging.place(request.cursor, query, [str, str], "cursor") or ("", "")
    if dataset and dataset not in readers:
        raise TokenInvalid("cursor")
    part: Any = response(cursor=request.cursor)
    said, size = clock.now(), 0
    async for one in beating(_told(readers, dataset, place), heartbeat):
        if one is not None:
            if one.record is not None:
                more = one.record.ByteSize()
                if part.records and size + more > _RESPONSE_BYTES:
                    yield part
                    part, said, size = response(), clock.now(), 0
                part.records.append(one.record)
                size += more
            part.cursor = paging.token(query, [one.dataset, one.place])
        if one is None or clock.now() - said >= heartbeat:
            yield part
            part, said, size = response(cursor=part.cursor), clock.now(), 0
    if part.records:
        yield part


def usable_id(given: str, field: str, hint: str) -> str:
    """An id as it was given. Raises `FieldInvalid` with the hint when it cannot be one."""
    if not given or len(given) > _ID_LENGTH or not given.isprintable():
        raise FieldInvalid(field, f"missing or not an id; {hint}")
    return given


def person_ids(contact_id: str, member_contact_ids: Sequence[str]) -> list[str]:
    """All ids of a person, the one that stands for it first. Raises `FieldInvalid`."""
    return [
        usable_id(contact_id, "contact_id", "send the contact's id"),
        *(
            usable_id(one, f"member_contact_ids[{i}]", "leave out what is none")
            for i, one in enumerate(member_contact_ids)
        ),
    ]


def counted(
    erase: Callable[[], Awaitable[Mapping[str, int]]],
) -> Callable[[Count], Awaitable[None]]:
    """An erasure in one step, which says of each dataset how many records it erased."""

    async def erase_and_count(count: Count) -> None:
        for dataset, number in (await erase()).items():
            await count(dataset, number)

    return erase_and_count


class Erasures:
    """Erasures that were asked of a service, and their receipts, in its table `erasures`. Kept for
    good: they hold nothing personal."""

    def __init__(self, pool: Pool, service: str, clock: Clock) -> None:
        self._pool = pool
        self._service = service
        self._clock = clock

    async def once(
        self,
        request_id: str,
        contact_id: str,
        erase: Callable[[Count], Awaitable[None]],
        kind: Callable[..., R],
    ) -> R:
        """Erase, and return the receipt: the first one that was given for this request.

        `erase` works every time, since more may have come. Raises `FieldInvalid`, and
        `RequestIdReused` when the id was of another person.
        """
        usable_id(request_id, "request_id", "send the id of the erasure")
        await self._begin(request_id, contact_id)

        async def count(dataset: str, number: int) -> None:
            await self._count(request_id, dataset, number)

        await erase(count)
        return await self._finish(request_id, contact_id, kind)

    async def _begin(self, request_id: str, contact_id: str) -> None:
        of = await self._pool.fetchval(
            "INSERT INTO erasures (request_id, contact_id) VALUES ($1, $2)"
            # An update of nothing: only so is the row returned that was there
            " ON CONFLICT (request_id) DO UPDATE SET request_id = EXCLUDED.request_id"
            " RETURNING contact_id",
            request_id,
            contact_id,
        )
        if of != contact_id:
            raise RequestIdReused(request_id)

    async def _count(self, request_id: str, dataset: str, number: int) -> None:
        """Until there is a receipt that says so: tries that came to no end count too."""
        await self._pool.execute(
            "UPDATE erasures SET records = records || jsonb_build_object($2::text,"
            " coalesce((records ->> $2)::bigint, 0) + $3)"
            " WHERE request_id = $1 AND receipt IS NULL",
            request_id,
            dataset,
            number,
        )

    async def _finish(self, request_id: str, contact_id: str, kind: Callable[..., R]) -> R:
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT records, receipt FROM erasures WHERE request_id = $1 FOR UPDATE", request_id
            )
            assert row is not None
            if row["receipt"] is not None:
                first = kind()
                first.ParseFromString(row["receipt"])
                return first
            made: Any = kind(
                request_id=request_id,
                service=self._service,
                contact_id=contact_id,
                erase_time=stamped(self._clock.now()),
                records=orjson.loads(row["records"]),
            )
            made.sha256 = sha256(made.SerializeToString(deterministic=True)).hexdigest()
            await connection.execute(
                "UPDATE erasures SET receipt = $2 WHERE request_id = $1",
                request_id,
                made.SerializeToString(),
            )
            return made  # type: ignore[no-any-return]  # fields of a message that is given


async def _told(readers: Readers, dataset: str, place: str) -> AsyncIterator[Told]:
    names = list(readers)
    for name in names[names.index(dataset) if dataset else 0 :]:
        async for one in readers[name](place):
            yield one
        place = ""


async def beating(
    source: AsyncIterator[T], every: timedelta = HEARTBEAT
) -> AsyncIterator[T | None]:
    """What comes from a source, and None whenever nothing came for so long."""
    coming: asyncio.Task[T] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait([coming], timeout=every.total_seconds())
            if not done:
                yield None
                continue
            try:
                found = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield found
    finally:
        if coming is not None:
            coming.cancel()
