"""The contract's triggers and occurrences from what is kept, and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from chassis.failures import FieldInvalid
from chassis.times import stamped, timestamp
from merhaba.segment.v1 import (
    Action,
    CatalogCause,
    DateCause,
    EventCause,
    Occurrence,
    PlaceCause,
    ScheduleCause,
    SeasonCause,
    SegmentCause,
    SendAction,
    SetAction,
    StageCause,
    StartAction,
    Trigger,
    WeatherCause,
    WebhookAction,
)
from services.segment.api.nouns import NEVER, duration, span
from services.segment.engine import actions, causes, model
from services.segment.engine.definitions import etag_of

_LEAP_DAYS: Final[Mapping[int, Any]] = {
    DateCause.LEAP_DAY_UNSPECIFIED: "february_28",
    DateCause.LEAP_DAY_FEBRUARY_28: "february_28",
    DateCause.LEAP_DAY_MARCH_1: "march_1",
}
_LEAP_DAY: Final = {
    "february_28": DateCause.LEAP_DAY_FEBRUARY_28,
    "march_1": DateCause.LEAP_DAY_MARCH_1,
}
_CHANGES: Final[Mapping[int, Any]] = {
    CatalogCause.CHANGE_BACK_IN_STOCK: "back_in_stock",
    CatalogCause.CHANGE_PRICE_DROP: "price_drop",
}
_TEXTS: Final = (
    *("display_name", "description", "condition", "cancel_condition", "key"),
    "max_per_period",
)
_MUTABLE: Final = (
    *_TEXTS,
    *("event", "segment", "stage", "schedule", "date", "season", "place", "weather", "catalog"),
    *("delay_duration", "not_after_duration", "period_duration", "action", "labels"),
)
_CHANGE: Final[Mapping[str, Any]] = {name: value for value, name in _CHANGES.items()}


def trigger(record: model.TriggerRecord) -> Trigger:
    """A trigger for reading."""
    definition = record.definition
    found = Trigger(
        trigger_id=definition.trigger_id,
        name=definition.name,
        display_name=record.display_name,
        description=record.description,
        version=definition.version,
        state=Trigger.State.Value(f"STATE_{record.state.upper()}"),
        etag=etag_of(record.edit),
        condition=definition.condition,
        delay_duration=duration(definition.delay) if definition.delay else None,
        cancel_condition=definition.cancel_condition,
        key=definition.key,
        period_duration=None if definition.period is None else duration(definition.period),
        max_per_period=0 if definition.period is None else definition.max_per_period,
        not_after_duration=None if definition.not_after is None else duration(definition.not_after),
        action=action(definition.action),
        create_time=stamped(record.create_time),
        update_time=stamped(record.update_time),
        archive_time=stamped(record.archive_time),
        labels=record.labels,
    )
    name, body = _cause(definition.cause)
    getattr(found, name).CopyFrom(body)
    return found


def trigger_draft(given: Trigger, paused: bool) -> model.TriggerRecord:
    """What somebody wants a trigger to be. Raises `FieldInvalid`."""
    if given.max_per_period < 0:
        raise FieldInvalid("trigger.max_per_period", "negative; 0 is one")
    if given.max_per_period and not given.HasField("period_duration"):
        raise FieldInvalid("trigger.max_per_period", "of no effect without a period_duration")
    period = None
    if given.HasField("period_duration"):
        period = span(given.period_duration, "trigger.period_duration")
        if not period:
            raise FieldInvalid("trigger.period_duration", "of no length; leave it out for no limit")
    not_after = None
    if given.HasField("not_after_duration"):
        not_after = span(given.not_after_duration, "trigger.not_after_duration")
    definition = model.TriggerDefinition(
        trigger_id="",
        name=given.name,
        cause=_cause_draft(given),
        action=action_draft(given.action, "trigger.action"),
        paused=paused,
        condition=given.condition,
        cancel_condition=given.cancel_condition,
        key=given.key,
        delay=span(given.delay_duration, "trigger.delay_duration"),
        not_after=not_after,
        period=period,
        max_per_period=given.max_per_period or 1,
    )
    return model.TriggerRecord(
        definition=definition,
        display_name=given.display_name,
        description=given.description,
        state="paused" if paused else "active",
        edit=0,
        create_time=NEVER,
        update_time=NEVER,
        labels=tuple(given.labels),
    )


def changed(record: model.TriggerRecord, given: Trigger, paths: Sequence[str]) -> Trigger:
    """A trigger with these fields of another; raises `FieldInvalid` for one that cannot change."""
    found = trigger(record)
    for path in paths or [field.name for field, _ in given.ListFields() if field.name in _MUTABLE]:
        if path not in _MUTABLE:
            raise FieldInvalid(
                "update_mask", f"{path} cannot be changed; only {', '.join(_MUTABLE)} can"
            )
        found.ClearField(path)  # type: ignore[arg-type]  # checked above
        if path == "labels":
            found.labels.extend(given.labels)
        elif path in _TEXTS:
            setattr(found, path, getattr(given, path))
        elif given.HasField(path):  # type: ignore[arg-type]  # checked above
            getattr(found, path).CopyFrom(getattr(given, path))
    return found


def action(given: actions.Action) -> Action:
    """An action for reading."""
    match given:
        case actions.SendAction(campaign_id=campaign_id, parameters=parameters):
            return Action(send=SendAction(campaign_id=campaign_id, parameters=parameters))
        case actions.WebhookAction(url=url, secret_name=secret_name, parameters=parameters):
            body = WebhookAction(url=url, secret_name=secret_name, parameters=parameters)
            return Action(webhook=body)
        case actions.SetAction(attribute_name=name, expression=expression):
            return Action(set=SetAction(attribute_name=name, expression=expression))
        case actions.StartAction(journey_id=journey_id, parameters=parameters):
            return Action(start=StartAction(journey_id=journey_id, parameters=parameters))


def action_draft(given: Action, path: str) -> actions.Action:
    """What somebody wants to be done. Raises `FieldInvalid`; `path` is where it stands."""

    def needed(kind: str, name: str) -> str:
        found: str = getattr(getattr(given, kind), name)
        if not found:
            raise FieldInvalid(f"{path}.{kind}.{name}", "missing")
        return found

    match given.WhichOneof("action"):
        case "send":
            return actions.SendAction(needed("send", "campaign_id"), dict(given.send.parameters))
        case "webhook":
            return actions.WebhookAction(
                needed("webhook", "url"),
                needed("webhook", "secret_name"),
                dict(given.webhook.parameters),
            )
        case "set":
            return actions.SetAction(needed("set", "attribute_name"), needed("set", "expression"))
        case "start":
            return actions.StartAction(needed("start", "journey_id"), dict(given.start.parameters))
        case _:
            raise FieldInvalid(path, "missing; say what is done: send, webhook, set or start")


def occurrence(given: model.Occurrence) -> Occurrence:
    """An occurrence for reading."""
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
        parameters_json=orjson.dumps(given.parameters, default=str) if given.acted else b"",
        attempt_count=given.attempt_count,
    )


def _cause(given: causes.Cause) -> tuple[str, Any]:
    """The field of the contract, and what stands in it."""
    match given:
        case causes.EventCause(name=name):
            return "event", EventCause(name=name)
        case causes.SegmentCause(segment_id=segment_id, leaving=leaving):
            return "segment", SegmentCause(segment_id=segment_id, leaving=leaving)
        case causes.StageCause(previous_stage=previous, stage=stage):
            return "stage", StageCause(previous_stage=previous, stage=stage)
        case causes.ScheduleCause(cron=cron, zone=zone):
            return "schedule", ScheduleCause(cron=cron, zone=zone)
        case causes.DateCause():
            return "date", DateCause(
                attribute_name=given.attribute_name,
                day_offset=given.day_offset,
                time_of_day=given.time_of_day,
                leap_day=_LEAP_DAY[given.leap_day],
                once=given.once,
            )
        case causes.SeasonCause(start_day=start, end_day=end, time_of_day=time):
            return "season", SeasonCause(start_day=start, end_day=end, time_of_day=time)
        case causes.PlaceCause():
            return "place", PlaceCause(
                place_ids=given.place_ids,
                labels=given.labels,
                leaving=given.leaving,
                margin_meters=given.margin_meters,
                max_accuracy_meters=given.max_accuracy_meters,
            )
        case causes.WeatherCause(expression=expression, max_location_age=age):
            found = WeatherCause(expression=expression, max_location_age_duration=duration(age))
            return "weather", found
        case causes.CatalogCause():
            return "catalog", CatalogCause(
                change=_CHANGE[given.change],
                catalog_id=given.catalog_id,
                event_names=given.event_names,
                within_duration=duration(given.within),
                min_drop=given.min_drop,
            )


def _cause_draft(given: Trigger) -> causes.Cause:
    kind = given.WhichOneof("cause")
    if kind is None:
        raise FieldInvalid(
            "trigger.cause",
            "missing; say what starts it: event, segment, stage, schedule, date, season, place,"
            " weather or catalog",
        )
    return _DRAFTS[kind](getattr(given, kind))


def _needed(given: Any, path: str) -> str:
    found: str = getattr(given, path.rsplit(".", 1)[1])
    if not found:
        raise FieldInvalid(path, "missing")
    return found


def _date_draft(given: DateCause) -> causes.DateCause:
    return causes.DateCause(
        attribute_name=_needed(given, "trigger.date.attribute_name"),
        day_offset=given.day_offset,
        time_of_day=given.time_of_day or "00:00",
        leap_day=_LEAP_DAYS[given.leap_day],
        once=given.once,
    )


def _season_draft(given: SeasonCause) -> causes.SeasonCause:
    return causes.SeasonCause(
        start_day=_needed(given, "trigger.season.start_day"),
        end_day=_needed(given, "trigger.season.end_day"),
        time_of_day=given.time_of_day or "00:00",
    )


def _place_draft(given: PlaceCause) -> causes.PlaceCause:
    if not given.place_ids and not given.labels:
        raise FieldInvalid("trigger.place", "names no place; give place_ids or labels")
    for name in ("margin_meters", "max_accuracy_meters"):
        if not 0 <= getattr(given, name) <= 100_000:
            raise FieldInvalid(f"trigger.place.{name}", "0 to 100,000 metres", limit="100000")
    return causes.PlaceCause(
        place_ids=tuple(given.place_ids),
        labels=tuple(given.labels),
        leaving=given.leaving,
        margin_meters=given.margin_meters or 50.0,
        max_accuracy_meters=given.max_accuracy_meters or 200.0,
    )


def _weather_draft(given: WeatherCause) -> causes.WeatherCause:
    found = causes.WeatherCause(_needed(given, "trigger.weather.expression"))
    if not given.HasField("max_location_age_duration"):
        return found
    age = span(given.max_location_age_duration, "trigger.weather.max_location_age_duration")
    return causes.WeatherCause(found.expression, age)


def _catalog_draft(given: CatalogCause) -> causes.CatalogCause:
    if given.change not in _CHANGES:
        raise FieldInvalid("trigger.catalog.change", "missing; back in stock, or a price drop")
    if not 0 <= given.min_drop <= 1:
        raise FieldInvalid("trigger.catalog.min_drop", "0 to 1, of the former price")
    found = causes.CatalogCause(_CHANGES[given.change], given.catalog_id)
    within = found.within
    if given.HasField("within_duration"):
        within = span(given.within_duration, "trigger.catalog.within_duration")
    return causes.CatalogCause(
        change=found.change,
        catalog_id=found.catalog_id,
        event_names=tuple(given.event_names) or found.event_names,
        within=within,
        min_drop=given.min_drop,
    )


_DRAFTS: Final[Mapping[str, Callable[[Any], causes.Cause]]] = {
    "event": lambda given: causes.EventCause(_needed(given, "trigger.event.name")),
    "segment": lambda given: causes.SegmentCause(
        _needed(given, "trigger.segment.segment_id"), given.leaving
    ),
    "stage": lambda given: causes.StageCause(given.previous_stage, given.stage),
    "schedule": lambda given: causes.ScheduleCause(
        _needed(given, "trigger.schedule.cron"), given.zone
    ),
    "date": _date_draft,
    "season": _season_draft,
    "place": _place_draft,
    "weather": _weather_draft,
    "catalog": _catalog_draft,
}
