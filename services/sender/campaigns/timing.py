"""Each contact's best time: the hour, within a span, in which they usually do something. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.sender.draws import share
from services.sender.model import NEVER, Campaign, Contact
from services.sender.rules.hours import first_loud, is_quiet
from services.sender.rules.policy import Policy, QuietHours, zone_of

ACTIVITY: Final = "traits.activity_by_hour"
"""Profile's: hour of the week in the person's own zone (`mon 09`) → what they did then."""
_HOUR_MS: Final = 3_600_000
_QUARTER_MS: Final = 900_000  # no zone's hours begin in between
_DAYS: Final = {day: n for n, day in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_WEEK: Final = 168
_SAME_HOUR: Final = 0.25
"""What something done at that hour on another day counts for."""
_UTC: Final = ZoneInfo("UTC")


class BestTime:
    """When a campaign's messages are to go."""

    def __init__(self, campaign: Campaign, policy: Policy) -> None:
        self._campaign = campaign
        self._policy = policy

    def of(self, contact: Contact, purpose: str, now: int) -> int:
        """The moment (ms) from which a message may go to a contact."""
        within = self._campaign.best_time_ms
        if not within:
            return now
        market = contact.addresses[0].market if contact.addresses else ""
        hours = [one for one in self._policy.quiet_hours if one.covers(purpose, market)]
        zone = zone_of(contact.zone) or zone_of(self._policy.default_zone) or _UTC
        start = max(self._campaign.start_time, now)
        end = self._campaign.start_time + within
        if self._campaign.not_after:
            end = min(end, self._campaign.not_after)
        activity = contact.attributes.get(ACTIVITY)
        draw = share("best_time", self._campaign.campaign_id, contact.contact_id)
        return best(
            activity if isinstance(activity, Mapping) else {}, zone, start, end, hours, draw
        )


def best(
    activity: Mapping[str, Any],
    zone: ZoneInfo,
    start: int,
    end: int,
    hours: Sequence[QuietHours],
    draw: float,
) -> int:
    """The liveliest hour between `start` and `end` that is not all quiet, the first of equals; of
    what is loud of it a moment by `draw` (0 to 1), so that not all of an hour's go at once. The
    first loud moment for whom nothing is known, or who is only lively when it is quiet; `start`
    where it is always quiet, which the gates say then."""
    now = _hour_of_week(start // _QUARTER_MS, zone)
    done = {hour: float(n) for name, n in activity.items() if (hour := _hour(name)) is not None}
    by_hour: dict[int, float] = {}
    for hour, count in done.items():
        by_hour[hour % 24] = by_hour.get(hour % 24, 0.0) + count
    ranked = sorted(
        (-(1 - _SAME_HOUR) * done.get(hour, 0.0) - _SAME_HOUR * by_hour[hour % 24], ahead)
        for hour in {day * 24 + hour for hour in by_hour for day in range(7)}
        if (ahead := (hour - now) % _WEEK) * _HOUR_MS <= end - start
    )
    for _, ahead in ranked:
        begin = max(start, _later(start // _QUARTER_MS, ahead, zone))
        over = min(_later(start // _QUARTER_MS, ahead + 1, zone), end)
        if begin < over and (begin := first_loud(begin, zone, hours)) < over:
            return _loud(begin, int(draw * (over - begin)), zone, hours)
    loud = first_loud(start, zone, hours)
    return loud if loud < NEVER else start


def _loud(begin: int, after: int, zone: ZoneInfo, hours: Sequence[QuietHours]) -> int:
    """A loud moment so long after another, or sooner where it is quiet by then."""
    while is_quiet(begin + after, zone, hours):
        after //= 2
    return begin + after


@lru_cache(4_096)
def _hour(name: str) -> int | None:
    day, _, hour = name.partition(" ")
    return _DAYS[day] * 24 + int(hour) if day in _DAYS and hour.isdigit() else None


@lru_cache(4_096)
def _hour_of_week(quarter: int, zone: ZoneInfo) -> int:
    local = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, zone)
    return local.weekday() * 24 + local.hour


@lru_cache(4_096)
def _later(quarter: int, ahead: int, zone: ZoneInfo) -> int:
    """The beginning (ms) of the hour that clocks show so many hours after another."""
    local = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, zone)
    local = local.replace(minute=0, tzinfo=None)
    return int((local + timedelta(hours=ahead)).replace(tzinfo=zone).timestamp() * 1000)
