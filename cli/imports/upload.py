"""A file on its way to ingest: chunk by chunk, from where it stands, through outages."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chassis.clock import Clock
from chassis.failures import Unavailable
from cli.calling import pages
from cli.imports.source import Source
from merhaba.ingest.v1 import (
    ImportChunkRequest,
    ImportChunkResponse,
    ImportJob,
    ImportReject,
    IngestServiceStub,
    ListImportRejectsRequest,
    StartImportRequest,
)

R = TypeVar("R")

_DEADLINE_S: Final = 60.0
_PATIENCE: Final = timedelta(minutes=10)
_FIRST_WAIT: Final = timedelta(milliseconds=250)
_LONGEST_WAIT: Final = timedelta(seconds=10)
_PASSING: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,  # a repeat harms nobody
)


class Teller(Protocol):
    """Tells a person how it goes."""

    def moved(self, job: ImportJob) -> None:
        """The import stands here."""
        ...

    def waits(self, why: str) -> None:
        """Nothing goes on for the moment."""
        ...


class Upload:
    """Sends a file, and reads what was refused of it."""

    def __init__(self, api: IngestServiceStub, clock: Clock, teller: Teller) -> None:
        self._api = api
        self._clock = clock
        self._teller = teller

    async def run(self, source: Source, request: StartImportRequest) -> ImportJob:
        """Send a file to its end; returns the import as it is then. Raises `Unavailable` when
        ingest takes nothing for too long."""
        job = (await self._patiently(lambda: self._api.StartImport(request))).import_job
        self._teller.moved(job)
        while job.state == ImportJob.STATE_RUNNING:
            offset = job.offset_bytes
            chunk = ImportChunkRequest(
                import_id=job.import_id, offset_bytes=offset, chunk=source.chunk(offset)
            )
            job = (await self._patiently(partial(self._take, chunk))).import_job
            self._teller.moved(job)
        return job

    async def rejects(self, import_id: str) -> AsyncIterator[ImportReject]:
        """Everything that was refused, in the order of the file."""
        request = ListImportRejectsRequest(import_id=import_id, page_size=1_000)
        async for page in pages(
            lambda asked: self._patiently(lambda: self._api.ListImportRejects(asked)), request
        ):
            for reject in page.rejects:
                yield reject

    async def _take(self, chunk: ImportChunkRequest) -> ImportChunkResponse:
        return await self._api.ImportChunk(chunk, timeout=_DEADLINE_S)

    async def _patiently(self, call: Callable[[], Awaitable[R]]) -> R:
        """The answer to a call, which is made again for as long as the error passes by itself."""
        wait, since = _FIRST_WAIT, self._clock.now()
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _PASSING:
                    raise
                said = error.details() or error.code().name
                if self._clock.now() - since > _PATIENCE:
                    raise Unavailable(
                        f"ingest takes nothing ({said}); run it again to go on"
                    ) from None
                self._teller.waits(said)
                await self._clock.sleep(_told_to_wait(error) or wait)
                wait = min(wait * 2, _LONGEST_WAIT)


def _told_to_wait(error: Any) -> timedelta | None:
    status = rpc_status.from_call(error)
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(retry):
            return timedelta(milliseconds=retry.retry_delay.ToMilliseconds())
    return None
