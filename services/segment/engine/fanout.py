"""What concerns many contacts at once, and whom. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from chassis.ids import derived_id
from expressions.registry import WEATHER
from services.segment.engine.causes import CatalogCause
from services.segment.engine.model import AttributeFact, Happening
from services.segment.engine.rules import Rules
from services.segment.engine.things import ItemChange, told_item

ITEM_CHANGED: Final = "item_changed"
WEATHER_CHANGED: Final = "weather_changed"
_MOST_ITEMS: Final = 100
"""Of one event: a list of products is no sign of interest in its hundredth."""


class ItemFanout(msgspec.Struct, frozen=True, tag="item"):
    """For whoever looked at an item."""

    trigger_ids: tuple[str, ...]
    item: Mapping[str, Any]
    time: int
    received: int = 0
    traceparent: str = ""

    @property
    def subject(self) -> str:
        """By which those whom it concerns are found."""
        return str(self.item["item_id"])


class WeatherFanout(msgspec.Struct, frozen=True, tag="weather"):
    """For whoever is in a cell."""

    cell: str
    weather: Mapping[str, float]
    time: int

    @property
    def subject(self) -> str:
        """By which those whom it concerns are found."""
        return self.cell


Fanout: TypeAlias = ItemFanout | WeatherFanout


class FanoutRecord(NamedTuple):
    """A fanout as it is kept: done for everybody up to its cursor, in order of contact id."""

    fanout_id: str
    fanout: Fanout
    cursor: str
    restarts: int = 0
    """How often somebody became part of another, who is to be told, while it ran."""


class Look(NamedTuple):
    """A contact looked at an item, by an event: first and last so far."""

    item_id: str
    contact_id: str
    name: str
    first_time: int
    last_time: int


def looks_of(happening: Happening, names: frozenset[str]) -> Iterable[Look]:
    """The items that a contact looked at by an event, if it is one of these."""
    return _looks(happening) if happening.name in names else ()


def _looks(happening: Happening) -> Iterator[Look]:
    products = happening.properties.get("products")
    lines = products[:_MOST_ITEMS] if isinstance(products, list) else []
    ids = {
        line[field]
        for line in (happening.properties, *lines)
        if isinstance(line, Mapping)
        for field in ("product_id", "sku")
        if isinstance(line.get(field), str) and line[field]
    }
    for item_id in sorted(ids):
        time = happening.time
        yield Look(item_id, happening.contact_id, happening.name, time, time)


def fanout_of(rules: Rules, change: ItemChange, now: int, oldest: int) -> FanoutRecord | None:
    """What a change of an item causes; None when nothing, or it was before `oldest`."""
    wanted = tuple(
        rule.definition.trigger_id
        for rule in rules.by_item
        if isinstance(cause := rule.definition.cause, CatalogCause)
        and cause.change == change.kind
        and cause.catalog_id in ("", change.item.catalog_id)
        and (change.kind != "price_drop" or change.drop >= cause.min_drop)
    )
    if not wanted or change.time < oldest:
        return None
    item = change.item
    fanout_id = derived_id("fan", change.kind, item.catalog_id, item.item_id, str(change.time))
    fanout = ItemFanout(wanted, told_item(change), min(change.time, now), now)
    return FanoutRecord(fanout_id, fanout, "")


def concerned(rules: Rules, record: FanoutRecord, looks: Iterable[Look]) -> Iterator[Happening]:
    """What happens, by the change of an item, to those who looked at it: each once."""
    fanout = record.fanout
    assert isinstance(fanout, ItemFanout)
    causes = {
        trigger_id: rule.definition.cause
        for trigger_id in fanout.trigger_ids
        if (rule := rules.triggers.get(trigger_id))
    }
    found: dict[str, list[str]] = {}
    for look in looks:
        own = found.setdefault(look.contact_id, [])
        for trigger_id, cause in causes.items():
            if (
                isinstance(cause, CatalogCause)
                and trigger_id not in own
                and look.name in cause.event_names
                and look.first_time <= fanout.time < look.last_time + cause.within
            ):
                own.append(trigger_id)
    for contact_id, trigger_ids in found.items():
        if trigger_ids:
            yield Happening(
                event_id=f"{record.fanout_id}/{contact_id}",
                contact_id=contact_id,
                time=fanout.time,
                name=ITEM_CHANGED,
                trigger_ids=tuple(trigger_ids),
                item=fanout.item,
                shared_cause=record.fanout_id,
                received=fanout.received,
                traceparent=fanout.traceparent,
            )


def weather_told(contact_id: str, weather: Mapping[str, float] | None, time: int) -> Happening:
    """A contact has that weather, as an attribute; None: nobody knows any more."""
    return Happening(
        event_id=f"weather/{time}/{contact_id}",
        contact_id=contact_id,
        time=time,
        name=WEATHER_CHANGED,
        attributes=(AttributeFact(WEATHER, weather, time),),
        received=time,
    )
