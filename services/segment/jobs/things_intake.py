"""What ingest says of places and things on the topic `inbound.track`."""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from chassis.failures import FieldInvalid
from chassis.times import milliseconds
from merhaba.event.v1 import Event
from services.segment.engine.things import ItemRecord, PlaceRecord
from services.segment.jobs.catalog import Catalog
from services.segment.jobs.place_definitions import PlaceDefinitions


class ThingsIntake:
    """Keeps places and catalogue items as they are told; all else on the topic is profile's."""

    def __init__(self, places: PlaceDefinitions, catalog: Catalog) -> None:
        self._places = places
        self._catalog = catalog

    async def handle(self, events: Sequence[bytes]) -> None:
        """Keep a batch, wholly or not at all; raises `FieldInvalid` for what cannot be read."""
        places: list[PlaceRecord] = []
        items: list[ItemRecord] = []
        for data in events:
            try:
                event = Event.FromString(data)
            except DecodeError:
                problem = "these bytes are no merhaba.event.v1.Event"
                raise FieldInvalid("event", problem) from None
            if event.HasField("place_changed"):
                places.append(_place(event))
            elif event.HasField("catalog_item_changed"):
                items.append(_item(event))
        # Either may be repeated without effect, so that one comes before the other does no harm
        if items:
            await self._catalog.take(items)
        if places:
            await self._places.take(places)


def _place(event: Event) -> PlaceRecord:
    told = event.place_changed
    if told.HasField("delete_time"):
        return PlaceRecord(told.place_id, milliseconds(told.delete_time), present=False)
    return PlaceRecord(
        told.place_id,
        milliseconds(event.event_time),
        True,
        told.name,
        told.latitude,
        told.longitude,
        told.radius_meters,
        told.polygon_json,
        tuple(told.labels),
    )


def _item(event: Event) -> ItemRecord:
    told = event.catalog_item_changed
    if told.HasField("delete_time"):
        delete_time = milliseconds(told.delete_time)
        return ItemRecord(told.catalog_id, told.item_id, delete_time=delete_time)
    time = milliseconds(event.event_time)
    stocked, priced = told.HasField("stock"), told.HasField("price_micros")
    return ItemRecord(
        told.catalog_id,
        told.item_id,
        told.item_json,
        time if told.item_json else 0,
        told.stock if stocked else None,
        time if stocked else 0,
        told.price_micros if priced else None,
        told.currency_code if priced else "",
        time if priced else 0,
    )
