"""Cells of the earth that have one weather. Pure."""

from typing import Final

from expressions.places import Point

_SIDE: Final = 4
"""Cells per degree: some 28 km from north to south. Weather models are not much finer, and what a
day of weather costs grows with the number of cells."""


def cell_of(latitude: float, longitude: float) -> str:
    """The name of the cell around a point."""
    row = round(latitude * _SIDE)
    column = round(longitude * _SIDE)
    if column == 180 * _SIDE:
        column = -180 * _SIDE
    return f"{row / _SIDE:.2f},{column / _SIDE:.2f}".replace("-0.00", "0.00")


def point_of(cell: str) -> Point:
    """The middle of a cell."""
    latitude, _, longitude = cell.partition(",")
    return float(latitude), float(longitude)
