"""Bindings: expressions compiled once, and whether their values suit what is made of them. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from expressions import Expression, ExpressionError, Registry, compile
from expressions.schema import Spec
from services.sender.failures import ExpressionInvalid
from services.sender.formats import DateFormat, Format, PluralFormat, TextFormat
from services.sender.model import Binding

CAMPAIGN: Final = ("id", "name", "variant", "language")
"""What bindings read as `campaign.<name>`."""
_GIVEN: Final = ("parameters", "row", "campaign")
EVENTS: Final = "events."
SEGMENTS: Final = "segments."
_WORDS: Final = frozenset({"string", "int", "double", "dyn"})
_NUMBERS: Final = frozenset({"int", "double", "dyn"})
_MOMENTS: Final = frozenset({"timestamp", "date", "dyn"})
_TAKEN: Final = {
    "media": frozenset({"string", "dyn"}),
    "id": frozenset({"string", "int", "dyn"}),
    "token": frozenset({"string", "int", "dyn"}),
    "latitude": _NUMBERS | {"string"},
    "longitude": _NUMBERS | {"string"},
    "time": frozenset({"timestamp", "string", "dyn"}),
    "record": frozenset({"map", "string", "dyn"}),
    "sections": frozenset({"list", "string", "dyn"}),
}
"""By the kind of a blank: types that it can be filled with."""
_HINTS: Final = {
    "bool": '; write `… ? "a" : "b"`',
    "timestamp": "; choose a date format",
    "date": "; choose a date format",
    "list": "; name one of it, as in `profile.tags[0]`",
    "map": "; name a field of it",
}


def registry(attributes: Mapping[str, Spec] | None = None) -> Registry:
    """The names that bindings may use, where types of some attributes are known."""
    return Registry(attributes, given={"campaign": dict.fromkeys(CAMPAIGN, "string")}, open=True)


OPEN: Final = registry()
"""For those who know no types."""


class Compiled(NamedTuple):
    """A binding ready to be evaluated."""

    binding: Binding
    expression: Expression

    @property
    def needs(self) -> frozenset[str]:
        """What of a contact it looks at: attributes, traits as `traits.<name>`, events as
        `events.<name>`, segments as `segments.<name>`."""
        return self.expression.attributes.union(
            (EVENTS + name for name in self.expression.events),
            (SEGMENTS + name for name in self.expression.segments),
        )


def compile_binding(
    binding: Binding, field: str = "expression", registry: Registry = OPEN
) -> Compiled:
    """Parse and check a binding; raises ExpressionInvalid.

    `parameters.x` is a value that the trigger or journey brought, `row.x` a column of the file that
    named the person.
    """
    try:
        expression = compile(binding.expression, registry, given=_GIVEN)
    except ExpressionError as error:
        raise ExpressionInvalid(field, error) from error
    if expression.places:
        raise _unfit(field, expression, "messages do not know where places are", "")
    wanted = _suitable(binding.format)
    if binding.format is not None and expression.result_type.name not in wanted:
        _refuse(field, expression, wanted)
    return Compiled(binding, expression)


def check_kind(compiled: Compiled, kind: str, field: str) -> None:
    """Raises ExpressionInvalid when a blank of this kind can never be filled with the values."""
    wanted = _TAKEN.get(kind) or _suitable(compiled.binding.format)
    if compiled.expression.result_type.name not in wanted:
        _refuse(field, compiled.expression, wanted)


def _suitable(form: Format | None) -> frozenset[str]:
    """The types of values that can be written so."""
    match form:
        case None | TextFormat():
            return _WORDS
        case DateFormat():
            return _MOMENTS
        case PluralFormat() | _:
            return _NUMBERS


def _refuse(field: str, expression: Expression, wanted: frozenset[str]) -> None:
    given = expression.result_type
    names = sorted(wanted - {"dyn"})
    expected = " or ".join(names)
    hint = ""
    if wanted == _NUMBERS and given.name == "string":
        hint = "; write double(…) around it"
    elif wanted == _MOMENTS and given.name in {"string", "int"}:
        hint = "; write timestamp(…) around it"
    elif wanted == _WORDS:
        hint = _HINTS.get(given.name, "")
    raise _unfit(field, expression, f"expected {expected}, this is {given}{hint}", expected)


def _unfit(field: str, expression: Expression, problem: str, expected: str) -> ExpressionInvalid:
    source = expression.source
    return ExpressionInvalid(field, ExpressionError(source, 0, len(source), problem, expected))
