"""What Meta's analytics say, and how it is set beside what we know. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, NamedTuple

Source = Literal["template", "pricing", "sent"]
Name = Literal["sent", "delivered", "read", "clicked", "cost", "billable"]
SUBJECTS: Final[Mapping[Source, tuple[str, ...]]] = {
    "template": ("template",),
    "pricing": ("market", "phone_number_id", "category", "pricing_type"),
    "sent": ("phone_number_id",),
}
"""By what each source tells, by our names."""
MEASURES: Final[Mapping[Source, tuple[Name, ...]]] = {
    "template": ("sent", "delivered", "read", "clicked", "cost"),
    "pricing": ("billable", "cost"),
    "sent": ("sent", "delivered"),
}
COUNTED_ONCE: Final = ("read", "clicked")
"""Seven days after sending Meta no longer tells them: the largest that was told holds."""
_BILLED: Final = "regular"
_NEAR: Final = 0.01


class Figure(NamedTuple):
    """One number of Meta's."""

    day: date
    source: Source
    subjects: tuple[str, ...]
    measure: Name
    value: float


class Beside(NamedTuple):
    """A number of ours beside Meta's."""

    start: datetime
    values: tuple[str, ...]
    measure: Name
    ours: float
    metas: float | None
    currency: str

    @property
    def difference(self) -> float | None:
        """Ours less Meta's."""
        return None if self.metas is None else self.ours - self.metas

    @property
    def reason(self) -> str:
        """Why they differ, where that can be known."""
        apart = self.difference
        if apart is None or apart == 0:
            return "" if apart == 0 else "not_told"
        if self.measure in COUNTED_ONCE and apart > 0:
            return "read_window"
        if self.measure == "cost":
            return "rate_card"
        if abs(apart) <= _NEAR * max(self.ours, self.metas or 0):
            return "approximate"
        return "other_sender" if apart < 0 else "approximate"


def sources(dimensions: Sequence[str]) -> dict[Source, tuple[Name, ...]]:
    """Which sources tell what by these dimensions; {} if none does."""
    asked = set(dimensions)
    found: dict[Source, tuple[Name, ...]] = {}
    told: set[Name] = set()
    order: tuple[Source, ...] = ("sent", "pricing", "template")
    for source in order:
        if asked <= set(SUBJECTS[source]):
            more = tuple(name for name in MEASURES[source] if name not in told)
            told |= set(more)
            if more:
                found[source] = more
    return found


def of_templates(points: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[Figure]:
    """Points of `template_analytics`; `names`: of templates by id."""
    found: dict[tuple[date, str, Name], float] = defaultdict(float)
    for point in points:
        day, name = _day(point), names.get(str(point.get("template_id")), "")
        for measure in ("sent", "delivered", "read"):
            found[day, name, measure] += float(point.get(measure) or 0)
        # Taps on links are told twice: all of them, and those of different people
        found[day, name, "clicked"] += sum(
            float(one.get("count") or 0)
            for one in point.get("clicked") or ()
            if one.get("type") != "url_button"
        )
        found[day, name, "cost"] += sum(
            float(one.get("value") or 0)
            for one in point.get("cost") or ()
            if one.get("type") == "amount_spent"
        )
    return [Figure(day, "template", (name,), m, value) for (day, name, m), value in found.items()]


def of_pricing(points: Iterable[Mapping[str, Any]], numbers: Mapping[str, str]) -> list[Figure]:
    """Points of `pricing_analytics` by all that it tells; `numbers`: our ids by their digits."""
    found: dict[tuple[date, tuple[str, ...], Name], float] = defaultdict(float)
    for point in points:
        kind = str(point.get("pricing_type") or "").lower()
        subjects = (
            str(point.get("country") or ""),
            _number(point.get("phone_number"), numbers),
            _category(point.get("pricing_category")),
            kind,
        )
        billed = kind == _BILLED
        found[_day(point), subjects, "billable"] += float(point.get("volume") or 0) * billed
        found[_day(point), subjects, "cost"] += float(point.get("cost") or 0)
    return [Figure(day, "pricing", s, m, value) for (day, s, m), value in found.items()]


def of_sent(points: Iterable[Mapping[str, Any]], phone_number_id: str) -> list[Figure]:
    """Points of `analytics` of one number."""
    names: tuple[Name, ...] = ("sent", "delivered")
    return [
        Figure(_day(point), "sent", (phone_number_id,), name, float(point.get(name) or 0))
        for point in points
        for name in names
    ]


def summed(
    figures: Iterable[Figure], dimensions: Sequence[str], measures: Sequence[Name], grain: str
) -> dict[tuple[datetime, tuple[str, ...], Name], float]:
    """By bucket (UTC), dimensions and measure."""
    found: dict[tuple[datetime, tuple[str, ...], Name], float] = defaultdict(float)
    for figure in figures:
        if figure.measure in measures:
            names = SUBJECTS[figure.source]
            values = tuple(figure.subjects[names.index(name)] for name in dimensions)
            day = figure.day.replace(day=1) if grain == "month" else figure.day
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            found[start, values, figure.measure] += figure.value
    return dict(found)


def _day(point: Mapping[str, Any]) -> date:
    return datetime.fromtimestamp(int(point["start"]), UTC).date()


def _number(given: object, numbers: Mapping[str, str]) -> str:
    digits = "".join(filter(str.isdigit, str(given or "")))
    return numbers.get(digits, digits)


def _category(given: object) -> str:
    name = str(given or "").lower()
    return {"authentication_international": "authentication-international"}.get(name, name)
