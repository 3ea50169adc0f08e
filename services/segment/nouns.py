"""The contract's nouns from what is kept, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.failures import FieldInvalid, Unimplemented
from chassis.times import milliseconds, stamped, timestamp
from expressions import Expression, ExpressionError
from merhaba.segment.v1 import (
    Action,
    Backfill,
    CatalogItem,
    DefinitionParameter,
    EventCause,
    ExpressionAnalysis,
    ExpressionProblem,
    Occurrence,
    Place,
    Segment,
    SegmentCause,
    SegmentDefinition,
    SendAction,
    Trigger,
)
from services.segment import model, ready, things
from services.segment.definitions import etag_of

NEVER: Final = datetime.fromtimestamp(0, UTC)
_LONGEST_DELAY_MS: Final = 366 * 86_400_000
_NO_CAUSE: Final = "trigger.cause"


def segment(
    record: model.SegmentRecord, expression: Expression | None, members: int = 0
) -> Segment:
    """A segment for reading."""
    return Segment(
        segment_id=record.segment_id,
        name=record.name,
        display_name=record.display_name,
        description=record.description,
        expression=record.expression,
        version=record.version,
        live_version=record.ready_version,
        state=Segment.State.Value(f"STATE_{record.state.upper()}"),
        etag=etag_of(record.edit),
        analysis=None if expression is None else analysis(expression),
        member_count=members,
        backfill_id=record.backfill_id,
        definition_name=record.definition_name,
        create_time=stamped(record.create_time),
        update_time=stamped(record.update_time),
        archive_time=stamped(record.archive_time),
    )


def segment_draft(given: Segment) -> model.SegmentRecord:
    """What somebody wants a segment to be."""
    return model.SegmentRecord(
        segment_id="",
        name=given.name,
        display_name=given.display_name,
        description=given.description,
        definition_name=given.definition_name,
        expression=given.expression,
        version=0,
        live_expression="",
        live_version=0,
        ready_version=0,
        live_since=0,
        state="active",
        edit=0,
        backfill_id="",
        create_time=NEVER,
        update_time=NEVER,
    )


def analysis(expression: Expression) -> ExpressionAnalysis:
    """What the compiler knows about an expression."""
    needs = expression.history.values()
    unlimited = any(n.everything or n.newest or n.oldest or n.follows for n in needs)
    longest = max((need.window for need in needs), default=0)
    clock = expression.attributes & {"zone"}
    names = [n if n.startswith("traits.") else f"profile.{n}" for n in expression.attributes]
    return ExpressionAnalysis(
        result_type=str(expression.result_type),
        event_names=sorted(expression.events),
        attribute_names=sorted(names),
        segment_names=sorted(expression.segments),
        purposes=sorted(expression.consents),
        place_ids=sorted(expression.places),
        uses_stage="stage" in expression.attributes,
        time_dependent=bool(longest or clock or any(n.follows for n in needs)),
        history_duration=None if unlimited or not longest else duration(longest),
        needs_all_history=unlimited,
    )


def problem(error: ExpressionError) -> ExpressionProblem:
    """What is wrong with an expression, and where."""
    return ExpressionProblem(
        offset=error.offset,
        length=error.length,
        line=error.line,
        column=error.column,
        message=error.message,
        expected=error.expected,
        suggestions=error.suggestions,
    )


def backfill(record: model.BackfillRecord) -> Backfill:
    """A backfill for reading."""
    return Backfill(
        backfill_id=record.backfill_id,
        segment_id=record.segment_id,
        segment_version=record.segment_version,
        state=Backfill.State.Value(f"STATE_{record.state.upper()}"),
        passed_count=record.passed_count,
        total_count=record.total_count,
        member_count=record.member_count,
        failure=record.failure,
        create_time=stamped(record.create_time),
        update_time=stamped(record.update_time),
        end_time=stamped(record.end_time),
    )


def trigger(record: model.TriggerRecord) -> Trigger:
    """A trigger for reading."""
    definition = record.definition
    event = EventCause(name=definition.event_name) if definition.event_name else None
    caused = SegmentCause(segment_id=definition.segment_id, leaving=definition.leaving)
    send = SendAction(campaign_id=definition.campaign_id, parameters=definition.parameters)
    return Trigger(
        trigger_id=definition.trigger_id,
        name=definition.name,
        display_name=record.display_name,
        description=record.description,
        version=definition.version,
        state=Trigger.State.Value(f"STATE_{record.state.upper()}"),
        etag=etag_of(record.edit),
        event=event,
        segment=None if event else caused,
        condition=definition.condition,
        delay_duration=duration(definition.delay) if definition.delay else None,
        cancel_condition=definition.cancel_condition,
        key=definition.key,
        not_after_duration=None if definition.not_after is None else duration(definition.not_after),
        action=Action(send=send),
        create_time=stamped(record.create_time),
        update_time=stamped(record.update_time),
        archive_time=stamped(record.archive_time),
    )


def trigger_draft(given: Trigger, paused: bool) -> model.TriggerRecord:
    """What somebody wants a trigger to be. Raises `FieldInvalid`, and `Unimplemented` for what
    the contract promises and this version does not do."""
    cause = given.WhichOneof("cause")
    if cause is None:
        raise FieldInvalid(_NO_CAUSE, "missing; say what starts it: `event` or `segment`")
    if cause not in {"event", "segment"}:
        raise Unimplemented(f"{_NO_CAUSE}: {cause} does not start triggers yet; use event, segment")
    action = given.action.WhichOneof("action")
    if action is None:
        raise FieldInvalid("trigger.action", "missing; say what is done: `send`")
    if action != "send":
        raise Unimplemented(f"trigger.action: {action} is not done yet; use send")
    if not given.action.send.campaign_id:
        raise FieldInvalid("trigger.action.send.campaign_id", "missing; name the campaign to send")
    if given.HasField("period_duration") or given.max_per_period:
        raise Unimplemented("trigger.period_duration: there are no limits by period yet; use key")
    if cause == "event" and not given.event.name:
        raise FieldInvalid("trigger.event.name", "missing; name an event")
    if given.cancel_condition and not given.HasField("delay_duration"):
        raise FieldInvalid("trigger.cancel_condition", "of no effect without a delay_duration")
    not_after = None
    if given.HasField("not_after_duration"):
        not_after = _span(given.not_after_duration, "trigger.not_after_duration")
    definition = model.TriggerDefinition(
        trigger_id="",
        name=given.name,
        paused=paused,
        event_name=given.event.name if cause == "event" else "",
        segment_id=given.segment.segment_id if cause == "segment" else "",
        leaving=given.segment.leaving,
        condition=given.condition,
        cancel_condition=given.cancel_condition,
        key=given.key,
        delay=_span(given.delay_duration, "trigger.delay_duration"),
        not_after=not_after,
        campaign_id=given.action.send.campaign_id,
        parameters=dict(given.action.send.parameters),
    )
    return model.TriggerRecord(
        definition=definition,
        display_name=given.display_name,
        description=given.description,
        state="paused" if paused else "active",
        edit=0,
        create_time=NEVER,
        update_time=NEVER,
    )


def occurrence(given: model.Occurrence) -> Occurrence:
    """An occurrence for reading."""
    parameters: Mapping[str, Any] = given.parameters
    return Occurrence(
        occurrence_id=given.occurrence_id,
        trigger_id=given.trigger_id,
        trigger_version=given.trigger_version,
        contact_id=given.contact_id,
        key=given.key,
        state=Occurrence.State.Value(f"STATE_{given.state.upper()}"),
        reason=given.reason,
        cause_event_id=given.cause_event_id,
        cause_time=timestamp(given.cause_time),
        due_time=timestamp(given.due_time),
        not_after_time=timestamp(given.not_after_time),
        end_time=timestamp(given.end_time),
        parameters_json=orjson.dumps(parameters, default=str) if given.state == "fired" else b"",
    )


def ready_definition(given: ready.Ready, language: str) -> SegmentDefinition:
    """A ready definition, in a language."""
    return SegmentDefinition(
        name=given.name,
        display_name=given.display_name.of(language),
        description=given.description.of(language),
        category=given.category,
        expression=given.expression,
        parameters=[
            DefinitionParameter(
                name=one.name,
                description=one.description.of(language),
                type=one.type,
                default_json=b"" if one.default is None else orjson.dumps(one.default),
            )
            for one in given.parameters
        ],
    )


def place(record: things.PlaceRecord) -> Place:
    """A place for reading."""
    return Place(
        place_id=record.place_id,
        name=record.name,
        latitude=record.latitude,
        longitude=record.longitude,
        radius_meters=record.radius,
        polygon_json=record.polygon,
        labels=record.labels,
        change_time=timestamp(record.time),
    )


def catalog_item(record: things.ItemRecord) -> CatalogItem:
    """An item for reading."""
    fields, rest = things.told_fields(record)
    return CatalogItem(
        catalog_id=record.catalog_id,
        item_id=record.item_id,
        **fields,
        stock=record.stock,
        price_micros=record.price_micros,
        currency_code=record.currency_code,
        properties_json=orjson.dumps(rest) if rest else b"",
        change_time=timestamp(record.time),
    )


def duration(span: int) -> Duration:
    """Of milliseconds."""
    return Duration(seconds=span // 1000, nanos=span % 1000 * 1_000_000)


def instant(given: Timestamp, unset: int) -> int:
    """In ms; `unset` when nothing is given."""
    return milliseconds(given) if given.seconds or given.nanos else unset


def _span(given: Duration, field: str) -> int:
    span = given.seconds * 1000 + given.nanos // 1_000_000
    if not 0 <= span <= _LONGEST_DELAY_MS:
        raise FieldInvalid(field, "0 to 366 days", limit=str(_LONGEST_DELAY_MS // 1000))
    return span
