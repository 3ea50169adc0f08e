"""gRPC: exports and their schedules."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Final

from chassis import paging
from chassis.answers import Answers
from chassis.callers import INTERNAL, RoleDenied, call
from chassis.clock import Clock, milliseconds_of, moment_of
from chassis.failures import EtagMismatch, FieldInvalid
from chassis.ids import derived_id
from merhaba.reports.v1 import (
    CancelExportRequest,
    CancelExportResponse,
    CreateExportScheduleRequest,
    CreateExportScheduleResponse,
    DeleteExportScheduleRequest,
    DeleteExportScheduleResponse,
    DownloadExportRequest,
    DownloadExportResponse,
    ExportServiceServicer,
    ExportSpec,
    GetExportRequest,
    GetExportResponse,
    GetExportScheduleRequest,
    GetExportScheduleResponse,
    ListExportSchedulesRequest,
    ListExportSchedulesResponse,
    ListExportsRequest,
    ListExportsResponse,
    StartExportRequest,
    StartExportResponse,
    UpdateExportScheduleRequest,
    UpdateExportScheduleResponse,
)
from services.reports.exports import nouns
from services.reports.exports.beginning import Beginning
from services.reports.exports.model import Export, Schedule
from services.reports.exports.store import ExportStore
from services.reports.failures import ExportNotFound, ExportState, ScheduleNotFound
from services.reports.masks import edited

_SEE_ALL: Final = (INTERNAL, "operator")
_LOOK: Final = timedelta(seconds=1)
_HEARTBEAT: Final = timedelta(seconds=4)
_PIECES: Final = 2


class ExportApi(ExportServiceServicer):
    """Answers as files. Meaning and errors: the contract."""

    def __init__(
        self,
        store: ExportStore,
        beginning: Beginning,
        check: nouns.Check,
        answers: Answers,
        clock: Clock,
    ) -> None:
        """`check`: where schedules may deliver."""
        self._store = store
        self._beginning = beginning
        self._check = check
        self._answers = answers
        self._clock = clock

    async def StartExport(self, request: StartExportRequest, _context: Any) -> StartExportResponse:
        """Begins an export."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; send a UUID")

        _scoped(request.spec)

        async def respond() -> StartExportResponse:
            export_id = derived_id("exp", request.request_id)
            begun = await self._beginning.begin(export_id, request.spec)
            return StartExportResponse(export=nouns.export(begun))

        return await self._answers.once(request, request.request_id, respond, StartExportResponse)

    async def GetExport(self, request: GetExportRequest, _context: Any) -> GetExportResponse:
        """Returns one."""
        return GetExportResponse(export=nouns.export(await self._export(request.export_id)))

    async def ListExports(self, request: ListExportsRequest, _context: Any) -> ListExportsResponse:
        """Lists them, the latest begun first."""
        query, size = paging.query(request), paging.size(request.page_size)
        place = paging.place(request.page_token, query, [int, str])
        states = [nouns.state(s, f"states[{n}]") for n, s in enumerate(request.states)]
        before = place and (moment_of(place[0]), str(place[1]))
        found = await self._store.listed(states, request.schedule_id, before or None, size + 1)
        page, token = paging.page(
            query, found, size, lambda one: [milliseconds_of(one.create_time), one.export_id]
        )
        return ListExportsResponse(
            exports=[nouns.export(one) for one in page], next_page_token=token
        )

    async def CancelExport(
        self, request: CancelExportRequest, _context: Any
    ) -> CancelExportResponse:
        """Ends one that waits or runs."""
        await self._store.cancel(request.export_id, self._clock.now())
        found = await self._export(request.export_id)
        if found.state != "cancelled":
            raise ExportState(found.export_id, found.state)
        return CancelExportResponse(export=nouns.export(found))

    async def DownloadExport(
        self, request: DownloadExportRequest, _context: Any
    ) -> AsyncIterator[DownloadExportResponse]:
        """Streams the file, also while it is made."""
        query = paging.query(request)
        place = paging.place(request.cursor, query, [int, int], "cursor")
        one = await self._export(request.export_id)
        attempt, start = place or (one.attempt, 0)
        yield DownloadExportResponse(
            cursor=paging.token(query, [attempt, start]), export=nouns.export(one)
        )
        said = self._clock.now()
        while True:
            one = await self._export(request.export_id)
            if one.state not in ("waiting", "running", "completed"):
                raise ExportState(one.export_id, one.state)
            if one.attempt != attempt:
                if start:  # it was begun again, and is another file
                    raise ExportState(one.export_id, "begun again: download it from its beginning")
                attempt = one.attempt
            for begins, piece in await self._store.pieces(one, start, _PIECES):
                data = piece[start - begins :]
                start += len(data)
                said = self._clock.now()
                yield DownloadExportResponse(
                    cursor=paging.token(query, [attempt, start]), data=data
                )
            if start < one.size_bytes:
                continue
            if one.state == "completed":
                break
            if self._clock.now() - said >= _HEARTBEAT:
                said = self._clock.now()
                yield DownloadExportResponse(
                    cursor=paging.token(query, [attempt, start]), export=nouns.export(one)
                )
            await self._clock.sleep(_LOOK)
        yield DownloadExportResponse(
            cursor=paging.token(query, [attempt, start]), export=nouns.export(one)
        )

    async def CreateExportSchedule(
        self, request: CreateExportScheduleRequest, _context: Any
    ) -> CreateExportScheduleResponse:
        """Stores a schedule."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; send a UUID")

        _scoped(request.schedule.spec)

        async def respond() -> CreateExportScheduleResponse:
            draft = nouns.draft(request.schedule, self._check, self._clock.now())
            named = draft._replace(schedule_id=derived_id("sch", request.request_id))
            stored = await self._store.add_schedule(named)
            return CreateExportScheduleResponse(schedule=nouns.schedule(stored))

        return await self._answers.once(
            request, request.request_id, respond, CreateExportScheduleResponse
        )

    async def GetExportSchedule(
        self, request: GetExportScheduleRequest, _context: Any
    ) -> GetExportScheduleResponse:
        """Returns one."""
        found = await self._schedule(request.schedule_id)
        return GetExportScheduleResponse(schedule=nouns.schedule(found))

    async def ListExportSchedules(
        self, request: ListExportSchedulesRequest, _context: Any
    ) -> ListExportSchedulesResponse:
        """Lists them by name."""
        query, size = paging.query(request), paging.size(request.page_size)
        place = paging.place(request.page_token, query, [str, str])
        name, schedule_id = place or ("", "")
        found = await self._store.schedules((name, schedule_id), size + 1)
        page, token = paging.page(query, found, size, lambda one: [one.name, one.schedule_id])
        return ListExportSchedulesResponse(
            schedules=[nouns.schedule(one) for one in page], next_page_token=token
        )

    async def UpdateExportSchedule(
        self, request: UpdateExportScheduleRequest, _context: Any
    ) -> UpdateExportScheduleResponse:
        """Changes one."""
        given = request.schedule
        one = await self._schedule(given.schedule_id)
        if given.etag and given.etag != str(one.version):
            raise EtagMismatch(str(one.version))
        wanted = edited(nouns.schedule(one), given, request.update_mask.paths, nouns.MUTABLE)
        _scoped(wanted.spec)
        draft = nouns.draft(wanted, self._check, self._clock.now())
        changed = draft._replace(schedule_id=one.schedule_id, version=one.version + 1)
        if not await self._store.change_schedule(changed):
            raise EtagMismatch(str((await self._schedule(one.schedule_id)).version))
        return UpdateExportScheduleResponse(
            schedule=nouns.schedule(await self._schedule(one.schedule_id))
        )

    async def DeleteExportSchedule(
        self, request: DeleteExportScheduleRequest, _context: Any
    ) -> DeleteExportScheduleResponse:
        """Deletes one."""
        one = await self._schedule(request.schedule_id)
        version = None
        if request.etag:
            if request.etag != str(one.version):
                raise EtagMismatch(str(one.version))
            version = one.version
        if not await self._store.delete_schedule(one.schedule_id, version):
            raise EtagMismatch(str((await self._schedule(one.schedule_id)).version))
        return DeleteExportScheduleResponse()

    async def _export(self, export_id: str) -> Export:
        found = await self._store.get(export_id)
        if found is None:
            raise ExportNotFound(export_id)
        return found

    async def _schedule(self, schedule_id: str) -> Schedule:
        found = await self._store.schedule(schedule_id)
        if found is None:
            raise ScheduleNotFound(schedule_id)
        return found


def _scoped(spec: ExportSpec) -> None:
    """Raises `RoleDenied` when people are asked for by who may not see them."""
    if spec.unmasked and (role := call.get().caller.role) not in _SEE_ALL:
        raise RoleDenied(role, "have files made that say who people are")
