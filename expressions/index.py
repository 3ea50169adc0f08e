"""Which expressions an event, or any other change, can affect."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from expressions.expression import Expression
from expressions.facts import History

K = TypeVar("K", bound=Hashable)

_FIELDS = ("events", "attributes", "consents", "segments")


class Index(Generic[K]):
    """Expressions by what can change them. A look-up costs only what it finds."""

    def __init__(self) -> None:
        self._expressions: dict[K, Expression] = {}
        self._keys: dict[tuple[str, str], set[K]] = defaultdict(set)
        self._history: dict[str, History] | None = None

    def add(self, key: K, expression: Expression) -> None:
        """Puts an expression under `key`, in place of one that stood there."""
        self.remove(key)
        self._expressions[key] = expression
        for entry in _entries(expression):
            self._keys[entry].add(key)
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
