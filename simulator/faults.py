"""What goes wrong on demand."""

from random import Random
from typing import Annotated

import msgspec

Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates are the share of calls (or posts) that the fault hits."""

    throttle: Rate = 0.0
    """Refused with 130429, nothing accepted."""
    error_5xx: Rate = 0.0
    """Answered 500 with code 131000, nothing accepted."""
    error_5xx_after_accept: Rate = 0.0
    """Accepted, and then answered 500 with code 131000."""
    drop_after_accept: Rate = 0.0
    """Accepted, and then the connection is cut without an answer."""
    timeout_after_accept: Rate = 0.0
    """Accepted, and then no answer for `timeout_hold_s`, after which the connection is cut."""
    timeout_hold_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 120.0
    """Real seconds."""
    latency_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 0.0
    """Real milliseconds that every Graph call waits first."""
    duplicate_webhooks: Rate = 0.0
    """Posts that are repeated although they were answered 200."""
    shuffle_webhooks: bool = False
    """Updates of a post are shuffled, and posts overtake each other."""


class FaultBox:
    """The faults in force, and the dice."""

    def __init__(self, rng: Random) -> None:
        self.now = Faults()
        self.rng = rng

    def hits(self, rate: float) -> bool:
        return rate > 0 and self.rng.random() < rate
