"""Quiet hours: by the clock on the contact's wall, ended to the second."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sender.model import NEVER
from services.sender.rules.caps import Counted, free_time, room
from services.sender.rules.hours import first_loud, is_quiet
from services.sender.rules.policy import FrequencyCap, QuietHours

MINUTE = 60_000
ISTANBUL, BERLIN = ZoneInfo("Europe/Istanbul"), ZoneInfo("Europe/Berlin")
NIGHT = QuietHours("marketing", 21 * 60, 9 * 60)
ZONES = [
    "Europe/Istanbul",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Pacific/Apia",
    "Asia/Kathmandu",
    "UTC",
]


def at(text: str, zone: ZoneInfo = ISTANBUL, fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return round(moment.timestamp() * 1000)


def end(text: str, *hours: QuietHours, zone: ZoneInfo = ISTANBUL, fold: int = 0) -> str:
    loud = first_loud(at(text, zone, fold), zone, hours)
    return datetime.fromtimestamp(loud / 1000, zone).isoformat(timespec="milliseconds")


def test_a_night_reaches_over_midnight_and_ends_exactly() -> None:
    assert end("2026-11-22T22:15:07.250", NIGHT) == "2026-11-23T09:00:00.000+03:00"
    assert end("2026-11-23T08:59:59.999", NIGHT) == "2026-11-23T09:00:00.000+03:00"
    assert end("2026-11-23T09:00:00", NIGHT) == "2026-11-23T09:00:00.000+03:00"
    assert not is_quiet(at("2026-11-23T20:59:59.999"), ISTANBUL, [NIGHT])
    assert is_quiet(at("2026-11-23T21:00:00"), ISTANBUL, [NIGHT])


def test_it_is_the_clock_of_the_contact_that_counts() -> None:
    moment = at("2026-11-22T10:00")
    assert not is_quiet(moment, ISTANBUL, [NIGHT])
    assert is_quiet(moment, ZoneInfo("America/New_York"), [NIGHT])


def test_weekdays_are_those_on_which_the_hours_start() -> None:
    saturday_night = QuietHours("marketing", 21 * 60, 9 * 60, weekdays=(6,))
    sunday = QuietHours("marketing", 0, 24 * 60, weekdays=(7,))
    assert end("2026-11-21T23:00", saturday_night) == "2026-11-22T09:00:00.000+03:00"
    assert end("2026-11-22T05:00", saturday_night) == "2026-11-22T09:00:00.000+03:00"
    assert not is_quiet(at("2026-11-22T23:00"), ISTANBUL, [saturday_night])
    assert end("2026-11-22T12:00", sunday) == "2026-11-23T00:00:00.000+03:00"


def test_hours_that_meet_are_waited_out_together() -> None:
    evening = QuietHours("marketing", 18 * 60, 22 * 60)
    noon = QuietHours("marketing", 9 * 60, 13 * 60)
    assert end("2026-11-22T19:00", NIGHT, evening, noon) == "2026-11-23T13:00:00.000+03:00"


def test_a_week_without_a_loud_minute_never_ends() -> None:
    always = [QuietHours("marketing", 0, 720), QuietHours("marketing", 720, 1440)]
    assert first_loud(at("2026-11-22T19:00"), ISTANBUL, always) == NEVER


def test_where_the_clock_is_put_forward_over_the_end_the_hours_end_with_that() -> None:
    """In Berlin 02:00 is followed by 03:00 on 29 March 2026."""
    early = QuietHours("marketing", 22 * 60, 2 * 60 + 30)
    assert end("2026-03-29T01:59", early, zone=BERLIN) == "2026-03-29T03:00:00.000+02:00"
    assert end("2026-03-28T23:00", NIGHT, zone=BERLIN) == "2026-03-29T09:00:00.000+02:00"


def test_an_hour_that_comes_twice_is_quiet_twice() -> None:
    """In Berlin 03:00 is followed by 02:00 on 25 October 2026."""
    early = QuietHours("marketing", 22 * 60, 2 * 60 + 30)
    assert end("2026-10-25T02:10", early, zone=BERLIN) == "2026-10-25T02:30:00.000+02:00"
    again = end("2026-10-25T02:10", early, zone=BERLIN, fold=1)
    assert again == "2026-10-25T02:30:00.000+01:00"


@st.composite
def quiet(draw: Any) -> QuietHours:
    start = draw(st.integers(0, 1439))
    stop = draw(st.integers(0, 1440).filter(lambda minute: minute != start))
    weekdays = draw(st.lists(st.integers(1, 7), unique=True, max_size=7))
    return QuietHours("marketing", start, stop, weekdays=tuple(weekdays))


def shown(minute: int, zone: ZoneInfo, hours: list[QuietHours]) -> bool:
    """The rule read aloud: a wall clock in each zone, looked at once a minute."""
    clock = datetime.fromtimestamp(minute * 60, UTC).astimezone(zone)
    for one in hours:
        for started in (clock.date(), clock.date() - timedelta(days=1)):
            if one.weekdays and started.isoweekday() not in one.weekdays:
                continue
            passed = (clock.date() - started).days * 1440 + clock.hour * 60 + clock.minute
            length = (one.end - one.start) % 1440 or 1440
            if one.start <= passed < one.start + length:
                return True
    return False


# Both changes of the clock in several of the zones lie in these weeks.
MOMENTS = st.sampled_from([at("2026-03-24T00:00"), at("2026-10-20T00:00"), at("2026-04-01T00:00")])


@settings(deadline=None)  # the slow, obvious way walks every minute of a week
@given(
    MOMENTS,
    st.integers(0, 7 * 1440),
    st.sampled_from(ZONES),
    st.lists(quiet(), min_size=1, max_size=3),
)
def test_it_ends_in_the_first_minute_in_which_no_clock_shows_quiet(
    begin: int, minutes: int, name: str, hours: list[QuietHours]
) -> None:
    zone, minute = ZoneInfo(name), begin // MINUTE + minutes
    expected = next((m for m in range(minute, minute + 8 * 1440) if not shown(m, zone, hours)), 0)
    assert is_quiet(minute * MINUTE, zone, hours) == shown(minute, zone, hours)
    assert first_loud(minute * MINUTE, zone, hours) == (expected * MINUTE or NEVER)


CAPS = st.lists(
    st.builds(
        FrequencyCap,
        st.sampled_from(["marketing", "utility", "*"]),
        st.integers(0, 4),
        st.integers(1, 300).map(lambda minutes: minutes * MINUTE),
    ),
    max_size=4,
)
COUNTED = st.lists(
    st.builds(
        Counted,
        st.sampled_from(["marketing", "utility", "authentication", "service"]),
        st.integers(-300, 0).map(lambda minutes: minutes * MINUTE),
    ),
    max_size=12,
)


def fits(caps: list[FrequencyCap], purpose: str, counted: list[Counted], now: int) -> bool:
    """Counted by hand: with one more, no window that ends now holds too many."""
    for cap in caps:
        mine = {cap.purpose} if cap.purpose != "*" else {"marketing", "utility"}
        if purpose in mine:
            inside = [c for c in counted if c.purpose in mine and now - c.time < cap.window_ms]
            if len(inside) + 1 > cap.limit:
                return False
    return True


@given(CAPS, COUNTED, st.sampled_from(["marketing", "utility", "service"]))
def test_there_is_room_in_the_first_minute_in_which_every_window_has_it(
    caps: list[FrequencyCap], counted: list[Counted], purpose: str
) -> None:
    free = free_time(caps, purpose, counted, 0)
    minutes = range(0, 301)
    expected = next((m for m in minutes if fits(caps, purpose, counted, m * MINUTE)), None)
    assert free == (NEVER if expected is None else expected * MINUTE)


@settings(deadline=None)  # so does this one
@given(CAPS, COUNTED, st.lists(quiet(), max_size=2), st.sampled_from(ZONES))
def test_caps_and_quiet_hours_together_pass_in_the_first_minute_in_which_both_do(
    caps: list[FrequencyCap], counted: list[Counted], hours: list[QuietHours], name: str
) -> None:
    zone, begin = ZoneInfo(name), at("2026-03-28T18:00") // MINUTE
    moved = [Counted(c.purpose, begin * MINUTE + c.time) for c in counted]
    free = free_time(caps, "marketing", moved, begin * MINUTE)
    both = free if free == NEVER else first_loud(free, zone, hours)
    expected = next(
        (
            m
            for m in range(begin, begin + 8 * 1440)
            if fits(caps, "marketing", moved, m * MINUTE) and not shown(m, zone, hours)
        ),
        0,
    )
    assert both == (expected * MINUTE or NEVER)


@pytest.mark.parametrize("limit", [1, 3])
def test_a_window_is_rolling_to_the_millisecond(limit: int) -> None:
    cap = FrequencyCap("marketing", limit, 24 * 60 * MINUTE)
    sent = [Counted("marketing", 1_000 + n) for n in range(limit)]
    free = 1_000 + cap.window_ms
    assert room(cap, sent, free - 1) == (limit, free)
    assert room(cap, sent, free) == (limit - 1, free)
