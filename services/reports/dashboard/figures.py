"""Figures as pages show them: numbers with what is needed to judge them. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Figure(NamedTuple):
    """A measured number."""

    value: float | None = None
    previous: float | None = None
    """Of the period before."""
    lower: float | None = None
    upper: float | None = None
    of: int = 0
    """How many facts it rests on."""

    @property
    def change(self) -> float | None:
        """By which share it changed; None where there is nothing to compare with."""
        if self.value is None or not self.previous:
            return None
        return self.value / self.previous - 1


class Named(NamedTuple):
    """A value of a dimension, and what people call it."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """Figures that belong together."""

    start: datetime | None
    names: tuple[Named, ...]
    currency: str
    figures: dict[str, Figure]
    """By measure: `sent`, `read_rate`, …"""

    def __getitem__(self, measure: str) -> Figure:
        return self.figures.get(measure, Figure())


class Spell(NamedTuple):
    """Lines of one answer, and how new it is."""

    lines: list[Line]
    fold_time: datetime
