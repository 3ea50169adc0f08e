"""What goes wrong on demand."""

from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

from simulator.refusals import Refused
from simulator.rules import Rate


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates are the share of calls (or posts) that the fault hits."""

    throttle: Rate = 0.0
    """Refused with 130429, nothing accepted."""
    refuse: dict[int, Rate] = {}
    """Code to rate: refused with that code, nothing accepted."""
    fail: dict[int, Rate] = {}
    """Code to rate: accepted, and later told as failed with that code."""
    refuse_calls: dict[int, Rate] = {}
    """The same for calls that are no messages, such as 10 and 200 (permissions) or 2 (503)."""
    cut_calls: Rate = 0.0
    """Calls that are no messages are done, and then the connection is cut without an answer."""
    error_5xx: Rate = 0.0
    """Answered 500 with code 131000, nothing accepted."""
    error_5xx_after_accept: Rate = 0.0
    """Accepted, and then answered 500 with code 131000."""
    drop_before_accept: Rate = 0.0
    """The connection is cut without an answer, nothing accepted."""
    drop_after_accept: Rate = 0.0
    """Accepted, and then the connection is cut without an answer."""
    timeout_before_accept: Rate = 0.0
    """Nothing accepted, and no answer for `timeout_hold_s`, after which the connection is cut."""
    timeout_after_accept: Rate = 0.0
    """Accepted, and then no answer for `timeout_hold_s`, after which the connection is cut."""
    timeout_hold_s: Annotated[float, Meta(ge=0, le=600)] = 120.0
    """Real seconds."""
    http_429: bool = False
    """Throttling is answered with status 429 as some see it, not 400 as Meta's table has it."""
    expired_token: bool = False
    """Every Graph call is refused with 190."""
    latency_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0.0
    """Real milliseconds that every Graph call waits first."""
    duplicate_webhooks: Rate = 0.0
    """Posts that are repeated although they were answered 200."""
    late_webhooks: Rate = 0.0
    """Posts that wait `late_by_s` first."""
    late_by_s: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    """Real seconds."""
    shuffle_webhooks: bool = False
    """Updates of a post are shuffled, and posts overtake each other."""


class FaultBox:
    """The faults in force, and the dice."""

    def __init__(self, rng: Random) -> None:
        self.now = Faults()
        self.rng = rng

    def hits(self, rate: float) -> bool:
        return rate > 0 and self.rng.random() < rate

    def check_call(self) -> None:
        """Raises Refused when a call that is no message is to fail."""
        if code := self.one_of(self.now.refuse_calls):
            raise Refused(code, "Refused on demand, nothing was done.")

    def one_of(self, rates: dict[int, float]) -> int:
        """The first code whose rate hits; 0: none."""
        return next((code for code, rate in rates.items() if self.hits(rate)), 0)
