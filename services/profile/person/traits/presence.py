"""Traits of where a person was last seen, and with what: device, browser, place, language."""

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from services.profile.person.model import Document, Happening, ValueType
from services.profile.person.tallies import add, hold
from services.profile.person.traits import hours
from services.profile.person.traits.counting import extend, of_time
from services.profile.person.traits.trait import Sort, Trait, itself

_LONGEST: Final = 64
_BROWSED: Final = frozenset({"link_clicked", "page_viewed", "screen_viewed"})
_PLACED: Final = frozenset({"location_pinged", "message_received"})
_SEEN: Final = hours.EVENTS | {"message_clicked", "location_pinged"}
_EVENTS: Final = _SEEN | _BROWSED | _PLACED


def fold(document: Document, happening: Happening) -> None:
    """Take in when a person was seen, where, and what with."""
    properties, tallies = happening.properties, document.tallies
    extend(document, "last_seen_time", happening.time)
    if happening.name in _BROWSED:
        for name in ("device", "os", "browser", "locale", "device_zone"):
            if (value := _text(properties.get(name))) is not None:
                hold(tallies, name, happening.latest(value))
    if happening.name in _PLACED and (place := _place(properties)) is not None:
        hold(tallies, "location", happening.latest(place))
    if "tongue" in properties and (tongue := _text(properties["tongue"])):
        add(tallies, "tongues", happening.time, tongue, 1)
        hold(tallies, "tongue", happening.latest())


def telling(happening: Happening) -> bool:
    """Whether zone or language may follow from what a happening shows."""
    return happening.name in _BROWSED or "tongue" in happening.properties


def _text(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None


def _place(properties: Any) -> list[float] | None:
    """Latitude, longitude, and radius of the uncertainty in metres."""
    found = [properties.get(name) for name in ("latitude", "longitude", "accuracy_meters")]
    if not all(isinstance(n, int | float) and isfinite(n) for n in found[:2]):
        return None
    accuracy = found[2] if isinstance(found[2], int | float) and isfinite(found[2]) else 0
    return [float(found[0]), float(found[1]), float(accuracy)]


def _of_latest(name: str) -> Callable[[Document], Any]:
    def read(document: Document) -> Any:
        latest = document.tallies.latest.get(name)
        return None if latest is None else latest.value

    return read


def _location(document: Document) -> dict[str, float] | None:
    latest = document.tallies.latest.get("location")
    if latest is None:
        return None
    return dict(zip(("latitude", "longitude", "accuracy_meters"), latest.value, strict=True))


def _location_time(document: Document) -> int | None:
    latest = document.tallies.latest.get("location")
    return None if latest is None else latest.time


_TRAITS: Final[tuple[Trait[Document], ...]] = (
    Trait(
        "last_seen_time",
        ValueType.TIMESTAMP,
        "When the person last did anything we saw",
        _EVENTS,
        of_time("last_seen_time"),
    ),
    Trait(
        "device",
        ValueType.STRING,
        "mobile, tablet or desktop: what the person last used",
        _BROWSED,
        _of_latest("device"),
    ),
    Trait("os", ValueType.STRING, "The device's system", _BROWSED, _of_latest("os")),
    Trait("browser", ValueType.STRING, "The browser last used", _BROWSED, _of_latest("browser")),
    Trait(
        "last_location",
        ValueType.LOCATION,
        "Where the person last was, by their device or a place they sent",
        _PLACED,
        _location,
    ),
    Trait(
        "last_location_time",
        ValueType.TIMESTAMP,
        "When the person was there",
        _PLACED,
        _location_time,
    ),
)

SORT: Final = Sort(_EVENTS, fold, itself, _TRAITS)
