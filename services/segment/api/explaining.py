"""Why somebody is or is not a member: each part of the rule, its value, and what made it so. Pure
but for the contract's nouns."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from chassis.times import timestamp
from expressions import Clause as ExpressionClause
from expressions import Event, Expression, Facts, Given, Reading
from expressions.registry import WEATHER
from merhaba.segment.v1 import Cause, Clause, Explanation
from services.segment.engine.settling import REWIND
from services.segment.engine.state import ContactState

_CONSENT: Final = "consent."
_SEGMENT: Final = "segment."
_PROFILE: Final = "profile."
CONSENT_EVENT: Final = "consent_changed"
MASK: Final = b'"***"'
"""The value of what the caller may not see."""


class Known(NamedTuple):
    """When what an expression looks at came to be as it is (ms)."""

    attributes: Mapping[str, int]
    consents: Mapping[str, int]
    segments: Mapping[str, int]
    """By name."""


def known(state: ContactState, names: Mapping[str, str]) -> Known:
    """Of a contact; `names` of segments by id."""
    return Known(
        state.attribute_times,
        {purpose: one.time for purpose, one in state.agreements.items()},
        {names[i]: one.since for i, one in state.standings.items() if i in names},
    )


def oldest(expression: Expression, state: ContactState, when: Known) -> int:
    """The earliest moment (ms) of which all that the expression looks at is still known: events
    are kept, of what changed since only what it is now."""
    changed = [
        *(when.attributes.get(name, 0) for name in expression.attributes),
        *(when.consents.get(purpose, 0) for purpose in expression.consents),
        *(when.segments.get(name, 0) for name in expression.segments),
    ]
    return max(0, state.clock - REWIND, *changed)


def causes(clauses: Iterable[ExpressionClause], when: Known) -> set[tuple[str, int]]:
    """Names and times (ms) of the events behind the values of an explanation."""
    readings = (reading for clause in clauses for reading in clause.readings)
    return {found for one in readings if (found := _event(one, when))}


def explanation(
    expression: Expression,
    facts: Facts,
    now: int,
    when: Known,
    clauses: list[ExpressionClause],
    event_ids: Mapping[tuple[str, int], str],
    event: Event | None = None,
    given: Given | None = None,
) -> Explanation:
    """Why an expression has its value at `now`; `event_ids` by name and time."""
    decision = expression.decide(facts, now, event, given)
    told = [_clause(one, when, event_ids) for one in clauses]
    whole = len(clauses) == 1 and clauses[0].source == expression.source
    root = (
        told[0]
        if whole
        else Clause(
            text=expression.source,
            value_json=_json(decision.value),
            cause=_latest(told),
            next_change_time=timestamp(decision.next_change),
            clauses=told,
        )
    )
    return Explanation(
        evaluate_time=timestamp(now),
        root=root,
        next_change_time=timestamp(decision.next_change),
    )


def veil(explained: Explanation, shown: Callable[[str], bool]) -> None:
    """Take out what the caller may not see. `shown`: whether it may see what a part of the
    expression, by its text, comes to."""
    if not shown(explained.root.text):
        explained.ClearField("next_change_time")
        _mask(explained.root, shown)


def _mask(clause: Clause, shown: Callable[[str], bool]) -> None:
    clause.skipped = False  # that it was not needed tells how those before it came out
    if not shown(clause.text):
        clause.value_json = MASK
        clause.ClearField("cause")
        clause.ClearField("next_change_time")
    for one in clause.clauses:
        _mask(one, shown)


def _clause(
    clause: ExpressionClause, when: Known, event_ids: Mapping[tuple[str, int], str]
) -> Clause:
    if clause.clauses:
        inner = [_clause(one, when, event_ids) for one in clause.clauses]
    else:
        inner = [_reading(one, when, event_ids) for one in clause.readings]
    return Clause(
        text=clause.source,
        offset=clause.offset,
        value_json=_json(clause.value),
        cause=_latest(inner),
        next_change_time=timestamp(clause.next_change),
        clauses=inner,
        skipped=clause.skipped,
    )


def _reading(reading: Reading, when: Known, event_ids: Mapping[tuple[str, int], str]) -> Clause:
    return Clause(
        text=reading.source,
        offset=reading.offset,
        value_json=_json(reading.value),
        cause=_cause(reading, when, event_ids),
    )


def _cause(reading: Reading, when: Known, event_ids: Mapping[tuple[str, int], str]) -> Cause | None:
    found = _event(reading, when) or _fact(reading.about, when)
    if found is None:
        return None
    name, time = found
    return Cause(event_id=event_ids.get(found, ""), name=name, event_time=timestamp(time))


def _event(reading: Reading, when: Known) -> tuple[str, int] | None:
    """The event behind a value: its name and time."""
    about, time = reading.about, reading.last_event_time
    if about.startswith(_CONSENT):
        about, time = CONSENT_EVENT, when.consents.get(about.removeprefix(_CONSENT))
    return (about, time) if time else None


def _fact(about: str, when: Known) -> tuple[str, int] | None:
    """The attribute or segment behind a value, and since when it is so."""
    time = None
    if about.startswith(_SEGMENT):
        time = when.segments.get(about.removeprefix(_SEGMENT))
    elif _is_fact(about):
        time = when.attributes.get(about.removeprefix(_PROFILE))
    return (about, time) if time else None


def _is_fact(about: str) -> bool:
    return about in ("stage", WEATHER) or about.startswith((_PROFILE, "traits."))


def _latest(clauses: Iterable[Clause]) -> Cause | None:
    """What happened last of all that the parts say."""
    found = [one.cause for one in clauses if one.HasField("cause")]
    return max(found, key=lambda cause: cause.event_time.ToNanoseconds(), default=None)


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=str)
