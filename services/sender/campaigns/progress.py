"""How far a campaign is, and when it will be through. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from services.sender.model import State

_TO_LEAVE: Final = frozenset({State.PLANNED, State.HELD, State.ATTEMPTING})
_LIMITERS: Final = ("limiter_", "tier")
"""What these hold leaves at the same pace as the rest."""


class Counts(NamedTuple):
    """Messages of a campaign that stand at the same place."""

    variant: str
    state: int
    gate: str
    """Of those held or suppressed."""
    error_code: int
    """Of those failed."""
    currency: str
    messages: int
    replied: int
    clicked: int
    cost_micros: int


class Outlook(NamedTuple):
    """What can be said of the rest."""

    per_s: float
    """Messages that Meta accepts a second."""
    end_time: int
    """When the last message will leave at this pace; 0 when nobody can say."""


def outlook(rows: Sequence[Counts], per_s: float, *, final: bool, now: int) -> Outlook:
    """When those who wait will have left. Nobody can say it while the audience is being found, or
    while people wait for something else than their turn."""
    waiting = [row for row in rows if row.state in _TO_LEAVE]
    stuck = any(row.state == State.HELD and not row.gate.startswith(_LIMITERS) for row in waiting)
    left = sum(row.messages for row in waiting)
    if not final or stuck or not left or not per_s:
        return Outlook(per_s, 0)
    return Outlook(per_s, now + int(left / per_s * 1000))
