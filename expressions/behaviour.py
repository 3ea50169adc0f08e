"""What a contact did: `events(…)` and `sequence(…)`, with their types and the history they need."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from expressions import closures, values, windows
from expressions.errors import ExpressionError, did_you_mean
from expressions.schema import BOOL, DATE, DOUBLE, DYN, INT, NUMBERS, STRING, TIMESTAMP, Type
from expressions.syntax import Call
from expressions.terms import Chain, Record, Sequence, Term, Thing
from expressions.windows import Selection

if TYPE_CHECKING:
    from expressions.check import Checker

_METHODS = ("where", "within", "exists", "count", "last", "first", *windows.AGGREGATES)


def events(checker: Checker, node: Call) -> Chain:
    checker.arity(node, 'events("order_completed")', 1)
    return Chain(_event(checker, node, 0), checker.new_slots())


def _event(checker: Checker, node: Call, at: int) -> Type:
    arg = node.args[at]
    return checker.event_type(checker.literal(arg, "event"), arg.start, arg.end)


def sequence(checker: Checker, node: Call) -> Sequence:
    checker.arity(node, 'sequence("cart_updated", "order_completed")', 2)
    earlier, later = _event(checker, node, 0).name, _event(checker, node, 1).name
    if earlier == later:
        raise checker.error(
            node, f'a sequence is of two events; write events("{later}").within("2h").count() >= 2'
        )
    if checker.scope:
        raise checker.error(node, "a sequence cannot stand inside a condition on elements")
    return Sequence(earlier, later)


def of_events(checker: Checker, node: Call, chain: Chain) -> Thing:
    name = node.name
    if name == "where":
        checker.arity(node, "….where(e, e.price > 10)", 2)
        return _where(checker, node, chain)
    if name == "within":
        checker.arity(node, '….within("24h")', 1)
        if chain.window:
            raise checker.name_error(node, "the time is given already; write .within(…) once")
        return replace(chain, window=checker.duration(node.args[0]))
    if name in windows.AGGREGATES:
        checker.arity(node, f"….{name}(e, e.price)", 2)
        return _aggregate(checker, node, chain)
    if name not in _METHODS:
        message = f"events have no `{name}`{did_you_mean(name, _METHODS)}"
        raise checker.name_error(node, message, f"one of {', '.join(_METHODS)}")
    checker.arity(node, f"….{name}()")
    if checker.scope and (name not in ("last", "first") or chain.conditions):
        # Else the work would be the product of the lengths of two timelines.
        raise _only_ends(checker, node)
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
        return checker.read(node, Term(BOOL, run, timed=True), last, chain.name)

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
        register=lambda: checker.uses.need(chain.name, **needs),
    )
    return checker.read(node, counted, last, chain.name)


def _only_ends(checker: Checker, node: Call) -> ExpressionError:
    return checker.name_error(
        node,
        "inside a condition on elements, events can only be looked at by .last() or .first(),"
        " without .where(…)",
    )


def _where(checker: Checker, node: Call, chain: Chain) -> Chain:
    if checker.scope:
        raise _only_ends(checker, node)
    variable = checker.bind(node.args[0], Record(chain.type, chain.slot))
    condition = checker.condition(node.args[1])
    del checker.scope[variable]
    return replace(chain, conditions=[*chain.conditions, condition])


def _aggregate(checker: Checker, node: Call, chain: Chain) -> Term:
    if checker.scope:
        raise _only_ends(checker, node)
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
        raise checker.error(node.args[1], f"{name} needs one of {allowed}; this is {kind}", allowed)
    result = INT if name == "distinct" else DOUBLE if name == "avg" else kind
    usable = values.identity if name == "distinct" else values.number if kind == DYN else None
    checker.uses.need(
        chain.name, **({"window": chain.window} if chain.window else {"everything": True})
    )
    selection = chain.selection()
    run = windows.aggregate(selection, name, value.run, usable)
    last = windows.row_time(windows.last(selection))
    return checker.read(node, Term(result, run, timed=True), last, chain.name)


def of_sequence(checker: Checker, node: Call, sequence: Sequence) -> Term:
    if node.name not in ("within", "notWithin"):
        hint = did_you_mean(node.name, ("within", "notWithin"))
        expected = "one of within, notWithin"
        raise checker.name_error(node, f"a sequence has no `{node.name}`{hint}", expected)
    checker.arity(node, f'….{node.name}("2h")', 1)
    span = checker.duration(node.args[0])
    checker.uses.need(sequence.earlier, newest=1)
    checker.uses.need(sequence.later, follows=frozenset({(sequence.earlier, span)}))
    run = windows.sequence(sequence.earlier, sequence.later, span, followed=node.name == "within")
    began = windows.row_time(windows.last(Selection(sequence.earlier, None, None, 0)))
    return checker.read(node, Term(BOOL, run, timed=True), began, sequence.earlier)
