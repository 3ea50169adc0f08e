"""When an alert begins and when it is over. Pure.

It begins when its subject was beyond the limit at two looks in a row and ends when it was not even
near at three: so what hovers around a limit is told once.
"""

from typing import Final, Literal

from services.reports.alerts.model import Kind, Look, Watch

_BEYOND: Final = 2
_CALM: Final = 3
_SAID: Final[frozenset[Kind]] = frozenset({"quality"})
"""What Meta said needs no second look."""

Turn = Literal["open", "resolve", ""]


def turn(kind: Kind, watch: Watch, look: Look | None, stands: bool) -> tuple[Watch, Turn]:
    """What follows from a look; None: nothing of the subject is beyond its limit, or nearly."""
    if look is None:
        calm = Watch(0, min(watch.calm + 1, _CALM))
        done = stands and (calm.calm >= _CALM or kind in _SAID)
        return calm, "resolve" if done else ""
    if not look.beyond:
        return Watch(0, 0), ""
    beyond = Watch(min(watch.beyond + 1, _BEYOND), 0)
    begins = not stands and (beyond.beyond >= _BEYOND or kind in _SAID)
    return beyond, "open" if begins else ""
