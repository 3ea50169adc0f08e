"""How many single messages may wait for a number: whoever plans more is told to come later."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from chassis.clock import Clock, milliseconds_of
from services.sender.failures import OutboxFull
from services.sender.model import Message

_KNOWN_MS: Final = 5_000
_LATER: Final = timedelta(seconds=30)


class Backlog:
    """Counts now and then, and in between what this process added."""

    def __init__(
        self, count: Callable[[str, int, int], Awaitable[int]], clock: Clock, most: int = 100_000
    ) -> None:
        """`count` tells how many wait for a number in a lane, up to a limit."""
        self._count = count
        self._clock = clock
        self._most = most
        self._known: dict[tuple[str, int], tuple[int, int]] = {}

    async def admit(self, message: Message) -> None:
        """Let one more wait; raises OutboxFull."""
        key = message.phone_number_id, message.lane
        now = milliseconds_of(self._clock.now())
        until, waiting = self._known.get(key, (0, 0))
        if until <= now:
            until, waiting = now + _KNOWN_MS, await self._count(*key, self._most)
        self._known[key] = until, waiting + 1
        if waiting >= self._most:
            raise OutboxFull(
                f"{self._most} messages wait for the number already", _LATER, limit=str(self._most)
            )
