"""Everything accepted before the told instant is counted."""

from datetime import UTC, datetime, timedelta

from services.reports.freshness import Freshness

START = datetime(2026, 11, 22, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
IDLE = {"message": False, "contact": False}


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_nothing_is_claimed_before_the_log_was_looked_at() -> None:
    assert Freshness(START).fold_time(START + 60 * SECOND, SECOND) == START


def test_when_nothing_waits_the_facts_are_as_fresh_as_the_last_look() -> None:
    freshness = Freshness(START)
    freshness.folded("message", ms(START - 600 * SECOND))
    freshness.sampled(START + 5 * SECOND, IDLE, upstream=False)
    assert freshness.fold_time(START + 6 * SECOND, SECOND) == START + 5 * SECOND


def test_under_load_they_are_as_fresh_as_the_oldest_event_last_folded() -> None:
    freshness = Freshness(START)
    freshness.folded("message", ms(START + 8 * SECOND))
    freshness.folded("contact", ms(START + 9 * SECOND))
    freshness.sampled(START + 10 * SECOND, {"message": True, "contact": True}, upstream=False)
    assert freshness.fold_time(START + 10 * SECOND, SECOND) == START + 8 * SECOND


def test_what_is_stuck_before_us_makes_us_stale() -> None:
    freshness = Freshness(START)
    freshness.sampled(START, IDLE, upstream=False)
    for second in range(1, 60):
        freshness.sampled(START + second * SECOND, IDLE, upstream=True)
    assert freshness.fold_time(START + 60 * SECOND, SECOND) == START


def test_a_silent_sampler_stops_claiming() -> None:
    freshness = Freshness(START)
    freshness.sampled(START, IDLE, upstream=False)
    assert freshness.fold_time(START + 60 * SECOND, SECOND) == START


def test_it_never_lies_in_the_future() -> None:
    freshness = Freshness(START)
    freshness.folded("message", ms(START + 99 * SECOND))  # somebody's clock is ahead
    freshness.sampled(START, {"message": True}, upstream=False)
    assert freshness.fold_time(START + SECOND, SECOND) == START + SECOND
