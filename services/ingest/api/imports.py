"""Imports of files: each row is taken as the call that tells one thing of its kind takes it."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, NamedTuple

import structlog

from chassis import paging
from chassis.answers import Answers
from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure, FieldInvalid
from chassis.streams import Record
from chassis.telemetry import traceparent
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.ingest_service_pb2 import (
    CancelImportRequest,
    CancelImportResponse,
    GetImportResponse,
    ImportChunkRequest,
    ImportChunkResponse,
    ListImportRejectsRequest,
    ListImportRejectsResponse,
    ListImportsRequest,
    ListImportsResponse,
    StartImportRequest,
    StartImportResponse,
)
from merhaba.segment.v1.catalog_item_pb2 import CatalogItem
from merhaba.segment.v1.place_pb2 import Place
from services.ingest.api import checks, events, import_jobs, things
from services.ingest.api.acceptance import CALLER, Acceptance
from services.ingest.failures import ImportNotFound, ImportNotRunning, ImportOffsetMismatch
from services.ingest.fields import event_id
from services.ingest.imports.job import Job, Reject, Step, fingerprint, row_id
from services.ingest.imports.kinds import Kind
from services.ingest.imports.mapping import Plan, Reader
from services.ingest.imports.records import records
from services.ingest.imports.store import Imports
from services.ingest.model import TRACKED

_CHUNK_BYTES: Final = 1024 * 1024
_AT_ONCE: Final = 2  # chunks: more would only wait for the processor, and hold memory
_STEP: Final = 2_000  # records that are made durable together
_BREATH: Final = 100  # records, some milliseconds: then others get their turn
_SHOWN: Final = 100  # rejects in the answer to a chunk
_logger = structlog.get_logger()


class _Form(NamedTuple):
    """What a row of a kind is, and how it becomes an event."""

    message: Callable[..., Any]
    event: Callable[[Any, str, int], Event]
    key: Callable[[Event], str]


_PERSON_EVENT: Final = _Form(Event, events.accepted, events.person_key)
_FORMS: Final[dict[Kind, _Form]] = {
    "events": _PERSON_EVENT,
    "contacts": _PERSON_EVENT,
    "consents": _PERSON_EVENT,
    "catalog_items": _Form(CatalogItem, things.upserted_item, things.item_key),
    "places": _Form(Place, things.upserted_place, things.place_key),
}


class ImportCalls:
    """The calls about imports. A step is on the log before the job moves on in Postgres: a crash
    in between repeats it, with the same ids."""

    def __init__(
        self, store: Imports, acceptance: Acceptance, answers: Answers, clock: Clock, region: str
    ) -> None:
        """`region` (ISO 3166): the country of phone numbers that name none."""
        self._store = store
        self._acceptance = acceptance
        self._answers = answers
        self._clock = clock
        self._region = region
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def start(self, request: StartImportRequest) -> StartImportResponse:
        """A new import, or the unfinished one of the same file and mapping."""
        checks.request(request.request_id)
        asked = request.import_job
        name = import_jobs.name(asked)
        file, spec = import_jobs.file(asked), import_jobs.spec(asked)
        Plan(spec, self._region)  # raises when no row could be read by it

        async def begin() -> StartImportResponse:
            job = await self._store.start(name, file, spec, self._now_ms())
            return StartImportResponse(import_job=import_jobs.told(job))

        return await self._answers.once(request, request.request_id, begin, StartImportResponse)

    async def chunk(self, request: ImportChunkRequest) -> ImportChunkResponse:
        """Take what was not taken yet."""
        async with self._turns:
            job = await self._take(request)
        start, end = request.offset_bytes, request.offset_bytes + len(request.chunk)
        refused, _ = await self._store.rejects(job.import_id, 0, _SHOWN, start, end)
        return ImportChunkResponse(
            import_job=import_jobs.told(job), rejects=map(import_jobs.refused, refused)
        )

    async def _take(self, request: ImportChunkRequest) -> Job:
        job = await self._job(request.import_id)
        start, chunk = request.offset_bytes, request.chunk
        end = start + len(chunk)
        if job.state == "cancelled":
            raise ImportNotRunning(job.import_id, job.state)
        if not 0 < len(chunk) <= _CHUNK_BYTES:
            raise FieldInvalid("chunk", "is empty, or over 1 MiB", limit=str(_CHUNK_BYTES))
        if start < 0 or end > job.file.size_bytes:
            raise FieldInvalid("chunk", "goes beyond the file", limit=str(job.file.size_bytes))
        if start > job.offset_bytes:
            raise ImportOffsetMismatch(job.import_id, job.offset_bytes)
        plan = Plan(job.spec, self._region)
        while job.offset_bytes < end:
            self._acceptance.check_file()
            rest = chunk[job.offset_bytes - start :]
            step, said = await self._step(job, plan, rest, end == job.file.size_bytes)
            await self._acceptance.append(said)
            # Somebody else may have taken it meanwhile, or ended the import
            await self._store.advance(job, step, self._now_ms())
            job = await self._job(job.import_id)
            if job.state == "cancelled":
                raise ImportNotRunning(job.import_id, job.state)
        return job

    async def _step(
        self, job: Job, plan: Plan, piece: bytes, last: bool
    ) -> tuple[Step, list[Record]]:
        """The next records of a job: how far they bring it, and what they say."""
        of_job = fingerprint(job.file, job.spec)
        writer = RowWriter(job.spec.kind, of_job, self._now_ms())
        heading, reader = job.heading, _reader(job, plan)
        said: list[Record] = []
        refused: list[Reject] = []
        end, line = 0, job.line
        found = records(job.file.format, piece, job.line, last)
        for number, record in enumerate(islice(found, _STEP)):
            if number % _BREATH == 0:
                await asyncio.sleep(0)
            begin, end, line = job.offset_bytes + end, record.end, record.next_line
            if record.values is None and not record.problem:
                continue
            if reader is None:
                if record.problem:
                    raise FieldInvalid("chunk", f"has a heading that {record.problem}")
                heading, reader = record.raw, plan.of_csv(list(record.values or ()))
                continue
            try:
                said.append(writer.record(reader.say(record, job.start_ms), record.line))
            except Failure as why:
                one = (record.line, begin, record.raw, why.reason, why.message, why.facts)
                refused.append(Reject(*one))
        return Step(job.offset_bytes + end, line, heading, len(said), refused), said

    async def get(self, import_id: str) -> GetImportResponse:
        """One import."""
        return GetImportResponse(import_job=import_jobs.told(await self._job(import_id)))

    async def list(self, request: ListImportsRequest) -> ListImportsResponse:
        """Newest first."""
        asked, size = paging.query(request), paging.size(request.page_size, 50, 500)
        (before,) = paging.place(request.page_token, asked, [str]) or ("",)
        states = [import_jobs.state(state) for state in request.states]
        found = await self._store.newest(states, before, size + 1)
        page, token = paging.page(asked, found, size, lambda one: [one.import_id])
        return ListImportsResponse(
            import_jobs=map(import_jobs.told, page),
            next_page_token=token,
        )

    async def rejects(self, request: ListImportRejectsRequest) -> ListImportRejectsResponse:
        """In the order of the file. The read is audited."""
        asked, size = paging.query(request), paging.size(request.page_size)
        (after,) = paging.place(request.page_token, asked, [int]) or (0,)
        job = await self._job(request.import_id)
        page, more = await self._store.rejects(job.import_id, after, size)
        _logger.info("audit", read="import rejects", id=job.import_id)
        return ListImportRejectsResponse(
            rejects=map(import_jobs.refused, page),
            next_page_token=paging.token(asked, [page[-1].line]) if more else "",
        )

    async def cancel(self, request: CancelImportRequest) -> CancelImportResponse:
        """End an import where it stands."""
        checks.request(request.request_id)

        async def end() -> CancelImportResponse:
            job = await self._store.cancel(request.import_id, self._now_ms())
            if job is None:
                raise ImportNotFound(request.import_id)
            return CancelImportResponse(import_job=import_jobs.told(job))

        return await self._answers.once(request, request.request_id, end, CancelImportResponse)

    async def _job(self, import_id: str) -> Job:
        job = await self._store.get(import_id)
        if job is None:
            raise ImportNotFound(import_id)
        return job

    def _now_ms(self) -> int:
        return milliseconds_of(self._clock.now())


class RowWriter:
    """What rows say, as records of the log."""

    def __init__(self, kind: Kind, of_job: str, now_ms: int) -> None:
        self._form = _FORMS[kind]
        self._of_job = of_job
        self._now_ms = now_ms
        self._trace = traceparent()

    def record(self, said: dict[str, Any], line: int) -> Record:
        """Raises the failure of a row that cannot be taken."""
        try:
            given = self._form.message(**said)
        except (ValueError, TypeError):
            raise FieldInvalid("row", "has a value that does not fit its field") from None
        event = self._form.event(given, "row", self._now_ms)
        named = getattr(given, "event_id", "")
        time_ms = event.event_time.ToMilliseconds()
        event.event_id = event_id(CALLER, named) if named else row_id(self._of_job, line, time_ms)
        event.received_time.FromMilliseconds(self._now_ms)
        event.source = CALLER
        event.traceparent = self._trace
        return Record(TRACKED, self._form.key(event), event.SerializeToString())


def _reader(job: Job, plan: Plan) -> Reader | None:
    """None until the heading was read."""
    if job.file.format == "ndjson":
        return plan.of_ndjson()
    if not job.heading:
        return None
    heading = next(records("csv", job.heading, 1, last=True))
    return plan.of_csv(list(heading.values or ()))
