"""Files by command, against a running service that breaks now and then."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from chassis.failures import Failure, Unavailable
from chassis.rpc import server
from cli.tests.running import Ended, ran
from merhaba.reports.v1 import (
    add_ExportServiceServicer_to_server,
    add_ReportServiceServicer_to_server,
)
from services.reports.exports import making
from services.reports.exports.api import ExportApi
from services.reports.failures import ExportState
from services.reports.tests import conftest, desking
from services.reports.tests.desking import sent

TOKEN = "a token for tests"
reports_url, pool, store, ledger = (
    conftest.reports_url,
    conftest.pool,
    conftest.store,
    conftest.ledger,
)
settled, held, feed, desk = conftest.settled, conftest.held, conftest.feed, desking.desk
LONG_AGO = ("--from", "2026-11-20", "--to", "2026-11-24")


class Shaky(ExportApi):
    """Whose streams end with these failures, one after another, before they go well."""

    failures: list[Failure]

    async def DownloadExport(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        parts = 0
        async for part in super().DownloadExport(request, context):
            yield part
            parts += 1
            if parts == 3 and self.failures:
                raise self.failures.pop(0)


@pytest.fixture
async def running(desk) -> AsyncIterator[Any]:
    own = server("reports", TOKEN)
    desk.shaky = Shaky(*desk.parts)
    desk.shaky.failures = []
    add_ExportServiceServicer_to_server(desk.shaky, own)
    add_ReportServiceServicer_to_server(desk.reports, own)
    desk.port = own.add_insecure_port("127.0.0.1:0")
    await own.start()
    yield desk
    await own.stop(0)


@pytest.fixture
def merhaba(running, tmp_path):
    async def run(*arguments: str) -> Ended:
        """Exit code, output and errors of a command, while files are made and time passes."""
        address = f"127.0.0.1:{running.port}"
        opens = {"REPORTS_TARGET": address, "API_TOKEN": TOKEN}
        over = asyncio.ensure_future(ran("exports", *arguments, columns=250, cwd=tmp_path, **opens))
        while not over.done():
            await running.maker.make()
            await running.clock.advance(timedelta(seconds=1))
            await asyncio.wait([over], timeout=0.1)
        return await over

    return run


async def test_a_file_is_begun_watched_and_brought(merhaba, feed, tmp_path) -> None:
    own = await sent(feed, 20)
    code, output, errors = await merhaba(
        "start", "--messages", "--where", f"campaign={own}", *LONG_AGO, "--out", "messages.csv"
    )
    assert code == 0, errors
    assert output.splitlines()[-1] == "messages.csv"
    assert (tmp_path / "messages.csv").read_text().count(f"{own}/") == 20
    assert "completed" in errors
    assert list(tmp_path.glob(".*.part")) == []
    code, _, errors = await merhaba("watch", output.split()[0], "--out", "messages.csv")
    assert code == 2
    assert "is there already" in errors


async def test_what_breaks_on_the_way_costs_nothing(
    merhaba, running, feed, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(making, "PIECE", 300)
    own = await sent(feed, 30)
    running.shaky.failures += [
        Unavailable("down for a moment"),
        ExportState("x", "begun again: download it from its beginning"),
        Unavailable("down for a moment"),
    ]
    code, _, errors = await merhaba(
        "start", "--messages", "--where", f"campaign={own}", *LONG_AGO, "--out", "a.csv"
    )
    assert code == 0, errors
    assert running.shaky.failures == []
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [f"{own}/{n:05}" for n in range(30)]


async def test_figures_and_reports_of_campaigns_are_files_too(merhaba, feed, tmp_path) -> None:
    own = await sent(feed, 4, name="Yaz")
    code, output, errors = await merhaba("start", "--campaign", own, "--format", "pdf")
    assert code == 0, errors
    (report,) = tmp_path.glob("merhaba-yaz-*.pdf")
    assert output.splitlines()[-1] == report.name
    assert report.read_bytes().startswith(b"%PDF-")
    asked = ("--measure", "sent", "--measure", "read_rate", "--by", "variant", "--by-day")
    code, _, errors = await merhaba(
        *("start", *asked, "--where", f"campaign={own}", *LONG_AGO, "--zone", "UTC"),
        *("--out", "figures.csv"),
    )
    assert code == 0, errors
    heads, first, *_ = (tmp_path / "figures.csv").read_text().splitlines()
    assert heads.startswith("time,variant,variant_label,currency,sent,read_rate")
    assert ",a,a,,2.0," in first


async def test_files_are_listed_and_cancelled(merhaba, running, feed) -> None:
    own = await sent(feed)
    held_up, running.maker.make = running.maker.make, lambda: asyncio.sleep(0)
    code, output, errors = await merhaba("start", "--campaign", own, "--no-wait")
    assert code == 0, errors
    export_id = output.strip()
    assert "waiting" in (await merhaba("list"))[1]
    assert (await merhaba("cancel", export_id))[1] == f"{export_id} cancelled\n"
    running.maker.make = held_up
    code, output, errors = await merhaba("watch", export_id)
    assert code == 2
    assert "cancelled" in errors


async def test_schedules_are_added_listed_paused_and_deleted(merhaba, running) -> None:
    code, output, errors = await merhaba(
        *("schedules", "add", "weekly", "--cron", "30 8 * * 1", "--covers", "7"),
        *("--measure", "sent", "--by", "campaign", "--format", "xlsx", "--folder", "weekly"),
    )
    assert code == 0, errors
    found = re.fullmatch(r"(sch_\w+) runs next at 2026-11-23 05:30:00Z\n", output)
    assert found, output
    assert "paused" in (await merhaba("schedules", "pause", found[1]))[1]
    (line,) = [
        one for one in (await merhaba("schedules", "list"))[1].splitlines() if found[1] in one
    ]
    for words in ("weekly", "30 8 * * 1 Europe/Istanbul", "folder", "paused"):
        assert words in line
    assert (await merhaba("schedules", "delete", found[1]))[0] == 0
    assert await running.store.schedules(("", ""), 1) == []


async def test_what_is_asked_wrongly_is_told_with_what_there_is(merhaba) -> None:
    for wrong, told in (
        (("start", "--messages", "--campaign", "x"), "say what"),
        (("start", "--messages", "--format", "doc"), "csv, parquet, xlsx, pdf, png"),
        (("watch", "exp_nothing"), "list them first"),
    ):
        code, _, errors = await merhaba(*wrong)
        assert code == 2, wrong
        assert told in errors, errors
