"""Types, names and dependencies: a syntax tree becomes one closure, or a helpful error."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from expressions import calls, closures, operators, values, windows
from expressions.closures import EVENT, SLOTS, Run
from expressions.errors import ExpressionError, did_you_mean
from expressions.localtime import FIELDS
from expressions.registry import Registry
from expressions.schema import (
    BOOL,
    DOUBLE,
    DYN,
    INT,
    MAP,
    NULL,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    reader,
)
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
from expressions.terms import (
    NO_VALUE,
    Clock,
    Reading,
    Record,
    Term,
    Thing,
    Uses,
    conversion,
)

_LITERALS = {str: STRING, bool: BOOL, int: INT, float: DOUBLE, type(None): NULL}
_KEYWORDS = ("profile", "traits", "event")
_ELSEWHERE = {
    "event": "`event` is known only in the conditions of a trigger",
    "item": "`item` is known only in triggers whose cause is a change of the catalogue",
    "parameters": "`parameters` is known only in journeys",
}
"""Names that are good in other expressions than the one at hand."""


class Checker:
    """Compiles the nodes of one source. `event` names the event that triggers, if one does;
    `given` the maps that come with the cause."""

    def __init__(
        self, source: str, registry: Registry, event: str | None = None, given: Iterable[str] = ()
    ) -> None:
        self.source = source
        self.registry = registry
        self.uses = Uses()
        self.readings: list[Reading] = []
        self.slots = SLOTS
        self.scope: dict[str, Term | Record] = {}
        self.event: Type | None = None
        if event is not None:
            self.event = registry.causes.get(event) or self.event_type(event, 0, len(source))
        self.given = {root: registry.given.get(root, MAP) for root in given}

    # Errors

    def error(self, node: Node, message: str, expected: str = "") -> ExpressionError:
        return ExpressionError(self.source, node.start, node.end, message, expected)

    def name_error(self, call: Call, message: str, expected: str = "") -> ExpressionError:
        start = call.name_start
        return ExpressionError(self.source, start, start + len(call.name), message, expected)

    def event_type(self, name: str, start: int, end: int) -> Type:
        found = self.registry.event(name)
        if found is None:
            hint = did_you_mean(name, self.registry.events)
            message = f"unknown event `{name}`{hint}"
            raise ExpressionError(self.source, start, end, message, "the name of an event")
        return found

    # Values

    def value(self, node: Node) -> Term:
        """The node as a value that can be used anywhere."""
        return self.settle(node, self.visit(node))

    def settle(self, node: Node, thing: Thing) -> Term:
        term = self.moving(node, thing)
        if term.slope:
            raise self.error(
                node,
                "now() changes every moment, so it can only be compared with a time,"
                ' as in `now() - profile.since > duration("24h")`; for the hour of the day use'
                " localTime().hour",
            )
        if term.register:
            term.register()
        return term

    def moving(self, node: Node, thing: Thing) -> Term:
        """A value that may still move with the time, for comparing and adding."""
        if not isinstance(thing, Term):
            raise self.error(node, NO_VALUE[type(thing)])
        return thing

    def expect(self, node: Node, *kinds: Type) -> Term:
        """The node as a value of one of `kinds`; a dynamic one is read as the first of them."""
        return self.fit(node, self.value(node), *kinds)

    def fit(self, node: Node, term: Term, *kinds: Type) -> Term:
        if term.type in kinds:
            return term
        if term.type == DYN:
            return replace(term, type=kinds[0], run=closures.apply(reader(kinds[0]), term.run))
        wanted = " or ".join(str(kind) for kind in kinds)
        raise self.error(
            node, f"expected {wanted}, this is {term.type}{conversion(term.type, kinds[0])}", wanted
        )

    def condition(self, node: Node) -> Term:
        return self.expect(node, BOOL)

    def literal(self, node: Node, what: str) -> str:
        """A text that is written out, because what depends on it must be known beforehand."""
        if isinstance(node, Literal) and isinstance(node.value, str) and node.value:
            return node.value
        raise self.error(
            node, f'write the {what} out as a text, in quotes: "…"', f"the {what} in quotes"
        )

    def duration(self, node: Node) -> int:
        text = self.literal(node, "time")
        try:
            span = values.parse_duration(text)
        except ValueError as error:
            raise self.error(node, f"`{text}`: {error}", "a duration") from None
        if span <= 0:
            problem = f"`{text}` is no time; it must be more than nothing"
            raise self.error(node, problem, "a duration")
        return span

    def arity(self, node: Call, usage: str, *counts: int) -> None:
        """Refuses a call with another number of arguments than one of `counts` (none: 0)."""
        if len(node.args) not in (counts or (0,)):
            raise self.error(node, f"write `{usage}`", usage)

    def read(self, node: Node, term: Term, last: Run | None = None, about: str = "") -> Term:
        """Remembers a term as one that explains the result: what it is about, and when that
        last happened."""
        if not self.scope:
            self.readings.append(Reading(node, term.run, last, about))
        return term

    def new_slots(self) -> int:
        self.slots += 2
        return self.slots - 2

    def bind(self, node: Node, thing: Term | Record) -> str:
        """Brings a variable into scope; take it out with `del checker.scope[name]`."""
        if not isinstance(node, Name):
            raise self.error(node, "name the variable first, as in `.where(e, e.price > 10)`")
        if node.name in self.scope or node.name in (*_KEYWORDS, *self.given):
            raise self.error(node, f"`{node.name}` is taken; choose another name")
        self.scope[node.name] = thing
        return node.name

    # Nodes

    def visit(self, node: Node) -> Thing:
        match node:
            case Literal(value=value):
                kind = _LITERALS[type(value)]
                return Term(kind, closures.constant(value), constant=value)
            case Name():
                return self.name(node)
            case Select():
                return self.select(node)
            case Index():
                return self.index(node)
            case Call():
                return calls.call(self, node)
            case ListOf():
                return self.list_of(node)
            case Unary():
                return operators.unary(self, node)
            case Binary():
                return operators.binary(self, node)
            case AllOf() | AnyOf():
                terms = [self.condition(part) for part in node.parts]
                # Parts have no effects and the order decides nothing, so what the clock cannot
                # change goes first: it is quicker, and decides without a timer.
                terms.sort(key=lambda term: term.timed)
                timed = any(term.timed for term in terms)
                decisive = isinstance(node, AnyOf)
                return Term(BOOL, closures.junction([t.run for t in terms], decisive, timed), timed)
            case Conditional():
                return self.conditional(node)

    def name(self, node: Name) -> Term | Record:
        if node.name in self.scope:
            return self.scope[node.name]
        if node.name == "event" and self.event is not None:
            return Record(self.event, EVENT, recorded=False)
        if node.name in _ELSEWHERE and node.name not in self.given:
            raise self.error(node, _ELSEWHERE[node.name])
        if node.name in _KEYWORDS or node.name in self.given:
            raise self.error(
                node, f"`{node.name}` is no value by itself; write `{node.name}.<name>`"
            )
        hint = did_you_mean(node.name, [*_KEYWORDS, *self.given, *self.scope])
        if node.name in self.registry.attributes:
            hint = f"; did you mean `profile.{node.name}`?"
        raise self.error(node, f"unknown name `{node.name}`{hint}", "profile, traits or a variable")

    def select(self, node: Select) -> Term:
        match node.operand:
            case Name(name="profile" | "traits" as space):
                return self.attribute(node, space, node.field, node.field_start, node.end)
            case Name(name=root) if root in self.given:
                return self.came_with(node, root, node.field, node.field_start, node.end)
        operand = self.visit(node.operand)
        match operand:
            case Record():
                return self.property(node, operand, node.field, node.field_start)
            case Clock():
                return self.clock(node, operand)
            case Term(type=Type(name="map") as kind):
                inner = self.field_type(kind, node.field, node.field_start, node.end, "field")
                return replace(
                    operand,
                    type=inner,
                    run=closures.field(operand.run, node.field, inner),
                    against=None,
                )
            case Term(type=kind) if kind == DYN:
                return replace(operand, run=closures.field(operand.run, node.field, DYN))
            case Term(type=kind):
                raise self.field_error(node, f"{kind} has no field `{node.field}`")
            case _:
                methods = NO_VALUE[type(operand)]
                raise self.field_error(node, f"`{node.field}` cannot stand here: {methods}")

    def field_error(self, node: Select, message: str, expected: str = "") -> ExpressionError:
        return ExpressionError(self.source, node.field_start, node.end, message, expected)

    def attribute(self, node: Node, space: str, field: str, start: int, end: int) -> Term:
        prefix = "" if space == "profile" else "traits."
        name = prefix + field
        kind = self.registry.attributes.get(name)
        if kind is None:
            if not self.registry.open:
                known = [
                    other.removeprefix(prefix)
                    for other in self.registry.attributes
                    if other.startswith("traits.") == bool(prefix)
                ]
                what = "trait" if prefix else "attribute"
                hint = did_you_mean(field, known)
                other = field if prefix else f"traits.{field}"
                if other in self.registry.attributes:
                    hint = f"; did you mean `{'profile' if prefix else 'traits'}.{field}`?"
                message = f"unknown {what} `{field}`{hint}"
                wanted = f"the name of {'a trait' if prefix else 'an attribute'}"
                raise ExpressionError(self.source, start, end, message, wanted)
            kind = DYN
        self.uses.attributes.add(name)
        return self.read(node, Term(kind, closures.attribute(name, kind)), about=f"{space}.{field}")

    def came_with(self, node: Node, root: str, field: str, start: int, end: int) -> Term:
        kind = self.field_type(self.given[root], field, start, end, "field")
        return self.read(node, Term(kind, closures.field(closures.given(root), field, kind)))

    def property(self, node: Node, record: Record, name: str, name_start: int) -> Term:
        if name == "time":
            run = (
                windows.row_time(record.run)
                if record.run
                else closures.slot(record.slot + 1, TIMESTAMP)
            )
            kind = TIMESTAMP
        else:
            kind = self.field_type(record.type, name, name_start, node.end, "property")
            if record.recorded:
                self.uses.need(record.type.name, properties=frozenset({name}))
            run = (
                windows.row_field(record.run, name, reader(kind))
                if record.run
                else closures.slot_field(record.slot, name, kind)
            )
        term = Term(kind, run, timed=record.run is not None)
        if record.run:
            return self.read(node, term, windows.row_time(record.run), record.type.name)
        return term if record.recorded else self.read(node, term)

    def field_type(self, record: Type, name: str, start: int, end: int, what: str) -> Type:
        if name in record.fields:
            return record.fields[name]
        if record.open:
            return DYN
        known = [*record.fields, "time"] if what == "property" else list(record.fields)
        owner = f" of `{record.name}`" if what == "property" else ""
        message = f"unknown {what} `{name}`{owner}{did_you_mean(name, known)}"
        raise ExpressionError(self.source, start, end, message, f"the name of a {what}{owner}")

    def clock(self, node: Select, clock: Clock) -> Term:
        name = node.field
        if name not in FIELDS:
            hint = did_you_mean(name, FIELDS)
            expected = f"one of {', '.join(FIELDS)}"
            raise self.field_error(node, f"local time has no field `{name}`{hint}", expected)
        self.uses.attributes.add("zone")
        if clock.moment:
            run = closures.clock_field_of(clock.moment.run, name)
            return Term(INT, run, timed=clock.moment.timed)

        def against(sign: str, known: Any) -> Run:
            if sign == "in":
                return closures.clock_test(name, lambda shown: shown in known)
            test = closures.COMPARE[sign]
            return closures.clock_test(name, lambda shown: test(shown, known))

        return self.read(node, Term(INT, closures.clock_field(name), timed=True, against=against))

    def index(self, node: Index) -> Term:
        match node.operand:
            case Name(name="profile" | "traits" as space):
                name = self.literal(node.key, "attribute")
                return self.attribute(node, space, name, node.key.start, node.key.end)
            case Name(name=root) if root in self.given:
                name = self.literal(node.key, "field")
                return self.came_with(node, root, name, node.key.start, node.key.end)
        operand = self.visit(node.operand)
        if isinstance(operand, Record):
            return self.property(node, operand, self.literal(node.key, "property"), node.key.start)
        container = self.settle(node.operand, operand)
        kind = container.type
        if kind.item:
            key = self.expect(node.key, INT)
            inner = kind.item
        elif kind.name == "map":
            key = self.expect(node.key, STRING)
            inner = DYN
            if isinstance(node.key, Literal):
                inner = self.field_type(
                    kind, str(node.key.value), node.key.start, node.key.end, "field"
                )
        elif kind == DYN:
            key, inner = self.value(node.key), DYN
        else:
            raise self.error(node, f"{kind} has no parts that [ ] could choose from")
        timed = container.timed or key.timed
        return Term(inner, closures.item(container.run, key.run, inner), timed)

    def list_of(self, node: ListOf) -> Term:
        terms = [self.value(item) for item in node.items]
        kinds = [term.type for term in terms]
        item = kinds[0] if kinds and all(kind == kinds[0] for kind in kinds) else DYN
        constant = [term.constant for term in terms]
        return Term(
            list_of(item),
            closures.build_list([term.run for term in terms]),
            timed=any(term.timed for term in terms),
            constant=None if any(value is None for value in constant) else constant,
        )

    def conditional(self, node: Conditional) -> Term:
        condition = self.condition(node.condition)
        then, otherwise = self.value(node.then), self.value(node.otherwise)
        kind = then.type
        if then.type != otherwise.type:
            if NULL in (then.type, otherwise.type):
                kind = otherwise.type if then.type == NULL else then.type
            elif DYN in (then.type, otherwise.type):
                kind = DYN
            else:
                raise self.error(
                    node.otherwise,
                    f"both sides of `:` must have one type: {then.type} and {otherwise.type}"
                    f"{conversion(otherwise.type, then.type)}",
                    str(then.type),
                )
        run = closures.choose(condition.run, then.run, otherwise.run)
        return Term(kind, run, condition.timed or then.timed or otherwise.timed)
