"""What stands out, as numbers with their uncertainty. Pure.

Everything is found in sums: of how many messages, how many came so far. What is best among many
looks better than it is, so the more there are to choose from, the surer it has to be.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, Protocol

from services.reports.statistics import Interval, above, rate_belief, rate_interval

Kind = Literal[
    "best_hour",
    "best_segment",
    "best_variant",
    "fatigued_contacts",
    "retiring_template",
    "change",
]
SURE: Final = 0.95
"""What is less probable is not told."""
_FEWEST: Final = 100
"""Messages behind a figure that may stand out."""


class Share(NamedTuple):
    """How many of how many."""

    part: int
    whole: int

    @property
    def rate(self) -> float:
        """The one by the other."""
        return self.part / self.whole


class Insight(NamedTuple):
    """Something that stands out."""

    kind: Kind
    subject: str
    """A dimension's value."""
    measure: str
    value: Interval
    sample_size: int
    baseline: Interval
    """What it is compared with."""
    baseline_size: int
    probability: float
    """That the difference is real."""
    contacts: int = 0
    """How many it concerns, where that is known."""


class Compared(Protocol):
    """A variant as an experiment reports it."""

    @property
    def variant(self) -> str:
        """Its name."""
        ...

    @property
    def recipients(self) -> int:
        """Of how many it is known."""
        ...

    @property
    def value(self) -> Interval | None:
        """What it brought per recipient."""
        ...

    @property
    def effect(self) -> Interval | None:
        """Relative to the baseline; None of the baseline."""
        ...

    @property
    def probability_best(self) -> float:
        """That it is the best."""
        ...


def best(
    kind: Literal["best_hour", "best_segment"], measure: str, shares: Mapping[str, Share]
) -> list[Insight]:
    """The hour or segment with the highest rate, beside all others together; [] if none is."""
    known = {name: share for name, share in shares.items() if share.whole >= _FEWEST}
    if len(known) < 2:
        return []
    name = max(known, key=lambda one: (known[one].rate, one))
    others = _together(share for other, share in known.items() if other != name)
    probability = _above(known[name], others)
    if 1 - probability > (1 - SURE) / len(known):
        return []
    return [_insight(kind, name, measure, known[name], others, probability)]


def best_variant(measure: str, arms: Iterable[Compared]) -> list[Insight]:
    """The variant that is best with all but certainty, beside the next best; [] if none is."""
    known = sorted(
        ((arm, arm.value) for arm in arms if arm.value is not None and arm.recipients >= _FEWEST),
        key=lambda one: -one[1].value,
    )
    if len(known) < 2 or known[0][0].probability_best < SURE:
        return []
    (first, value), (second, baseline) = known[:2]
    return [
        Insight(
            "best_variant",
            first.variant,
            measure,
            value,
            first.recipients,
            baseline,
            second.recipients,
            first.probability_best,
            first.recipients,
        )
    ]


def fatigued(
    measure: str, loads: Mapping[int, Share], contacts: Mapping[int, int]
) -> list[Insight]:
    """From which message in a week on people do less with them than with those before; [] if they
    do not. `loads`: by a message's number in its contact's week, what came of such messages;
    `contacts`: by the number of messages, how many contacts got as many."""
    found: list[Insight] = []
    for number in sorted(loads)[1:]:
        more = _together(share for n, share in loads.items() if n >= number)
        fewer = _together(share for n, share in loads.items() if n < number)
        if min(more.whole, fewer.whole) < _FEWEST:
            continue
        probability = _above(fewer, more)
        if 1 - probability > (1 - SURE) / len(loads):
            continue
        concerned = sum(count for n, count in contacts.items() if n >= number)
        found.append(
            _insight("fatigued_contacts", str(number), measure, more, fewer, probability, concerned)
        )
    # Where it falls most, for the least of certainty
    return sorted(found, key=lambda one: one.value.upper - one.baseline.lower)[:1]


def retiring(
    measure: str, recent: Mapping[str, Share], before: Mapping[str, Share]
) -> list[Insight]:
    """Templates that do worse than they did, and now worse than all others together."""
    found: list[Insight] = []
    for name, now in sorted(recent.items()):
        then = before.get(name, Share(0, 0))
        others = _together(share for other, share in recent.items() if other != name)
        if min(now.whole, then.whole, others.whole) < _FEWEST:
            continue
        if now.rate >= min(then.rate, others.rate):
            continue  # as most do, and then nothing has to be integrated
        probability = min(_above(then, now), _above(others, now))
        if 1 - probability <= (1 - SURE) / len(recent):
            found.append(_insight("retiring_template", name, measure, now, then, probability))
    return found


def changed(measure: str, subject: str, now: Share, before: Share) -> list[Insight]:
    """What is surely another than it was."""
    if min(now.whole, before.whole) < _FEWEST:
        return []
    rose = _above(now, before)
    probability = max(rose, 1 - rose)
    if probability < (1 + SURE) / 2:
        return []
    return [_insight("change", subject, measure, now, before, probability)]


def _above(one: Share, other: Share) -> float:
    """The probability that a rate is above another."""
    return above(rate_belief(*one), rate_belief(*other))


def _together(shares: Iterable[Share]) -> Share:
    found = list(shares)
    return Share(sum(s.part for s in found), sum(s.whole for s in found))


def _insight(
    kind: Kind,
    subject: str,
    measure: str,
    share: Share,
    baseline: Share,
    probability: float,
    contacts: int = 0,
) -> Insight:
    value, compared = rate_interval(*share), rate_interval(*baseline)
    assert value is not None and compared is not None  # both are of many
    return Insight(
        kind, subject, measure, value, share.whole, compared, baseline.whole, probability, contacts
    )
