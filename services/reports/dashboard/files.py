"""Files for whoever looks: begun by a form, fetched as a download."""

import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Final, cast
from urllib.parse import quote
from uuid import UUID

from aiohttp import web

from chassis.failures import FieldInvalid
from merhaba.reports.v1 import (
    CancelExportRequest,
    DownloadExportRequest,
    DownloadExportResponse,
    Export,
    ExportServiceServicer,
    ExportSpec,
    GetExportRequest,
    Grain,
    MessageFacts,
    Period,
    Query,
    StartExportRequest,
)
from services.reports.contracts import ask
from services.reports.dashboard import asking
from services.reports.dashboard.look import look
from services.reports.dashboard.pages import overview
from services.reports.failures import ExportState

_FORMATS: Final = {
    "csv": ExportSpec.FORMAT_CSV,
    "parquet": ExportSpec.FORMAT_PARQUET,
    "xlsx": ExportSpec.FORMAT_XLSX,
    "pdf": ExportSpec.FORMAT_PDF,
    "png": ExportSpec.FORMAT_PNG,
}


class _Form(dict[str, str]):
    """A form, read as an address is."""

    def getall(self, key: str, default: list[str]) -> list[str]:
        return [self[key]] if key in self else default


class Files:
    """Asks for files, as any caller does."""

    def __init__(self, exports: ExportServiceServicer) -> None:
        self._exports = exports

    async def begin(self, form: Mapping[str, str], now: datetime, zone: str, language: str) -> None:
        """Begin the file that a form asks for. Raises `FieldInvalid`."""
        if campaign_id := form.get("campaign"):
            spec = ExportSpec(campaign_id=campaign_id)
        else:
            days = {k: v for k, v in form.items() if k in ("from", "to")}
            spec = spec_of(form, asking.period(look(_Form(days), now, zone).period))
        spec.format, spec.language = format_of(form), language
        await ask(self._exports.StartExport, StartExportRequest(request_id=fresh_id(), spec=spec))

    async def cancel(self, export_id: str) -> None:
        """End a file that waits or is being made. Raises what the contract says."""
        await ask(self._exports.CancelExport, CancelExportRequest(export_id=export_id))

    async def send(self, request: web.Request, export_id: str) -> web.StreamResponse:
        """Stream a complete file. Raises what the contract says, `ExportState` too."""
        answer = await ask(self._exports.GetExport, GetExportRequest(export_id=export_id))
        told = answer.export
        if told.state != Export.STATE_COMPLETED:
            raise ExportState(export_id, Export.State.Name(told.state).lower())
        response = web.StreamResponse(
            headers={
                "Content-Type": told.mime_type,
                "Content-Length": str(told.size_bytes),
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(told.filename)}",
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
        )
        await response.prepare(request)
        asked = DownloadExportRequest(export_id=export_id)
        parts = cast(
            "AsyncIterator[DownloadExportResponse]",
            self._exports.DownloadExport(asked, None),  # type: ignore[arg-type]  # no call
        )
        async for part in parts:
            if part.data:
                await response.write(part.data)
        await response.write_eof()
        return response


def fresh_id() -> str:
    """Names a request, which nobody else names so."""
    return str(UUID(bytes=secrets.token_bytes(16), version=4))


def format_of(form: Mapping[str, str]) -> ExportSpec.Format.ValueType:
    """The format that a form asks for. Raises `FieldInvalid`."""
    if form.get("format") not in _FORMATS:
        raise FieldInvalid("format", f"unknown; there are {', '.join(_FORMATS)}")
    return _FORMATS[form["format"]]


def spec_of(form: Mapping[str, str], period: Period) -> ExportSpec:
    """What a form asks for, of a period. Raises `FieldInvalid`."""
    measures = [asking.measure(name) for name in overview.COUNTS]
    match form.get("what"):
        case "messages":
            return ExportSpec(messages=MessageFacts(period=period))
        case "days":
            return ExportSpec(query=Query(measures=measures, period=period, grain=Grain.GRAIN_DAY))
        case "campaigns":
            by = [asking.dimension("campaign")]
            return ExportSpec(query=Query(measures=measures, period=period, dimensions=by))
        case _:
            raise FieldInvalid("what", "unknown; there are days, campaigns, messages")
