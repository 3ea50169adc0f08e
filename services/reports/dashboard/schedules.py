"""Schedules of files for whoever looks: written by a form, paused, gone on with, deleted."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from chassis.failures import FieldInvalid
from merhaba.reports.v1 import (
    BucketDestination,
    CreateExportScheduleRequest,
    DeleteExportScheduleRequest,
    ExportDestination,
    ExportSchedule,
    ExportServiceServicer,
    Period,
    UpdateExportScheduleRequest,
    WebhookDestination,
)
from services.reports.contracts import ask
from services.reports.dashboard.files import format_of, fresh_id, spec_of
from services.reports.dashboard.pages.schedules import EVERY, PERIODS

_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_BUCKET: Final = re.compile(
    r"(?P<endpoint>https?://[^/]+)?/?(?P<bucket>[^/]*)/?(?P<prefix>.*)", re.DOTALL
)
_AMAZON: Final = re.compile(r"https://s3[.]([a-z0-9-]+)[.]amazonaws[.]com")


class Schedules:
    """Asks for schedules, as any caller does."""

    def __init__(self, exports: ExportServiceServicer) -> None:
        self._exports = exports

    async def add(self, form: Mapping[str, str], zone: str, language: str) -> None:
        """Store the schedule that a form asks for. Raises `FieldInvalid`, and what the contract
        says."""
        wanted = schedule_of(form, zone, language)
        request = CreateExportScheduleRequest(request_id=fresh_id(), schedule=wanted)
        await ask(self._exports.CreateExportSchedule, request)

    async def change(self, schedule_id: str, action: str) -> None:
        """`pause` one, `resume` or `delete` it. Raises `FieldInvalid`, and what the contract
        says."""
        match action:
            case "delete":
                request = DeleteExportScheduleRequest(schedule_id=schedule_id)
                await ask(self._exports.DeleteExportSchedule, request)
            case "pause" | "resume":
                changed = ExportSchedule(schedule_id=schedule_id, disabled=action == "pause")
                mask = FieldMask(paths=["disabled"])
                await ask(
                    self._exports.UpdateExportSchedule,
                    UpdateExportScheduleRequest(schedule=changed, update_mask=mask),
                )
            case _:
                raise FieldInvalid("action", "unknown; there are pause, resume, delete")


def schedule_of(form: Mapping[str, str], zone: str, language: str) -> ExportSchedule:
    """The schedule that a form asks for. Raises `FieldInvalid`."""
    time = _TIME.fullmatch(form.get("time", ""))
    if time is None:
        raise FieldInvalid("time", "no time of day; write it like 08:30")
    if form.get("every") not in EVERY:
        raise FieldInvalid("every", f"unknown; there are {', '.join(EVERY)}")
    if form.get("covers") not in PERIODS:
        raise FieldInvalid("covers", f"unknown; there are {', '.join(PERIODS)}")
    spec = spec_of(form, Period(zone=zone))
    spec.format, spec.language = format_of(form), language
    made = ExportSchedule(
        name=form.get("name", ""),
        spec=spec,
        cron=f"{int(time[2])} {int(time[1])} {EVERY[form['every']]}",
        zone=zone,
        destination=_destination(form),
    )
    made.period_duration.FromTimedelta(timedelta(days=int(form["covers"])))
    return made


def _destination(form: Mapping[str, str]) -> ExportDestination:
    where, key = form.get("where", ""), form.get("key", "")
    match form.get("to_kind"):
        case "folder":
            return ExportDestination(folder=where)
        case "webhook":
            return ExportDestination(webhook=WebhookDestination(url=where, secret_name=key))
        case "bucket":
            parts = _BUCKET.fullmatch(where)
            named = parts.groupdict("") if parts else {}
            amazon = _AMAZON.fullmatch(named.get("endpoint", ""))
            region = amazon[1] if amazon else ""
            bucket = BucketDestination(**named, region=region, credential_name=key)
            return ExportDestination(bucket=bucket)
        case _:
            raise FieldInvalid("to_kind", "unknown; there are folder, webhook, bucket")
