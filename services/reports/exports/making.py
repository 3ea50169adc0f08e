"""Makes files: claims an export, writes its file piece by piece, and says how far it is.

Whoever dies at it leaves a lease that ends; then another begins the file again.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.failures import Failure
from chassis.transient import keep_at, transient
from merhaba.reports.v1 import ExportSpec
from services.reports.exports.contents import Contents
from services.reports.exports.files import CsvFile, ParquetFile, TabularFile, XlsxFile
from services.reports.exports.files.rows import Column
from services.reports.exports.model import MOST_ATTEMPTS, PIECE, Export
from services.reports.exports.picture import picture
from services.reports.exports.store import ExportStore

_LOOK: Final = timedelta(seconds=1)
_BEAT: Final = timedelta(seconds=2)
_SWEEP: Final = timedelta(minutes=1)
_PICTURES: Final = {ExportSpec.FORMAT_PDF: "pdf", ExportSpec.FORMAT_PNG: "png"}
_logger = structlog.get_logger()


class Lost(Exception):
    """It is no longer ours to make: it was cancelled, or another makes it."""


class Maker:
    """Makes one file at a time."""

    def __init__(
        self,
        store: ExportStore,
        contents: Contents,
        clock: Clock,
        zone: str,
        most_rows: int | None = None,
    ) -> None:
        """`zone`: in which times of spreadsheets are told where nothing else is said. `most_rows`:
        files of which more rows are expected are left to others, so that small ones never wait
        behind them."""
        self._most_rows = most_rows
        self._store = store
        self._contents = contents
        self._clock = clock
        self._zone = zone

    async def run(self) -> None:
        """Make files, until cancelled."""
        await keep_at(self.make, self._clock, _LOOK, "exports wait")

    async def sweep(self) -> None:
        """Delete files whose time is over, until cancelled."""
        await keep_at(
            lambda: self._store.expire(self._clock.now()), self._clock, _SWEEP, "old files stay"
        )

    async def make(self) -> bool:
        """Make one; returns whether there was one."""
        one = await self._store.claim(self._clock.now(), self._most_rows)
        if one is None:
            return False
        if one.attempt > MOST_ATTEMPTS:
            tried = f"it was begun {MOST_ATTEMPTS} times; ask for less at once"
            await self._store.fail(one, self._clock.now(), tried)
            return True
        await self._store.forget_pieces(one)
        try:
            await _Making(one, self._store, self._contents, self._clock, self._zone).run()
        except Lost:
            _logger.info("an export was taken away", export_id=one.export_id)
        except Exception as error:
            if transient(error):
                raise
            told = "something went wrong; ask whoever runs reports to look at its log"
            if isinstance(error, Failure):
                told = error.message
            else:  # one file that cannot be made must not keep others from being made
                _logger.exception("an export failed", export_id=one.export_id)
            await self._store.fail(one, self._clock.now(), told)
        return True


class _Making:
    """One file being made."""

    def __init__(
        self, one: Export, store: ExportStore, contents: Contents, clock: Clock, zone: str
    ) -> None:
        self._one = one
        self._store = store
        self._contents = contents
        self._clock = clock
        self._zone = zone
        self._rows = 0
        self._total = 0
        self._size = 0
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._said = clock.now()

    async def run(self) -> None:
        """Write it. Raises `Lost`, and what the contract says."""
        spec = ExportSpec.FromString(self._one.spec)
        if kind := _PICTURES.get(spec.format):
            report = await self._contents.campaign(spec.campaign_id)
            drawn = await asyncio.to_thread(
                picture, report, kind, spec.language, self._zone, self._clock.now()
            )
            await self._take(drawn)
        else:
            await self._tabular(spec)
        await self._ship(all_of_it=True)
        await self._store.complete(
            self._one, self._clock.now(), self._rows, self._size, self._digest.hexdigest()
        )

    async def _tabular(self, spec: ExportSpec) -> None:
        async with self._contents.open(spec) as content:
            self._total = content.total
            # Files are written in threads: packing them takes time that others need
            file = await asyncio.to_thread(_file(spec, list(content.columns), self._zone))
            try:
                async for rows in content.batches:
                    await self._take(await asyncio.to_thread(file.write, rows))
                    self._rows += len(rows)
                    await self._beat()
                async for piece in _apart(file.finish()):
                    await self._take(piece)
            finally:
                await asyncio.to_thread(file.close)

    async def _take(self, piece: bytes) -> None:
        self._waiting += piece
        await self._ship(all_of_it=False)

    async def _ship(self, *, all_of_it: bool) -> None:
        while len(self._waiting) >= PIECE or (all_of_it and self._waiting):
            piece = bytes(self._waiting[:PIECE])
            del self._waiting[:PIECE]
            self._digest.update(piece)
            now = self._clock.now()
            kept = await self._store.put(
                self._one, now, self._rows, max(self._total, self._rows), self._size, piece
            )
            if not kept:
                raise Lost
            self._size += len(piece)
            self._said = now

    async def _beat(self) -> None:
        """Of formats that write at the end nothing else tells that they are being made."""
        now = self._clock.now()
        if now - self._said < _BEAT:
            return
        if not await self._store.beat(self._one, now, self._rows, max(self._total, self._rows)):
            raise Lost
        self._said = now


def _file(spec: ExportSpec, columns: list[Column], zone: str) -> Callable[[], TabularFile]:
    def opened() -> TabularFile:
        match spec.format:
            case ExportSpec.FORMAT_PARQUET:
                return ParquetFile(columns)
            case ExportSpec.FORMAT_XLSX:
                return XlsxFile(columns, zone)
            case _:
                return CsvFile(columns)

    return opened


async def _apart(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What an iterator yields, each step in a thread."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
