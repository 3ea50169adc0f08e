"""The kinds of rows: which fields each can say, which it must, and what that is in the contract's
words. Pure."""

from collections.abc import Callable
from datetime import tzinfo
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import orjson

from chassis.failures import FieldInvalid
from services.ingest.imports import values
from services.ingest.model import Body
from services.ingest.model import Kind as IdentityKind

Kind = Literal["events", "contacts", "consents", "catalog_items", "places"]
Read = Callable[[Any], Any]
"""Reads one value; raises `ValueError` with the problem."""

EVENT_TIME: Final = "event_time"
CHANGE_TIME: Final = "change_time"


class Rules(NamedTuple):
    """Of one kind of rows."""

    fields: tuple[str, ...]
    """What a row can say; `properties.*` stands for any property."""
    needed: tuple[tuple[str, ...], ...]
    """Of each of these, columns must say at least one."""
    since_start: str
    """The time that is the import's beginning when no row says it; empty where rows must."""
    body: Callable[[Body], Body]
    """What a row says by field, in the contract's words. Raises `FieldInvalid`."""


def readers(zone: tzinfo, region: str, scope: str) -> dict[str, Read]:
    """A reader of each field. `zone`: of times without an offset; `region` (ISO 3166): of phone
    numbers without a country; `scope`: of the business's own ids."""
    moment = partial(values.moment_ms, zone=zone)
    phone = partial(values.phone, region=region)
    whole, decimal, mapping = values.whole, values.decimal, values.mapping
    special: dict[str, Read] = {
        "identity.wa_id": _identity(IdentityKind.WA_ID, "", phone),
        "identity.external_id": _identity(IdentityKind.EXTERNAL_ID, scope, values.text),
        "identity.anonymous_id": _identity(IdentityKind.ANONYMOUS_ID, scope, values.text),
        "identity.email": _identity(IdentityKind.EMAIL, "", values.email),
        **dict.fromkeys((EVENT_TIME, CHANGE_TIME, "consent.expire_time"), moment),
        **dict.fromkeys(("properties", "attributes"), mapping),
        "consent.granted": values.boolean,
        **dict.fromkeys(("stock", "price_micros"), whole),
        "price": values.micros,
        **dict.fromkeys(("latitude", "longitude", "radius_meters"), decimal),
        "polygon": values.document,
        "labels": values.labels,
    }
    every = {field for rules in KINDS.values() for field in rules.fields}
    return {**dict.fromkeys(every, values.text), **special}


def _identity(kind: IdentityKind, scope: str, read: Callable[[Any], str]) -> Read:
    return lambda value: {"kind": kind, "scope": scope, "value": read(value)}


# ---- in the contract's words


def _happened(said: Body) -> Body:
    """Whom it happened to, and when."""
    found: Body = {"identities": [said[field] for field in _PERSON if field in said]}
    if EVENT_TIME in said:
        found[EVENT_TIME] = _timestamp(said[EVENT_TIME])
    if "event_id" in said:
        found["event_id"] = said["event_id"]
    return found


def _event(said: Body) -> Body:
    tracked = {"name": said.get("name", ""), "properties_json": _object(said, "properties")}
    return {**_happened(said), "tracked": tracked}


def _contact(said: Body) -> Body:
    return {**_happened(said), "identified": {"traits_json": _object(said, "attributes")}}


def _consent(said: Body) -> Body:
    _there(said, "consent.granted")
    consent: Body = {name: said[field] for name in _CONSENT if (field := f"consent.{name}") in said}
    consent.setdefault("channel", "import")
    if "expire_time" in consent:
        consent["expire_time"] = _timestamp(consent["expire_time"])
    return {**_happened(said), "consent_changed": consent}


def _item(said: Body) -> Body:
    found: Body = {name: said[name] for name in _ITEM if name in said}
    if "price" in said:
        found["price_micros"] = said["price"]
    found["properties_json"] = _object(said, "properties")
    found[CHANGE_TIME] = _timestamp(said[CHANGE_TIME])
    return found


def _place(said: Body) -> Body:
    _there(said, "latitude")
    _there(said, "longitude")
    found: Body = {name: said[name] for name in _PLACE if name in said}
    found["polygon_json"] = said.get("polygon", b"")
    found[CHANGE_TIME] = _timestamp(said[CHANGE_TIME])
    return found


def _there(said: Body, field: str) -> None:
    """For what would be taken for zero, or no, if it were missing."""
    if field not in said:
        raise FieldInvalid(f"row.{field}", "is missing")


def _timestamp(ms: int) -> Body:
    return {"seconds": ms // 1000, "nanos": ms % 1000 * 1_000_000}


def _object(said: Body, name: str) -> bytes:
    """The object a row gives in whole, and what it gives of it one by one."""
    found = dict(said.get(name, {}))
    for field, value in said.items():
        if field.startswith(f"{name}."):
            found[field[len(name) + 1 :]] = value
    try:
        return orjson.dumps(found)
    except TypeError:
        # orjson reads deeper nesting than it writes
        raise FieldInvalid(f"row.{name}", "is nested too deeply") from None


_PERSON: Final = (
    *("identity.wa_id", "identity.external_id"),
    *("identity.anonymous_id", "identity.email"),
)
_WHO_AND_WHEN: Final = (*_PERSON, "event_id", EVENT_TIME)
_CONSENT: Final = (
    *("purpose", "granted", "channel", "text_version", "proof", "legal_basis", "medium"),
    "expire_time",
)
_CONSENT_FIELDS: Final = tuple(f"consent.{name}" for name in _CONSENT)
_ITEM: Final = (
    *("catalog_id", "item_id", "title", "category", "url", "image_url", "stock"),
    *("price_micros", "currency_code"),
)
_PLACE: Final = ("place_id", "name", "latitude", "longitude", "radius_meters", "labels")

KINDS: Final[dict[Kind, Rules]] = {
    "events": Rules(
        (*_WHO_AND_WHEN, "name", "properties", "properties.*"),
        (_PERSON, ("name",), (EVENT_TIME,)),
        "",
        _event,
    ),
    "contacts": Rules(
        (*_WHO_AND_WHEN, "attributes", "attributes.*"), (_PERSON,), EVENT_TIME, _contact
    ),
    "consents": Rules(
        (*_WHO_AND_WHEN, *_CONSENT_FIELDS),
        # A grant without its time could overrule a later withdrawal
        (_PERSON, ("consent.purpose",), ("consent.granted",), (EVENT_TIME,)),
        "",
        _consent,
    ),
    "catalog_items": Rules(
        (*_ITEM, "price", "properties", "properties.*", CHANGE_TIME),
        (("catalog_id",), ("item_id",)),
        CHANGE_TIME,
        _item,
    ),
    "places": Rules(
        (*_PLACE, "polygon", CHANGE_TIME),
        (("place_id",), ("latitude",), ("longitude",)),
        CHANGE_TIME,
        _place,
    ),
}
