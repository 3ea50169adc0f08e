"""What somebody wants to look at: period, comparison, filters, order, place. It lives in the
address, so that a page can be kept, sent on and gone back to. Pure."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from chassis.failures import FieldInvalid
from services.reports.model import Period

DAYS: Final = {"today": 1, "7d": 7, "28d": 28, "90d": 90, "365d": 365}
USUAL: Final = "28d"
FILTERS: Final = (
    *("campaign", "trigger", "journey", "journey_step", "template", "variant", "language"),
    *("market", "number", "segment", "stage", "category", "device"),
)
_LONGEST: Final = 800
_MOST_VALUES: Final = 20
_LONGEST_TEXT: Final = 200


class Given(Protocol):
    """The query of an address."""

    def get(self, key: str, default: str) -> str:
        """The first value of a name."""
        ...

    def getall(self, key: str, default: list[str]) -> list[str]:
        """All values of a name."""
        ...


class Look(NamedTuple):
    """What to show."""

    period: Period
    preset: str
    """One of `DAYS`, or `custom`."""
    compare: bool = True
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    search: str = ""
    sort: str = ""
    """A column; `-` before it turns the order around."""
    by: str = ""
    place: str = ""
    """Where a page of a list begins."""
    names: Mapping[tuple[str, str], str] = MappingProxyType({})
    """What people call values of filters, by dimension and value, so far as is known."""
    goal: str = ""
    """What counts as a conversion, by its definition; empty: orders."""
    goals: tuple[tuple[str, str], ...] = ()
    """The definitions there are besides, with what people call them."""

    @property
    def days(self) -> int:
        """How long the period is, in days."""
        return max(1, round((self.period.end - self.period.start) / timedelta(days=1)))

    @property
    def grain(self) -> str:
        """How finely a chart of the period is cut."""
        if self.days <= 2:
            return "hour"
        return "day" if self.days <= 92 else "week" if self.days <= 400 else "month"

    def address(self, path: str, **changes: Any) -> str:
        """This look at a page, changed; whatever is as usual is left out."""
        changed = self._replace(**{"place": "", **changes})
        said: list[tuple[str, str]] = []
        if changed.preset == "custom":
            said += [("from", _day(changed.period.start, changed.period.zone))]
            last = changed.period.end - timedelta(microseconds=1)
            said += [("to", _day(last, changed.period.zone))]
        elif changed.preset != USUAL:
            said += [("period", changed.preset)]
        if not changed.compare:
            said += [("compare", "no")]
        said += [(name, value) for name, values in changed.filters for value in values]
        for name in ("goal", "search", "sort", "by", "place"):
            if value := getattr(changed, name):
                said.append((name, value))
        return f"{path}?{urlencode(said)}" if said else path

    def without(self, name: str, value: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The filters but for one value."""
        left = (
            (one, tuple(v for v in values if (one, v) != (name, value)))
            for one, values in self.filters
        )
        return tuple((one, values) for one, values in left if values)

    def narrowed(self, name: str, value: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The filters, with this value alone of its dimension."""
        others = tuple((one, values) for one, values in self.filters if one != name)
        return (*others, (name, (value,)))


def look(given: Given, now: datetime, zone: str) -> Look:
    """What an address asks for. Raises `FieldInvalid` for what cannot be looked at."""
    preset = given.get("period", "")
    start, end = given.get("from", ""), given.get("to", "")
    # The form sends days with every choice, and with them what it showed before: they count where
    # the choice says so, where there is none, and where they were changed
    shown = given.get("shown", "")
    if preset == "custom" or (
        (start or end) and (not preset or shown not in ("", f"{start}/{end}"))
    ):
        preset, period = "custom", _days(start, end, now, zone)
    else:
        preset = preset or USUAL
        if preset not in DAYS:
            raise FieldInvalid("period", f"unknown; there are {', '.join(DAYS)}")
        midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
        first = midnight - timedelta(days=DAYS[preset] - 1)
        period = Period(first, now + timedelta(microseconds=1), zone)
    filters = [(name, _values(given, name)) for name in FILTERS]
    # A choice of a dimension with a value beside it, as the form sends it
    by, value = given.get("filter", ""), _text(given, "value")
    if by and value:
        if by not in FILTERS:
            raise FieldInvalid("filter", f"unknown; there are {', '.join(FILTERS)}")
        filters = [
            (name, tuple(dict.fromkeys((*values, value))) if name == by else values)
            for name, values in filters
        ]
    return Look(
        period,
        preset,
        given.get("compare", "yes") != "no",
        tuple((name, values) for name, values in filters if values),
        _text(given, "search"),
        _text(given, "sort"),
        _text(given, "by"),
        _text(given, "place"),
        goal=_text(given, "goal"),
    )


def _values(given: Given, name: str) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(value for value in given.getall(name, []) if value))
    if len(values) > _MOST_VALUES:
        raise FieldInvalid(name, f"too many; at most {_MOST_VALUES}")
    for value in values:
        _checked(name, value)
    return values


def _text(given: Given, name: str) -> str:
    return _checked(name, given.get(name, "").strip())


def _checked(name: str, value: str) -> str:
    if len(value) > _LONGEST_TEXT:
        raise FieldInvalid(name, f"too long; at most {_LONGEST_TEXT} characters")
    if "\x00" in value:
        raise FieldInvalid(name, "no text")
    return value


def _days(start: str, end: str, now: datetime, zone: str) -> Period:
    today = now.astimezone(ZoneInfo(zone)).date()
    last = _read("to", end) if end else today
    first = _read("from", start) if start else last - timedelta(days=DAYS[USUAL] - 1)
    if first > last:
        raise FieldInvalid("from", "after the last day")
    if (last - first).days >= _LONGEST:
        raise FieldInvalid("from", f"more than {_LONGEST} days before the last day")
    begins, ends = _midnight(first, zone), _midnight(last + timedelta(days=1), zone)
    if begins > now:
        raise FieldInvalid("from", "in the future")
    return Period(begins, ends, zone)


def _read(name: str, value: str) -> date:
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise FieldInvalid(name, "no day; write it like 2026-11-22") from None
    if not 2000 <= found.year < 2200:
        raise FieldInvalid(name, "out of range")
    return found


def _midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


def _day(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).date().isoformat()
