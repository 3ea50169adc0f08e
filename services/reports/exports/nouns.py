"""Exports and schedules in the words of the contract, and back."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from unicodedata import normalize
from zoneinfo import ZoneInfo

from chassis import cron
from chassis.failures import FieldInvalid
from chassis.times import stamped
from merhaba.reports.v1 import Export as ExportProto
from merhaba.reports.v1 import ExportDestination, ExportSchedule, ExportSpec, Freshness
from services.reports.exports.model import MIME_TYPES, Export, Format, Schedule, State

MUTABLE: Final = ("name", "spec", "cron", "zone", "period_duration", "destination", "disabled")
FORMATS: Final[Mapping[int, Format]] = {
    ExportSpec.FORMAT_CSV: "csv",
    ExportSpec.FORMAT_PARQUET: "parquet",
    ExportSpec.FORMAT_XLSX: "xlsx",
    ExportSpec.FORMAT_PDF: "pdf",
    ExportSpec.FORMAT_PNG: "png",
}
_STATES: Final[Mapping[int, State]] = {
    ExportProto.STATE_WAITING: "waiting",
    ExportProto.STATE_RUNNING: "running",
    ExportProto.STATE_COMPLETED: "completed",
    ExportProto.STATE_FAILED: "failed",
    ExportProto.STATE_CANCELLED: "cancelled",
    ExportProto.STATE_EXPIRED: "expired",
}
_LONGEST: Final = 200
_LONGEST_PLAIN: Final = 60
_LONGEST_PERIOD: Final = timedelta(days=800)
_OF_CAMPAIGNS: Final = frozenset({"pdf", "png"})

Check = Callable[[ExportDestination], None]
"""Checks where a file goes. Raises what the contract says."""


def export(one: Export) -> ExportProto:
    """An export."""
    return ExportProto(
        export_id=one.export_id,
        spec=ExportSpec.FromString(one.spec),
        state=next(number for number, name in _STATES.items() if name == one.state),  # type: ignore[arg-type]  # enum values are ints at run time
        failure=one.failure,
        written_rows=one.written_rows,
        total_rows=one.total_rows,
        size_bytes=one.size_bytes,
        sha256=one.sha256,
        filename=one.filename,
        mime_type=MIME_TYPES[one.filename.rpartition(".")[2]],
        schedule_id=one.schedule_id,
        create_time=stamped(one.create_time),
        complete_time=stamped(one.complete_time),
        expire_time=stamped(one.expire_time),
        freshness=Freshness(fold_time=stamped(one.fold_time)),
    )


def state(number: int, path: str) -> State:
    """A state. Raises `FieldInvalid`."""
    if number not in _STATES:
        raise FieldInvalid(path, "unknown; name one of Export.State")
    return _STATES[number]


def format_of(spec: ExportSpec, path: str = "spec") -> Format:
    """The format of a file. Raises `FieldInvalid` where it cannot hold what is asked for."""
    if spec.format not in FORMATS:
        raise FieldInvalid(f"{path}.format", "missing; give CSV, PARQUET, XLSX, PDF or PNG")
    content = spec.WhichOneof("content")
    if content is None:
        raise FieldInvalid(path, "empty; give a query, a campaign_id or messages")
    found = FORMATS[spec.format]
    if found in _OF_CAMPAIGNS and content != "campaign_id":
        raise FieldInvalid(f"{path}.format", "PDF and PNG are for reports of campaigns")
    if spec.language not in ("", "tr", "en"):
        raise FieldInvalid(f"{path}.language", "unknown; give tr or en")
    return found


def filename(spec: ExportSpec, campaign: str, now: datetime) -> str:
    """What a file is called: what is in it, of which campaign, and when it was begun."""
    content = spec.WhichOneof("content") or ""
    said = {"query": "figures", "messages": "messages", "campaign_id": "campaign"}[content]
    if content == "campaign_id":
        said = _plain(campaign) or said
    return f"merhaba-{said}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.{FORMATS[spec.format]}"


def _plain(name: str) -> str:
    """A name in letters that every system takes in names of files."""
    bare = normalize("NFKD", name.replace("ı", "i")).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", bare.lower()))[:_LONGEST_PLAIN].strip("-")


def schedule(one: Schedule) -> ExportSchedule:
    """A schedule."""
    told = ExportSchedule.FromString(one.schedule)
    told.schedule_id = one.schedule_id
    told.etag = str(one.version)
    told.last_export_id = one.last_export_id
    told.last_failure = one.last_failure
    if one.next_run_time is not None:
        told.next_run_time.FromDatetime(one.next_run_time)
    return told


def draft(given: ExportSchedule, check: Check, now: datetime) -> Schedule:
    """A schedule as it is stored, without its id. Raises `FieldInvalid` and what `check` raises."""
    if not 0 < len(given.name) <= _LONGEST:
        raise FieldInvalid("schedule.name", "missing or too long", limit=str(_LONGEST))
    format_of(given.spec, "schedule.spec")
    try:
        cron.parse(given.cron)
    except ValueError as error:
        raise FieldInvalid("schedule.cron", str(error)) from None
    try:
        ZoneInfo(given.zone)
    except (LookupError, OSError, ValueError):
        raise FieldInvalid("schedule.zone", "unknown; write it like Europe/Istanbul") from None
    if given.spec.WhichOneof("content") != "campaign_id":
        period = given.period_duration.ToTimedelta()
        if not timedelta(minutes=15) <= period <= _LONGEST_PERIOD:
            raise FieldInvalid("schedule.period_duration", "not between 15 minutes and 800 days")
    check(given.destination)
    kept = ExportSchedule()
    kept.CopyFrom(given)
    for field in ("schedule_id", "etag", "next_run_time", "last_export_id", "last_failure"):
        kept.ClearField(field)
    return Schedule("", given.name, 1, kept.SerializeToString(), next_run(kept, now), "", "")


def next_run(of: ExportSchedule, now: datetime) -> datetime | None:
    """When a schedule runs next; None while it is disabled."""
    if of.disabled:
        return None
    zone = ZoneInfo(of.zone)
    wall: datetime | None = now.astimezone(zone).replace(tzinfo=None)
    while wall is not None:
        wall = cron.parse(of.cron).after(wall)
        # Of an hour that comes twice the first; one that is skipped is read an hour later
        if wall is not None and (moment := wall.replace(tzinfo=zone).astimezone(UTC)) > now:
            return moment
    return None


def due_spec(of: ExportSchedule, moment: datetime) -> ExportSpec:
    """What a schedule exports when it runs: of the period that ends then."""
    spec = ExportSpec()
    spec.CopyFrom(of.spec)
    content = spec.WhichOneof("content")
    if content == "campaign_id":
        return spec
    period = spec.query.period if content == "query" else spec.messages.period
    period.start_time.FromDatetime(moment - of.period_duration.ToTimedelta())
    period.end_time.FromDatetime(moment)
    period.zone = period.zone or of.zone
    return spec
