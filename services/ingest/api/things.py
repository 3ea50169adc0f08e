"""What the business has and where people are, as events. Each function raises `FieldInvalid` for
an item that cannot be taken; `where` is its path in the request."""

from typing import Any, Final

import orjson

from chassis.failures import FieldInvalid
from merhaba.event.v1.event_pb2 import Event
from merhaba.ingest.v1.location_ping_pb2 import LocationPing
from merhaba.ingest.v1.stock_change_pb2 import StockChange
from merhaba.segment.v1.catalog_item_pb2 import CatalogItem
from merhaba.segment.v1.place_pb2 import Place
from services.ingest.api import checks

_POINTS: Final = 1_000
_POLYGON_KIB: Final = 128  # room for so many points, written out in full
_RING: Final = 4  # positions of the smallest ring: a triangle, closed
_FIELDS: Final = ("title", "category", "url", "image_url")


def upserted_item(item: CatalogItem, where: str, now_ms: int) -> Event:
    """An item in whole. Its `item_json` is its properties and, by their names, its own fields."""
    event = _happened(item, "change_time", where, now_ms)
    checks.json_object(item.properties_json, f"{where}.properties_json")
    fields = orjson.loads(item.properties_json or b"{}")
    fields |= {name: said for name in _FIELDS if (said := getattr(item, name))}
    changed = event.catalog_item_changed
    changed.item_json = orjson.dumps(fields)
    _offer(event, item, where)
    return event


def stock_change(change: StockChange, where: str, now_ms: int) -> Event:
    """New stock or a new price; everything else of the item stays."""
    event = _happened(change, "change_time", where, now_ms)
    if not change.HasField("stock") and not change.HasField("price_micros"):
        raise FieldInvalid(f"{where}.stock", "is missing, and there is no price_micros")
    _offer(event, change, where)
    return event


def _offer(event: Event, given: CatalogItem | StockChange, where: str) -> None:
    checks.named(given.catalog_id, f"{where}.catalog_id")
    checks.named(given.item_id, f"{where}.item_id")
    priced = given.HasField("price_micros")
    checks.price(given.price_micros if priced else None, given.currency_code, where)
    changed = event.catalog_item_changed
    changed.catalog_id = given.catalog_id
    changed.item_id = given.item_id
    if given.HasField("stock"):
        if given.stock < 0:
            raise FieldInvalid(f"{where}.stock", "is negative")
        changed.stock = given.stock
    if priced:
        changed.price_micros = given.price_micros
        changed.currency_code = given.currency_code


def item_key(event: Event) -> str:
    """What keeps the order of an item's events within a shard."""
    return f"{event.catalog_item_changed.catalog_id}/{event.catalog_item_changed.item_id}"


def deleted_item(catalog_id: str, item_id: str, now_ms: int) -> Event:
    """An item that is gone."""
    event = Event()
    event.event_time.FromMilliseconds(now_ms)
    event.catalog_item_changed.catalog_id = catalog_id
    event.catalog_item_changed.item_id = item_id
    event.catalog_item_changed.delete_time.FromMilliseconds(now_ms)
    return event


def location_ping(ping: LocationPing, where: str, now_ms: int) -> Event:
    """Where one person is."""
    event = _happened(ping, "ping_time", where, now_ms)
    if not ping.identity.kind or not ping.identity.value:
        raise FieldInvalid(f"{where}.identity", "needs kind and value")
    checks.position(ping.latitude, ping.longitude, where)
    checks.distance(ping.accuracy_meters, f"{where}.accuracy_meters")
    event.identities.append(ping.identity)
    event.location_pinged.latitude = ping.latitude
    event.location_pinged.longitude = ping.longitude
    event.location_pinged.accuracy_meters = ping.accuracy_meters
    return event


def upserted_place(place: Place, where: str, now_ms: int) -> Event:
    """A place in whole: a circle or a polygon."""
    event = _happened(place, "change_time", where, now_ms)
    checks.named(place.place_id, f"{where}.place_id")
    checks.position(place.latitude, place.longitude, where)
    checks.distance(place.radius_meters, f"{where}.radius_meters")
    if bool(place.polygon_json) == bool(place.radius_meters):
        raise FieldInvalid(f"{where}.radius_meters", "give either this or polygon_json")
    if place.polygon_json:
        _polygon(place.polygon_json, f"{where}.polygon_json")
    changed = event.place_changed
    changed.place_id = place.place_id
    changed.name = place.name
    changed.latitude = place.latitude
    changed.longitude = place.longitude
    changed.radius_meters = place.radius_meters
    changed.polygon_json = place.polygon_json
    changed.labels.extend(place.labels)
    return event


def place_key(event: Event) -> str:
    """What keeps the order of a place's events within a shard."""
    return event.place_changed.place_id


def deleted_place(place_id: str, now_ms: int) -> Event:
    """A place that is gone."""
    event = Event()
    event.event_time.FromMilliseconds(now_ms)
    event.place_changed.place_id = place_id
    event.place_changed.delete_time.FromMilliseconds(now_ms)
    return event


def _happened(given: Any, field: str, where: str, now_ms: int) -> Event:
    """An event of the time that a field of the item names; of now when it names none."""
    event = Event()
    said = given.HasField(field)
    at = checks.moment_ms(getattr(given, field), f"{where}.{field}", now_ms) if said else now_ms
    event.event_time.FromMilliseconds(at)
    return event


def _polygon(value: bytes, field: str) -> None:
    checks.json_object(value, field, _POLYGON_KIB)
    shape = orjson.loads(value)
    rings = shape.get("coordinates")
    if shape.get("type") != "Polygon" or not isinstance(rings, list) or not rings:
        raise FieldInvalid(field, "is not a GeoJSON polygon")
    points = 0
    for ring in rings:
        if not isinstance(ring, list) or len(ring) < _RING or ring[0] != ring[-1]:
            raise FieldInvalid(field, "has a ring that is not closed, or of too few positions")
        points += len(ring)
        if points > _POINTS:
            raise FieldInvalid(field, f"has more than {_POINTS} points", limit=str(_POINTS))
        for point in ring:
            if not isinstance(point, list) or not all(type(part) in (int, float) for part in point):
                raise FieldInvalid(field, "has a position that is not a list of numbers")
            if len(point) not in (2, 3):
                raise FieldInvalid(field, "has a position without longitude and latitude")
            checks.position(point[1], point[0], field)
