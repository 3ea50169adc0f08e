"""Brings the file of an export here while it is made, through whatever breaks on the way."""

import asyncio
import hashlib
from pathlib import Path
from typing import IO, Final

import grpc
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from chassis.failures import Misconfigured
from cli.exports.asking import state
from cli.terminal import Console
from merhaba.reports.v1 import (
    DownloadExportRequest,
    Export,
    ExportServiceStub,
    GetExportRequest,
)

_AGAIN_S: Final = 1.0
_GOES_ON: Final = (Export.STATE_WAITING, Export.STATE_RUNNING, Export.STATE_COMPLETED)


async def save(service: ExportServiceStub, export_id: str, to: Path | None) -> Path:
    """Show how far an export is and bring its file; where it is then. `to`: a file that is not
    there yet, or a folder; None: here. Raises `Misconfigured`, and what the contract says."""
    one = await _looked(service, export_id)
    name = Path(one.filename).name
    target = to / name if to is not None and to.is_dir() else to or Path(name)
    if target.exists():
        raise Misconfigured(f"{target} is there already; name another file")
    unfinished = target.with_name(f".{target.name}.part")
    try:
        with unfinished.open("wb") as file, _shown(Console(stderr=True)) as progress:
            await _Saving(service, export_id, file, progress).run()
        unfinished.rename(target)
    except OSError as error:
        raise Misconfigured(f"{target} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return target


class _Saving:
    """One file being brought."""

    def __init__(
        self, service: ExportServiceStub, export_id: str, file: IO[bytes], progress: Progress
    ) -> None:
        self._service = service
        self._export_id = export_id
        self._file = file
        self._progress = progress
        self._task: TaskID = progress.add_task("waiting", total=None, size="")
        self._digest = hashlib.sha256()
        self._cursor = ""

    async def run(self) -> None:
        """Bring it. Raises what the contract says."""
        while True:
            try:
                return await self._stream()
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    await asyncio.sleep(_AGAIN_S)  # goes on behind the cursor
                elif error.code() == grpc.StatusCode.FAILED_PRECONDITION and self._cursor:
                    one = await _looked(self._service, self._export_id)
                    if one.state not in _GOES_ON:
                        raise
                    self._anew()  # whoever made it died, and another began it again
                else:
                    raise

    async def _stream(self) -> None:
        asked = DownloadExportRequest(export_id=self._export_id, cursor=self._cursor)
        last = Export()
        async for part in self._service.DownloadExport(asked):
            self._file.write(part.data)
            self._digest.update(part.data)
            self._cursor = part.cursor
            if part.HasField("export"):
                last = part.export
                self._show(last)
        if last.sha256 != self._digest.hexdigest():
            raise Misconfigured("what came is not the file that was made; try again")

    def _anew(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self._cursor = ""

    def _show(self, one: Export) -> None:
        self._progress.update(
            self._task,
            description=state(one),
            completed=one.written_rows,
            total=one.total_rows or None,
            size=f"{one.size_bytes / 1_000_000:,.1f} MB",
        )


def _shown(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,} rows {task.fields[size]}"),
        TimeRemainingColumn(),
        console=console,
    )


async def _looked(service: ExportServiceStub, export_id: str) -> Export:
    return (await service.GetExport(GetExportRequest(export_id=export_id))).export
