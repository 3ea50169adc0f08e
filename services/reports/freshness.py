"""How fresh the facts are: everything accepted before an instant is counted. Pure.

Two things are known: when nothing waited anywhere between the doors and the facts (from sampling
the log), and how old the events were that were last folded. The later instant holds.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from chassis.clock import moment_of


class Freshness:
    """Of one process; it begins by knowing nothing."""

    def __init__(self, start: datetime) -> None:
        """`start`: an instant before which nothing is claimed."""
        self._clear_time = start
        self._clear = False
        self._waiting: frozenset[str] = frozenset()
        self._accepted: dict[str, datetime] = {}

    def folded(self, topic: str, accepted_ms: int) -> None:
        """A batch was folded whose oldest event was accepted then (epoch milliseconds)."""
        self._accepted[topic] = moment_of(accepted_ms)

    def sampled(self, now: datetime, waiting: Mapping[str, bool], upstream: bool) -> None:
        """The log was looked at: of which of our topics, and whether before them, events wait."""
        self._waiting = frozenset(topic for topic, waits in waiting.items() if waits)
        self._clear = not upstream and not self._waiting
        if self._clear:
            self._clear_time = now

    def fold_time(self, now: datetime, sampled_every: timedelta) -> datetime:
        """Everything accepted before this is counted; never later than `now`."""
        if self._clear and now - self._clear_time <= 2 * sampled_every:
            return self._clear_time
        known = [
            self._accepted[t] for t in (self._waiting or self._accepted) if t in self._accepted
        ]
        if self._waiting:
            told = min(known, default=self._clear_time)
        else:
            told = max(known, default=self._clear_time)
        return min(max(told, self._clear_time), now)
