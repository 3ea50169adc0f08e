"""What can be named in an expression: attributes, traits, events with their properties."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from expressions.places import Area
from expressions.schema import DYN, STRING, Spec, Type, normalise, type_of

WEATHER: Final = "weather"
"""The attribute that says how the weather is where a contact last was."""


@dataclass(frozen=True, slots=True)
class EventType:
    """An event's properties. `open`: it may have others, whose type is looked at when evaluating.

    Every event also has `time`, a timestamp; a property of that name cannot be reached.
    """

    properties: Mapping[str, Spec] = field(default_factory=dict)
    open: bool = False


class Registry:
    """The names that expressions may use, with their types.

    `attributes`: name → type (`{"city": "string", "traits.orders": "int"}`). `events`: name →
    EventType, or just its properties (`{"order_completed": {"total": "double", "products":
    [{"sku": "string"}]}}`). `purposes`, `segments`, `known_places`: what `consent`, `segment` and
    `near` accept; None is anything. `causes`: events that are only known as the one that triggers,
    because nobody keeps a history of them. `areas`: where places are, looked up whenever `near` is
    evaluated, so it may change. `given`: the fields of roots that come with a cause (`{"item":
    {"title": "string"}}`); one that is not named here has any. `open`: unknown attributes and
    events are allowed too, with dynamic values.

    The attributes `stage` (read by `stage()`) and `zone` (local time) are always there; `weather()`
    reads the attribute `weather` where there is one.
    """

    def __init__(
        self,
        attributes: Mapping[str, Spec] | None = None,
        events: Mapping[str, EventType | Mapping[str, Spec]] | None = None,
        *,
        causes: Mapping[str, Mapping[str, Spec]] | None = None,
        purposes: Iterable[str] | None = None,
        segments: Iterable[str] | None = None,
        areas: Mapping[str, Area] | None = None,
        known_places: Iterable[str] | None = None,
        given: Mapping[str, Spec] | None = None,
        open: bool = False,
    ) -> None:
        self.attributes: dict[str, Type] = {"stage": STRING, "zone": STRING}
        for name, spec in (attributes or {}).items():
            self.attributes[name] = type_of(spec)
        self.events: dict[str, Type] = {}
        for name, event in (events or {}).items():
            kind = event if isinstance(event, EventType) else EventType(event)
            fields = {prop: type_of(spec) for prop, spec in kind.properties.items()}
            self.events[name] = Type(name, fields=fields, open=kind.open)
        self.causes: dict[str, Type] = {
            name: Type(name, fields={prop: type_of(spec) for prop, spec in properties.items()})
            for name, properties in (causes or {}).items()
        }
        self.purposes = None if purposes is None else frozenset(purposes)
        self.segments = None if segments is None else frozenset(segments)
        self.places: Mapping[str, Area] = {} if areas is None else areas
        self.known_places = None if known_places is None else frozenset(known_places)
        self.given = {name: type_of(spec) for name, spec in (given or {}).items()}
        self.open = open
        self.revision = 0
        """Counts changes of types; what was compiled before is to be compiled again."""

    def learn(
        self, attributes: Mapping[str, Spec], events: Mapping[str, Mapping[str, Spec]]
    ) -> None:
        """Takes up names, and other types of those that are known; the events may have other
        properties, too."""
        told = {name: type_of(spec) for name, spec in attributes.items()}
        happens = {
            name: Type(name, fields={prop: type_of(one) for prop, one in fields.items()}, open=True)
            for name, fields in events.items()
        }
        if _retyped(self.attributes, told) or _retyped(self.events, happens):
            self.revision += 1
        self.attributes.update(told)
        self.events.update(happens)

    def event(self, name: str) -> Type | None:
        """The record type of an event, None when it is unknown."""
        if name in self.events:
            return self.events[name]
        return Type(name, open=True) if self.open else None

    def attribute_value(self, name: str, value: Any) -> Any:
        """A JSON value of an attribute as facts hold it; None when it is not of its type."""
        return normalise(self.attributes.get(name, DYN), value)

    def event_properties(
        self, name: str, properties: Mapping[str, Any], needed: Iterable[str]
    ) -> dict[str, Any]:
        """Those of an event's JSON `properties` that are `needed`, as facts hold them."""
        fields = self.events[name].fields if name in self.events else {}
        kept = {}
        for prop in needed:
            value = normalise(fields.get(prop, DYN), properties.get(prop))
            if value is not None:
                kept[prop] = value
        return kept


def _retyped(known: Mapping[str, Type], told: Mapping[str, Type]) -> bool:
    return any(name in known and known[name] != kind for name, kind in told.items())
