"""What the contracts answer, as pages show it."""

from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from google.protobuf.timestamp_pb2 import Timestamp

from merhaba.reports.v1 import (
    Alert,
    Experiment,
    ExperimentReport,
    Export,
    ExportSchedule,
    ExportSpec,
    TimelineItem,
)
from merhaba.reports.v1 import Insight as InsightMessage
from services.reports.dashboard.asking import figure, name
from services.reports.dashboard.pages.alerts import Alarm
from services.reports.dashboard.pages.contacts import Happening, Why
from services.reports.dashboard.pages.experiment import Arm, Judged
from services.reports.dashboard.pages.exports import File
from services.reports.dashboard.pages.insights import Insight
from services.reports.dashboard.pages.schedules import Plan

_UNSET: Final = Timestamp()


def insight(told: InsightMessage) -> Insight:
    """Something that stands out."""
    return Insight(
        InsightMessage.Kind.Name(told.kind).removeprefix("KIND_").lower(),
        told.label or told.subject,
        name(told.value.measure),
        figure(told.value),
        figure(told.baseline),
        told.probability,
        told.contacts,
    )


def judged(report: ExperimentReport) -> Judged:
    """What an experiment says."""
    about = report.experiment
    return Judged(
        name(about.measure) if about.measure else "read_rate",
        Experiment.State.Name(about.state).removeprefix("STATE_").lower(),
        about.winner_variant,
        [
            Arm(
                one.variant,
                one.recipients,
                one.weight,
                figure(one.value),
                figure(one.effect),
                one.probability_best,
            )
            for one in report.arms
        ],
        report.sample_ratio_alarm,
    )


def alarm(told: Alert) -> Alarm:
    """An alert."""
    return Alarm(
        told.alert_id,
        told.rule_name,
        Alert.State.Name(told.state).removeprefix("STATE_").lower(),
        list(told.subjects),
        name(told.value.measure) if told.value.measure else "",
        figure(told.value),
        figure(told.expected),
        told.explanation,
        told.open_time.ToDatetime(UTC),
        _moment(told.resolve_time),
        told.acknowledger,
        told.note,
    )


def happening(told: TimelineItem) -> Happening:
    """One thing that happened to a contact."""
    event = told.event
    kind = event.WhichOneof("body") or ""
    body = getattr(event, kind) if kind else None
    message = getattr(body, "message", None)
    code = getattr(getattr(body, "error", None), "code", 0)
    detail = getattr(body, "gate", "") or (str(code) if code else "")
    return Happening(
        told.event_time.ToDatetime(UTC),
        event.tracked.name if kind == "tracked" else kind,
        getattr(message, "campaign_id", ""),
        next((step.label for step in told.why if step.kind == "campaign"), ""),
        getattr(message, "template_name", ""),
        getattr(message, "variant", ""),
        detail if isinstance(detail, str) else "",
        [
            Why(_moment(step.event_time), step.kind, step.label, step.outcome, step.reason)
            for step in told.why
        ],
    )


def file(told: Export) -> File:
    """A file."""
    content = told.spec.WhichOneof("content") or ""
    period = None if content == "campaign_id" else getattr(told.spec, content).period
    return File(
        told.export_id,
        told.filename,
        content,
        _moment(period.start_time) if period else None,
        _moment(period.end_time) if period else None,
        Export.State.Name(told.state).removeprefix("STATE_").lower(),
        told.failure,
        told.written_rows,
        told.total_rows,
        told.size_bytes,
        told.create_time.ToDatetime(UTC),
        _moment(told.expire_time),
    )


def plan(told: ExportSchedule) -> Plan:
    """A schedule."""
    to = told.destination
    kind = to.WhichOneof("destination") or ""
    bucket = "/".join(filter(None, (to.bucket.endpoint, to.bucket.bucket, to.bucket.prefix)))
    return Plan(
        told.schedule_id,
        told.name,
        told.cron,
        told.zone,
        told.period_duration.ToTimedelta() / timedelta(days=1),
        ExportSpec.Format.Name(told.spec.format).removeprefix("FORMAT_"),
        kind,
        # Of an address only whose it is: the rest may be a secret
        {"folder": to.folder, "bucket": bucket, "webhook": _host(to.webhook.url)}.get(kind, ""),
        told.disabled,
        _moment(told.next_run_time),
        told.last_export_id,
        told.last_failure,
    )


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _moment(time: Timestamp) -> datetime | None:
    return None if time == _UNSET else time.ToDatetime(UTC)
