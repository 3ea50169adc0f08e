"""The one expression language: CEL with what a contact did and when.

Pure: no I/O, no clock, no protobuf. `compile` turns a source into an `Expression`, evaluated on
a contact's `Facts` at an instant. All times are ints, milliseconds since 1970 UTC.

    registry = Registry({"city": "string"}, {"cart_updated": {"total": "double"}})
    rule = compile('events("cart_updated").within("24h").exists()', registry)
    facts = Facts()
    facts.insert("cart_updated", time=now, properties={})
    rule.decide(facts, now)  # Decision(value=True, next_change=now + 86_400_000)
"""

from expressions.errors import ExpressionError
from expressions.expression import Clause, Decision, Expression, Given, Reading, compile
from expressions.facts import Event, Facts, History, Timeline
from expressions.index import Index
from expressions.places import Area
from expressions.registry import EventType, Registry

__all__ = [
    "Area",
    "Clause",
    "Decision",
    "Event",
    "EventType",
    "Expression",
    "ExpressionError",
    "Facts",
    "Given",
    "History",
    "Index",
    "Reading",
    "Registry",
    "Timeline",
    "compile",
]
