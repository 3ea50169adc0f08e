"""Rules and alerts in the words of the contract, and back."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from chassis.failures import FieldInvalid
from chassis.times import timestamp
from merhaba.reports.v1 import Alert as AlertProto
from merhaba.reports.v1 import AlertRoute, AlertRule, Dimension, Filter, Measure, Value
from services.reports.alerts.model import SENSITIVITY, Direction, Kind, Route, Rule, Sieve, State
from services.reports.alerts.store import Found
from services.reports.answers.measures import BASE, PEOPLE, made
from services.reports.answers.question import column, filters
from services.reports.failures import QueryUnsupported
from services.reports.naming import named
from services.reports.statistics import Interval

MUTABLE: Final = (
    *("name", "kind", "disabled", "measure", "dimensions", "filters", "direction", "threshold"),
    *("sensitivity", "window_duration", "minimum_sample_size", "silence_duration", "routes"),
)
_KINDS: Final[Mapping[int, Kind]] = {
    AlertRule.KIND_THRESHOLD: "threshold",
    AlertRule.KIND_ANOMALY: "anomaly",
    AlertRule.KIND_QUALITY: "quality",
    AlertRule.KIND_BUDGET_BURN: "budget_burn",
    AlertRule.KIND_LAG: "lag",
}
_DIRECTIONS: Final[Mapping[int, Direction]] = {
    AlertRule.DIRECTION_UNSPECIFIED: "above",
    AlertRule.DIRECTION_ABOVE: "above",
    AlertRule.DIRECTION_BELOW: "below",
}
_STATES: Final[Mapping[int, State]] = {
    AlertProto.STATE_OPEN: "open",
    AlertProto.STATE_ACKNOWLEDGED: "acknowledged",
    AlertProto.STATE_RESOLVED: "resolved",
}
_LONGEST_NAME: Final = 200
_MOST_DIMENSIONS: Final = 2
_MOST_ROUTES: Final = 10
_DAY_MS: Final = 86_400_000
_QUARTER_MS: Final = 900_000
_LONGEST_MS: Final = 7 * _DAY_MS
_LONGEST_SILENCE_MS: Final = 30 * _DAY_MS
_LARGEST: Final = 2**31

_UNWATCHED: Final = (
    Dimension.DIMENSION_SEGMENT,
    Dimension.DIMENSION_SEND_HOUR,
    Dimension.DIMENSION_SEND_WEEKDAY,
)
"""A message counts in each segment, and hours are what is compared."""

Check = Callable[[str, str, str], None]
"""Checks a route's address and secret, at a path."""


def rule(given: AlertRule, check: Check) -> Rule:
    """What a caller asks for. Raises `FieldInvalid`, `QueryUnsupported`, and what `check` does."""
    if not 0 < len(given.name) <= _LONGEST_NAME:
        raise FieldInvalid("alert_rule.name", "missing or too long", limit=str(_LONGEST_NAME))
    kind = _KINDS.get(given.kind)
    if kind is None:
        raise FieldInvalid("alert_rule.kind", "missing; say what is watched")
    for name in ("threshold", "sensitivity", "minimum_sample_size"):
        number = getattr(given, name)
        if not (isfinite(number) and 0 <= number < _LARGEST):
            raise FieldInvalid(f"alert_rule.{name}", "negative, too large or no number")
    direction = _DIRECTIONS.get(given.direction)
    if direction is None:
        raise FieldInvalid("alert_rule.direction", "unknown; use ABOVE or BELOW")
    if kind in ("threshold", "anomaly"):
        _measured(given, kind)
    elif given.measure or given.dimensions or given.filters:
        raise FieldInvalid("alert_rule.measure", f"of no effect with {kind}; leave it unset")
    if kind == "lag" and not given.threshold:
        raise FieldInvalid("alert_rule.threshold", "missing; say how many seconds are too many")
    if len(given.routes) > _MOST_ROUTES:
        raise FieldInvalid("alert_rule.routes", "too many", limit=str(_MOST_ROUTES))
    for at, route in enumerate(given.routes):
        check(f"alert_rule.routes[{at}]", route.url, route.secret_name)
    return Rule(
        name=given.name,
        kind=kind,
        disabled=given.disabled,
        measure=given.measure,
        dimensions=tuple(given.dimensions),
        filters=tuple(Sieve(f.dimension, tuple(f.values), f.exclude) for f in given.filters),
        direction=direction,
        threshold=given.threshold,
        sensitivity=given.sensitivity or SENSITIVITY,
        window_ms=_span(given, "window_duration", _LONGEST_MS),
        minimum_sample_size=given.minimum_sample_size,
        silence_ms=_span(given, "silence_duration", _LONGEST_SILENCE_MS),
        routes=tuple(Route(route.url, route.secret_name) for route in given.routes),
    )


def _measured(given: AlertRule, kind: Kind) -> None:
    found = made(given.measure, 0)
    if found is None or PEOPLE & set(found.columns) or (kind == "anomaly" and found.kind != "rate"):
        only = "a rate" if kind == "anomaly" else "one that sums of messages tell"
        raise QueryUnsupported(
            f"alert_rule.measure: {only}", measure=named(Measure, given.measure), dimension=""
        )
    if given.minimum_sample_size and found.kind in ("money", "return"):
        raise FieldInvalid(
            "alert_rule.minimum_sample_size", "of no effect with money; leave it unset"
        )
    if len(given.dimensions) > _MOST_DIMENSIONS:
        raise FieldInvalid("alert_rule.dimensions", "too many", limit=str(_MOST_DIMENSIONS))
    if len(set(given.dimensions)) < len(given.dimensions):
        raise FieldInvalid("alert_rule.dimensions", "repeated; each may stand once")
    named_columns = {
        *(column(d, f"alert_rule.dimensions[{n}]") for n, d in enumerate(given.dimensions)),
        *(one.column for one in filters(given.filters, "alert_rule.filters")),
    }
    if found.part in BASE and named_columns - BASE[found.part]:
        raise QueryUnsupported(
            "alert_rule.dimensions: nothing is known of the measure by them; leave them out",
            measure=named(Measure, given.measure),
            dimension="",
        )
    for dimension in (*given.dimensions, *(one.dimension for one in given.filters)):
        if dimension in _UNWATCHED:
            raise QueryUnsupported(
                "alert_rule.dimensions: not watched by segment, hour or weekday",
                measure=named(Measure, given.measure),
                dimension=named(Dimension, dimension),
            )
    if not _QUARTER_MS <= given.window_duration.ToMilliseconds() <= _LONGEST_MS:
        raise FieldInvalid("alert_rule.window_duration", "not between 15 minutes and 7 days")


def _span(given: AlertRule, name: str, longest_ms: int) -> int:
    found: int = getattr(given, name).ToMilliseconds()
    if not 0 <= found <= longest_ms:
        days = longest_ms // _DAY_MS
        raise FieldInvalid(f"alert_rule.{name}", f"negative or over {days} days")
    return found


def rule_proto(one: Rule) -> AlertRule:
    """A rule."""
    return AlertRule(
        alert_rule_id=one.alert_rule_id,
        name=one.name,
        etag=str(one.version),
        kind=AlertRule.Kind.Value(f"KIND_{one.kind.upper()}"),
        disabled=one.disabled,
        measure=_measure(one.measure),
        dimensions=one.dimensions,  # type: ignore[arg-type]  # enums are numbers
        filters=[
            Filter(dimension=f.dimension, values=f.values, exclude=f.exclude)  # type: ignore[arg-type]  # an enum's number
            for f in one.filters
        ],
        direction=AlertRule.Direction.Value(f"DIRECTION_{one.direction.upper()}"),
        threshold=one.threshold,
        sensitivity=one.sensitivity,
        window_duration=_duration(one.window_ms),
        minimum_sample_size=one.minimum_sample_size,
        silence_duration=_duration(one.silence_ms),
        routes=[AlertRoute(url=r.url, secret_name=r.secret_name) for r in one.routes],
        built_in=one.built_in,
        update_time=timestamp(one.update_time or None),
    )


def states(given: Sequence[int]) -> list[State]:
    """Any of these. Raises `FieldInvalid`."""
    if any(one not in _STATES for one in given):
        raise FieldInvalid("states", "one of them is no state; leave it empty for all")
    return [_STATES[one] for one in given]


def alert(found: Found) -> AlertProto:
    """An alert."""
    one = found.alert
    return AlertProto(
        alert_id=one.alert_id,
        alert_rule_id=one.alert_rule_id,
        rule_name=one.rule_name,
        state=AlertProto.State.Value(f"STATE_{one.state.upper()}"),
        subjects=one.subjects,
        value=_value(one.measure, one.value, one.sample_size),
        expected=None if one.expected is None else _value(one.measure, one.expected, 0),
        threshold=one.limit,
        explanation=one.explanation,
        open_time=timestamp(one.open_time),
        acknowledge_time=timestamp(one.acknowledge_time or None),
        acknowledger=one.acknowledger,
        note=one.note,
        resolve_time=timestamp(one.resolve_time or None),
        failed_deliveries=found.failed_deliveries,
    )


def _value(measure: int, found: Interval, size: int) -> Value:
    return Value(
        measure=_measure(measure),
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        sample_size=size,
    )


def _measure(number: int) -> Any:
    """The number of an enum, as types have it."""
    return number


def _duration(milliseconds: int) -> Duration:
    found = Duration()
    found.FromMilliseconds(milliseconds)
    return found
