"""Meta's limits on how fast one may send, and on how many calls one may make. Pure."""

from dataclasses import dataclass

_HOUR_S = 3600.0


@dataclass(slots=True)
class Throughput:
    """Messages per second of one number, all directions: a bucket of one second's worth.

    The bucket lets the jitter of a well-paced sender pass and holds any longer stretch to the
    rate: in t seconds at most rate * (t + 1) are accepted.
    """

    per_second: float
    tokens: float
    at: float

    def has_room(self, now: float) -> bool:
        self._refill(now)
        return self.tokens >= 1

    def take(self, now: float) -> None:
        """Count one message; what people write counts too, and may overdraw."""
        self._refill(now)
        self.tokens = max(self.tokens - 1, -self.per_second)

    def _refill(self, now: float) -> None:
        if now > self.at:
            self.tokens = min(self.per_second, self.tokens + (now - self.at) * self.per_second)
            self.at = now


@dataclass(slots=True)
class Pair:
    """Messages to one person: one per interval; a burst may borrow from the future, and is then
    paid off before the next one."""

    burst_start: float = 0.0
    free_at: float = 0.0
    in_burst: int = 0

    def take(self, now: float, interval_s: float, burst: int) -> bool:
        """Whether a message may go now; counts it if so. An interval of 0 allows everything."""
        if interval_s <= 0:
            return True
        if now >= self.free_at:
            self.burst_start, self.in_burst, self.free_at = now, 0, now
        elif now - self.burst_start > interval_s or self.in_burst >= burst:
            return False
        self.in_burst += 1
        self.free_at += interval_s
        return True


@dataclass(slots=True)
class Calls:
    """Calls of one account that are not messages, by the hour of the clock."""

    hour: int = 0
    count: int = 0

    def take(self, now: float, most: int) -> bool:
        """Whether another call may be made; counts it either way."""
        hour = int(now // _HOUR_S)
        if hour != self.hour:
            self.hour, self.count = hour, 0
        self.count += 1
        return self.count <= most

    def used_percent(self, most: int) -> int:
        return min(100, round(100 * self.count / most))

    def minutes_left(self, now: float) -> int:
        """Until calls are allowed again."""
        return int((_HOUR_S - now % _HOUR_S) // 60) + 1
