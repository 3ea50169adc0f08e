"""Which of thousands of places a position is in. Pure.

A grid for every order of size, as in a box of sieves: a place stands in the coarsest cells that
are still about as large as itself, at most two by two of them. So a position looks into one cell of
each grid in use, however many places there are elsewhere.
"""

from collections.abc import Mapping
from math import floor
from typing import Final, TypeAlias

from expressions import Area

_LEVELS: Final = 17
"""The smallest cells are 360 / 2¹⁷ degrees, some 300 m from north to south."""
_SLACK: Final = 1e-7
"""Degrees, some centimetres: rounding puts nobody into a cell in which his place does not stand."""

_Box: TypeAlias = tuple[float, float, float, float]
_Cell: TypeAlias = tuple[int, int]


class Geofence:
    """Places in cells, as of one moment."""

    def __init__(self, areas: Mapping[str, Area]) -> None:
        """By place id."""
        self._areas = dict(areas)
        self._grids: dict[int, dict[_Cell, list[tuple[str, Area]]]] = {}
        for place_id, area in self._areas.items():
            self._add(place_id, area)

    def _add(self, place_id: str, area: Area) -> None:
        south, west, north, east = box = _widened(area.bounds())
        level = _level(max(north - south, east - west))
        cells = self._grids.setdefault(level, {})
        for cell in _cells(box, level):
            cells.setdefault(cell, []).append((place_id, area))

    def containing(self, latitude: float, longitude: float) -> set[str]:
        """The places that a position is in."""
        found: set[str] = set()
        for level, cells in self._grids.items():
            size = 360 / (1 << level)
            row, column = floor(latitude / size), floor(longitude / size) % (1 << level)
            for place_id, area in cells.get((row, column), ()):
                if area.contains(latitude, longitude):
                    found.add(place_id)
        return found

    def distance(self, place_id: str, latitude: float, longitude: float) -> float | None:
        """Metres from a position to a place, 0 inside of it; None: there is no such place."""
        area = self._areas.get(place_id)
        return None if area is None else area.distance(latitude, longitude)


def _widened(box: _Box) -> _Box:
    south, west, north, east = box
    return south - _SLACK, west - _SLACK, north + _SLACK, east + _SLACK


def _level(extent: float) -> int:
    """The finest whose cells are no smaller (degrees)."""
    level = 0
    while level < _LEVELS and 360 / (1 << (level + 1)) >= extent:
        level += 1
    return level


def _cells(box: _Box, level: int) -> set[_Cell]:
    south, west, north, east = box
    size, around = 360 / (1 << level), 1 << level
    return {
        (row, column % around)
        for row in range(floor(south / size), floor(north / size) + 1)
        for column in range(floor(west / size), floor(east / size) + 1)
    }
