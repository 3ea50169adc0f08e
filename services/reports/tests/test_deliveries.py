"""Files of schedules: begun when their time comes, brought to where they are wanted."""

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.failures import EtagMismatch, FieldInvalid
from chassis.outbound import outbound
from chassis.webhooks import SIGNATURE
from merhaba.reports.v1 import (
    BucketDestination,
    CreateExportScheduleRequest,
    DeleteExportScheduleRequest,
    Dimension,
    ExportDestination,
    ExportSchedule,
    Filter,
    GetExportScheduleRequest,
    ListExportSchedulesRequest,
    UpdateExportScheduleRequest,
    WebhookDestination,
)
from services.reports.exports import delivering
from services.reports.exports.bucket import address, signed
from services.reports.exports.delivering import CONNECTIONS, EXPORT, TIMEOUT
from services.reports.exports.destinations import checker
from services.reports.failures import (
    DestinationUnusable,
    ScheduleNotFound,
    UrlRefused,
)
from services.reports.tests import desking
from services.reports.tests.desking import KEYS, SECRET, facts, get, sent

desk = desking.desk


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
    for field, wrong in (
        ("bucket", ""),
        ("bucket", ".."),
        ("bucket", "a/b"),
        ("region", "x@evil.example/"),
        ("endpoint", "https://s3.example/?a="),
        ("endpoint", "s3.example"),
        ("prefix", "../other/"),
        ("prefix", "a/./b"),
    ):
        lake = BucketDestination(bucket="reports", credential_name="lake")
        setattr(lake, field, wrong)
        with pytest.raises(FieldInvalid) as told:
            await planned(desk, plan(own, ExportDestination(bucket=lake)))
        assert told.value.facts["field"].endswith(f".bucket.{field}")
    lake = BucketDestination(bucket="reports", credential_name="lake", prefix="year=2026/a..b/")
    await planned(desk, plan(own, ExportDestination(bucket=lake)))
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


async def test_whoever_never_takes_a_file_keeps_others_waiting_no_longer_than_a_try(
    desk, feed, monkeypatch
) -> None:
    monkeypatch.setattr(delivering, "_LONGEST_TRY", timedelta(milliseconds=300))
    over = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hook = WebhookDestination(url=f"http://127.0.0.1:{port}/", secret_name="crm")
        schedule = await planned(desk, plan(await sent(feed), ExportDestination(webhook=hook)))
        await ran(desk)
        assert (await looked(desk, schedule)).last_failure == "TimeoutError"
        over.set()


async def test_a_schedule_says_why_it_could_not_run(desk, feed) -> None:
    own = await sent(feed)
    wanted = plan(own, ExportDestination(folder="x"))
    wanted.spec.campaign_id = "gone"
    schedule = await planned(desk, wanted)
    await desk.clock.advance(timedelta(minutes=30))
    assert await desk.scheduler.begin()
    after = await looked(desk, schedule)
    assert "campaign" in after.last_failure
    assert after.next_run_time.ToDatetime(UTC) == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


async def test_a_schedule_says_why_its_file_could_not_be_made(desk, feed) -> None:
    wanted = plan(await sent(feed), ExportDestination(folder="x"))
    hour = Filter(dimension=Dimension.DIMENSION_SEND_HOUR, values=["9"])
    wanted.spec.messages.filters.append(hour)
    schedule = await planned(desk, wanted)
    await desk.clock.advance(timedelta(minutes=30))
    assert await desk.scheduler.begin()
    assert await desk.maker.make()
    assert "filters[1]" in (await looked(desk, schedule)).last_failure


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
