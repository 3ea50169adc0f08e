"""Functions and methods of the language, each with its types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import re2

from expressions import closures, values, windows
from expressions.closures import NOW
from expressions.errors import did_you_mean
from expressions.schema import (
    BOOL,
    DATE,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    MAP,
    NUMBERS,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
)
from expressions.syntax import Call, Index, Literal, Select
from expressions.terms import Chain, Clock, Record, Sequence, Term, Thing

if TYPE_CHECKING:
    from expressions.check import Checker

_MACROS = ("all", "exists", "exists_one", "filter", "map")
_CHAIN = ("where", "within", "exists", "count", "last", "first", *windows.AGGREGATES)
_MAX_MACROS = 2  # each level multiplies the work by the length of a list
_MAX_PATTERN = 500  # characters; a pattern of RE2 runs in linear time, but compiles to memory


@dataclass(frozen=True, slots=True)
class _Method:
    receiver: Type
    args: tuple[Type, ...]
    result: Type
    function: Callable[..., Any]


_METHODS = {
    "startsWith": _Method(STRING, (STRING,), BOOL, str.startswith),
    "endsWith": _Method(STRING, (STRING,), BOOL, str.endswith),
    "contains": _Method(STRING, (STRING,), BOOL, str.__contains__),
    "lowerAscii": _Method(STRING, (), STRING, values.lower_ascii),
    "upperAscii": _Method(STRING, (), STRING, values.upper_ascii),
    "trim": _Method(STRING, (), STRING, str.strip),
}
_CONVERSIONS: dict[str, tuple[Type, dict[str, Callable[[Any], Any]]]] = {
    "int": (
        INT,
        {
            **dict.fromkeys(("int", "double", "string", "dyn"), values.whole),
            "timestamp": lambda moment: moment // 1000,
        },
    ),
    "double": (DOUBLE, dict.fromkeys(("int", "double", "string", "dyn"), values.real)),
    "string": (
        STRING,
        {
            **dict.fromkeys(("string", "int", "double", "bool", "date", "dyn"), values.text),
            "timestamp": values.timestamp_text,
            "duration": values.duration_text,
        },
    ),
    "timestamp": (
        TIMESTAMP,
        {
            **dict.fromkeys(("string", "int", "date", "dyn"), values.moment),
            "timestamp": lambda moment: moment,
        },
    ),
    "duration": (
        DURATION,
        {**dict.fromkeys(("string", "dyn"), values.span), "duration": lambda span: span},
    ),
}
_LITERAL_HELP = {
    "timestamp": 'write for example "2026-01-31T09:00:00Z"',
    "duration": 'write for example "30m", "24h", "1h30m", "7d" or "2w"',
    "int": 'write for example "42"',
    "double": 'write for example "4.2"',
}


def call(checker: Checker, node: Call) -> Thing:
    if node.receiver is None:
        function = _FUNCTIONS.get(node.name)
        if function is None:
            hint = did_you_mean(node.name, _FUNCTIONS)
            checker.fail_name(node, f"unknown function `{node.name}`{hint}")
        return function(checker, node)
    thing = checker.visit(node.receiver)
    match thing:
        case Chain():
            return _chain(checker, node, thing)
        case Sequence():
            return _sequence(checker, node, thing)
        case _:
            return _method(checker, node, checker.settle(node.receiver, thing))


def _arity(checker: Checker, node: Call, usage: str, *counts: int) -> None:
    if len(node.args) not in (counts or (0,)):
        checker.fail(node, f"write `{usage}`")


# Functions


def _has(checker: Checker, node: Call) -> Term:
    _arity(checker, node, "has(profile.city)", 1)
    if not isinstance(node.args[0], Select | Index):
        checker.fail(node.args[0], "has(…) asks for an attribute or property: `has(profile.city)`")
    term = checker.value(node.args[0])
    return Term(BOOL, closures.present(term.run), term.timed)


def _size(checker: Checker, node: Call) -> Term:
    _arity(checker, node, "size(profile.tags)", 1)
    return _size_of(checker, node, checker.value(node.args[0]))


def _size_of(checker: Checker, node: Call, term: Term) -> Term:
    if not (term.type in (STRING, DYN) or term.type.item or term.type.name == MAP.name):
        checker.fail(node, f"size needs a string, a list or a map, this is {term.type}")
    return Term(INT, closures.apply(values.length, term.run), term.timed)


def _conversion(checker: Checker, node: Call) -> Term:
    result, functions = _CONVERSIONS[node.name]
    _arity(checker, node, f"{node.name}(…)", 1)
    (arg,) = node.args
    term = checker.value(arg)
    function = functions.get(term.type.name)
    if function is None:
        checker.fail(arg, f"{term.type} cannot be made a {node.name}")
    if isinstance(arg, Literal) and arg.value is not None:
        constant = function(arg.value)
        if constant is None:
            checker.fail(arg, f"not a {node.name}; {_LITERAL_HELP[node.name]}")
        return Term(result, closures.constant(constant), constant=constant)
    return Term(result, closures.apply(function, term.run), term.timed)


def _now(checker: Checker, node: Call) -> Term:
    _arity(checker, node, "now()")
    return Term(TIMESTAMP, lambda facts, frame: frame[NOW], timed=True, slope=1)


def _local_time(checker: Checker, node: Call) -> Clock:
    _arity(checker, node, "localTime()", 0, 1)
    return Clock(checker.expect(node.args[0], TIMESTAMP) if node.args else None)


def _stage(checker: Checker, node: Call) -> Term:
    _arity(checker, node, "stage()")
    checker.uses.attributes.add("stage")
    kind = checker.registry.attributes["stage"]
    return checker.read(node, Term(kind, closures.attribute("stage", kind)))


def _consent(checker: Checker, node: Call) -> Term:
    _arity(checker, node, 'consent("marketing")', 1)
    purpose = _known(checker, node, "purpose", checker.registry.purposes)
    checker.uses.consents.add(purpose)
    run = lambda facts, frame: facts.consents.get(purpose, False) is True  # noqa: E731
    return checker.read(node, Term(BOOL, run))


def _segment(checker: Checker, node: Call) -> Term:
    _arity(checker, node, 'segment("vip")', 1)
    segment = _known(checker, node, "segment", checker.registry.segments)
    checker.uses.segments.add(segment)
    return checker.read(node, Term(BOOL, lambda facts, frame: segment in facts.segments))


def _known(checker: Checker, node: Call, what: str, known: frozenset[str] | None) -> str:
    name = checker.literal(node.args[0], what)
    if known is not None and name not in known:
        checker.fail(node.args[0], f"unknown {what} `{name}`{did_you_mean(name, known)}")
    return name


def _events(checker: Checker, node: Call) -> Chain:
    _arity(checker, node, 'events("order_completed")', 1)
    return Chain(_event(checker, node, 0), checker.new_slots())


def _event(checker: Checker, node: Call, at: int) -> Type:
    arg = node.args[at]
    return checker.event_type(checker.literal(arg, "event"), arg.start, arg.end)


def _sequence_of(checker: Checker, node: Call) -> Sequence:
    _arity(checker, node, 'sequence("cart_updated", "order_completed")', 2)
    earlier, later = _event(checker, node, 0).name, _event(checker, node, 1).name
    if earlier == later:
        checker.fail(
            node, f'a sequence is of two events; write events("{later}").within("2h").count() >= 2'
        )
    if checker.scope:
        checker.fail(node, "a sequence cannot stand inside a condition on elements")
    return Sequence(earlier, later)


def _later(checker: Checker, node: Call) -> Thing:
    checker.fail(node, f"{node.name}(…) is not available yet")


_FUNCTIONS: dict[str, Callable[[Checker, Call], Thing]] = {
    "has": _has,
    "size": _size,
    **dict.fromkeys(_CONVERSIONS, _conversion),
    "now": _now,
    "localTime": _local_time,
    "stage": _stage,
    "consent": _consent,
    "segment": _segment,
    "events": _events,
    "sequence": _sequence_of,
    "near": _later,
    "weather": _later,
}


# Methods of values


def _method(checker: Checker, node: Call, term: Term) -> Term:
    assert node.receiver is not None
    name = node.name
    if name in _MACROS and (term.type.item or term.type == DYN):
        return _macro(checker, node, term)
    if name == "size":
        _arity(checker, node, "….size()")
        return _size_of(checker, node, term)
    if name == "matches":
        return _matches(checker, node, checker.fit(node.receiver, term, STRING))
    if name == "isToday":
        _arity(checker, node, "….isToday()")
        day = checker.fit(node.receiver, term, DATE)
        checker.uses.attributes.add("zone")
        return Term(BOOL, closures.is_today(day.run), timed=True)
    method = _METHODS.get(name)
    if method is None:
        known = [*_METHODS, "matches", "size", "isToday", *_MACROS]
        checker.fail_name(node, f"{term.type} has no `{name}`{did_you_mean(name, known)}")
    if len(node.args) != len(method.args):
        checker.fail(node, f"{name} takes {len(method.args)} values, not {len(node.args)}")
    receiver = checker.fit(node.receiver, term, method.receiver)
    args = [
        checker.expect(arg, kind) for arg, kind in zip(node.args, method.args, strict=True)
    ]
    run = closures.apply(method.function, receiver.run, *(arg.run for arg in args))
    return Term(method.result, run, term.timed or any(arg.timed for arg in args))


def _matches(checker: Checker, node: Call, term: Term) -> Term:
    _arity(checker, node, '….matches("^A[0-9]+$")', 1)
    pattern = checker.literal(node.args[0], "pattern")
    if len(pattern) > _MAX_PATTERN:
        checker.fail(node.args[0], f"too long for a pattern, at most {_MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        reason = error.args[0]
        checker.fail(
            node.args[0],
            f"no pattern of RE2: {reason.decode() if isinstance(reason, bytes) else reason}",
        )
    run = closures.apply(lambda text: search(text) is not None, term.run)
    return Term(BOOL, run, term.timed)


def _macro(checker: Checker, node: Call, term: Term) -> Term:
    _arity(checker, node, f"….{node.name}(x, x > 10)", 2)
    if sum(isinstance(thing, Term) for thing in checker.scope.values()) >= _MAX_MACROS:
        checker.fail(node, f"at most {_MAX_MACROS} of these can stand in each other")
    item = term.type.item or DYN
    slot = checker.new_slots()
    variable = checker.bind(node.args[0], Term(item, closures.slot(slot, item)))
    body = checker.value(node.args[1])
    if node.name != "map":
        body = checker.fit(node.args[1], body, BOOL)
    del checker.scope[variable]
    result = {"filter": term.type, "map": list_of(body.type)}.get(node.name, BOOL)
    run = closures.over_list(node.name, term.run, slot, body.run)
    return Term(result, run, term.timed or body.timed)


# What a contact did


def _chain(checker: Checker, node: Call, chain: Chain) -> Thing:
    name = node.name
    if name == "where":
        _arity(checker, node, "….where(e, e.price > 10)", 2)
        return _where(checker, node, chain)
    if name == "within":
        _arity(checker, node, '….within("24h")', 1)
        if chain.window:
            checker.fail_name(node, "the time is given already; write .within(…) once")
        return replace(chain, window=checker.duration(node.args[0]))
    if name in windows.AGGREGATES:
        _arity(checker, node, f"….{name}(e, e.price)", 2)
        return _aggregate(checker, node, chain)
    if name not in _CHAIN:
        checker.fail_name(node, f"events have no `{name}`{did_you_mean(name, _CHAIN)}")
    _arity(checker, node, f"….{name}()")
    if checker.scope and (name not in ("last", "first") or chain.conditions):
        # Else the work would be the product of the lengths of two timelines.
        _only_ends(checker, node)
    selection = chain.selection()
    needs: dict[str, Any] = {"window": chain.window} if chain.window else {"everything": True}
    simple = not chain.window and not chain.conditions
    if name in ("last", "first"):
        checker.uses.need(
            chain.name, **({"newest" if name == "last" else "oldest": 1} if simple else needs)
        )
        find = windows.last if name == "last" else windows.first
        return Record(chain.type, run=find(selection))
    last = windows.row_time(windows.last(selection))
    if name == "exists":
        checker.uses.need(chain.name, **({"newest": 1} if simple else needs))
        run = windows.at_least(selection, 1)
        return checker.read(node, Term(BOOL, run, timed=True), last)

    def against(sign: str, known: Any) -> closures.Run | None:
        found = windows.count_against(selection, sign, known)
        if found is None:
            return None
        run, wanted = found
        checker.uses.need(chain.name, **({"newest": wanted} if simple else needs))
        return run

    counted = Term(
        INT,
        windows.count(selection),
        timed=True,
        against=against,
        settle=lambda: checker.uses.need(chain.name, **needs),
    )
    return checker.read(node, counted, last)


def _only_ends(checker: Checker, node: Call) -> None:
    checker.fail_name(
        node,
        "inside a condition on elements, events can only be looked at by .last() or .first(),"
        " without .where(…)",
    )


def _where(checker: Checker, node: Call, chain: Chain) -> Chain:
    if checker.scope:
        _only_ends(checker, node)
    variable = checker.bind(node.args[0], Record(chain.type, chain.slot))
    condition = checker.condition(node.args[1])
    del checker.scope[variable]
    return replace(chain, conditions=[*chain.conditions, condition])


def _aggregate(checker: Checker, node: Call, chain: Chain) -> Term:
    if checker.scope:
        _only_ends(checker, node)
    variable = checker.bind(node.args[0], Record(chain.type, chain.slot))
    value = checker.value(node.args[1])
    del checker.scope[variable]
    name, kind = node.name, value.type
    scalars: tuple[Type, ...] = (*NUMBERS, DYN)
    if name in ("min", "max"):
        scalars += (TIMESTAMP, DATE, STRING)
    elif name == "distinct":
        scalars += (TIMESTAMP, DATE, STRING, BOOL)
    if kind not in scalars:
        allowed = ", ".join(str(scalar) for scalar in scalars if scalar != DYN)
        checker.fail(node.args[1], f"{name} needs one of {allowed}; this is {kind}")
    if name == "distinct":
        usable, result = values.identity, INT
    else:
        usable = windows.number_or_missing if kind == DYN else lambda found: found
        result = DOUBLE if name == "avg" else kind
    checker.uses.need(
        chain.name, **({"window": chain.window} if chain.window else {"everything": True})
    )
    selection = chain.selection()
    run = windows.aggregate(selection, name, value.run, usable)
    last = windows.row_time(windows.last(selection))
    return checker.read(node, Term(result, run, timed=True), last)


def _sequence(checker: Checker, node: Call, sequence: Sequence) -> Term:
    if node.name not in ("within", "notWithin"):
        hint = did_you_mean(node.name, ("within", "notWithin"))
        checker.fail_name(node, f"a sequence has no `{node.name}`{hint}")
    _arity(checker, node, f'….{node.name}("2h")', 1)
    span = checker.duration(node.args[0])
    checker.uses.need(sequence.earlier, newest=1)
    checker.uses.need(sequence.later, follows=frozenset({(sequence.earlier, span)}))
    run = windows.sequence(
        sequence.earlier, sequence.later, span, followed=node.name == "within"
    )
    return checker.read(node, Term(BOOL, run, timed=True))
