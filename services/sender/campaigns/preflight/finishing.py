"""When the last message of a campaign leaves: throughput, messaging limits, and when people may be
written to at all. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from services.sender.model import DAY_MS, Number

_MINUTE_MS: Final = 60_000


class Tier(NamedTuple):
    """People outside a window whom a portfolio may write to in 24 h."""

    limit: int | None
    """None: as many as it likes."""
    available: int
    """Of them, how many are left now."""


def last(
    minutes: Mapping[str, Mapping[int, int]], capacity: Mapping[str, float], start: int
) -> int:
    """When the last one leaves (ms). `minutes`: by business number and minute, who may be sent to
    from then on; `capacity`: messages a second of each number."""
    end = start
    for number, due in minutes.items():
        free = float(start)
        for minute, count in sorted(due.items()):
            free = max(free, minute * _MINUTE_MS) + count / max(capacity[number], 1e-9) * 1_000
        end = max(end, int(free))
    return end


def tiers(numbers: Sequence[Number], reached: Mapping[str, int]) -> dict[str, Tier]:
    """By portfolio. `reached`: by portfolio, people whom it wrote to outside a window in the last
    24 h."""
    found: dict[str, Tier] = {}
    for one in numbers:
        limit = one.daily_limit
        left = max(0, limit - reached.get(one.portfolio, 0)) if limit is not None else 0
        found[one.portfolio] = Tier(limit, left)
    return found


def days_over(needed: int, tier: Tier) -> int:
    """How many days later the last one of so many can be written to."""
    if tier.limit is None or needed <= tier.available:
        return 0
    return -(-(needed - tier.available) // max(tier.limit, 1))


def delayed(end: int, start: int, days: int) -> int:
    """The end with messaging limits: those beyond a day's limit leave on the days after."""
    return max(end, start + days * DAY_MS)
