"""Places on the earth: how far a point is from one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import asin, cos, degrees, hypot, radians, sin, sqrt
from typing import Any, Final, TypeAlias

from expressions.values import is_number

Point: TypeAlias = tuple[float, float]
"""Latitude and longitude, degrees."""

LOCATION: Final = "traits.last_location"
"""The trait that says where a contact last was."""
LOCATION_TIME: Final = "traits.last_location_time"
"""The trait that says when that was."""
_EARTH: Final = 6_371_008.8  # metres, the mean radius
_LONGEST: Final = 1_000_000.0
_DISTANCE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(m|km)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Area:
    """A circle around a point, or the rings of a polygon: its border, then its holes."""

    latitude: float
    longitude: float
    radius: float = 0.0
    """Metres."""
    rings: tuple[tuple[Point, ...], ...] = ()

    def contains(self, latitude: float, longitude: float) -> bool:
        """Whether a point is in it."""
        if not self.rings:
            return metres(self.latitude, self.longitude, latitude, longitude) <= self.radius
        return sum(_inside(ring, latitude, longitude) for ring in self.rings) % 2 == 1

    def distance(self, latitude: float, longitude: float) -> float:
        """Metres to the nearest point of the area; 0 inside of it."""
        if not self.rings:
            middle = metres(self.latitude, self.longitude, latitude, longitude)
            return max(0.0, middle - self.radius)
        if self.contains(latitude, longitude):
            return 0.0
        return min(_to_ring(ring, latitude, longitude) for ring in self.rings)

    def bounds(self) -> tuple[float, float, float, float]:
        """South, west, north and east of everything in it, degrees; east of 180 where a circle
        crosses that meridian, and all the way round where it holds a pole."""
        if self.rings:
            points = [point for ring in self.rings for point in ring]
            norths, easts = [n for n, _ in points], [e for _, e in points]
            return min(norths), min(easts), max(norths), max(easts)
        angle = self.radius / _EARTH
        south, north = self.latitude - degrees(angle), self.latitude + degrees(angle)
        if south <= -90 or north >= 90:
            return max(south, -90.0), -180.0, min(north, 90.0), 180.0
        wide = degrees(asin(min(1.0, sin(angle) / cos(radians(self.latitude)))))
        return south, self.longitude - wide, north, self.longitude + wide


def parse_distance(text: str) -> float:
    """Metres of `500m`, `1.5km`. Raises ValueError."""
    found = _DISTANCE.fullmatch(text)
    if found is None:
        raise ValueError('not a distance; write for example "500m" or "1.5km"')
    distance = float(found[1]) * (1000 if found[2] == "km" else 1)
    if distance > _LONGEST:
        raise ValueError("more than 1000 km")
    return distance


def metres(
    latitude: float, longitude: float, other_latitude: float, other_longitude: float
) -> float:
    """Along the great circle (haversine)."""
    north, other_north = radians(latitude), radians(other_latitude)
    east = radians(other_longitude - longitude)
    half = sin((other_north - north) / 2) ** 2 + cos(north) * cos(other_north) * sin(east / 2) ** 2
    return 2 * _EARTH * asin(min(1.0, sqrt(half)))


def position(value: Any) -> Point | None:
    """The point in a location as facts hold it; None when there is none."""
    if value.__class__ is not dict:
        return None
    latitude: Any = value.get("latitude")
    longitude: Any = value.get("longitude")
    if not (is_number(latitude) and is_number(longitude)):
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        return None
    return float(latitude), float(longitude)


def is_near(areas: Mapping[str, Area], place: str, distance: float, location: Any) -> bool | None:
    """Whether a location is at most so far (metres) from a place; None when either is unknown."""
    point, area = position(location), areas.get(place)
    return None if point is None or area is None else area.distance(*point) <= distance


def _inside(ring: tuple[Point, ...], latitude: float, longitude: float) -> bool:
    """By how often a line to the east crosses the ring."""
    inside = False
    for (north, east), (next_north, next_east) in zip(ring, (*ring[1:], ring[0]), strict=True):
        if (north > latitude) != (next_north > latitude):
            crossing = east + (latitude - north) * (next_east - east) / (next_north - north)
            inside ^= longitude < crossing
    return inside


def _to_ring(ring: tuple[Point, ...], latitude: float, longitude: float) -> float:
    """On a plane that touches the earth at the point, which is exact enough for some kilometres."""
    north_metres = radians(1) * _EARTH
    east_metres = north_metres * cos(radians(latitude))
    flat = [((e - longitude) * east_metres, (n - latitude) * north_metres) for n, e in ring]
    return min(
        _to_segment(*one, *after) for one, after in zip(flat, (*flat[1:], flat[0]), strict=True)
    )


def _to_segment(x: float, y: float, next_x: float, next_y: float) -> float:
    """From the origin."""
    along_x, along_y = next_x - x, next_y - y
    length = along_x**2 + along_y**2
    share = min(1.0, max(0.0, -(x * along_x + y * along_y) / length)) if length else 0.0
    return hypot(x + share * along_x, y + share * along_y)
