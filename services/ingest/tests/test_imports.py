"""Imports over gRPC: each kind, resumed wherever they stopped, each row once in effect."""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.postgres import database
from chassis.streams import EventLog
from chassis.testing import wait_until
from merhaba.event.v1.event_pb2 import Event, Identity
from merhaba.ingest.v1 import ingest_service_pb2 as pb
from merhaba.ingest.v1.error_reason_pb2 import ErrorReason
from merhaba.ingest.v1.import_job_pb2 import ImportJob
from services.ingest.imports.store import Imports
from services.ingest.tests.conftest import Front, opened, refused

COLUMNS = {"who": "identity.external_id", "at": "event_time", "what": "name"}
MORE = {**COLUMNS, "total": "properties.total:number"}
INVALID, ABORTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ABORTED


def orders(count: int, bad: int = 0) -> bytes:
    """A file of orders that nobody else has; every `bad`th row has no time."""
    mark = uuid4().hex
    rows = [
        f"{mark}-{n},{'' if bad and n % bad == 0 else '2024-01-31T12:00Z'},Order Completed,{n}.5"
        for n in range(1, count + 1)
    ]
    return "\n".join(["who,at,what,total", *rows, ""]).encode()


async def start(front: Front, content: bytes, **more: Any) -> ImportJob:
    job: dict[str, Any] = {
        "name": "orders.csv",
        "kind": ImportJob.KIND_EVENTS,
        "format": ImportJob.FORMAT_CSV,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "columns": MORE,
        "identity_scope": "crm",
    }
    request = pb.StartImportRequest(
        request_id=str(uuid4()), import_job=ImportJob(**{**job, **more})
    )
    return (await front.api.StartImport(request)).import_job


async def send(front: Front, job: ImportJob, content: bytes, begin: int, end: int) -> ImportJob:
    request = pb.ImportChunkRequest(
        import_id=job.import_id, offset_bytes=begin, chunk=content[begin:end]
    )
    return (await front.api.ImportChunk(request)).import_job


def cuts(content: bytes, lines: int) -> Iterator[tuple[int, int]]:
    """Pieces of so many lines."""
    begin = 0
    every = content.splitlines(keepends=True)
    for at in range(0, len(every), lines):
        end = begin + sum(map(len, every[at : at + lines]))
        yield begin, end
        begin = end


async def rejects(front: Front, job: ImportJob, size: int = 0) -> list[Any]:
    found, token = [], ""
    while True:
        request = pb.ListImportRejectsRequest(
            import_id=job.import_id, page_size=size, page_token=token
        )
        answer = await front.api.ListImportRejects(request)
        found += answer.rejects
        token = answer.next_page_token
        if not token:
            return found


async def whole_of(front: Front, content: bytes, **more: Any) -> ImportJob:
    return await send(front, await start(front, content, **more), content, 0, len(content))


# ---- one file, however it is sent


async def test_a_file_in_chunks_is_taken_row_by_row(front: Front) -> None:
    content = orders(9, bad=4)
    job = await start(front, content)
    assert (job.state, job.offset_bytes) == (ImportJob.STATE_RUNNING, 0)
    for begin, end in cuts(content, 3):
        job = await send(front, job, content, begin, end)
        assert job.offset_bytes == end
    assert (job.state, job.HasField("end_time")) == (ImportJob.STATE_COMPLETED, True)
    assert (job.accepted_count, job.rejected_count) == (7, 2)
    events = await front.events("inbound.track")
    assert len({event.event_id for event in events}) == len(events) == 7
    (first,) = [e for e in events if e.identities[0].value.endswith("-1")]
    assert (first.source, first.tracked.name) == ("api:token", "order_completed")
    assert json.loads(first.tracked.properties_json) == {"total": 1.5}
    assert first.identities[0].scope == "crm"
    lines = [(one.line, one.failure.metadata["field"]) for one in await rejects(front, job)]
    assert lines == [(5, "row.event_time"), (9, "row.event_time")]


async def test_a_chunk_that_was_taken_before_changes_nothing(front: Front) -> None:
    content = orders(4, bad=2)
    job = await start(front, content)
    (first, second, *_) = cuts(content, 3)
    once = await send(front, job, content, *first)
    again = await send(front, job, content, *first)
    assert again == once
    # One that reaches back is taken from where the import stands
    job = await send(front, job, content, 0, len(content))
    assert (job.accepted_count, job.rejected_count) == (2, 2)
    # And the last one, whose answer may have been lost
    assert await send(front, job, content, *second) == job
    assert len(await front.events("inbound.track")) == 2
    assert len(await rejects(front, job)) == 2


async def test_an_import_goes_on_where_it_stood_when_the_service_came_back(
    environment: dict[str, str], log: EventLog
) -> None:
    content = orders(9)
    (first, *others) = cuts(content, 4)
    async with opened(environment, log) as front:
        job = await start(front, content)
        await send(front, job, content, *first)
    async with opened(environment, log) as front:
        found = await start(front, content)
        assert (found.import_id, found.offset_bytes) == (job.import_id, first[1])
        for begin, end in others:
            job = await send(front, job, content, begin, end)
        assert (job.state, job.accepted_count) == (ImportJob.STATE_COMPLETED, 9)
        assert len({e.event_id for e in await front.events("inbound.track")}) == 9


async def test_rows_that_were_written_before_a_crash_have_the_same_ids_again(front: Front) -> None:
    content = orders(6)
    job = await whole_of(front, content)
    again = await whole_of(front, content)
    assert again.import_id != job.import_id
    assert again.accepted_count == 6
    events = await front.events("inbound.track")
    assert (len(events), len({event.event_id for event in events})) == (12, 6)
    # Read in another way it says something else
    await whole_of(front, content, columns=COLUMNS)
    assert len({e.event_id for e in await front.events("inbound.track")}) == 12


async def test_two_who_send_the_same_file_at_once_take_each_row_once(front: Front) -> None:
    content = orders(60, bad=7)
    jobs = await asyncio.gather(*(start(front, content) for _ in range(2)))
    assert jobs[0].import_id == jobs[1].import_id
    one, other = list(cuts(content, 5)), list(cuts(content, 20))

    async def all_of(pieces: list[tuple[int, int]]) -> None:
        for begin, end in pieces:
            await send(front, jobs[0], content, begin, end)

    await asyncio.gather(all_of(one), all_of(other), all_of(one))
    job = (await front.api.GetImport(pb.GetImportRequest(import_id=jobs[0].import_id))).import_job
    assert (job.accepted_count, job.rejected_count) == (52, 8)
    assert len({e.event_id for e in await front.events("inbound.track")}) == 52
    assert len(await rejects(front, job)) == 8


ROWS = st.lists(
    st.sampled_from(
        [
            "c1,2024-01-31,seen,1",
            '"c\n2",2024-01-31,"a ""b""",2',
            "c3,,seen,3",
            "c4,2024-01-31,seen,many",
            '"c5"x,2024-01-31,seen,5',
            "c6,2024-01-31",
            "",
            ",2024-01-31,seen,7",
        ]
    ),
    min_size=1,
    max_size=12,
)


async def test_however_a_file_is_cut_its_events_and_rejects_are_the_same(front: Front) -> None:
    @given(ROWS, st.sets(st.integers(0, 12)))
    @settings(max_examples=25, deadline=None)
    def drawn(rows: list[str], ends: set[int]) -> None:
        examples.append((rows, ends))

    examples: list[tuple[list[str], set[int]]] = []
    drawn()
    for rows, ends in examples:
        # A comment nobody reads makes the file this example's own
        content = "\n".join([f"who,at,what,total,{uuid4()}", *(f"{r},x" if r else r for r in rows)])
        raw = content.encode()
        seen = {event.event_id for event in await front.events("inbound.track")}
        job = await whole_of(front, raw)
        told = [(one.line, one.row, one.failure) for one in await rejects(front, job)]
        ids = {event.event_id for event in await front.events("inbound.track")} - seen
        assert len(ids) == job.accepted_count

        places, at = [0], len(f"{content.split(chr(10), 1)[0]}\n")
        for number, row in enumerate(rows[:-1]):
            at += len(f"{row},x\n") if row else 1
            places += [at] if number in ends and at < len(raw) else []
        again = await start(front, raw)
        for begin, end in zip(places, [*places[1:], len(raw)], strict=True):
            again = await send(front, again, raw, begin, end)
        counts = (job.accepted_count, job.rejected_count)
        assert (again.accepted_count, again.rejected_count) == counts
        assert [(one.line, one.row, one.failure) for one in await rejects(front, again)] == told
        assert {e.event_id for e in await front.events("inbound.track")} == seen | ids


# ---- what is refused


async def test_a_chunk_that_cannot_be_taken_says_why(front: Front) -> None:
    content = orders(4)
    job = await start(front, content)
    end = len(content)
    code, info = await refused(send(front, job, content, 18, end))
    assert (code, info.reason) == (ABORTED, "IMPORT_OFFSET_MISMATCH")
    assert dict(info.metadata) == {"import_id": job.import_id, "offset_bytes": "0"}
    for begin, stop, sent in ((0, 0, content), (0, 30, content), (0, end + 1, content + b"x")):
        code, info = await refused(send(front, job, sent, begin, stop))
        assert (code, info.reason, info.metadata["field"]) == (INVALID, "FIELD_INVALID", "chunk")
    large = await start(front, content, size_bytes=3_000_000)
    code, info = await refused(send(front, large, b"x" * 1_048_577, 0, 1_048_577))
    assert (code, info.metadata["limit"]) == (INVALID, "1048576")
    other = await start(front, content, columns={**MORE, "city": "properties.city"})
    code, info = await refused(send(front, other, content, 0, end))
    assert info.metadata["problem"] == "city is not in the heading"
    missing = ImportJob(import_id="imp_none")
    code, info = await refused(send(front, missing, content, 0, end))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": 0}, "kind"),
        ({"format": 0}, "format"),
        ({"sha256": "ABC"}, "sha256"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"columns": COLUMNS | {"x": "nonsense"}}, "columns"),
        ({"zone": "Mars"}, "zone"),
        ({"name": "x" * 201}, "name"),
        ({"identity_scope": "\0"}, "identity_scope"),
    ],
)
async def test_an_import_that_cannot_begin_says_why(
    front: Front, wrong: dict[str, Any], field: str
) -> None:
    code, info = await refused(start(front, orders(1), **wrong))
    assert (code, info.reason, info.metadata["field"]) == (INVALID, "FIELD_INVALID", field)


async def test_a_cancelled_import_takes_nothing_more_and_keeps_what_it_took(front: Front) -> None:
    content = orders(4)
    job = await start(front, content)
    (first, second, *_) = cuts(content, 3)
    await send(front, job, content, *first)
    for _ in range(2):
        request = pb.CancelImportRequest(request_id=str(uuid4()), import_id=job.import_id)
        ended = (await front.api.CancelImport(request)).import_job
        assert (ended.state, ended.accepted_count) == (ImportJob.STATE_CANCELLED, 2)
    code, info = await refused(send(front, job, content, *second))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "IMPORT_NOT_RUNNING")
    assert info.metadata["state"] == "cancelled"
    assert len(await front.events("inbound.track")) == 2
    assert (await start(front, content)).import_id != job.import_id


async def test_an_import_waits_for_readers_that_are_behind_and_others_need_not(
    environment: dict[str, str], log: EventLog
) -> None:
    (stream, *_) = log.streams("inbound.track")
    await log.ensure_group("slow", ["inbound.track"])
    a_minute_ago = f"{time.time_ns() // 1_000_000 - 60_000}-0"
    await log.redis.xadd(stream, {"e": b""}, id=a_minute_ago)
    content = orders(1)
    async with opened(environment, log) as front:
        job = await start(front, content)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(front, job, content, 0, len(content))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        status = rpc_status.from_call(caught.value)
        assert status.details[0].Unpack(info)
        assert status.details[1].Unpack(retry)
        assert (info.reason, info.metadata["limit_seconds"]) == ("LAG_TOO_HIGH", "30")
        assert retry.retry_delay.seconds > 0
        event = Event(identities=[Identity(kind=Identity.KIND_WA_ID, value="905321234567")])
        event.event_time.GetCurrentTime()
        event.tracked.name = "seen"
        request = pb.PublishEventsRequest(request_id=str(uuid4()), events=[event])
        assert (await front.api.PublishEvents(request)).results[0].event_id


async def test_an_import_waits_before_memory_is_so_short_that_others_must(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So much that what else comes and goes meanwhile is little
    await log.redis.setrange(log.key("ballast"), 50_000_000, b"x")
    content = orders(1)
    monkeypatch.setenv("MEMORY_LIMIT", str(await log.memory_pressure() * 1.1))
    async with opened(environment, log) as front:
        job = await start(front, content)
        code, info = await refused(send(front, job, content, 0, len(content)))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE")
        assert (await front.track(1))[0] == 200
    await log.redis.delete(log.key("ballast"))


# ---- lists


async def test_rejects_come_in_pages_in_the_order_of_the_file(front: Front) -> None:
    content = orders(250, bad=2)
    job = await whole_of(front, content)
    assert job.rejected_count == 125
    found = await rejects(front, job, size=40)
    assert [one.line for one in found] == list(range(3, 252, 2))
    assert found[0].row == content.splitlines(keepends=True)[2]
    assert found[0].failure.reason == ErrorReason.ERROR_REASON_FIELD_INVALID
    # The answer to a chunk tells the first hundred, also when it is repeated
    request = pb.ImportChunkRequest(import_id=job.import_id, chunk=content)
    assert (await front.api.ImportChunk(request)).rejects == found[:100]
    none = pb.ListImportRejectsRequest(import_id="imp_none")
    code, info = await refused(front.api.ListImportRejects(none))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "IMPORT_NOT_FOUND")


async def test_large_rejects_come_in_smaller_pages(front: Front) -> None:
    rows = [b"x" * 100_000 + str(n).encode() for n in range(25)]
    content = uuid4().bytes.hex().encode() + b"\n" + b"\n".join(rows)
    job = await start(front, content, format=ImportJob.FORMAT_NDJSON)
    for begin, end in cuts(content, 10):
        job = await send(front, job, content, begin, end)
    request = pb.ListImportRejectsRequest(import_id=job.import_id)
    page = await front.api.ListImportRejects(request)
    assert (len(page.rejects), bool(page.next_page_token)) == (12, True)
    assert [one.line for one in await rejects(front, job)] == list(range(1, 27))


async def test_imports_are_listed_newest_first(front: Front) -> None:
    jobs = [await start(front, orders(1)) for _ in range(3)]
    await front.api.CancelImport(
        pb.CancelImportRequest(request_id=str(uuid4()), import_id=jobs[1].import_id)
    )
    ours = {job.import_id for job in jobs}

    async def listed(*states: Any, size: int = 2) -> list[str]:
        found, token = [], ""
        while not ours.issubset(found) and (token or not found):
            request = pb.ListImportsRequest(states=states, page_size=size, page_token=token)
            answer = await front.api.ListImports(request)
            found += [job.import_id for job in answer.import_jobs]
            token = answer.next_page_token
        return [import_id for import_id in found if import_id in ours]

    assert await listed() == [job.import_id for job in reversed(jobs)]
    assert await listed(ImportJob.STATE_CANCELLED) == [jobs[1].import_id]
    code, info = await refused(
        front.api.ListImports(pb.ListImportsRequest(page_token="not one of ours"))
    )
    assert (code, info.reason) == (INVALID, "TOKEN_INVALID")


async def test_old_imports_are_forgotten_with_their_rejects(front: Front, migrated: str) -> None:
    content = orders(4, bad=2)
    job = await whole_of(front, content)
    async with database(migrated, "ingest") as pool:
        await Imports(pool).forget(job.create_time.ToDatetime().astimezone())
        assert await Imports(pool).get(job.import_id) is not None
        await pool.execute(
            "UPDATE imports SET update_time = '2020-01-01' WHERE import_id = $1", job.import_id
        )
        await Imports(pool).forget(job.create_time.ToDatetime().replace(year=2021).astimezone())
        assert await Imports(pool).get(job.import_id) is None
        assert await Imports(pool).rejects(job.import_id, 0, 10) == ([], False)


# ---- each kind


async def the_event(front: Front, content: str, **more: Any) -> Event:
    job = await whole_of(front, content.encode(), **more)
    assert job.rejected_count == 0, await rejects(front, job)
    (event,) = await front.events("inbound.track")
    return event


async def test_contacts_become_identities_and_attributes(front: Front) -> None:
    who = uuid4().hex
    event = await the_event(
        front,
        f"id,phone,mail,city,age\n{who},0532 123 45 67,A@B.example,İzmir,41\n",
        kind=ImportJob.KIND_CONTACTS,
        columns={
            "id": "identity.external_id",
            "phone": "identity.wa_id",
            "mail": "identity.email",
            "city": "attributes.city",
            "age": "attributes.age:number",
        },
    )
    kinds = Identity.KIND_WA_ID, Identity.KIND_EXTERNAL_ID, Identity.KIND_EMAIL
    assert [(one.kind, one.scope, one.value) for one in event.identities] == [
        (kinds[0], "", "905321234567"),
        (kinds[1], "crm", who),
        (kinds[2], "", "a@b.example"),
    ]
    assert json.loads(event.identified.traits_json) == {"city": "İzmir", "age": 41}


async def test_consents_become_lines_of_the_ledger(front: Front) -> None:
    event = await the_event(
        front,
        f"phone,when,until,form\n+905321234567,2024-01-31,2027-01-31,{uuid4()}\n",
        kind=ImportJob.KIND_CONSENTS,
        zone="Europe/Istanbul",
        constants={"consent.purpose": "marketing", "consent.granted": "true"},
        columns={
            "phone": "identity.wa_id",
            "when": "event_time",
            "until": "consent.expire_time",
            "form": "consent.proof",
        },
    )
    told = event.consent_changed
    assert (told.purpose, told.granted, told.channel) == ("marketing", True, "import")
    assert event.event_time.ToJsonString() == "2024-01-30T21:00:00Z"
    assert told.expire_time.ToJsonString() == "2027-01-30T21:00:00Z"


async def test_items_become_the_catalogue(front: Front) -> None:
    line = {"item_id": uuid4().hex, "title": "Çay", "price": 12.5, "stock": "7", "weight": 500}
    event = await the_event(
        front,
        json.dumps(line),
        kind=ImportJob.KIND_CATALOG_ITEMS,
        format=ImportJob.FORMAT_NDJSON,
        constants={"catalog_id": "shop", "currency_code": "TRY"},
        columns={
            **{name: name for name in ("item_id", "title", "price", "stock")},
            "weight": "properties.weight",
        },
    )
    told = event.catalog_item_changed
    assert (told.catalog_id, told.item_id, told.stock) == ("shop", line["item_id"], 7)
    assert (told.price_micros, told.currency_code) == (12_500_000, "TRY")
    assert json.loads(told.item_json) == {"weight": 500, "title": "Çay"}


async def test_places_become_places(front: Front) -> None:
    names = ("place_id", "name", "latitude", "longitude", "radius_meters", "labels")
    place = uuid4().hex
    content = f"{','.join(names)}\n{place},Kadıköy,40.99,29.03,250,store; istanbul\n"
    columns = {name: name for name in names}
    event = await the_event(front, content, kind=ImportJob.KIND_PLACES, columns=columns)
    told = event.place_changed
    assert (told.place_id, told.radius_meters, list(told.labels)) == (
        place,
        250,
        ["store", "istanbul"],
    )


async def test_what_has_no_time_is_said_anew_by_each_import(front: Front) -> None:
    columns = {name: name for name in ("catalog_id", "item_id", "stock")}
    content = f"catalog_id,item_id,stock\nshop,{uuid4()},7\n".encode()
    for _ in range(2):
        job = await whole_of(front, content, kind=ImportJob.KIND_CATALOG_ITEMS, columns=columns)
        begun_ms = job.create_time.ToMilliseconds()
        await wait_until(lambda begun_ms=begun_ms: time.time_ns() // 1_000_000 > begun_ms)
    assert len({event.event_id for event in await front.events("inbound.track")}) == 2


async def test_an_event_may_bring_its_own_id(front: Front) -> None:
    columns = {**COLUMNS, "id": "event_id"}
    name = uuid4().hex
    for mark in ("", "\n"):
        content = f"who,at,what,id\nc1,2024-01-31,seen,{name}\n{mark}".encode()
        await whole_of(front, content, columns=columns)
    assert {e.event_id for e in await front.events("inbound.track")} == {f"api:token/{name}"}


async def test_every_row_is_taken_when_a_chunk_has_more_than_one_step(front: Front) -> None:
    content = orders(5_000, bad=1_000)
    job = await whole_of(front, content)
    assert (job.accepted_count, job.rejected_count) == (4_995, 5)
    assert len({e.event_id for e in await front.events("inbound.track")}) == 4_995
