"""Each contact's best time: the liveliest hour that is not quiet, and never outside the span."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merhaba.sender.v1 import Campaign
from services.sender.campaigns.timing import ACTIVITY, BestTime, best
from services.sender.campaigns.wire import defined
from services.sender.model import Contact
from services.sender.rules.hours import is_quiet
from services.sender.rules.policy import Policy, QuietHours

ISTANBUL = ZoneInfo("Europe/Istanbul")
HOUR = 3_600_000
QUIET = [QuietHours("marketing", 21 * 60 + 30, 9 * 60 + 30)]


def ms(text: str, zone: ZoneInfo = ISTANBUL) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


MONDAY = ms("2026-11-23T10:40")


@pytest.mark.parametrize(
    ("activity", "hour"),
    [
        ({"mon 19": 5, "mon 12": 3}, "2026-11-23T19:00"),
        ({"tue 12": 4, "wed 15": 4}, "2026-11-24T12:00"),  # the first of equals
        ({"mon 23": 99, "tue 11": 1}, "2026-11-24T11:00"),  # the liveliest is quiet
        ({"sun 18": 9}, "2026-11-23T18:00"),  # not the day, but the hour
        ({"mon 10": 9}, "2026-11-23T10:40"),  # now
        ({"tue 09": 9}, "2026-11-24T09:30"),  # the part of it that is not quiet
    ],
)
def test_the_liveliest_hour_is_chosen(activity: dict[str, int], hour: str) -> None:
    at = best(activity, ISTANBUL, MONDAY, MONDAY + 48 * HOUR, QUIET, 0.0)
    assert at == ms(hour)
    spread = best(activity, ISTANBUL, MONDAY, MONDAY + 48 * HOUR, QUIET, 0.999)
    assert at < spread < at + HOUR


def test_whose_hours_nobody_knows_get_it_as_soon_as_it_is_not_quiet() -> None:
    assert best({}, ISTANBUL, MONDAY, MONDAY + HOUR, QUIET, 0.5) == MONDAY
    night = ms("2026-11-23T22:00")
    assert best({}, ISTANBUL, night, night + 24 * HOUR, QUIET, 0.5) == ms("2026-11-24T09:30")
    assert best({"mon 23": 1, "x": 2}, ISTANBUL, night, night + HOUR, QUIET, 0.5) == ms(
        "2026-11-24T09:30"
    )


def test_who_may_never_be_written_to_waits_at_the_gate_that_says_so() -> None:
    always = [QuietHours("marketing", 0, 1_440)]
    assert best({"mon 19": 1}, ISTANBUL, MONDAY, MONDAY + 24 * HOUR, always, 0.5) == MONDAY


def test_nobodys_best_time_is_after_the_deadline() -> None:
    campaign = defined(Campaign())
    campaign.start_time, campaign.best_time_ms = MONDAY, 48 * HOUR
    contact = Contact("c", zone="Europe/Istanbul", attributes={ACTIVITY: {"tue 18": 9}})
    free = Policy(quiet_hours=())
    assert BestTime(campaign, free).of(contact, "marketing", MONDAY) >= ms("2026-11-23T18:00")
    campaign.not_after = ms("2026-11-23T15:00")
    assert BestTime(campaign, free).of(contact, "marketing", MONDAY) == MONDAY


def test_hours_are_those_of_the_clock_on_the_wall_also_in_zones_of_half_hours() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    start = ms("2026-11-23T10:10", zone)
    assert best({"mon 12": 1}, zone, start, start + 24 * HOUR, (), 0.0) == ms(
        "2026-11-23T12:00", zone
    )


hours = st.builds(
    lambda day, hour: f"{day} {hour:02}",
    st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    st.integers(0, 23),
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(hours, st.integers(1, 50), max_size=8),
    st.sampled_from(["Europe/Istanbul", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    st.integers(1_767_225_600, 1_798_675_200),
    st.integers(1, 24 * 31),
    st.floats(0, 1, exclude_max=True),
)
def test_it_is_within_the_span_and_never_quiet(
    activity: dict[str, int], name: str, begin: datetime, span: int, draw: float
) -> None:
    zone, start = ZoneInfo(name), begin * 1000
    at = best(activity, zone, start, start + span * HOUR, QUIET, draw)
    assert at >= start
    assert not is_quiet(at, zone, QUIET)
    if not is_quiet(start, zone, QUIET):
        assert at <= start + span * HOUR
