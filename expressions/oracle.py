"""What an expression means, said slowly and plainly; for tests to compare with.

It walks the syntax tree over the full, unordered list of what happened. It shares the parser, the
registry and the meaning of operators on plain values with the compiled form, and nothing else: no
closures, no timelines, no types of the checker. An expression that the compiler refuses has no
meaning here either.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import re2  # type: ignore[import-untyped] # google-re2 comes without stubs

from expressions import places, values
from expressions.parser import parse
from expressions.registry import WEATHER, Registry
from expressions.schema import DYN, TIMESTAMP, Type, normalise
from expressions.syntax import (
    AllOf,
    AnyOf,
    Binary,
    Call,
    Conditional,
    Index,
    ListOf,
    Literal,
    Name,
    Node,
    Select,
    Unary,
)


@dataclass(frozen=True)
class Happening:
    """One event as it came: its name, time (ms) and all its properties."""

    name: str
    time: int
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Person:
    """All there is to know about a contact, with the full history in any order."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    consents: Mapping[str, bool] = field(default_factory=dict)
    segments: frozenset[str] = frozenset()
    zone: str = "UTC"
    happenings: tuple[Happening, ...] = ()


class _Moment(int):
    """A timestamp, so that it can be told from a number."""


class _Span(int):
    """A duration."""


@dataclass(frozen=True)
class _Events:
    type: Type
    happenings: tuple[Happening, ...]


@dataclass(frozen=True)
class _Pair:
    earlier: tuple[Happening, ...]
    later: tuple[Happening, ...]


class Oracle:
    """A source, parsed once, to be asked about persons and moments."""

    def __init__(self, source: str, registry: Registry) -> None:
        self._node = parse(source)
        self._registry = registry

    def evaluate(
        self,
        person: Person,
        now: int,
        event: Happening | None = None,
        given: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """The value at `now`; a missing condition is None, which counts as false."""
        names: dict[str, Any] = {
            root: normalise(self._registry.given.get(root, DYN), found)
            for root, found in (given or {}).items()
        }
        if event is not None:
            registry = self._registry
            kind = registry.causes.get(event.name) or registry.event(event.name)
            names["event"] = (event, kind)
        return _Walk(self._registry, person, now).of(self._node, names)


@dataclass(frozen=True)
class _Walk:
    registry: Registry
    person: Person
    now: int

    def of(self, node: Node, names: Mapping[str, Any]) -> Any:
        match node:
            case Literal():
                return node.value
            case Name():
                return names[node.name]
            case ListOf():
                items = [self.of(item, names) for item in node.items]
                return None if None in items else items
            case AllOf():
                parts = [self.condition(part, names) for part in node.parts]
                return False if False in parts else None if None in parts else True
            case AnyOf():
                parts = [self.condition(part, names) for part in node.parts]
                return True if True in parts else None if None in parts else False
            case Conditional():
                chosen = self.of(node.condition, names) is True
                return self.of(node.then if chosen else node.otherwise, names)
            case Unary(operator="!"):
                value = self.condition(node.operand, names)
                return None if value is None else not value
            case Unary():
                return _arithmetic("-", 0, self.of(node.operand, names))
            case Binary():
                return self.binary(node, names)
            case Select():
                return self.select(node, names)
            case Index():
                return self.index(node, names)
            case Call():
                return self.call(node, names)

    def condition(self, node: Node, names: Mapping[str, Any]) -> bool | None:
        value = self.of(node, names)
        return value if isinstance(value, bool) else None

    def binary(self, node: Binary, names: Mapping[str, Any]) -> Any:
        left, right = self.of(node.left, names), self.of(node.right, names)
        nulls = [
            isinstance(side, Literal) and side.value is None for side in (node.left, node.right)
        ]
        if any(nulls):
            return (left is None and right is None) is (node.operator == "==")
        if left is None or right is None:
            return None
        match node.operator:
            case "==":
                return values.equal(_plain(left), _plain(right))
            case "!=":
                return not values.equal(_plain(left), _plain(right))
            case "in":
                if isinstance(right, list):
                    return any(values.equal(_plain(left), _plain(item)) for item in right)
                return left in right if isinstance(right, dict) else None
            case "<" | "<=" | ">" | ">=" as sign:
                if not values.orderable(_plain(left), _plain(right)):
                    return None
                return {
                    "<": left < right,
                    "<=": left <= right,
                    ">": left > right,
                    ">=": left >= right,
                }[sign]
            case sign:
                return _arithmetic(sign, left, right)

    def select(self, node: Select, names: Mapping[str, Any]) -> Any:
        if isinstance(node.operand, Name) and node.operand.name in ("profile", "traits"):
            return self.attribute(node.operand.name, node.field)
        return self.member(self.of(node.operand, names), node.field)

    def attribute(self, space: str, field: str) -> Any:
        name = field if space == "profile" else f"traits.{field}"
        kind = self.registry.attributes.get(name, DYN)
        return self.typed(kind, self.person.attributes.get(name))

    def index(self, node: Index, names: Mapping[str, Any]) -> Any:
        if isinstance(node.operand, Name) and node.operand.name in ("profile", "traits"):
            return self.attribute(node.operand.name, self.of(node.key, names))
        operand, key = self.of(node.operand, names), self.of(node.key, names)
        if isinstance(operand, list):
            inside = type(key) is int and 0 <= key < len(operand)
            return operand[key] if inside else None
        return self.member(operand, key)

    def member(self, operand: Any, name: Any) -> Any:
        match operand:
            case (Happening() as happening, Type() as kind):
                if name == "time":
                    return _Moment(happening.time)
                return self.typed(kind.fields.get(name, DYN), happening.properties.get(name))
            case dict():
                return operand.get(name)
            case datetime():
                return {
                    "hour": operand.hour,
                    "weekday": operand.isoweekday(),
                    "day": operand.day,
                    "month": operand.month,
                    "year": operand.year,
                }[name]
        return None

    def typed(self, kind: Type, value: Any) -> Any:
        value = normalise(kind, value)
        return _Moment(value) if kind == TIMESTAMP and value is not None else value

    def call(self, node: Call, names: Mapping[str, Any]) -> Any:
        if node.receiver is not None:
            return self.method(node, self.of(node.receiver, names), names)
        match node.name:
            case "now":
                return _Moment(self.now)
            case "stage":
                return self.typed(
                    self.registry.attributes["stage"], self.person.attributes.get("stage")
                )
            case "weather":
                return self.typed(
                    self.registry.attributes[WEATHER], self.person.attributes.get(WEATHER)
                )
            case "has":
                return self.of(node.args[0], names) is not None
            case "localTime" if not node.args:
                return self.wall(self.now)
        args = [self.of(arg, names) for arg in node.args]
        if None in args:
            return None
        match node.name:
            case "localTime":
                return self.wall(args[0])
            case "consent":
                return self.person.consents.get(args[0], False)
            case "segment":
                return args[0] in self.person.segments
            case "near":
                return self.near(args[0], args[1])
            case "events":
                kind = self.registry.event(args[0])
                assert kind is not None
                return _Events(kind, self.happened(args[0]))
            case "sequence":
                return _Pair(self.happened(args[0]), self.happened(args[1]))
        return _function(node.name, args[0])

    def wall(self, moment: int) -> datetime:
        return datetime.fromtimestamp(moment // 1000, ZoneInfo(self.person.zone))

    def near(self, place: str, text: str) -> bool | None:
        location = self.person.attributes.get(places.LOCATION)
        area, point = self.registry.places.get(place), places.position(location)
        if area is None or point is None:
            return None
        return area.distance(*point) <= places.parse_distance(text)

    def happened(self, name: str) -> tuple[Happening, ...]:
        """What happened up to now, oldest first."""
        found = [h for h in self.person.happenings if h.name == name and h.time <= self.now]
        return tuple(sorted(found, key=lambda happening: happening.time))

    def method(self, node: Call, receiver: Any, names: Mapping[str, Any]) -> Any:
        match receiver:
            case _Events():
                return self.of_events(node, receiver, names)
            case _Pair():
                return self.of_pair(node, receiver)
            case None:
                return None
        if node.name in ("all", "exists", "exists_one", "filter", "map"):
            return self.macro(node, receiver, names)
        args = [self.of(arg, names) for arg in node.args]
        if None in args:
            return None
        if node.name == "isToday":
            return self.is_today(receiver)
        if isinstance(receiver, list | dict):
            return len(receiver) if node.name == "size" else None
        if not isinstance(receiver, str):
            return None
        return _TEXT[node.name](receiver, *args)

    def is_today(self, text: Any) -> bool | None:
        try:
            born = date.fromisoformat(text)
        except (TypeError, ValueError):
            return None
        today = self.wall(self.now).date()
        leap = today.year % 4 == 0 and (today.year % 100 != 0 or today.year % 400 == 0)
        wanted = (born.month, born.day)
        if wanted == (2, 29) and not leap:
            wanted = (2, 28)
        return wanted == (today.month, today.day)

    def macro(self, node: Call, elements: Any, names: Mapping[str, Any]) -> Any:
        if not isinstance(elements, list):
            return None
        variable, body = node.args
        assert isinstance(variable, Name)
        results = [self.of(body, {**names, variable.name: element}) for element in elements]
        held = [result is True for result in results]
        match node.name:
            case "all":
                return all(held)
            case "exists":
                return any(held)
            case "exists_one":
                return sum(held) == 1
            case "filter":
                return [element for element, kept in zip(elements, held, strict=True) if kept]
        return None if None in results else results

    def of_events(self, node: Call, events: _Events, names: Mapping[str, Any]) -> Any:
        happenings = events.happenings

        def each(body: Node) -> list[Any]:
            variable = node.args[0]
            assert isinstance(variable, Name)
            return [
                self.of(body, {**names, variable.name: (happening, events.type)})
                for happening in happenings
            ]

        match node.name:
            case "where":
                held = each(node.args[1])
                kept = [h for h, result in zip(happenings, held, strict=True) if result is True]
                return _Events(events.type, tuple(kept))
            case "within":
                start = self.now - values.parse_duration(self.of(node.args[0], names))
                return _Events(events.type, tuple(h for h in happenings if h.time > start))
            case "count":
                return len(happenings)
            case "exists":
                return len(happenings) > 0
            case "last":
                return (happenings[-1], events.type) if happenings else None
            case "first":
                return (happenings[0], events.type) if happenings else None
        found = [value for value in each(node.args[1]) if value is not None]
        if node.name == "distinct":
            return len({values.identity(_plain(v)) for v in found} - {None})
        if node.name in ("sum", "avg"):
            found = [value for value in found if values.is_number(value)]
        if node.name == "sum":
            return _total(found)
        if not found:
            return None
        if node.name == "avg":
            return _total(found) / len(found)
        return min(found) if node.name == "min" else max(found)

    def of_pair(self, node: Call, pair: _Pair) -> bool:
        window = values.parse_duration(self.of(node.args[0], {}))
        if not pair.earlier:
            return False
        began = max(happening.time for happening in pair.earlier)
        followed = any(began <= happening.time < began + window for happening in pair.later)
        if node.name == "within":
            return followed
        return not followed and self.now >= began + window


def _total(found: list[Any]) -> Any:
    total: Any = 0
    for value in found:
        total = total + value
    return total


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, _Moment | _Span) else value


def _arithmetic(sign: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    result = values.arithmetic(sign)(_plain(left), _plain(right))
    kinds = {type(left), type(right)} & {_Moment, _Span}
    if not kinds or result is None:
        return result
    both = isinstance(left, _Moment) and isinstance(right, _Moment)
    return _Moment(result) if _Moment in kinds and not both else _Span(result)


def _function(name: str, value: Any) -> Any:
    match name, value:
        case "size", str() | list() | dict():
            return len(value)
        case "int", _Moment():
            return int(value) // 1000
        case "int", _:
            return values.whole(value)
        case "double", _:
            return values.real(value)
        case "string", _Moment():
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
            return values.timestamp_text(int(moment.timestamp() * 1000 + 0.5))
        case "string", _Span():
            return values.duration_text(int(value))
        case "string", _:
            return values.text(value)
        case "timestamp", _Moment():
            return value
        case "timestamp", _:
            moment_or_none = values.moment(value)
            return None if moment_or_none is None else _Moment(moment_or_none)
        case "duration", _Span():
            return value
        case "duration", _:
            span = values.span(value)
            return None if span is None else _Span(span)
    return None


_TEXT: dict[str, Callable[..., Any]] = {
    "startsWith": lambda text, part: text[: len(part)] == part,
    "endsWith": lambda text, part: part == "" or text[-len(part) :] == part,
    "contains": lambda text, part: part in text,
    "matches": lambda text, pattern: re2.search(pattern, text) is not None,
    "lowerAscii": lambda text: "".join(c.lower() if c.isascii() else c for c in text),
    "upperAscii": lambda text: "".join(c.upper() if c.isascii() else c for c in text),
    "trim": str.strip,
    "size": len,
}
