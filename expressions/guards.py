"""Which values can change an expression at all: for most, only those they are compared with.

`events("product_viewed").where(e, e.category == "dress")` is changed by no view of a shoe, and
`profile.city == "izmir"` by no move from one other city to another. Only comparisons of texts are
looked at: of two texts that are not the one that is asked for, neither makes a difference.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from expressions.registry import Registry
from expressions.schema import DYN, STRING
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

Guard = tuple[str, frozenset[str]]
"""A property of an event, and the texts of which it must have one to count; or an attribute."""


@dataclass(slots=True)
class Guards:
    """What of an expression is looked at through comparisons alone."""

    events: dict[str, tuple[Guard, ...]] = field(default_factory=dict)
    """By name of event: one for each use; an event that meets none of them changes nothing."""
    attributes: dict[str, frozenset[str]] = field(default_factory=dict)
    """The texts that an attribute is compared with. From one other text to another, or the same,
    changes nothing; to come to be missing, or no longer, may."""
    required: dict[str, frozenset[str]] = field(default_factory=dict)
    """Attributes that must be such a text, or the condition does not hold, whatever else is so."""


def guards(node: Node, registry: Registry) -> Guards:
    """The guards of an expression that was checked."""
    walk = _Walk(registry)
    walk.visit(node)
    return Guards(
        {n: tuple(g for g in found if g) for n, found in walk.events.items() if None not in found},
        {
            n: frozenset(text for texts in found if texts for text in texts)
            for n, found in walk.attributes.items()
            if None not in found
        },
        _required(node, registry),
    )


def _required(node: Node, registry: Registry) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for part in node.parts if isinstance(node, AllOf) else (node,):
        if isinstance(part, Binary) and part.operator in ("==", "in"):
            name, texts = _attribute(part.left), _texts(part.operator, part.right)
            if name is not None and texts and registry.attributes.get(name) == STRING:
                found[name] = found.get(name, texts) & texts
    return found


class _Walk:
    """Gathers every use of an event or an attribute; None: of any value."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.events: dict[str, list[Guard | None]] = {}
        self.attributes: dict[str, list[frozenset[str] | None]] = {}

    def visit(self, node: Node) -> None:
        if isinstance(node, Binary) and self._compared(node):
            return
        if isinstance(node, Call) and self._events(node):
            return
        name = _attribute(node)
        if name is not None:
            self.attributes.setdefault(name, []).append(None)
            return
        if isinstance(node, Call) and node.receiver is None and node.name == "sequence":
            for each in node.args:
                if isinstance(each, Literal):
                    self.events.setdefault(str(each.value), []).append(None)
        for part in _parts(node):
            self.visit(part)

    def _compared(self, node: Binary) -> bool:
        name = _attribute(node.left)
        other = node.right
        if name is None and node.operator in ("==", "!="):
            name, other = _attribute(node.right), node.left
        texts = _texts(node.operator, other)
        if name is None or texts is None or self._registry.attributes.get(name) != STRING:
            return False
        self.attributes.setdefault(name, []).append(texts)
        return True

    def _events(self, node: Call) -> bool:
        """A chain that begins with `events("…")`, taken as a whole."""
        links = [node]
        while isinstance(links[-1].receiver, Call):
            links.append(links[-1].receiver)
        root = links.pop()
        if root.receiver is not None or root.name != "events":
            return False
        (named,) = root.args
        assert isinstance(named, Literal)
        name = str(named.value)
        found: Guard | None = None
        for link in links:
            if link.name == "where":
                variable, condition = link.args
                assert isinstance(variable, Name)
                found = found or self._guard(name, variable.name, condition)
            for arg in link.args:
                self.visit(arg)
        self.events.setdefault(name, []).append(found)
        return True

    def _guard(self, event: str, variable: str, condition: Node) -> Guard | None:
        kind = self._registry.event(event)
        assert kind is not None
        parts = condition.parts if isinstance(condition, AllOf) else (condition,)
        for part in parts:
            if not isinstance(part, Binary) or part.operator not in ("==", "in"):
                continue
            texts = _texts(part.operator, part.right)
            match part.left:
                case Select(operand=Name(name=of), field=prop) if of == variable and texts:
                    if prop != "time" and kind.fields.get(prop, DYN) in (STRING, DYN):
                        return prop, texts
        return None


def _attribute(node: Node) -> str | None:
    match node:
        case Select(operand=Name(name="profile"), field=name):
            return name
        case Select(operand=Name(name="traits"), field=name):
            return f"traits.{name}"
        case Index(operand=Name(name="profile" | "traits" as space), key=Literal(value=str(name))):
            return name if space == "profile" else f"traits.{name}"
        case Call(receiver=None, name="stage"):
            return "stage"
    return None


def _texts(operator: str, node: Node) -> frozenset[str] | None:
    """The texts that are written out on one side of a comparison, if nothing else is."""
    match operator, node:
        case "==" | "!=", Literal(value=str(text)):
            return frozenset((text,))
        case "in", ListOf(items=items):
            texts = [item.value for item in items if isinstance(item, Literal)]
            named = [text for text in texts if isinstance(text, str)]
            return frozenset(named) if named and len(named) == len(items) else None
    return None


def _parts(node: Node) -> Iterator[Node]:
    match node:
        case Select(operand=operand) | Unary(operand=operand):
            yield operand
        case Index(operand=operand, key=key):
            yield from (operand, key)
        case Call(receiver=receiver, args=args):
            if receiver is not None:
                yield receiver
            yield from args
        case ListOf(items=items):
            yield from items
        case Binary(left=left, right=right):
            yield from (left, right)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            yield from parts
        case Conditional(condition=condition, then=then, otherwise=otherwise):
            yield from (condition, then, otherwise)
