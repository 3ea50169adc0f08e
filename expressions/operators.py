"""Operators, each with the types it goes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expressions import closures, values
from expressions.schema import BOOL, DURATION, DYN, NULL, NUMBERS, STRING, list_of
from expressions.syntax import Binary, Unary
from expressions.terms import Term, comparable, conversion, result_of

if TYPE_CHECKING:
    from expressions.check import Checker

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_UNORDERED = frozenset({"bool", "list", "map"})


def unary(checker: Checker, node: Unary) -> Term:
    if node.operator == "!":
        term = checker.condition(node.operand)
        return Term(BOOL, closures.negate(term.run), term.timed)
    term = checker.value(node.operand)
    if term.type not in (*NUMBERS, DURATION, DYN):
        raise checker.error(node, f"`-` needs a number or a duration, this is {term.type}")
    minus = values.arithmetic("-")
    run = closures.apply(lambda value: minus(0, value), term.run)
    return Term(term.type, run, term.timed)


def binary(checker: Checker, node: Binary) -> Term:
    if node.operator == "in":
        return _membership(checker, node)
    if node.operator in closures.COMPARE:
        return _comparison(checker, node)
    return _arithmetic(checker, node)


def _arithmetic(checker: Checker, node: Binary) -> Term:
    sign = node.operator
    left = checker.moving(node.left, checker.visit(node.left))
    right = checker.moving(node.right, checker.visit(node.right))
    kind = result_of(sign, left.type, right.type)
    if kind is None:
        raise checker.error(
            node,
            f"`{sign}` does not go with {left.type} and {right.type}"
            f"{conversion(right.type, left.type)}",
            str(left.type),
        )
    for term in (left, right):
        if term.register:
            term.register()
    slope = left.slope + right.slope if sign == "+" else left.slope - right.slope
    run = closures.apply(values.arithmetic(sign), left.run, right.run)
    return Term(kind, run, left.timed or right.timed, slope)


def _comparison(checker: Checker, node: Binary) -> Term:
    sign = node.operator
    left = checker.moving(node.left, checker.visit(node.left))
    right = checker.moving(node.right, checker.visit(node.right))
    if left.type == NULL and right.type != NULL:
        left, right = right, left
    elif left.constant is not None and right.constant is None:
        left, right, sign = right, left, _FLIPPED[sign]
    timed = left.timed or right.timed
    if right.type == NULL:
        if sign not in ("==", "!="):
            raise checker.error(node, f"null has no order; `{sign}` needs a value on both sides")
        if left.register:
            left.register()
        ask = closures.absent if sign == "==" else closures.present
        return Term(BOOL, ask(left.run), timed)
    if not comparable(left.type, right.type):
        raise checker.error(
            node,
            f"`{sign}` compares like with like: the left side is {left.type}, the right side"
            f" is {right.type}{conversion(right.type, left.type)}",
            str(left.type),
        )
    ordered = sign not in ("==", "!=")
    if ordered and {left.type.name, right.type.name} & _UNORDERED:
        raise checker.error(node, f"{left.type} has no order; use == or !=")
    if (slope := left.slope - right.slope) != 0:
        run = closures.compare_moving(sign, left.run, right.run, slope)
        return Term(BOOL, run, timed=True)
    if left.against and right.constant is not None:
        better = left.against(sign, right.constant)
        if better:
            return Term(BOOL, better, timed)
    for term in (left, right):
        if term.register:
            term.register()
    if {left.type.name, right.type.name} & {"dyn", "list", "map"}:
        return Term(BOOL, closures.compare_dynamic(sign, left.run, right.run), timed)
    return Term(BOOL, closures.compare(sign, left.run, right.run, right.constant), timed)


def _membership(checker: Checker, node: Binary) -> Term:
    left = checker.moving(node.left, checker.visit(node.left))
    container = checker.value(node.right)
    kind = container.type
    timed = left.timed or container.timed
    if left.against and kind == list_of(left.type) and container.constant is not None:
        better = left.against("in", container.constant)
        if better:
            return Term(BOOL, better, timed)
    value = checker.settle(node.left, left)
    if kind.item:
        if kind.item != DYN and not comparable(value.type, kind.item):
            raise checker.error(node.left, f"a {value.type} cannot be in a {kind}")
    elif kind.name == "map":
        value = checker.fit(node.left, value, STRING)
    elif kind != DYN:
        raise checker.error(node.right, f"`in` needs a list on its right, this is {kind}", "a list")
    if kind.item == STRING and value.type == STRING and container.constant is not None:
        known = frozenset(container.constant)
        return Term(BOOL, closures.contained_in(value.run, known), timed)
    return Term(BOOL, closures.contained(value.run, container.run), timed)
