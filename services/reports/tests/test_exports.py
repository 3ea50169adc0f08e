"""Answers as files: made in the background, fetched or delivered."""

import asyncio
import csv
import hashlib
import io
import sys
import zipfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from arro3.io import read_parquet
from PIL import Image

from chassis.callers import INTERNAL, Call, Caller, RoleDenied, call
from chassis.failures import FieldInvalid, RequestIdReused
from chassis.testing import wait_until
from merhaba.reports.v1 import (
    CancelExportRequest,
    Dimension,
    DownloadExportRequest,
    Export,
    ExportSpec,
    Filter,
    Grain,
    ListExportsRequest,
    Measure,
    MessageFacts,
    Query,
    StartExportRequest,
)
from services.reports.exports import making
from services.reports.exports.contents import MESSAGES
from services.reports.exports.making import Maker
from services.reports.exports.model import KEPT, LEASE, MOST_ATTEMPTS
from services.reports.failures import (
    ExportNotFound,
    ExportState,
)
from services.reports.model import CampaignNotFound
from services.reports.tests import desking, dying
from services.reports.tests.desking import (
    days,
    facts,
    fetched,
    get,
    made,
    of,
    sent,
    sheet,
    start,
)

desk = desking.desk


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
    dying = await desk.store.claim(desk.clock.now(), None)
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


async def test_a_small_file_does_not_wait_behind_a_large_one(desk, feed) -> None:
    own = await sent(feed, 20)
    large = await start(desk, facts(own))
    small = await start(desk, ExportSpec(campaign_id=own, format=ExportSpec.FORMAT_PDF))
    assert large.total_rows == 20  # known before it is begun
    quick = Maker(desk.store, desk.contents, desk.clock, "UTC", 10)
    assert await quick.make()
    assert not await quick.make()
    assert (await get(desk, small.export_id)).state == Export.STATE_COMPLETED
    assert (await get(desk, large.export_id)).state == Export.STATE_WAITING


async def test_a_report_is_called_like_its_campaign(desk, feed) -> None:
    own = await sent(feed, name="Kasım İndirimi 🎉 %50 — ŞIK/../çanta")
    spec = ExportSpec(campaign_id=own, format=ExportSpec.FORMAT_PDF)
    done, body = await made(desk, spec)
    assert done.filename.startswith("merhaba-kasim-indirimi-50-sik-canta-2026")
    assert body.startswith(b"%PDF-")  # although no letter of the page is a picture
    own = await sent(feed, name="🎉")
    done, _ = await made(desk, ExportSpec(campaign_id=own, format=ExportSpec.FORMAT_PNG))
    assert done.filename.startswith("merhaba-campaign-")


async def test_a_maker_that_is_killed_in_the_middle_leaves_one_whole_file(
    desk, feed, reports_url
) -> None:
    own = await sent(feed, 3_000)
    begun = await start(desk, facts(own))
    moment = str(desk.clock.now().timestamp())
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", dying.__name__, reports_url, moment),
        stderr=asyncio.subprocess.PIPE,
    )
    pieces = "SELECT count(*) FROM export_pieces WHERE export_id = $1"

    async def in_the_middle() -> bool:
        assert program.returncode is None, await program.stderr.read()
        return await desk.pool.fetchval(pieces, begun.export_id) > 2

    try:
        await wait_until(in_the_middle, timeout_s=60, every_s=0.005)
    finally:
        with suppress(ProcessLookupError):
            program.kill()
        await program.communicate()
    assert (await get(desk, begun.export_id)).state == Export.STATE_RUNNING
    assert not await desk.maker.make()  # nobody knows yet that it died
    await desk.clock.advance(LEASE + timedelta(seconds=1))
    assert await desk.maker.make()
    done = await get(desk, begun.export_id)
    body = await fetched(desk, begun.export_id)
    assert hashlib.sha256(body).hexdigest() == done.sha256
    ids = [row["message_id"] for row in csv.DictReader(io.StringIO(body.decode()))]
    assert ids == [f"{own}/{n:05}" for n in range(3_000)]
    attempts = "SELECT count(DISTINCT attempt) FROM export_pieces WHERE export_id = $1"
    assert await desk.pool.fetchval(attempts, begun.export_id) == 1
    assert not await desk.maker.make()


async def test_a_file_that_kills_its_makers_is_given_up(desk, feed) -> None:
    begun = await start(desk, facts(await sent(feed)))
    for _ in range(MOST_ATTEMPTS):
        assert await desk.store.claim(desk.clock.now(), None)
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
    claimed = await desk.store.claim(desk.clock.now(), None)
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
