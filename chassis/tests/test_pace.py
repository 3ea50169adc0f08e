"""How long writes take is known for the last minute, and of the one that is under way."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.settings import LogSettings
from chassis.streams import DeadLetters, EventLog, Record, WriteTimes, backlogs, event_log, memory


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def write(times: WriteTimes, clock: Seconds, took: float) -> None:
    with times.one():
        clock.now += took


def test_one_slow_write_of_a_hundred_is_not_the_rule_and_two_are() -> None:
    clock = Seconds()
    times = WriteTimes(clock)
    for took in [0.01] * 98 + [5.0]:
        write(times, clock, took)
    assert times.p99() == timedelta(seconds=5)
    write(times, clock, 0.01)
    assert times.p99() == timedelta(seconds=5)
    for _ in range(100):
        write(times, clock, 0.01)
    assert times.p99().total_seconds() == pytest.approx(0.01)


def test_what_is_a_minute_ago_is_forgotten() -> None:
    clock = Seconds()
    times = WriteTimes(clock)
    write(times, clock, 5)
    clock.now += 59
    assert times.p99() == timedelta(seconds=5)
    clock.now += 2
    assert times.p99() == timedelta(0)


def test_slow_writes_of_the_last_minute_are_counted() -> None:
    clock = Seconds()
    times = WriteTimes(clock)
    for took in (3, 1, 3):
        write(times, clock, took)
    assert times.over(timedelta(seconds=2)) == 2
    clock.now += 57
    assert times.over(timedelta(seconds=2)) == 1


def test_a_write_that_is_under_way_or_failed_counts() -> None:
    clock = Seconds()
    times = WriteTimes(clock)
    assert times.waiting() == timedelta(0)
    with pytest.raises(OSError), times.one():
        clock.now += 7
        assert times.waiting() == timedelta(seconds=7)
        raise OSError
    assert (times.waiting(), times.p99()) == (timedelta(0), timedelta(seconds=7))


@given(st.lists(st.floats(0.001, 0.5), min_size=1, max_size=110))
def test_the_99th_percentile_is_one_of_the_writes_with_at_most_a_hundredth_above_it(
    durations: list[float],
) -> None:
    clock = Seconds()
    times = WriteTimes(clock)
    for took in durations:
        write(times, clock, took)
    found = times.p99().total_seconds()
    above = sum(took > found + 0.00001 for took in durations)
    assert above <= len(durations) / 100
    assert any(abs(took - found) < 0.00001 for took in durations)


async def filled(log: EventLog, entries: int) -> None:
    for number in range(entries):
        await log.append([Record("t", f"{number}", b"x")])


async def test_what_is_unread_and_what_is_pending_is_counted_by_group(log: EventLog) -> None:
    await log.ensure_group("early", ["t"])
    await filled(log, 250)
    streams = log.streams("t")
    taken = await log.read_group("early", "one", streams, 30, None)
    await log.acknowledge("early", taken[:10])
    await log.ensure_group("late", ["t"])
    told = await backlogs(log, ["t"])
    unread = {group: sum(one.unread for one in told if one.group == group) for group in
              ("early", "late")}  # fmt: skip
    pending = {one.group: 0 for one in told}
    for one in told:
        pending[one.group] += one.pending
    assert unread == {"early": 250 - len(taken), "late": 250}
    assert pending == {"early": len(taken) - 10, "late": 0}
    assert {one.consumers for one in told if one.group == "early"} == {1}
    assert all(one.behind > timedelta(0) for one in told)


async def test_how_far_one_group_is_behind_can_be_asked_alone(log: EventLog) -> None:
    for group in ("done", "behind"):
        await log.ensure_group(group, ["t", "u"])
    await filled(log, 3)
    taken = await log.read_group("done", "one", log.streams("t"), 10, None)
    await log.acknowledge("done", taken)
    everybody = await log.lag(["t", "u", "never written"])
    assert len(everybody) == 2 * 2 * log.settings.log_shards
    assert {one.group for one in everybody if one.behind} == {"behind"}
    for group in ("done", "behind"):
        alone = await log.lag(["t", "u", "never written"], group)
        assert {(one.stream, one.group, one.pending) for one in alone} == {
            (one.stream, one.group, one.pending) for one in everybody if one.group == group
        }


async def test_dead_letters_are_counted_by_group(log: EventLog) -> None:
    letters = DeadLetters(log)
    assert await letters.counts() == {}
    for number in range(230):
        await letters.put("odd" if number % 2 else "even", "s", "REASON", b"x")
    await letters.put("alone", "s", "REASON", b"x")
    assert await letters.counts() == {"odd": 115, "even": 115, "alone": 1}


async def test_memory_and_its_limit_are_told(log: EventLog) -> None:
    used, limit = await memory(log)
    assert 0 < used < limit
    assert used / limit == pytest.approx(await log.memory_pressure(), rel=0.1)


async def test_every_write_is_timed(log_settings: LogSettings) -> None:
    async with event_log(log_settings) as log:
        await filled(log, 3)
        assert log.writes.p99() > timedelta(0)
        await log.pulse()
