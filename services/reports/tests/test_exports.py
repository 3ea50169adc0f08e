"""Answers as files: made in the background, fetched or delivered."""

import asyncio
import csv
import hashlib
import hmac
import io
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest
from aiohttp import web
from arro3.io import read_parquet
from google.protobuf.field_mask_pb2 import FieldMask
from PIL import Image

from chassis.answers import Answers as Firsts
from chassis.callers import INTERNAL, Call, Caller, RoleDenied, call
from chassis.failures import EtagMismatch, FieldInvalid, RequestIdReused
from chassis.ids import fresh_id
from chassis.outbound import outbound
from chassis.testing import wait_until
from chassis.times import timestamp
from chassis.webhooks import SIGNATURE
from merhaba.reports.v1 import (
    CancelExportRequest,
    CreateExportScheduleRequest,
    DeleteExportScheduleRequest,
    Dimension,
    DownloadExportRequest,
    Export,
    ExportDestination,
    ExportSchedule,
    ExportSpec,
    Filter,
    GetExportRequest,
    GetExportScheduleRequest,
    Grain,
    ListExportSchedulesRequest,
    ListExportsRequest,
    Measure,
    MessageFacts,
    Period,
    Query,
    StartExportRequest,
    UpdateExportScheduleRequest,
    WebhookDestination,
)
from services.reports.exports import files, making
from services.reports.exports.api import ExportApi
from services.reports.exports.beginning import Beginning
from services.reports.exports.bucket import Credential, address, signed
from services.reports.exports.contents import MESSAGES, Contents
from services.reports.exports.delivering import CONNECTIONS, EXPORT, TIMEOUT, Deliverer
from services.reports.exports.destinations import checker
from services.reports.exports.files.csv import guarded
from services.reports.exports.making import Maker
from services.reports.exports.model import KEPT, LEASE, MOST_ATTEMPTS
from services.reports.exports.scheduling import Scheduler
from services.reports.exports.store import ExportStore
from services.reports.failures import (
    DestinationUnusable,
    ExportNotFound,
    ExportState,
    ScheduleNotFound,
    UrlRefused,
)
from services.reports.model import CampaignNotFound
from services.reports.tests.events import DAY, HOUR, NOON, campaign, outcome, ref
from services.reports.tests.looking import looking

SECRET = "a secret of a webhook"
KEYS = Credential("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


class Receiver:
    """Takes what is delivered."""

    def __init__(self) -> None:
        self.status = 200
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append((request.method, request.path, dict(request.headers), body))
        return web.Response(status=self.status)


@pytest.fixture
async def desk(pool, ledger, manual_clock, tmp_path) -> AsyncIterator[SimpleNamespace]:
    await pool.execute("DELETE FROM exports")
    await pool.execute("DELETE FROM export_schedules")
    receiver = Receiver()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    folder = tmp_path / "exports"
    async with (
        looking(pool, ledger, manual_clock) as (sources, _),
        outbound(TIMEOUT, CONNECTIONS, inside=True) as calls,
    ):
        store = ExportStore(pool)
        contents = Contents(pool, ledger, sources.reports, lambda: b"a secret of one file")
        beginning = Beginning(store, contents, ledger, manual_clock)
        secrets, keys = {"crm": SECRET}, {"lake": KEYS}
        yield SimpleNamespace(
            api=ExportApi(
                store,
                beginning,
                checker(calls.check, folder, secrets, keys),
                Firsts(pool, manual_clock),
                manual_clock,
            ),
            store=store,
            contents=contents,
            maker=Maker(store, contents, manual_clock, ledger.zone),
            scheduler=Scheduler(store, beginning, manual_clock),
            deliverer=Deliverer(store, calls, manual_clock, folder, secrets, keys),
            receiver=receiver,
            url=f"http://127.0.0.1:{runner.addresses[0][1]}",
            folder=folder,
            clock=manual_clock,
            pool=pool,
        )
    await runner.cleanup()


def days(before: int = 2, after: int = 1) -> Period:
    start, end = timestamp(NOON - before * DAY), timestamp(NOON + after * DAY)
    return Period(start_time=start, end_time=end)


def of(own: str) -> Filter:
    return Filter(dimension=Dimension.DIMENSION_CAMPAIGN, values=[own])


def facts(own: str, format_: Any = ExportSpec.FORMAT_CSV, **more: Any) -> ExportSpec:
    asked = MessageFacts(filters=[of(own)], period=days())
    return ExportSpec(messages=asked, format=format_, **more)


async def start(desk: Any, spec: ExportSpec) -> Export:
    request = StartExportRequest(request_id=str(uuid4()), spec=spec)
    return (await desk.api.StartExport(request, None)).export


async def get(desk: Any, export_id: str) -> Export:
    return (await desk.api.GetExport(GetExportRequest(export_id=export_id), None)).export


async def made(desk: Any, spec: ExportSpec) -> tuple[Export, bytes]:
    begun = await start(desk, spec)
    assert await desk.maker.make()
    done = await get(desk, begun.export_id)
    assert done.state == Export.STATE_COMPLETED, done
    return done, await fetched(desk, begun.export_id)


async def fetched(desk: Any, export_id: str, cursor: str = "") -> bytes:
    asked = DownloadExportRequest(export_id=export_id, cursor=cursor)
    return b"".join([part.data async for part in desk.api.DownloadExport(asked, None)])


async def sent(feed: Any, count: int = 3, template: str = "tpl") -> str:
    own = fresh_id("c")
    events = [campaign(NOON - HOUR, own, "running", "=cmd|' /C calc'!A0", count)]
    for n in range(count):
        about = ref(f"{own}/{n:05}", own, "ab"[n % 2], template)
        events.append(outcome("sent", NOON - HOUR + n, f"{own}/con{n % 2}", about, cost=2_500_000))
    events.append(outcome("failed", NOON, f"{own}/con0", ref(f"{own}/00000", own, "a", template)))
    await feed("message", events)
    return own


async def test_messages_are_written_one_by_one(desk, feed) -> None:
    own = await sent(feed)
    done, body = await made(desk, facts(own))
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [row["message_id"] for row in rows] == [f"{own}/{n:05}" for n in range(3)]
    first = rows[0]
    assert (first["outcome"], first["error_code"], first["template"]) == ("failed", "131049", "tpl")
    assert (first["cost"], first["currency"]) == ("2.5", "USD")
    assert first["sent_time"] == "2026-11-22T08:00:00+00:00"
    assert (done.written_rows, done.total_rows, done.size_bytes) == (3, 3, len(body))
    assert done.sha256 == hashlib.sha256(body).hexdigest()
    assert (done.mime_type, done.filename[-4:]) == ("text/csv; charset=utf-8", ".csv")
    assert done.freshness.fold_time.seconds


async def test_people_are_told_apart_and_not_told_unless_asked_for(desk, feed) -> None:
    own = await sent(feed)
    _, body = await made(desk, facts(own))
    assert f"{own}/con" not in body.decode()
    who = [row["contact"] for row in csv.DictReader(io.StringIO(body.decode()))]
    assert who[0] == who[2] != who[1]
    call.set(Call("m", Caller("shop", "marketing"), ""))
    with pytest.raises(RoleDenied):
        await start(desk, facts(own, unmasked=True))
    call.set(Call("m", Caller("a service", INTERNAL), ""))
    _, body = await made(desk, facts(own, unmasked=True))
    who = [row["contact"] for row in csv.DictReader(io.StringIO(body.decode()))]
    assert who == [f"{own}/con0", f"{own}/con1", f"{own}/con0"]


async def test_files_that_say_who_people_are_go_when_one_is_erased(desk, feed, held) -> None:
    own = await sent(feed)
    call.set(Call("m", Caller("a service", INTERNAL), ""))
    named, _ = await made(desk, facts(own, unmasked=True))
    masked, _ = await made(desk, facts(own))
    await held.erase([f"{own}/con1"])
    with pytest.raises(ExportState):
        await fetched(desk, named.export_id)
    assert await fetched(desk, masked.export_id)


async def test_the_same_rows_are_in_every_format(desk, feed) -> None:
    own = await sent(feed, template="=1+1")
    _, text = await made(desk, facts(own))
    _, book = await made(desk, facts(own, ExportSpec.FORMAT_XLSX))
    _, columns = await made(desk, facts(own, ExportSpec.FORMAT_PARQUET))
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    table = read_parquet(io.BytesIO(columns)).read_all()
    assert table.column_names == [column.name for column in MESSAGES]
    assert table["message_id"].to_pylist() == [row["message_id"] for row in rows]
    assert table["template"].to_pylist() == ["=1+1"] * 3
    assert [row["template"] for row in rows] == ["'=1+1"] * 3
    assert table["cost"].to_pylist() == [2.5] * 3
    assert table["sent_time"].to_pylist()[0] == datetime(2026, 11, 22, 8, tzinfo=UTC)
    cells = sheet(book)
    assert cells[0] == [column.name for column in MESSAGES]
    assert [row[0] for row in cells[1:]] == [row["message_id"] for row in rows]
    assert "=1+1" in cells[1]
    with zipfile.ZipFile(io.BytesIO(book)) as opened:
        assert b"<f>" not in opened.read("xl/worksheets/sheet1.xml")


def sheet(book: bytes) -> list[list[str]]:
    """Cells of a workbook's first sheet, as they are written."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(book)) as opened:
        root = ElementTree.fromstring(opened.read("xl/worksheets/sheet1.xml"))
    return [
        ["".join(cell.itertext()) for cell in row.iter(f"{space}c")]
        for row in root.iter(f"{space}row")
    ]


async def test_the_answer_to_a_query_is_written_as_it_is_asked(desk, feed) -> None:
    own = await sent(feed)
    query = Query(
        measures=[Measure.MEASURE_SENT, Measure.MEASURE_FAILURE_RATE],
        dimensions=[Dimension.DIMENSION_VARIANT],
        filters=[of(own)],
        period=days(),
        grain=Grain.GRAIN_DAY,
        compare_previous=True,
    )
    done, body = await made(desk, ExportSpec(query=query, format=ExportSpec.FORMAT_CSV))
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert [(row["variant"], row["sent"]) for row in rows] == [("a", "2.0"), ("b", "1.0")]
    assert rows[0]["failure_rate"] == "0.5"
    assert rows[0]["failure_rate_of"] == "2"
    assert {"time", "sent_before", "failure_rate_lower"} <= rows[0].keys()
    assert done.total_rows == 2


@pytest.mark.parametrize("language", ["tr", "en"])
async def test_the_report_of_a_campaign_is_a_page(desk, feed, language) -> None:
    own = await sent(feed)
    spec = ExportSpec(campaign_id=own, format=ExportSpec.FORMAT_PDF, language=language)
    done, body = await made(desk, spec)
    assert body.startswith(b"%PDF-")
    assert done.mime_type == "application/pdf"
    spec.format = ExportSpec.FORMAT_PNG
    _, body = await made(desk, spec)
    with Image.open(io.BytesIO(body)) as image:
        assert image.format == "PNG"
        assert len(image.getcolors(1 << 20) or ()) > 3


@pytest.mark.parametrize("start_of_text", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_of_a_csv_is_a_formula(start_of_text) -> None:
    assert guarded(f"{start_of_text}1") == f"'{start_of_text}1"
    assert guarded("a=1") == "a=1"


async def test_a_repeat_begins_nothing_new(desk, feed) -> None:
    own = await sent(feed)
    request = StartExportRequest(request_id=str(uuid4()), spec=facts(own))
    first = await desk.api.StartExport(request, None)
    assert await desk.api.StartExport(request, None) == first
    request.spec.format = ExportSpec.FORMAT_XLSX
    with pytest.raises(RequestIdReused):
        await desk.api.StartExport(request, None)


@pytest.mark.parametrize(
    ("spec", "failure"),
    [
        (ExportSpec(format=ExportSpec.FORMAT_CSV), FieldInvalid),
        (ExportSpec(messages=MessageFacts()), FieldInvalid),
        (ExportSpec(messages=MessageFacts(), format=ExportSpec.FORMAT_PDF), FieldInvalid),
        (ExportSpec(campaign_id="nowhere", format=ExportSpec.FORMAT_PDF), CampaignNotFound),
        (
            ExportSpec(messages=MessageFacts(), format=ExportSpec.FORMAT_CSV, language="de"),
            FieldInvalid,
        ),
    ],
)
async def test_what_cannot_be_made_is_refused_at_once(desk, spec, failure) -> None:
    with pytest.raises(failure):
        await start(desk, spec)


async def test_what_turns_out_not_to_work_says_why(desk, feed) -> None:
    own = await sent(feed)
    spec = facts(own)
    spec.messages.filters.append(Filter(dimension=Dimension.DIMENSION_SEND_HOUR, values=["9"]))
    begun = await start(desk, spec)
    await desk.maker.make()
    failed = await get(desk, begun.export_id)
    assert failed.state == Export.STATE_FAILED
    assert "filters[1]" in failed.failure
    with pytest.raises(ExportState):
        await fetched(desk, begun.export_id)


async def test_a_file_whose_maker_died_is_made_by_another(desk, feed) -> None:
    own = await sent(feed)
    begun = await start(desk, facts(own))
    dying = await desk.store.claim(desk.clock.now())
    assert await desk.store.put(dying, desk.clock.now(), 1, 3, 0, b"half a file")
    assert not await desk.maker.make()  # it may still live
    await desk.clock.advance(LEASE + timedelta(seconds=1))
    assert await desk.maker.make()
    done = await get(desk, begun.export_id)
    body = await fetched(desk, begun.export_id)
    assert b"half" not in body
    assert hashlib.sha256(body).hexdigest() == done.sha256
    # Whoever was thought dead and is not, writes no more
    assert not await desk.store.put(dying, desk.clock.now(), 2, 3, 11, b"the rest")


async def test_a_file_that_kills_its_makers_is_given_up(desk, feed) -> None:
    begun = await start(desk, facts(await sent(feed)))
    for _ in range(MOST_ATTEMPTS):
        assert await desk.store.claim(desk.clock.now())
        await desk.clock.advance(LEASE + timedelta(seconds=1))
    assert await desk.maker.make()
    assert (await get(desk, begun.export_id)).state == Export.STATE_FAILED


async def test_a_cancelled_export_ends_while_it_is_made(desk, feed, monkeypatch) -> None:
    monkeypatch.setattr(making, "PIECE", 100)
    begun = await start(desk, facts(await sent(feed)))
    original = desk.store.put

    async def put(*given: Any) -> bool:
        await desk.api.CancelExport(CancelExportRequest(export_id=begun.export_id), None)
        return await original(*given)

    desk.store.put = put
    assert await desk.maker.make()
    assert (await get(desk, begun.export_id)).state == Export.STATE_CANCELLED
    await desk.api.CancelExport(CancelExportRequest(export_id=begun.export_id), None)
    while await desk.store.expire(desk.clock.now()):
        pass
    kept = "SELECT count(*) FROM export_pieces WHERE export_id = $1"
    assert await desk.pool.fetchval(kept, begun.export_id) == 0
    done, _ = await made(desk, facts(await sent(feed)))
    with pytest.raises(ExportState):
        await desk.api.CancelExport(CancelExportRequest(export_id=done.export_id), None)


async def test_a_download_goes_on_behind_its_cursor(desk, feed, monkeypatch) -> None:
    monkeypatch.setattr(making, "PIECE", 100)
    done, whole = await made(desk, facts(await sent(feed, 20)))
    got = b""
    cursor = ""
    while True:
        stream = desk.api.DownloadExport(
            DownloadExportRequest(export_id=done.export_id, cursor=cursor), None
        )
        parts = 0
        async for part in stream:
            got += part.data
            cursor = part.cursor
            parts += 1
            if parts == 3:  # the line breaks
                break
        await stream.aclose()
        if parts < 3:
            break
    assert got == whole


async def patiently(desk: Any, coming: Any) -> Any:
    """What comes while time passes."""
    asked = asyncio.ensure_future(coming)

    async def came() -> bool:
        await desk.clock.advance(timedelta(seconds=1))
        return asked.done()

    await wait_until(came)
    return await asked


async def test_what_is_written_already_can_be_downloaded(desk, feed, monkeypatch) -> None:
    monkeypatch.setattr(making, "PIECE", 100)
    begun = await start(desk, facts(await sent(feed, 30)))
    stream = desk.api.DownloadExport(DownloadExportRequest(export_id=begun.export_id), None)
    first = await anext(stream)
    assert first.export.state == Export.STATE_WAITING
    beat = await patiently(desk, anext(stream))
    assert not beat.data
    assert beat.export.export_id == begun.export_id
    claimed = await desk.store.claim(desk.clock.now())
    assert await desk.store.put(claimed, desk.clock.now(), 1, 30, 0, b"the beginning")
    assert (await patiently(desk, anext(stream))).data == b"the beginning"
    await stream.aclose()


async def test_exports_are_listed_the_latest_first_in_pages(desk, feed) -> None:
    own = await sent(feed)
    ids = []
    for _ in range(3):
        ids.append((await start(desk, facts(own))).export_id)
        await desk.clock.advance(timedelta(seconds=1))
    request = ListExportsRequest(page_size=2, states=[Export.STATE_WAITING])
    page = await desk.api.ListExports(request, None)
    assert [one.export_id for one in page.exports] == ids[:0:-1]
    request.page_token = page.next_page_token
    page = await desk.api.ListExports(request, None)
    assert [one.export_id for one in page.exports] == ids[:1]
    assert not page.next_page_token
    with pytest.raises(ExportNotFound):
        await get(desk, "nowhere")


async def test_old_files_are_deleted(desk, feed) -> None:
    done, _ = await made(desk, facts(await sent(feed)))
    assert not await desk.store.expire(desk.clock.now())
    await desk.clock.advance(KEPT + timedelta(seconds=1))
    assert await desk.store.expire(desk.clock.now())
    assert (await get(desk, done.export_id)).state == Export.STATE_EXPIRED
    with pytest.raises(ExportState):
        await fetched(desk, done.export_id)


def plan(own: str, destination: ExportDestination, **more: Any) -> ExportSchedule:
    spec = facts(own)
    spec.messages.ClearField("period")
    schedule = ExportSchedule(
        name="every day", spec=spec, cron="30 12 * * *", zone="Europe/Istanbul", **more
    )
    schedule.destination.CopyFrom(destination)
    schedule.period_duration.FromTimedelta(timedelta(days=1))
    return schedule


async def planned(desk: Any, schedule: ExportSchedule) -> ExportSchedule:
    request = CreateExportScheduleRequest(request_id=str(uuid4()), schedule=schedule)
    return (await desk.api.CreateExportSchedule(request, None)).schedule


async def ran(desk: Any) -> None:
    """Half an hour passes: it is half past twelve in Istanbul."""
    assert not await desk.scheduler.begin()
    await desk.clock.advance(timedelta(minutes=30))
    assert await desk.scheduler.begin()
    assert not await desk.scheduler.begin()
    assert await desk.maker.make()
    assert await desk.deliverer.deliver()


async def looked(desk: Any, schedule: ExportSchedule) -> ExportSchedule:
    asked = GetExportScheduleRequest(schedule_id=schedule.schedule_id)
    return (await desk.api.GetExportSchedule(asked, None)).schedule


async def test_a_schedule_puts_the_period_that_ended_into_a_folder(desk, feed) -> None:
    own = await sent(feed)
    schedule = await planned(desk, plan(own, ExportDestination(folder="daily/shop")))
    assert schedule.next_run_time.ToDatetime(UTC) == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    await ran(desk)
    (file,) = (desk.folder / "daily" / "shop").iterdir()
    assert f"{own}/00000" in file.read_text()
    after = await looked(desk, schedule)
    assert after.last_failure == ""
    assert after.last_export_id in file.name
    assert after.next_run_time.ToDatetime(UTC) == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    export = await get(desk, after.last_export_id)
    assert export.schedule_id == schedule.schedule_id
    assert export.spec.messages.period.end_time == schedule.next_run_time
    assert not await desk.deliverer.deliver()


async def test_a_webhook_gets_the_file_signed(desk, feed) -> None:
    own = await sent(feed)
    hook = WebhookDestination(url=f"{desk.url}/files", secret_name="crm")
    schedule = await planned(desk, plan(own, ExportDestination(webhook=hook)))
    desk.receiver.status = 500
    await ran(desk)
    assert (await looked(desk, schedule)).last_failure == "it answered 500"
    assert not await desk.deliverer.deliver()
    desk.receiver.status = 200
    await desk.clock.advance(timedelta(minutes=1))
    assert await desk.deliverer.deliver()
    assert (await looked(desk, schedule)).last_failure == ""
    (_, _, first, body), (method, path, headers, again) = desk.receiver.calls
    assert (method, path, again) == ("POST", "/files", body)
    assert headers[EXPORT] == first[EXPORT] == (await looked(desk, schedule)).last_export_id
    second, _, told = headers[SIGNATURE].removeprefix("t=").partition(",v1=")
    expected = hmac.new(SECRET.encode(), second.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert told == expected
    assert f"{own}/00000" in body.decode()


async def test_a_bucket_gets_the_file_by_its_interface(desk, feed) -> None:
    own = await sent(feed)
    wanted = ExportDestination()
    wanted.bucket.endpoint = desk.url
    wanted.bucket.bucket = "reports"
    wanted.bucket.prefix = "daily/"
    wanted.bucket.credential_name = "lake"
    schedule = await planned(desk, plan(own, wanted))
    await ran(desk)
    ((method, path, headers, body),) = desk.receiver.calls
    export_id = (await looked(desk, schedule)).last_export_id
    assert method == "PUT"
    assert path.startswith(f"/reports/daily/{export_id}-merhaba-messages-")
    assert headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    assert "Credential=AKIDEXAMPLE/20261122/us-east-1/s3/aws4_request" in headers["Authorization"]


def test_a_put_is_signed_as_the_interface_wants_it() -> None:
    url = address("", "us-east-1", "examplebucket", "test$file.text")
    assert url == "https://s3.us-east-1.amazonaws.com/examplebucket/test%24file.text"
    host = "https://examplebucket.s3.amazonaws.com/test%24file.text"
    body = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
    now = datetime(2013, 5, 24, tzinfo=UTC)
    headers = signed(host, "us-east-1", body, KEYS, now)
    # As an independent signer computes it from the same canonical request
    canonical = (
        "PUT\n/test%24file.text\n\nhost:examplebucket.s3.amazonaws.com\n"
        f"x-amz-content-sha256:{body}\nx-amz-date:20130524T000000Z\n\n"
        f"host;x-amz-content-sha256;x-amz-date\n{body}"
    )
    said = (
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
        + hashlib.sha256(canonical.encode()).hexdigest()
    )
    key = f"AWS4{KEYS.secret_key}".encode()
    for part in (b"20130524", b"us-east-1", b"s3", b"aws4_request"):
        key = hmac.new(key, part, hashlib.sha256).digest()
    expected = hmac.new(key, said.encode(), hashlib.sha256).hexdigest()
    assert headers["Authorization"].endswith(f"Signature={expected}")


async def test_a_destination_that_cannot_be_used_is_refused(desk, feed, pool, manual_clock) -> None:
    own = await sent(feed)
    unknown = WebhookDestination(url=desk.url, secret_name="nobody")
    with pytest.raises(DestinationUnusable):
        await planned(desk, plan(own, ExportDestination(webhook=unknown)))
    for outside in ("../elsewhere", "/etc"):
        with pytest.raises(FieldInvalid):
            await planned(desk, plan(own, ExportDestination(folder=outside)))
    with pytest.raises(FieldInvalid):
        await planned(desk, plan(own, ExportDestination()))
    async with outbound(TIMEOUT, CONNECTIONS) as calls:
        strict = checker(calls.check, None, {"crm": SECRET}, {})
        hook = WebhookDestination(url="http://127.0.0.1/x", secret_name="crm")
        with pytest.raises(UrlRefused):
            strict(ExportDestination(webhook=hook))
        with pytest.raises(DestinationUnusable):
            strict(ExportDestination(folder="x"))


async def test_a_schedule_is_changed_disabled_and_deleted(desk, feed) -> None:
    own = await sent(feed)
    schedule = await planned(desk, plan(own, ExportDestination(folder="x")))
    off = ExportSchedule(schedule_id=schedule.schedule_id, etag=schedule.etag, disabled=True)
    request = UpdateExportScheduleRequest(schedule=off, update_mask=FieldMask(paths=["disabled"]))
    changed = (await desk.api.UpdateExportSchedule(request, None)).schedule
    assert changed.disabled
    assert not changed.HasField("next_run_time")
    with pytest.raises(EtagMismatch):
        await desk.api.UpdateExportSchedule(request, None)
    await desk.clock.advance(timedelta(days=1))
    assert not await desk.scheduler.begin()
    listed = await desk.api.ListExportSchedules(ListExportSchedulesRequest(), None)
    assert [one.schedule_id for one in listed.schedules] == [schedule.schedule_id]
    gone = DeleteExportScheduleRequest(schedule_id=schedule.schedule_id, etag=changed.etag)
    await desk.api.DeleteExportSchedule(gone, None)
    with pytest.raises(ScheduleNotFound):
        await looked(desk, schedule)


@pytest.mark.parametrize(
    "change",
    [{"cron": "soon"}, {"zone": "Mars"}, {"name": ""}, {"name": "x" * 300}],
)
async def test_a_schedule_that_never_works_is_refused(desk, feed, change) -> None:
    schedule = plan(await sent(feed), ExportDestination(folder="x"))
    for field, value in change.items():
        setattr(schedule, field, value)
    with pytest.raises(FieldInvalid):
        await planned(desk, schedule)


@pytest.mark.parametrize("kind", [files.CsvFile, files.ParquetFile])
def test_a_large_file_is_not_held_until_its_end(kind) -> None:
    columns = [files.Column("a"), files.Column("n", "integer")]
    file = kind(columns)
    early = b"".join([file.write([(f"{n}/{m}", m) for m in range(10_000)]) for n in range(30)])
    rest = b"".join(file.finish())
    file.close()
    assert len(early) > len(rest)


def test_a_file_that_is_given_up_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(files.xlsx.tempfile, "tempdir", str(tmp_path))
    for file in (
        files.XlsxFile([files.Column("a")], "UTC"),
        files.ParquetFile([files.Column("a")]),
        files.CsvFile([files.Column("a")]),
    ):
        file.write([("x",)])
        file.close()
    assert list(tmp_path.iterdir()) == []
