"""Timetables of five fields."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import cron


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "after", "following"),
    [
        ("0 9 * * *", "2026-01-01T09:00", "2026-01-02T09:00"),
        ("0 9 * * *", "2026-01-01T08:59", "2026-01-01T09:00"),
        ("*/15 * * * *", "2026-01-01T08:46", "2026-01-01T09:00"),
        ("5-20/5 * * * *", "2026-01-01T08:21", "2026-01-01T09:05"),
        ("30/10 * * * *", "2026-01-01T08:31", "2026-01-01T08:40"),
        ("0 0 29 2 *", "2096-03-01T00:00", "2104-02-29T00:00"),
        ("0 10 * * MON-fri", "2026-01-02T10:00", "2026-01-05T10:00"),
        ("0 10 * * 0", "2026-01-01T10:00", "2026-01-04T10:00"),
        ("0 10 * * 7", "2026-01-01T10:00", "2026-01-04T10:00"),
        ("0 10 13 * 5", "2026-01-10T10:00", "2026-01-13T10:00"),
        ("0 10 13 * 5", "2026-01-13T10:00", "2026-01-16T10:00"),
        ("0 10 */2 * 5", "2026-01-09T10:00", "2026-01-23T10:00"),
        ("59 23 31 dec *", "2026-01-01T00:00", "2026-12-31T23:59"),
    ],
)
def test_the_next_time(text: str, after: str, following: str) -> None:
    assert cron.parse(text).after(wall(after)) == wall(following)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0 9 * *", "4 fields"),
        ("60 * * * *", "minute 60: 0 to 59"),
        ("* 24 * * *", "hour 24"),
        ("* * 0 * *", "day of month 0"),
        ("* * * 13 *", "month 13"),
        ("* * * * 8", "day of week 8"),
        ("* * * * funday", "day of week funday"),
        ("5-1 * * * *", "begins after it ends"),
        ("*/0 * * * *", "a step"),
        (", * * * *", "minute missing"),
        ("٣ * * * *", "minute"),
        ("0 0 31 2 *", "no such day"),
    ],
)
def test_what_is_wrong_with_a_timetable_is_said(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        cron.parse(text)


@given(
    st.frozensets(st.integers(0, 59), min_size=1, max_size=3),
    st.frozensets(st.integers(0, 23), min_size=1, max_size=3),
    st.frozensets(st.integers(1, 31), max_size=3),
    st.frozensets(st.integers(0, 7), max_size=2),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - a clock on a wall
)
def test_the_next_time_is_the_first_minute_that_is_right(
    minutes: frozenset[int],
    hours: frozenset[int],
    days: frozenset[int],
    weekdays: frozenset[int],
    after: datetime,
) -> None:
    def field(values: frozenset[int]) -> str:
        return ",".join(map(str, values)) or "*"

    found = cron.parse(f"{field(minutes)} {field(hours)} {field(days)} * {field(weekdays)}")
    iso = {day or 7 for day in weekdays}

    def right(time: datetime) -> bool:
        day, weekday = time.day in days, time.isoweekday() in iso
        if not days and not weekdays:
            on = True
        elif days and weekdays:
            on = day or weekday
        else:
            on = day or weekday
        return on and time.minute in minutes and time.hour in hours

    at = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while not right(at):
        at += timedelta(minutes=1 if at.hour in hours else 60 - at.minute)
    assert found.after(after) == at
