"""Places and catalogue items as they are kept, joined from whatever comes first. Pure."""

from typing import Any, Final

import msgspec
import orjson

from expressions import Area

_FIELDS: Final = ("title", "category", "url", "image_url")


class PlaceRecord(msgspec.Struct, frozen=True, array_like=True):
    """A place as of `time`; of a place that is gone only that is known."""

    place_id: str
    time: int
    present: bool = True
    name: str = ""
    latitude: float = 0.0
    longitude: float = 0.0
    radius: float = 0.0
    """Metres."""
    polygon: bytes = b""
    """GeoJSON, instead of a circle."""
    labels: tuple[str, ...] = ()


_PLACE: Final = msgspec.msgpack.Decoder(PlaceRecord)


class ItemRecord(msgspec.Struct, frozen=True, array_like=True):
    """A thing that is sold. Its fields, stock and price change by themselves, each as of a time."""

    catalog_id: str
    item_id: str
    fields: bytes = b""
    """JSON."""
    fields_time: int = 0
    stock: int | None = None
    stock_time: int = 0
    price_micros: int | None = None
    currency_code: str = ""
    price_time: int = 0
    delete_time: int = 0

    @property
    def present(self) -> bool:
        """Whether it is sold; one that is gone comes back when its fields are told again."""
        return self.delete_time == 0 or self.fields_time > self.delete_time

    @property
    def time(self) -> int:
        """When it last changed."""
        return max(self.fields_time, self.stock_time, self.price_time, self.delete_time)


def later_place(one: PlaceRecord, other: PlaceRecord) -> PlaceRecord:
    """The later of two; of the same time always the same one."""
    return max(one, other, key=lambda place: (place.time, msgspec.msgpack.encode(place)))


def joined_item(one: ItemRecord, other: ItemRecord) -> ItemRecord:
    """What both say, each part as it was said last, whichever came first."""
    fields = max(one, other, key=lambda item: (item.fields_time, item.fields))
    stock = max(one, other, key=lambda item: (item.stock_time, _or_none(item.stock)))
    price = max(
        one,
        other,
        key=lambda item: (item.price_time, _or_none(item.price_micros), item.currency_code),
    )
    return ItemRecord(
        one.catalog_id,
        one.item_id,
        fields.fields,
        fields.fields_time,
        stock.stock,
        stock.stock_time,
        price.price_micros,
        price.currency_code,
        price.price_time,
        max(one.delete_time, other.delete_time),
    )


def _or_none(amount: int | None) -> int:
    """For comparing: what is not known before what is."""
    return -1 if amount is None else amount


def told_fields(item: ItemRecord) -> tuple[dict[str, str], dict[str, Any]]:
    """The fields that every item has, by name, and its others."""
    rest: dict[str, Any] = orjson.loads(item.fields) if item.fields else {}
    return {name: str(rest.pop(name, "") or "") for name in _FIELDS}, rest


def decoded_place(data: bytes) -> PlaceRecord:
    """What msgpack encoded."""
    return _PLACE.decode(data)


def area(place: PlaceRecord) -> Area:
    """Where a place is."""
    rings: list[tuple[tuple[float, float], ...]] = []
    if place.polygon:
        for ring in orjson.loads(place.polygon)["coordinates"]:
            rings.append(tuple((float(at[1]), float(at[0])) for at in ring))
    return Area(place.latitude, place.longitude, place.radius, tuple(rings))


def same_area(one: PlaceRecord, other: PlaceRecord) -> bool:
    """Whether nobody is near one and not near the other."""
    return (one.present, one.latitude, one.longitude, one.radius, one.polygon) == (
        other.present,
        other.latitude,
        other.longitude,
        other.radius,
        other.polygon,
    )
