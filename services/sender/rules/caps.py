"""How many messages a contact may get in any window of time. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from services.sender.model import NEVER
from services.sender.rules.policy import FrequencyCap


class Counted(NamedTuple):
    """A message that a contact got, or is being sent."""

    purpose: str
    time: int
    """When it was attempted (ms)."""


class Room(NamedTuple):
    """What a cap says of one more message."""

    used: int
    """Messages in the window that ends now."""
    free_time: int
    """When there is room for one more: now, later or NEVER."""


def room(cap: FrequencyCap, counted: Sequence[Counted], now: int) -> Room:
    """A window holds what was sent less than its length ago: a message leaves it in the very
    millisecond in which it is as old as the window is long."""
    if cap.limit and not counted:
        return Room(0, now)
    since = now - cap.window_ms
    times = sorted(one.time for one in counted if one.time > since and cap.covers(one.purpose))
    if len(times) < cap.limit:
        return Room(len(times), now)
    if not cap.limit:
        return Room(len(times), NEVER)
    return Room(len(times), times[-cap.limit] + cap.window_ms)


def free_time(
    caps: Sequence[FrequencyCap], purpose: str, counted: Sequence[Counted], now: int
) -> int:
    """When every cap of a purpose has room for one more, if nothing else is sent meanwhile."""
    rooms = (room(cap, counted, now).free_time for cap in caps if cap.covers(purpose))
    return max(rooms, default=now)
