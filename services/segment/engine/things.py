"""Places and catalogue items as they are kept, joined from whatever comes first. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

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


class ItemChange(msgspec.Struct, frozen=True):
    """An item came back in stock, or its price fell."""

    kind: Literal["back_in_stock", "price_drop"]
    time: int
    item: ItemRecord
    """As it is by that."""
    former_micros: int | None = None
    """The price before it fell."""

    @property
    def drop(self) -> float:
        """By how much of the former price it fell, 0 to 1."""
        if self.former_micros is None or self.item.price_micros is None:
            return 0.0
        return (self.former_micros - self.item.price_micros) / self.former_micros


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


def taken(kept: ItemRecord, told: Iterable[ItemRecord]) -> tuple[ItemRecord, list[ItemChange]]:
    """What is kept of an item when more is told of it, in whatever order, and what changed by
    that. What is older than what is kept changes nothing, so that nothing is noticed twice."""
    changes: list[ItemChange] = []
    for one in sorted(told, key=lambda item: item.time):
        before, kept = kept, joined_item(kept, one)
        changes += _changed(before, kept)
    return kept, changes


def _changed(before: ItemRecord, after: ItemRecord) -> Iterator[ItemChange]:
    if not after.present:
        return
    if (
        after.stock_time > before.stock_time
        and before.stock is not None
        and before.stock <= 0
        and after.stock is not None
        and after.stock > 0
    ):
        yield ItemChange("back_in_stock", after.stock_time, after)
    if (
        after.price_time > before.price_time
        and before.price_micros is not None
        and after.price_micros is not None
        and after.price_micros < before.price_micros
        and after.currency_code == before.currency_code
    ):
        yield ItemChange("price_drop", after.price_time, after, before.price_micros)


def told_item(change: ItemChange) -> dict[str, Any]:
    """What `item` says of it in expressions; see `vocabulary.ITEM`."""
    item = change.item
    fields, rest = told_fields(item)
    found: dict[str, Any] = {
        "catalog_id": item.catalog_id,
        "item_id": item.item_id,
        **{name: text for name, text in fields.items() if text},
        "properties": rest,
    }
    if item.stock is not None:
        found["stock"] = item.stock
    if item.price_micros is not None:
        found |= {"price": item.price_micros / 1e6, "currency_code": item.currency_code}
    if change.former_micros is not None:
        found["former_price"] = change.former_micros / 1e6
    return found


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
