"""Everything that makes and delivers files, for tests."""

import io
import zipfile
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest
from aiohttp import web

from chassis.answers import Answers as Firsts
from chassis.ids import fresh_id
from chassis.outbound import outbound
from chassis.times import timestamp
from merhaba.reports.v1 import (
    Dimension,
    DownloadExportRequest,
    Export,
    ExportSpec,
    Filter,
    GetExportRequest,
    MessageFacts,
    Period,
    StartExportRequest,
)
from services.reports.exports.api import ExportApi
from services.reports.exports.beginning import Beginning
from services.reports.exports.bucket import Credential
from services.reports.exports.contents import Contents
from services.reports.exports.delivering import CONNECTIONS, TIMEOUT, Deliverer
from services.reports.exports.destinations import checker
from services.reports.exports.making import Maker
from services.reports.exports.scheduling import Scheduler
from services.reports.exports.store import ExportStore
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
        check = checker(calls.check, folder, secrets, keys)
        parts = (store, beginning, check, Firsts(pool, manual_clock), manual_clock)
        yield SimpleNamespace(
            api=ExportApi(*parts),
            parts=parts,
            reports=sources.reports,
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


async def sent(
    feed: Any, count: int = 3, template: str = "tpl", name: str = "=cmd|' /C calc'!A0"
) -> str:
    own = fresh_id("c")
    events = [campaign(NOON - HOUR, own, "running", name, count)]
    for n in range(count):
        about = ref(f"{own}/{n:05}", own, "ab"[n % 2], template)
        events.append(outcome("sent", NOON - HOUR + n, f"{own}/con{n % 2}", about, cost=2_500_000))
    events.append(outcome("failed", NOON, f"{own}/con0", ref(f"{own}/00000", own, "a", template)))
    await feed("message", events)
    return own


def sheet(book: bytes) -> list[list[str]]:
    """Cells of a workbook's first sheet, as they are written."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(book)) as opened:
        root = ElementTree.fromstring(opened.read("xl/worksheets/sheet1.xml"))
    return [
        ["".join(cell.itertext()) for cell in row.iter(f"{space}c")]
        for row in root.iter(f"{space}row")
    ]
