"""What is right in a trigger: its cause, its conditions and its action. Pure."""

from collections.abc import Callable
from typing import Final, TypeVar

from chassis import cron
from chassis.failures import FieldInvalid
from expressions import Expression
from expressions.registry import WEATHER
from services.segment.defining.action_checks import Webhooks, check_action
from services.segment.engine import moments
from services.segment.engine.causes import (
    CatalogCause,
    DateCause,
    EventCause,
    PlaceCause,
    ScheduleCause,
    SeasonCause,
    SegmentCause,
    StageCause,
    WeatherCause,
    event_name_of,
    given_of,
)
from services.segment.engine.definitions import Catalogue, Sources
from services.segment.engine.model import TriggerDefinition
from services.segment.failures import ReferenceNotFound

T = TypeVar("T")

_MOST_DAYS: Final = 366
_MOST_PLACES: Final = 10_000
_MOST_EVENTS: Final = 20
_FROM_STAGE: Final = 64


class TriggerChecks:
    """Checks triggers against what is known."""

    def __init__(self, sources: Sources, webhooks: Webhooks) -> None:
        self._sources = sources
        self._webhooks = webhooks

    def check(self, catalogue: Catalogue, definition: TriggerDefinition) -> list[Expression]:
        """All its expressions; raises what is wrong with it."""
        cause = definition.cause
        if definition.cancel_condition and not definition.delay:
            raise FieldInvalid("trigger.cancel_condition", "of no effect without a delay_duration")
        expressions = self._check_cause(catalogue, definition)
        event, given = event_name_of(cause), given_of(cause)
        expressions += [
            self._sources.compile(catalogue, f"trigger.{name}", source, event, wanted, given)
            for name, source, wanted in (
                ("condition", definition.condition, "bool"),
                ("cancel_condition", definition.cancel_condition, "bool"),
                ("key", definition.key, ""),
            )
            if source
        ]
        return expressions + check_action(
            self._sources,
            self._webhooks,
            catalogue,
            definition.action,
            "trigger.action",
            event,
            given,
        )

    def _check_cause(self, catalogue: Catalogue, definition: TriggerDefinition) -> list[Expression]:
        match definition.cause:
            case EventCause(name=name):
                self._known_event(name, "trigger.event.name")
            case SegmentCause(segment_id=segment_id):
                caused = catalogue.segments.get(segment_id)
                if caused is None or caused.state == "archived":
                    raise ReferenceNotFound("trigger.segment.segment_id", "segment", segment_id)
            case StageCause(previous_stage=previous, stage=stage):
                for name, value in (("previous_stage", previous), ("stage", stage)):
                    if len(value) > _FROM_STAGE:
                        raise FieldInvalid(f"trigger.stage.{name}", "over 64 characters")
            case ScheduleCause():
                self._check_schedule(definition.cause)
            case DateCause():
                self._check_date(definition.cause)
            case SeasonCause(start_day=start, end_day=end, time_of_day=time):
                _read("trigger.season.start_day", moments.read_day, start)
                _read("trigger.season.end_day", moments.read_day, end)
                _read("trigger.season.time_of_day", moments.read_time, time)
            case PlaceCause():
                self._check_places(definition.cause)
            case WeatherCause(expression=source):
                return [self._weather(catalogue, source)]
            case CatalogCause(event_names=names):
                if len(names) > _MOST_EVENTS:
                    raise FieldInvalid("trigger.catalog.event_names", "more than 20", limit="20")
                for at, name in enumerate(names):
                    self._known_event(name, f"trigger.catalog.event_names[{at}]")
        return []

    def _known_event(self, name: str, path: str) -> None:
        if self._sources.anything.event(name) is None:
            raise FieldInvalid(
                path,
                f"{name} is no known event; register it, name it in the setting EXTRA_EVENTS, or"
                " correct it",
            )

    def _check_schedule(self, cause: ScheduleCause) -> None:
        _read("trigger.schedule.cron", cron.parse, cause.cron)
        if cause.zone and moments.known_zone(cause.zone) is None:
            raise FieldInvalid(
                "trigger.schedule.zone", f"{cause.zone} is no zone; write it as Europe/Istanbul"
            )

    def _check_date(self, cause: DateCause) -> None:
        path = "trigger.date.attribute_name"
        kind = self._sources.vocabulary(None).attributes.get(cause.attribute_name)
        if kind is None:
            raise ReferenceNotFound(path, "attribute", cause.attribute_name)
        if str(kind) != "date":
            raise FieldInvalid(path, f"{cause.attribute_name} is of type {kind}, not date")
        if abs(cause.day_offset) > _MOST_DAYS:
            raise FieldInvalid("trigger.date.day_offset", "-366 to 366 days", limit="366")
        _read("trigger.date.time_of_day", moments.read_time, cause.time_of_day)

    def _check_places(self, cause: PlaceCause) -> None:
        known = self._sources.vocabulary(()).known_places or frozenset()
        if len(cause.place_ids) > _MOST_PLACES:
            raise FieldInvalid("trigger.place.place_ids", "more than 10,000", limit="10000")
        for at, place_id in enumerate(cause.place_ids):
            if place_id not in known:
                raise ReferenceNotFound(f"trigger.place.place_ids[{at}]", "place", place_id)

    def _weather(self, catalogue: Catalogue, source: str) -> Expression:
        path = "trigger.weather.expression"
        found = self._sources.compile(catalogue, path, source, None, "bool")
        if WEATHER not in found.attributes:
            raise FieldInvalid(path, "does not look at weather(); make it a segment instead")
        return found


def _read(path: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise FieldInvalid(path, str(error)) from None
