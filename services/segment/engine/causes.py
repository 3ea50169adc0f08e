"""What starts a trigger. Pure.

Spans are in ms; texts are as in the contract.
"""

from typing import Literal, TypeAlias

import msgspec

STAGE_CHANGED = "stage_changed"
PLACE_ENTERED = "place_entered"
PLACE_LEFT = "place_left"


class EventCause(msgspec.Struct, frozen=True, tag="event"):
    """An event happened."""

    name: str


class SegmentCause(msgspec.Struct, frozen=True, tag="segment"):
    """A contact entered or left a segment."""

    segment_id: str
    leaving: bool = False


class StageCause(msgspec.Struct, frozen=True, tag="stage"):
    """A contact moved to another stage; an empty name is any."""

    previous_stage: str = ""
    stage: str = ""


class ScheduleCause(msgspec.Struct, frozen=True, tag="schedule"):
    """The moments of a timetable, in a zone, or in each contact's own when that is empty."""

    cron: str
    zone: str = ""


class DateCause(msgspec.Struct, frozen=True, tag="date"):
    """The return, every year, of a date attribute, or that date itself, in the contact's zone."""

    attribute_name: str
    day_offset: int = 0
    time_of_day: str = "00:00"
    leap_day: Literal["february_28", "march_1"] = "february_28"
    once: bool = False


class SeasonCause(msgspec.Struct, frozen=True, tag="season"):
    """A part of the year in the contact's zone, `MM-DD` to `MM-DD`, both included."""

    start_day: str
    end_day: str
    time_of_day: str = "00:00"


class PlaceCause(msgspec.Struct, frozen=True, tag="place"):
    """A contact came to one of these places, or of those with one of the labels; or went."""

    place_ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    leaving: bool = False
    margin_meters: float = 50.0
    max_accuracy_meters: float = 200.0


class WeatherCause(msgspec.Struct, frozen=True, tag="weather"):
    """The weather where the contact last was came to be so."""

    expression: str
    max_location_age: int = 7 * 86_400_000


class CatalogCause(msgspec.Struct, frozen=True, tag="catalog"):
    """Something changed about an item that the contact looked at."""

    change: Literal["back_in_stock", "price_drop"]
    catalog_id: str = ""
    event_names: tuple[str, ...] = ("product_viewed",)
    within: int = 30 * 86_400_000
    min_drop: float = 0.0


Cause: TypeAlias = (
    EventCause
    | SegmentCause
    | StageCause
    | ScheduleCause
    | DateCause
    | SeasonCause
    | PlaceCause
    | WeatherCause
    | CatalogCause
)


def event_name_of(cause: Cause) -> str | None:
    """The event that causes it, which expressions know as `event`; None where there is none."""
    match cause:
        case EventCause(name=name):
            return name
        case StageCause():
            return STAGE_CHANGED
        case PlaceCause(leaving=leaving):
            return PLACE_LEFT if leaving else PLACE_ENTERED
        case _:
            return None


def given_of(cause: Cause) -> tuple[str, ...]:
    """The roots that expressions of such a trigger may use besides."""
    return ("item",) if isinstance(cause, CatalogCause) else ()
