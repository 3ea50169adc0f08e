"""The contact's wall clock, over changes of clocks."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expressions import Facts, Registry, compile
from expressions.localtime import FIELDS, local, stays_until

REGISTRY = Registry({"birthday": "date", "since": "timestamp"})
ZONES = [
    "UTC",
    "Europe/Istanbul",
    "Europe/Berlin",  # an hour, at 02:00
    "Australia/Lord_Howe",  # half an hour
    "America/St_Johns",  # until 2011 at 00:01, so that a day begins twice
    "America/Sao_Paulo",  # until 2018 at midnight, so that a day begins at 01:00
    "Africa/Cairo",
    "Asia/Kathmandu",
]


def at(zone, *when, fold=0):
    return int(datetime(*when, tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


def decide(source, now, zone="Europe/Istanbul", **attributes):
    return tuple(compile(source, REGISTRY).decide(Facts(attributes=attributes, zone=zone), now))


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("zone", ZONES)
def test_a_field_stays_until_the_instant_that_is_told(name, zone):
    now = at(zone, 2010, 3, 12, 5, 17)
    end = at(zone, 2010, 3, 29)
    while now < end:
        until = stays_until(local(zone, now), name)
        assert until > now
        step = max(60_000, (until - now) // 40)
        for instant in [*range(now, until, step), until - 1]:
            assert FIELDS[name](local(zone, instant)) == FIELDS[name](local(zone, now))
        now = until


@given(
    st.sampled_from(ZONES),
    st.integers(at("UTC", 1990, 1, 1) // 1000, at("UTC", 2030, 1, 1) // 1000),
    st.sampled_from(["hour", "day"]),
)
def test_a_field_stays_until_the_instant_that_is_told_in_any_year(zone, second, name):
    now = second * 1000
    until = stays_until(local(zone, now), name)
    assert now < until <= now + timedelta(hours=50) // timedelta(milliseconds=1)
    for part in range(24):
        instant = now + (until - 1 - now) * part // 23
        assert FIELDS[name](local(zone, instant)) == FIELDS[name](local(zone, now))


def test_a_comparison_of_the_hour_sleeps_until_it_turns():
    now = at("Europe/Istanbul", 2026, 3, 2, 10, 30)
    nine, six = at("Europe/Istanbul", 2026, 3, 3, 9), at("Europe/Istanbul", 2026, 3, 2, 18)
    assert decide("localTime().hour < 18", now) == (True, six)
    assert decide("localTime().hour >= 9 && localTime().hour < 18", six) == (
        False,
        nine - 9 * 3_600_000,
    )
    assert decide("localTime().hour >= 9", nine - 1) == (False, nine)
    saturday = at("Europe/Istanbul", 2026, 3, 7)
    assert decide("localTime().weekday in [6, 7]", now) == (False, saturday)
    assert decide("localTime().hour", now) == (10, at("Europe/Istanbul", 2026, 3, 2, 11))


def test_answers_for_one_zone_are_not_taken_for_another():
    rule = compile("localTime().hour == 12", REGISTRY)
    now = at("UTC", 2026, 3, 2, 12)
    assert rule.evaluate(Facts(zone="UTC"), now) is True
    assert rule.evaluate(Facts(zone="Europe/Istanbul"), now) is False
    assert rule.evaluate(Facts(zone="UTC"), now - 1) is False


def test_an_unknown_zone_makes_local_time_missing():
    assert decide("localTime().hour >= 0", 0, zone="Mars/Olympus") == (False, None)
    assert decide("localTime().hour >= 0", 0, zone="../../etc/passwd") == (False, None)


def test_the_hour_of_any_time_is_in_the_zone_of_the_contact():
    now = at("UTC", 2026, 3, 2, 22)
    assert decide("localTime(profile.since).hour", 0, since=now) == (1, None)


def test_a_birthday_lasts_the_local_day_and_comes_every_year():
    rule, zone = "profile.birthday.isToday()", "Europe/Istanbul"
    begins, ends = at(zone, 2026, 5, 17), at(zone, 2026, 5, 18)
    assert decide(rule, begins - 1, birthday="1990-05-17") == (False, begins)
    assert decide(rule, begins, birthday="1990-05-17") == (True, ends)
    assert decide(rule, ends, birthday="1990-05-17") == (False, at(zone, 2027, 5, 17))
    assert decide(rule, ends) == (False, None)


def test_the_29th_of_february_is_kept_on_the_28th_in_other_years():
    rule = "profile.birthday.isToday()"
    assert decide(rule, at("UTC", 2026, 2, 28), "UTC", birthday="2000-02-29")[0] is True
    assert decide(rule, at("UTC", 2028, 2, 28), "UTC", birthday="2000-02-29") == (
        False,
        at("UTC", 2028, 2, 29),
    )
    assert decide(rule, at("UTC", 2028, 2, 29), "UTC", birthday="2000-02-29")[0] is True
