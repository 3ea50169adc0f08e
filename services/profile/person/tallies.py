"""What is kept of a contact's events so that traits follow from it. Pure.

Every part is commutative and associative: the same events in any order, and parts of them joined
in any way, leave the same. Sums are whole numbers, since those of floating point depend on
the order. Every part is bounded, by rules that hold in any order:

- of a map of newest values the most recent keys stay: a key that had to go is never needed again
  unless something newer is said of it;
- of a fading sum the most recent periods stay, and of the keys of one period those with the
  smallest hash: a key is summed up wholly or not at all.
"""

from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

import msgspec

PERIOD: Final = 14 * 86_400_000
"""The step (ms) by which sums fade: what one period holds is not told apart by age."""
_PERIODS: Final = 26
"""How many periods are kept: a year."""
_MOST_KEYS: Final = 32
"""Of one period of a fading sum."""
_MOST_NEWEST: Final = {"cart": 50, "orders": 20, "complaints": 20}
_LONGEST_KEY: Final = 80

Fading = dict[int, dict[str, int]]
"""Period → key → sum."""


class Latest(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A value that holds until something newer is said."""

    time: int
    tie: int
    """Decides between values of the same time; follows from the event's id."""
    value: Any = None

    @property
    def order(self) -> tuple[int, int]:
        """The greater one holds."""
        return self.time, self.tie


class Tallies(msgspec.Struct, array_like=True, gc=False):
    """Stored as it is, so fields are only ever added last."""

    latest: dict[str, Latest] = {}
    """Newest values by name."""
    newest: dict[str, dict[str, Latest]] = {}
    """Newest values of many things, by name and thing: items of the cart, orders, complaints."""
    fading: dict[str, Fading] = {}
    """Sums of which older parts count less, by name."""
    hours: dict[int, int] = {}
    """Activity by half hour of the week."""
    delays: dict[int, int] = {}
    """Answers by how long they took."""


def hold(tallies: Tallies, name: str, latest: Latest) -> None:
    """Take in a value of `name`; the newest holds."""
    old = tallies.latest.get(name)
    if old is None or latest.order > old.order:
        tallies.latest[name] = latest


def hold_each(tallies: Tallies, name: str, things: dict[str, Latest]) -> None:
    """Take in values of things; of each the newest holds, and of all things the newest stay."""
    held = tallies.newest.setdefault(name, {})
    for thing, latest in things.items():
        key = thing[:_LONGEST_KEY]
        old = held.get(key)
        if old is None or latest.order > old.order:
            held[key] = latest
    for _ in range(len(held) - _MOST_NEWEST[name]):
        del held[min(held, key=lambda key: (held[key].order, key))]


def add(tallies: Tallies, name: str, time: int, key: str, amount: int) -> None:
    """Add to a fading sum."""
    fading = tallies.fading.get(name)
    if fading is None:
        fading = tallies.fading[name] = {}
    _add(fading, time // PERIOD, key[:_LONGEST_KEY], amount)


def _add(fading: Fading, period: int, key: str, amount: int) -> None:
    sums = fading.get(period)
    if sums is None:
        if period <= max(fading, default=period) - _PERIODS:
            return
        for old in [old for old in fading if old <= period - _PERIODS]:
            del fading[old]
        sums = fading[period] = {}
    sums[key] = sums.get(key, 0) + amount
    if len(sums) > _MOST_KEYS:
        del sums[max(sums, key=_rank)]


def _rank(key: str) -> tuple[int, str]:
    return crc32(key.encode("utf-8", "surrogatepass")), key


def join(tallies: Tallies, other: Tallies) -> None:
    """Take in another contact's, as if its events had been this one's."""
    for name, latest in other.latest.items():
        hold(tallies, name, latest)
    for name, things in other.newest.items():
        hold_each(tallies, name, things)
    for name, fading in other.fading.items():
        into = tallies.fading.setdefault(name, {})
        for period, sums in fading.items():
            for key, amount in sums.items():
                _add(into, period, key, amount)
    for bucket, count in other.hours.items():
        tallies.hours[bucket] = tallies.hours.get(bucket, 0) + count
    for bucket, count in other.delays.items():
        tallies.delays[bucket] = tallies.delays.get(bucket, 0) + count


def faded(tallies: Tallies, name: str, half_life: int) -> Mapping[str, float]:
    """The sums by key as of the newest period, where what is `half_life` (ms) old counts half.

    Their proportions do not depend on when one looks.
    """
    fading = tallies.fading.get(name)
    if not fading:
        return {}
    if len(fading) == 1:  # nearly always: whoever comes, comes within two weeks
        return next(iter(fading.values()))
    last = max(fading)
    found: dict[str, float] = {}
    for period in sorted(fading):
        weight = 0.5 ** ((last - period) * PERIOD / half_life)
        for key, amount in fading[period].items():
            found[key] = found.get(key, 0.0) + amount * weight
    return found
