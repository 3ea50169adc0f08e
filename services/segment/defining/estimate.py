"""What a segment would be, estimated from the contacts evaluated so far. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Final, NamedTuple

SMALL: Final = 100
"""Fewer members are hardly worth a campaign."""
NEARLY: Final = 0.95
"""Of the people in either of two segments, so many in both: the segments are nearly equal."""
EVERYBODY: Final = 0.99
_OVERLAPS: Final = 20
_Z: Final = 1.959964  # of the normal distribution: 95 % lie within it


class Overlap(NamedTuple):
    """What is common with another segment, among those evaluated."""

    segment_id: str
    common: int
    other: int
    """Those in the other segment."""


class Warned(NamedTuple):
    """Something to think about: `too_small`, `nearly_equal`, `trivial` or `history_too_short`."""

    kind: str
    message: str
    segment_id: str = ""


@dataclass(slots=True)
class Estimate:
    """Counts of the contacts evaluated so far; bounded by the number of segments."""

    sample_size: int
    total: int = 0
    """Contacts in all, an estimate."""
    passed: int = 0
    members: int = 0
    exact: bool = False
    sample: list[str] = field(default_factory=list)
    common: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    """Of which history less is kept than the rule looks at, in words."""

    def add(
        self, passed: int, member_ids: Sequence[str], shared: Mapping[str, tuple[int, int]]
    ) -> None:
        """A batch: how many were evaluated, who would be a member, and by segment how many of the
        evaluated and of these members are in it."""
        self.passed += passed
        self.members += len(member_ids)
        self.sample += member_ids[: self.sample_size - len(self.sample)]
        for segment_id, (other, common) in shared.items():
            self.others[segment_id] += other
            self.common[segment_id] += common

    @property
    def share(self) -> float:
        """Members by contacts evaluated."""
        return self.members / self.passed if self.passed else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Where the share of everybody lies, 95 times in 100."""
        if self.exact:
            return self.share, self.share
        return wilson(self.members, self.passed)

    def scaled(self, count: int) -> int:
        """A count among those evaluated, as it would be among all."""
        if self.exact or not self.passed:
            return count
        return round(count * max(self.total, self.passed) / self.passed)

    def overlaps(self) -> list[Overlap]:
        """The largest first."""
        found = [
            Overlap(segment_id, common, self.others[segment_id])
            for segment_id, common in self.common.items()
            if common
        ]
        return sorted(found, key=lambda one: (-one.common, one.segment_id))[:_OVERLAPS]

    def warnings(self, names: Mapping[str, str]) -> list[Warned]:
        """What to think about before saving; `names` of segments by id."""
        found = [Warned("history_too_short", one) for one in self.missing]
        if not self.passed:
            return found
        if self.members == 0:
            found.append(Warned("trivial", "nobody belongs to it"))
        elif self.share >= EVERYBODY:
            found.append(Warned("trivial", "almost everybody belongs to it"))
        if self.members > 0 and self.scaled(self.members) < SMALL:
            message = f"fewer than {SMALL} people belong to it"
            found.append(Warned("too_small", message))
        for one in self.overlaps():
            if one.common >= NEARLY * (self.members + one.other - one.common):
                message = (
                    f"almost the same people as {names.get(one.segment_id, 'another segment')}"
                )
                found.append(Warned("nearly_equal", message, one.segment_id))
        return found


def wilson(found: int, of: int) -> tuple[float, float]:
    """Wilson's interval of a share at 95 %; everything when nothing was looked at."""
    if of == 0:
        return 0.0, 1.0
    share, square = found / of, _Z * _Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)
