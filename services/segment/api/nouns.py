"""The contract's nouns from what is kept, and back."""

from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.failures import FieldInvalid
from chassis.times import milliseconds, stamped, timestamp
from expressions import Expression, ExpressionError
from expressions.registry import WEATHER
from merhaba.segment.v1 import (
    Backfill,
    CatalogItem,
    DefinitionParameter,
    ExpressionAnalysis,
    ExpressionProblem,
    Place,
    Segment,
    SegmentDefinition,
)
from services.segment.defining import ready
from services.segment.engine import model, things
from services.segment.engine.definitions import etag_of

NEVER: Final = datetime.fromtimestamp(0, UTC)
_LONGEST_DELAY_MS: Final = 366 * 86_400_000


def segment(
    record: model.SegmentRecord,
    expression: Expression | None,
    members: int = 0,
    wrong: ExpressionError | None = None,
) -> Segment:
    """A segment for reading. `wrong`: why its expression no longer compiles."""
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
        problem=None if wrong is None else problem(wrong),
        labels=record.labels,
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
        labels=tuple(given.labels),
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
        uses_weather=WEATHER in expression.attributes,
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
        phase=Backfill.Phase.Value(f"PHASE_{record.phase.upper()}"),
        contacts_per_second=record.contacts_per_s,
        remaining_duration=_duration(record.remaining),
    )


def _duration(span: timedelta | None) -> Duration | None:
    if span is None:
        return None
    found = Duration()
    found.FromTimedelta(span)
    return found


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


def span(given: Duration, field: str) -> int:
    """In ms; raises `FieldInvalid`."""
    span = given.seconds * 1000 + given.nanos // 1_000_000
    if not 0 <= span <= _LONGEST_DELAY_MS:
        raise FieldInvalid(field, "0 to 366 days", limit=str(_LONGEST_DELAY_MS // 1000))
    return span
