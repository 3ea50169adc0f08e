"""A person's records: told once each, from wherever a stream stood; and erasures, receipted."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    timestamp_pb2,
)
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import ManualClock, SystemClock
from chassis.failures import FieldInvalid, RequestIdReused, TokenInvalid
from chassis.ids import fresh_id
from chassis.postgres import Pool, database, migrate
from chassis.privacy import Erasures, Readers, Told, counted, export, rows, usable_id

SCHEMA = "chassis_privacy_test"
TABLES = """
-- depends:
CREATE TABLE erasures (
    request_id text PRIMARY KEY,
    contact_id text NOT NULL,
    records jsonb NOT NULL DEFAULT '{}',
    receipt bytea,
    create_time timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE things (contact_id text NOT NULL, name text NOT NULL);
"""
CONTRACT = """
    name: "chassis_privacy_test.proto" package: "chassis_privacy_test" syntax: "proto3"
    dependency: "google/protobuf/timestamp.proto"
    message_type { name: "Request"
        field { name: "contact_id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "cursor" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
    message_type { name: "Record"
        field { name: "json" number: 1 type: TYPE_BYTES label: LABEL_OPTIONAL } }
    message_type { name: "Response"
        field { name: "cursor" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "records" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED
            type_name: ".chassis_privacy_test.Record" } }
    message_type { name: "Receipt"
        field { name: "request_id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "service" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "contact_id" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "erase_time" number: 4 type: TYPE_MESSAGE label: LABEL_OPTIONAL
            type_name: ".google.protobuf.Timestamp" }
        field { name: "records" number: 5 type: TYPE_MESSAGE label: LABEL_REPEATED
            type_name: ".chassis_privacy_test.Receipt.RecordsEntry" }
        field { name: "sha256" number: 6 type: TYPE_STRING label: LABEL_OPTIONAL }
        nested_type { name: "RecordsEntry" options { map_entry: true }
            field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
            field { name: "value" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL } } }
"""


def contract() -> Mapping[str, Any]:
    """Messages with the fields that every service's have."""
    assert timestamp_pb2.DESCRIPTOR.name in CONTRACT  # known only once it is imported
    file = text_format.Parse(CONTRACT, descriptor_pb2.FileDescriptorProto())
    return message_factory.GetMessages([file], pool=descriptor_pool.Default())


MESSAGES = contract()
Request, Record, Response, Receipt = (
    MESSAGES[f"chassis_privacy_test.{name}"]
    for name in ("Request", "Record", "Response", "Receipt")
)


@pytest.fixture(scope="session")
def schema(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("migrations")
    (folder / "0001_privacy_test.sql").write_text(TABLES)
    migrate(postgres_url, SCHEMA, folder)
    return postgres_url


@pytest.fixture
async def pool(schema: str) -> AsyncIterator[Pool]:
    async with database(schema, SCHEMA, 4) as opened:
        yield opened


def reader(name: str, sizes: list[int]) -> Callable[[str], AsyncIterator[Told]]:
    async def read(place: str) -> AsyncIterator[Told]:
        for number, size in enumerate(sizes):
            here = f"{number:03}"
            if here > place:
                said = f"{name} {here}".encode() + b" " * size
                # 0: it was looked at, and is nobody's
                yield Told(name, here, Record(json=said) if size else None)

    return read


async def told(readers: Readers, cursor: str = "") -> list[Any]:
    request = Request(contact_id="anne", cursor=cursor)
    return [one async for one in export(request, Response, readers, SystemClock())]


@given(st.lists(st.lists(st.sampled_from([0, 1, 400_000, 1_500_000]), max_size=5), max_size=3))
async def test_every_response_resumes_behind_itself(datasets: list[list[int]]) -> None:
    readers = {f"d{n}": reader(f"d{n}", sizes) for n, sizes in enumerate(datasets)}
    pages = await told(readers)
    everything = [record for page in pages for record in page.records]
    assert len(everything) == sum(bool(size) for sizes in datasets for size in sizes)
    assert all(len(page.records) == 1 or page.ByteSize() < 1_100_000 for page in pages)
    seen = 0
    for page in pages:
        seen += len(page.records)
        rest = [record for more in await told(readers, page.cursor) for record in more.records]
        assert rest == everything[seen:]


async def test_a_cursor_of_another_query_or_dataset_is_refused() -> None:
    readers = {"a": reader("a", [1, 1_500_000, 1])}
    cursor = (await told(readers))[0].cursor
    for contact_id, of in (("bob", readers), ("anne", {"b": readers["a"]})):
        request = Request(contact_id=contact_id, cursor=cursor)
        with pytest.raises(TokenInvalid):
            await anext(export(request, Response, of, SystemClock()))


async def test_a_stream_has_a_heartbeat_while_nothing_comes() -> None:
    released = asyncio.Event()

    async def slow(_: str) -> AsyncIterator[Told]:
        yield Told("a", "1", Record(json=b"1"))
        await released.wait()
        yield Told("a", "2", Record(json=b"2"))

    beat = timedelta(milliseconds=5)
    responses = export(Request(contact_id="c"), Response, {"a": slow}, SystemClock(), beat)
    first, second = await anext(responses), await anext(responses)
    assert (len(first.records), len(second.records)) == (1, 0)
    assert second.cursor == first.cursor
    released.set()
    assert [one.records[0].json async for one in responses if one.records] == [b"2"]


async def test_rows_are_told_once_each_however_many(pool: Pool) -> None:
    anne, also = fresh_id("c"), fresh_id("c")
    await pool.execute(
        "INSERT INTO things SELECT c, 'n' || n FROM generate_series(1, 450) AS n,"
        " unnest($1::text[]) AS c",
        [anne, also, fresh_id("other")],
    )
    source = "SELECT *, contact_id || name AS place FROM things WHERE contact_id = ANY($1::text[])"
    read = rows(pool, "thing", source, [anne, also], lambda r: Record(json=r["name"].encode()))
    found = [one async for one in read("")]
    assert len({one.place for one in found}) == len(found) == 900
    behind = [one async for one in read(found[449].place)]
    assert behind == found[450:]


def erasing(*numbers: int) -> Callable[[], Awaitable[Mapping[str, int]]]:
    left = list(numbers)

    async def erase() -> Mapping[str, int]:
        return {"thing": left.pop(0)}

    return erase


async def test_the_first_receipt_stands_and_tries_that_failed_count(
    pool: Pool, manual_clock: ManualClock
) -> None:
    erasures, request_id = Erasures(pool, "shop", manual_clock), fresh_id("r")

    async def failing(count: Callable[[str, int], Awaitable[None]]) -> None:
        await count("thing", 2)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await erasures.once(request_id, "anne", failing, Receipt)
    more = counted(erasing(3, 4))
    first = await erasures.once(request_id, "anne", more, Receipt)
    assert dict(first.records) == {"thing": 5}
    await manual_clock.advance(timedelta(days=1))
    assert await erasures.once(request_id, "anne", more, Receipt) == first
    assert (first.request_id, first.service, first.contact_id) == (request_id, "shop", "anne")
    digest, first.sha256 = first.sha256, ""
    assert digest == hashlib.sha256(first.SerializeToString(deterministic=True)).hexdigest()


async def test_an_erasures_id_is_of_one_person(pool: Pool, manual_clock: ManualClock) -> None:
    erasures, request_id = Erasures(pool, "shop", manual_clock), fresh_id("r")
    await erasures.once(request_id, "anne", counted(erasing(0)), Receipt)
    with pytest.raises(RequestIdReused):
        await erasures.once(request_id, "bob", counted(erasing()), Receipt)
    with pytest.raises(FieldInvalid):
        await erasures.once("", "anne", counted(erasing()), Receipt)


@pytest.mark.parametrize("wrong", ["", "x" * 201, "a\0b", "a\nb"])
def test_what_cannot_be_an_id_is_refused(wrong: str) -> None:
    with pytest.raises(FieldInvalid, match="leave it out"):
        usable_id(wrong, "contact_id", "leave it out")
    assert usable_id("c", "contact_id", "") == "c"
