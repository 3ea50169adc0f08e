"""Which expressions an event, or any other change, can affect."""

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from expressions.expression import Expression
from expressions.facts import History
from expressions.guards import Guard

K = TypeVar("K", bound=Hashable)

_FIELDS = ("events", "attributes", "consents", "segments")
_NOTHING: frozenset[Any] = frozenset()


@dataclass(slots=True)
class _Uses(Generic[K]):
    """Who looks at an event or attribute, in whatever way."""

    free: set[K] = dataclasses.field(default_factory=set)
    """Any value may make a difference, for any contact."""
    required: dict[str, dict[str, set[K]]] = dataclasses.field(default_factory=dict)
    """Any value may, but only for contacts of whom an attribute is such a text."""
    guarded: dict[str, dict[str, set[K]]] = dataclasses.field(default_factory=dict)
    """Only such a text may, of a property (of an attribute: of the empty name)."""
    missing: set[K] = dataclasses.field(default_factory=set)
    """Of those: to come to be missing, or no longer, may as well."""

    def add(self, key: K, guards: Iterable[Guard] | None, required: Iterable[Guard]) -> None:
        among = self.guarded
        if guards is None:
            among, guards = self.required, [*required][:1]
            if not guards:
                self.free.add(key)
        for name, texts in guards:
            for text in texts:
                among.setdefault(name, {}).setdefault(text, set()).add(key)

    def remove(self, key: K) -> None:
        for found in (
            self.free,
            self.missing,
            *(
                k
                for among in (self.required, self.guarded)
                for t in among.values()
                for k in t.values()
            ),
        ):
            found.discard(key)

    def found(
        self, values: Iterable[Mapping[str, Any]], attributes: Mapping[str, Any]
    ) -> AbstractSet[K]:
        """Those to whom one of `values` of the guarded properties may make a difference."""
        found: AbstractSet[K] = self.free
        for name, texts in self.required.items():
            value = attributes.get(name)
            if value.__class__ is str and (keys := texts.get(value)):
                found = found | keys
        for name, texts in self.guarded.items():
            for each in values:
                value = each.get(name)
                if value.__class__ is str and (keys := texts.get(value)):
                    found = found | keys
        return found


class Index(Generic[K]):
    """Expressions by what can change them. A look-up costs only what it finds."""

    def __init__(self) -> None:
        self._expressions: dict[K, Expression] = {}
        self._keys: dict[tuple[str, str], set[K]] = defaultdict(set)
        self._events: dict[str, _Uses[K]] = {}
        self._attributes: dict[str, _Uses[K]] = {}
        self._history: dict[str, History] | None = None

    def add(self, key: K, expression: Expression) -> None:
        """Puts an expression under `key`, in place of one that stood there."""
        self.remove(key)
        self._expressions[key] = expression
        for entry in _entries(expression):
            self._keys[entry].add(key)
        guards = expression.guards
        for name in expression.events:
            uses = self._events.setdefault(name, _Uses())
            uses.add(key, guards.events.get(name), guards.required.items())
        for name in expression.attributes:
            uses = self._attributes.setdefault(name, _Uses())
            texts = guards.required.get(name)
            if texts is None:
                texts = guards.attributes.get(name)
                if texts is not None:
                    uses.missing.add(key)
            uses.add(key, None if texts is None else [("", texts)], guards.required.items())
        self._history = None

    def remove(self, key: K) -> None:
        """Forgets what stood under `key`, if anything did."""
        expression = self._expressions.pop(key, None)
        if expression is None:
            return
        for entry in _entries(expression):
            self._keys[entry].discard(key)
            if not self._keys[entry]:
                del self._keys[entry]
        for name in expression.events:
            self._events[name].remove(key)
        for name in expression.attributes:
            self._attributes[name].remove(key)
        self._history = None

    def affected(
        self,
        events: Iterable[str] = (),
        attributes: Iterable[str] = (),
        consents: Iterable[str] = (),
        segments: Iterable[str] = (),
    ) -> set[K]:
        """The keys whose value may differ after events of these names, or changes of these."""
        found: set[K] = set()
        for field, names in zip(_FIELDS, (events, attributes, consents, segments), strict=True):
            for name in names:
                if keys := self._keys.get((field, name)):
                    found |= keys
        return found

    def by_event(
        self, name: str, properties: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> AbstractSet[K]:
        """The keys whose value may differ after an event with these properties, for a contact with
        these attributes."""
        uses = self._events.get(name)
        return _NOTHING if uses is None else uses.found((properties,), attributes)

    def by_attribute(
        self, name: str, before: Any, after: Any, attributes: Mapping[str, Any]
    ) -> AbstractSet[K]:
        """The keys whose value may differ after an attribute changed (None is missing), for a
        contact with these attributes, of which others may have changed too."""
        uses = self._attributes.get(name)
        if uses is None:
            return _NOTHING
        found = uses.found(({"": before}, {"": after}), attributes)
        return found | uses.missing if before is None or after is None else found

    def looks_at(self, name: str, properties: Mapping[str, Any]) -> bool:
        """Whether an event with these properties may make a difference to any, for anybody."""
        uses = self._events.get(name)
        if uses is None:
            return False
        if uses.free or any(keys for texts in uses.required.values() for keys in texts.values()):
            return True
        return bool(uses.found((properties,), {}))

    def attributes(self) -> frozenset[str]:
        """The attributes and traits that any of them looks at."""
        return frozenset(n for e in self._expressions.values() for n in e.attributes)

    def history(self) -> Mapping[str, History]:
        """What all expressions together need to be kept; for `Facts.prune`."""
        if self._history is None:
            joined: dict[str, History] = defaultdict(History)
            for expression in self._expressions.values():
                for name, need in expression.history.items():
                    joined[name] |= need
            self._history = dict(joined)
        return self._history


def _entries(expression: Expression) -> list[tuple[str, str]]:
    return [(field, name) for field in _FIELDS for name in getattr(expression, field)]
