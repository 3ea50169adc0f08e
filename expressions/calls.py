"""Functions and methods of the language, each with its types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import re2  # type: ignore[import-untyped] # google-re2 comes without stubs

from expressions import behaviour, closures, places, values
from expressions.errors import did_you_mean
from expressions.registry import WEATHER
from expressions.schema import (
    BOOL,
    DATE,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    MAP,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
)
from expressions.syntax import Call, Index, Literal, Select
from expressions.terms import Chain, Clock, Sequence, Term, Thing

if TYPE_CHECKING:
    from expressions.check import Checker

_MACROS = ("all", "exists", "exists_one", "filter", "map")
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
            expected = "the name of a function"
            raise checker.name_error(node, f"unknown function `{node.name}`{hint}", expected)
        return function(checker, node)
    thing = checker.visit(node.receiver)
    match thing:
        case Chain():
            return behaviour.of_events(checker, node, thing)
        case Sequence():
            return behaviour.of_sequence(checker, node, thing)
        case _:
            return _method(checker, node, checker.settle(node.receiver, thing))


# Functions


def _has(checker: Checker, node: Call) -> Term:
    checker.arity(node, "has(profile.city)", 1)
    if not isinstance(node.args[0], Select | Index):
        raise checker.error(
            node.args[0], "has(…) asks for an attribute or property: `has(profile.city)`"
        )
    term = checker.value(node.args[0])
    return Term(BOOL, closures.present(term.run), term.timed)


def _size(checker: Checker, node: Call) -> Term:
    checker.arity(node, "size(profile.tags)", 1)
    return _size_of(checker, node, checker.value(node.args[0]))


def _size_of(checker: Checker, node: Call, term: Term) -> Term:
    if not (term.type in (STRING, DYN) or term.type.item or term.type.name == MAP.name):
        raise checker.error(node, f"size needs a string, a list or a map, this is {term.type}")
    return Term(INT, closures.apply(values.length, term.run), term.timed)


def _conversion(checker: Checker, node: Call) -> Term:
    result, functions = _CONVERSIONS[node.name]
    checker.arity(node, f"{node.name}(…)", 1)
    (arg,) = node.args
    term = checker.value(arg)
    function = functions.get(term.type.name)
    if function is None:
        raise checker.error(arg, f"{term.type} cannot be made a {node.name}")
    if isinstance(arg, Literal) and arg.value is not None:
        constant = function(arg.value)
        if constant is None:
            help_ = _LITERAL_HELP[node.name]
            raise checker.error(arg, f"not a {node.name}; {help_}", f"the text of a {node.name}")
        return Term(result, closures.constant(constant), constant=constant)
    return Term(result, closures.apply(function, term.run), term.timed)


def _now(checker: Checker, node: Call) -> Term:
    checker.arity(node, "now()")
    return Term(TIMESTAMP, closures.now, timed=True, slope=1)


def _local_time(checker: Checker, node: Call) -> Clock:
    checker.arity(node, "localTime()", 0, 1)
    return Clock(checker.expect(node.args[0], TIMESTAMP) if node.args else None)


def _stage(checker: Checker, node: Call) -> Term:
    checker.arity(node, "stage()")
    checker.uses.attributes.add("stage")
    kind = checker.registry.attributes["stage"]
    return checker.read(node, Term(kind, closures.attribute("stage", kind)), about="stage")


def _consent(checker: Checker, node: Call) -> Term:
    checker.arity(node, 'consent("marketing")', 1)
    purpose = _known(checker, node, "purpose", checker.registry.purposes)
    checker.uses.consents.add(purpose)
    about = f"consent.{purpose}"
    return checker.read(node, Term(BOOL, closures.consented(purpose)), about=about)


def _segment(checker: Checker, node: Call) -> Term:
    checker.arity(node, 'segment("vip")', 1)
    segment = _known(checker, node, "segment", checker.registry.segments)
    checker.uses.segments.add(segment)
    about = f"segment.{segment}"
    return checker.read(node, Term(BOOL, closures.in_segment(segment)), about=about)


def _known(checker: Checker, node: Call, what: str, known: frozenset[str] | None) -> str:
    name = checker.literal(node.args[0], what)
    if known is not None and name not in known:
        message = f"unknown {what} `{name}`{did_you_mean(name, known)}"
        raise checker.error(node.args[0], message, f"the name of a {what}")
    return name


def _near(checker: Checker, node: Call) -> Term:
    checker.arity(node, 'near("kadikoy-store", "500m")', 2)
    place = _known(checker, node, "place", checker.registry.known_places)
    text = checker.literal(node.args[1], "distance")
    try:
        distance = places.parse_distance(text)
    except ValueError as error:
        raise checker.error(node.args[1], f"`{text}`: {error}", "a distance") from None
    checker.uses.places.add(place)
    checker.uses.attributes.add(places.LOCATION)
    run = closures.near(checker.registry.places, place, distance)
    return checker.read(node, Term(BOOL, run), about=places.LOCATION)


def _weather(checker: Checker, node: Call) -> Term:
    checker.arity(node, "weather().temperature_c")
    kind = checker.registry.attributes.get(WEATHER)
    if kind is None:
        raise checker.error(node, "no weather is known here; it needs the setting WEATHER_URL")
    checker.uses.attributes.add(WEATHER)
    return checker.read(node, Term(kind, closures.attribute(WEATHER, kind)), about=WEATHER)


_FUNCTIONS: dict[str, Callable[[Checker, Call], Thing]] = {
    "has": _has,
    "size": _size,
    **dict.fromkeys(_CONVERSIONS, _conversion),
    "now": _now,
    "localTime": _local_time,
    "stage": _stage,
    "consent": _consent,
    "segment": _segment,
    "events": behaviour.events,
    "sequence": behaviour.sequence,
    "near": _near,
    "weather": _weather,
}


# Methods of values


def _method(checker: Checker, node: Call, term: Term) -> Term:
    assert node.receiver is not None
    name = node.name
    if name in _MACROS and (term.type.item or term.type == DYN):
        return _macro(checker, node, term)
    if name == "size":
        checker.arity(node, "….size()")
        return _size_of(checker, node, term)
    if name == "matches":
        return _matches(checker, node, checker.fit(node.receiver, term, STRING))
    if name == "isToday":
        checker.arity(node, "….isToday()")
        day = checker.fit(node.receiver, term, DATE)
        checker.uses.attributes.add("zone")
        return Term(BOOL, closures.is_today(day.run), timed=True)
    method = _METHODS.get(name)
    if method is None:
        known = [*_METHODS, "matches", "size", "isToday", *_MACROS]
        message = f"{term.type} has no `{name}`{did_you_mean(name, known)}"
        raise checker.name_error(node, message, f"the name of a function of {term.type}")
    if len(node.args) != len(method.args):
        raise checker.error(node, f"{name} takes {len(method.args)} values, not {len(node.args)}")
    receiver = checker.fit(node.receiver, term, method.receiver)
    args = [checker.expect(arg, kind) for arg, kind in zip(node.args, method.args, strict=True)]
    run = closures.apply(method.function, receiver.run, *(arg.run for arg in args))
    return Term(method.result, run, term.timed or any(arg.timed for arg in args))


def _matches(checker: Checker, node: Call, term: Term) -> Term:
    checker.arity(node, '….matches("^A[0-9]+$")', 1)
    pattern = checker.literal(node.args[0], "pattern")
    if len(pattern) > _MAX_PATTERN:
        raise checker.error(
            node.args[0], f"too long for a pattern, at most {_MAX_PATTERN} characters"
        )
    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        reason = error.args[0]
        raise checker.error(
            node.args[0],
            f"no pattern of RE2: {reason.decode() if isinstance(reason, bytes) else reason}",
        ) from None
    run = closures.apply(lambda text: search(text) is not None, term.run)
    return Term(BOOL, run, term.timed)


def _macro(checker: Checker, node: Call, term: Term) -> Term:
    checker.arity(node, f"….{node.name}(x, x > 10)", 2)
    if sum(isinstance(thing, Term) for thing in checker.scope.values()) >= _MAX_MACROS:
        raise checker.error(node, f"at most {_MAX_MACROS} of these can stand in each other")
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
