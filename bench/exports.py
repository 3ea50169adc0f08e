"""Exports: a million messages as CSV, Parquet and XLSX, and what memory that takes.

One process of reports with Postgres, real processes on this machine, asked over gRPC. Baseline:
the same facts by Postgres's own COPY, as they are stored, to a file of this machine.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import uuid4

import asyncpg
import psutil
import uvloop

from bench.reports import _START, Year
from bench.result import Figure, tell
from bench.running import note, suite
from merhaba.reports.v1 import (
    DownloadExportRequest,
    Export,
    ExportServiceStub,
    ExportSpec,
    GetExportRequest,
    MessageFacts,
    Period,
    StartExportRequest,
)

_FORMATS: Final = {
    "csv": ExportSpec.FORMAT_CSV,
    "parquet": ExportSpec.FORMAT_PARQUET,
    "xlsx": ExportSpec.FORMAT_XLSX,
}
_LOOK_S: Final = 0.5
_MB: Final = 1_000_000


class _Made(NamedTuple):
    """One file."""

    seconds: float
    size: int
    before: int
    """Memory of the service before it was begun, in bytes."""
    early: int
    """The most it had while the first half was written."""
    late: int
    """The most it had in the second."""
    steps: int
    """How often it said to be further."""
    spent: float
    """Seconds of processor that the service took."""


async def main(facts: int) -> None:
    """Measure everything and tell it."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(("reports",)))
        addresses = running.addresses()
        opened = await exits.enter_async_context(addresses.channel("reports", purpose="benchmark"))
        database = await asyncpg.connect(
            addresses.database_url,
            server_settings={"search_path": "reports"},
            statement_cache_size=0,
        )
        exits.push_async_callback(database.close)
        note(f"{facts:,} facts")
        await Year(database, facts).make()
        copied = await _copied(database)
        service, process = ExportServiceStub(opened), psutil.Process(addresses.pids["reports"])
        made = {name: await _made(service, process, name, facts) for name in _FORMATS}
    spent = sum(one.seconds for one in made.values())
    peak = max(max(one.early, one.late) for one in made.values())
    tell(
        "exports",
        [
            Figure("export_rows_per_s", facts * len(made) / spent, "1/s", facts / copied),
            *(Figure(f"{n}_rows_per_s", facts / one.seconds, "1/s") for n, one in made.items()),
            *(Figure(f"{n}_us_per_row", one.spent / facts * 1e6, "us") for n, one in made.items()),
            Figure("export_rss_mb", peak / _MB, "MB", made["csv"].before / _MB),
            *(
                Figure(f"{n}_rss_late_mb", one.late / _MB, "MB", one.early / _MB)
                for n, one in made.items()
            ),
            *(Figure(f"{n}_mb", one.size / _MB, "MB") for n, one in made.items()),
            *(Figure(f"{n}_progress_steps", one.steps, "1") for n, one in made.items()),
        ],
    )


async def _copied(database: "asyncpg.Connection[asyncpg.Record]") -> float:
    with tempfile.TemporaryFile() as file:
        begun = time.monotonic()
        await database.copy_from_query(
            "SELECT * FROM message_facts ORDER BY counted_time",
            output=file,
            format="csv",
            timeout=300,
        )
        return time.monotonic() - begun


async def _made(
    service: ExportServiceStub, process: psutil.Process, name: str, facts: int
) -> _Made:
    """Have a file made and fetched; it is looked at meanwhile how far it is."""
    note(name)
    asked = MessageFacts(period=Period(zone="Europe/Istanbul"))
    asked.period.start_time.FromDatetime(_START - timedelta(days=1))
    asked.period.end_time.FromDatetime(_START + timedelta(days=370))
    spec = ExportSpec(messages=asked, format=_FORMATS[name])
    before = early = late = process.memory_info().rss
    begun, spent = time.monotonic(), _spent(process)
    request = StartExportRequest(request_id=str(uuid4()), spec=spec)
    export = (await service.StartExport(request)).export
    looked = GetExportRequest(export_id=export.export_id)
    steps = rows = 0
    while export.state in (Export.STATE_WAITING, Export.STATE_RUNNING):
        await asyncio.sleep(_LOOK_S)
        export = (await service.GetExport(looked)).export
        steps += export.written_rows > rows
        rows = export.written_rows
        held = process.memory_info().rss
        early, late = (max(early, held), late) if rows < facts / 2 else (early, max(late, held))
    seconds = time.monotonic() - begun
    assert export.state == Export.STATE_COMPLETED, export.failure
    assert export.written_rows == facts, export.written_rows
    fetched = 0
    async for part in service.DownloadExport(DownloadExportRequest(export_id=export.export_id)):
        fetched += len(part.data)
    assert fetched == export.size_bytes, fetched
    note(f"  {export.size_bytes / _MB:,.0f} MB in {seconds:,.1f} s")
    return _Made(seconds, fetched, before, early, late, steps, _spent(process) - spent)


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=1_000_000)
    uvloop.run(main(parser.parse_args().facts))
