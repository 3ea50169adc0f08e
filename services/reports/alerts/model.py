"""Rules, and what they found. Pure."""

from typing import Final, Literal, NamedTuple

import msgspec

from services.reports.statistics import Interval

Kind = Literal["threshold", "anomaly", "quality", "budget_burn", "lag"]
Direction = Literal["above", "below"]
State = Literal["open", "acknowledged", "resolved"]

SENSITIVITY: Final = 3.0
_MINUTE_MS: Final = 60_000
_QUARTER_MS: Final = 15 * _MINUTE_MS
_LOOKS: Final = 24


class Route(msgspec.Struct, frozen=True):
    """Who is told."""

    url: str
    secret_name: str


class Sieve(msgspec.Struct, frozen=True):
    """Only messages with one of these values of a dimension, or with none of them."""

    dimension: int
    values: tuple[str, ...]
    exclude: bool


class Rule(msgspec.Struct, kw_only=True):
    """When somebody should be told. Measures and dimensions by their numbers in the contract."""

    alert_rule_id: str = ""
    name: str
    version: int = 1
    kind: Kind
    disabled: bool = False
    measure: int = 0
    dimensions: tuple[int, ...] = ()
    filters: tuple[Sieve, ...] = ()
    direction: Direction = "above"
    threshold: float = 0.0
    """The limit, in the measure's unit; of a lag seconds."""
    sensitivity: float = SENSITIVITY
    """Standard deviations from what is normal."""
    window_ms: int = 0
    """Over how long it is measured."""
    minimum_sample_size: int = 0
    """Fewer facts tell nothing."""
    silence_ms: int = 0
    """Not told again for this long."""
    routes: tuple[Route, ...] = ()
    built_in: bool = False
    update_time: int = 0

    @property
    def every_ms(self) -> int:
        """How often it is looked at: sums change by the quarter of an hour."""
        return max(_MINUTE_MS, min(self.window_ms // _LOOKS, _QUARTER_MS))


class Look(NamedTuple):
    """What was found of a subject that is beyond its limit, or nearly."""

    subjects: tuple[str, ...]
    beyond: bool
    """Else it is only nearly: an alert that stands stays, and none begins."""
    value: Interval
    sample_size: int
    expected: Interval | None
    limit: float
    explanation: str


class Alert(msgspec.Struct, kw_only=True):
    """Something that somebody should know."""

    alert_id: str
    alert_rule_id: str
    rule_name: str
    measure: int
    state: State = "open"
    subjects: tuple[str, ...]
    value: Interval
    sample_size: int
    expected: Interval | None
    limit: float
    explanation: str
    told: bool
    """Whether the routes are told: not within the rule's silence."""
    open_time: int
    acknowledge_time: int = 0
    acknowledger: str = ""
    note: str = ""
    resolve_time: int = 0


class Watch(NamedTuple):
    """How often in a row a subject was beyond its limit, or was not even near."""

    beyond: int = 0
    calm: int = 0
