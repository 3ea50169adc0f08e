"""How long the log's writes take."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Final

_MINUTE_S: Final = 60.0
_MOST: Final = 12_000  # remembered: more than a minute has of a full load's

Seconds = Callable[[], float]
"""A clock that only ever goes on."""


class WriteTimes:
    """The writes of the last minute, failed ones too, and the one that is under way."""

    def __init__(self, now: Seconds = monotonic) -> None:
        self._now = now
        self._ended: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._began: float | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        """A write, for as long as the block runs."""
        self._began = began = self._now()
        try:
            yield
        finally:
            now = self._now()
            self._ended.append((now, now - began))
            self._began = None

    def p99(self) -> timedelta:
        """The 99th percentile of the last minute; 0 when nothing was written."""
        ordered = sorted(self._minute())
        return timedelta(seconds=ordered[int(len(ordered) * 0.99)] if ordered else 0)

    def over(self, limit: timedelta) -> int:
        """How many writes of the last minute took longer."""
        return sum(took > limit.total_seconds() for took in self._minute())

    def _minute(self) -> list[float]:
        since = self._now() - _MINUTE_S
        while self._ended and self._ended[0][0] < since:
            self._ended.popleft()
        return [took for _, took in self._ended]

    def waiting(self) -> timedelta:
        """How long what is being written has waited by now; 0 when nothing is. What came later
        waits for less."""
        return timedelta(0) if self._began is None else timedelta(seconds=self._now() - self._began)

    def forget(self) -> None:
        """Begin anew."""
        self._ended.clear()
