"""What an event of the business is by the definitions of success. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from expressions import Event as Happened
from expressions import Expression, ExpressionError, Facts, Registry
from expressions import compile as compile_expression
from services.reports.amounts import micros
from services.reports.conversions.model import Conversion
from services.reports.failures import ExpressionInvalid
from services.reports.model import OrderFact

_ANYTHING: Final = Registry(open=True)
_NOBODY: Final = Facts()
_LONGEST_KEY: Final = 200


class _Compiled(NamedTuple):
    condition: Expression | None
    value: Expression | None
    currency: Expression | None
    key: Expression | None


class Reader:
    """Reads events by definitions."""

    def __init__(self, conversions: Iterable[Conversion]) -> None:
        """Raises `ExpressionInvalid`."""
        self._of: dict[str, list[tuple[Conversion, _Compiled]]] = {}
        self._undone: dict[str, list[tuple[Conversion, Expression | None]]] = {}
        for one in conversions:
            self._of.setdefault(one.event_name, []).append((one, _compiled(one)))
            if one.reversal_event_name:
                key = _expression("key_expression", one.key, one.reversal_event_name)
                self._undone.setdefault(one.reversal_event_name, []).append((one, key))

    def concerns(self, name: str) -> bool:
        """Whether any definition looks at such events."""
        return name in self._of or name in self._undone

    def read(
        self, name: str, event_id: str, contact_id: str, time: int, properties: Mapping[str, Any]
    ) -> list[tuple[str, OrderFact]]:
        """What an event counts as, by definition. `time`: epoch milliseconds."""
        happened = Happened(time, properties)
        found: list[tuple[str, OrderFact]] = []
        for one, by in self._of.get(name, ()):
            if by.condition is not None and not _value(by.condition, happened):
                continue
            key = _key(by.key, happened, event_id)
            if not key:
                continue
            fact = OrderFact(contact_id, key, completed=time)
            worth = micros(_value(by.value, happened))
            if worth is not None:
                fact.value = (time, worth, str(_value(by.currency, happened) or "")[:3].upper())
            found.append((one.conversion_id, fact))
        for one, undone in self._undone.get(name, ()):
            key = _key(undone, happened, "")
            if key:
                found.append((one.conversion_id, OrderFact(contact_id, key, cancelled=time)))
        return found


def check(one: Conversion) -> None:
    """Raises `ExpressionInvalid` for what cannot be read."""
    Reader([one])


def _compiled(one: Conversion) -> _Compiled:
    return _Compiled(
        _expression("condition", one.condition, one.event_name, condition=True),
        _expression("value_expression", one.value, one.event_name),
        _expression("currency_expression", one.currency, one.event_name),
        _expression("key_expression", one.key, one.event_name),
    )


def _expression(
    field: str, source: str, event_name: str, condition: bool = False
) -> Expression | None:
    if not source:
        return None
    path = f"conversion.{field}"
    try:
        found = compile_expression(source, _ANYTHING, event_name)
    except ExpressionError as error:
        raise ExpressionInvalid(path, error) from None
    # Of a contact nothing is known here, only what just happened
    if found.events or found.attributes or found.segments or found.consents or found.places:
        wrong = "it looks at more than `event`, which is all there is here"
        raise ExpressionInvalid(path, ExpressionError(source, 0, len(source), wrong))
    if condition and not found.is_condition:
        wrong = f"it is of type {found.result_type}, not bool"
        raise ExpressionInvalid(path, ExpressionError(source, 0, len(source), wrong, "bool"))
    return found


def _key(expression: Expression | None, happened: Happened, otherwise: str) -> str:
    if expression is None:
        return otherwise
    said = _value(expression, happened)
    return "" if said is None else str(said)[:_LONGEST_KEY]


def _value(expression: Expression | None, happened: Happened) -> Any:
    return expression and expression.evaluate(_NOBODY, happened.time, happened)
