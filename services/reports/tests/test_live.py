"""Whoever watches sees everything that happens once, whatever breaks on the way."""

import asyncio
from collections import Counter
from datetime import timedelta

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.ids import fresh_id
from chassis.testing import wait_until
from merhaba.reports.v1 import Dimension, Filter, Measure, WatchLiveRequest
from services.reports.live import pulses
from services.reports.tests.events import DAY, HOUR, NOON, ordered, outcome, received, ref, withdrew
from services.reports.tests.test_answers import of
from services.reports.tests.test_api import asking, reason, stub, stub_port

__all__ = ["asking", "stub", "stub_port"]


async def settle(pool) -> None:
    """Wait until nothing runs that began earlier."""
    before = await pool.fetchval("SELECT pg_current_xact_id()::text::bigint")

    async def past() -> bool:
        return await pulses.position(pool) > before

    await wait_until(past)


def counted(response) -> dict[str, int]:
    return {
        Measure.Name(one.measure).removeprefix("MEASURE_").lower(): int(one.value)
        for one in response.counts
        if one.value
    }


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    histories=st.lists(
        st.lists(
            st.sampled_from(["planned", "sent", "delivered", "read", "clicked", "failed"]),
            max_size=5,
        ),
        max_size=4,
    ),
    data=st.data(),
)
async def test_what_happens_is_counted_once_between_any_two_looks(
    histories, data, pool, feed_together
) -> None:
    run = fresh_id("c")
    events = [
        outcome(kind, NOON + n, f"{run}{m}", ref(f"{run}/{m}", run))
        for m, kinds in enumerate(histories)
        for n, kind in enumerate(kinds)
    ]
    shuffled = data.draw(st.permutations(events + events[:3]), label="order")
    total: Counter = Counter()
    position = await pulses.position(pool)
    for i in range(0, len(shuffled), 3):
        feeding = asyncio.gather(
            feed_together([("message", [one]) for one in shuffled[i : i + 3]]),
        )
        while not feeding.done():  # looks fall between and into transactions
            position, pulse = await pulses.since(pool, position)
            total.update({w: n for (w, c), n in pulse.counts.items() if c == run})
        await feeding
    await settle(pool)
    _, pulse = await pulses.since(pool, position)
    total.update({w: n for (w, c), n in pulse.counts.items() if c == run})

    def how_many(*kinds: str) -> int:
        return sum(any(kind in history for kind in kinds) for history in histories)

    reach = ("delivered", "read", "clicked")
    expected = {
        "planned": sum(bool(history) for history in histories),
        "sent": how_many("sent", *reach),
        "delivered": how_many(*reach),
        **{kind: how_many(kind) for kind in ("read", "clicked", "failed")},
    }
    assert {k: v for k, v in total.items() if v} == {k: v for k, v in expected.items() if v}


async def test_a_broken_watch_goes_on_where_it_was(stub, feed, pool) -> None:
    own = fresh_id("c")
    watch = stub.WatchLive(WatchLiveRequest(filters=of(own)))
    first = await watch.read()
    assert counted(first) == {}
    watch.cancel()
    await feed("message", [outcome("delivered", NOON - DAY, own, ref(f"{own}/m", own))])
    await feed("contact", [ordered(NOON - DAY + HOUR, own, "o", 5), withdrew(NOON - DAY + 1, own)])
    await settle(pool)
    asked = WatchLiveRequest(filters=of(own), cursor=first.cursor)
    for _ in range(2):  # the same cursor, the same answer
        again = stub.WatchLive(asked)
        response = await again.read()
        assert counted(response) == {
            **{"planned": 1, "sent": 1, "delivered": 1},
            **{"opted_out": 1, "converted": 1},
        }
        again.cancel()
    assert response.start_time.ToMilliseconds() <= NOON - DAY
    last = stub.WatchLive(WatchLiveRequest(filters=of(own), cursor=response.cursor))
    assert counted(await last.read()) == {}
    last.cancel()


async def test_a_watch_tells_of_people_who_write(stub, feed, pool) -> None:
    watch = stub.WatchLive(WatchLiveRequest())
    first = await watch.read()
    watch.cancel()
    await feed("contact", [received(NOON, fresh_id("p")) for _ in range(3)])
    await settle(pool)
    again = stub.WatchLive(WatchLiveRequest(cursor=first.cursor))
    assert counted(await again.read())["received"] == 3
    again.cancel()


async def test_a_watch_beats_every_second(stub, manual_clock) -> None:
    watch = stub.WatchLive(WatchLiveRequest())
    first = await watch.read()
    second = asyncio.ensure_future(watch.read())

    async def beats() -> bool:
        await manual_clock.advance(timedelta(seconds=1))
        return second.done()

    await wait_until(beats)
    assert (await second).start_time == first.end_time
    watch.cancel()


async def test_a_cursor_is_good_for_an_hour(stub, manual_clock) -> None:
    watch = stub.WatchLive(WatchLiveRequest())
    cursor = (await watch.read()).cursor
    watch.cancel()
    for minutes, good in ((60, True), (1, False)):
        await manual_clock.advance(timedelta(minutes=minutes))
        again = stub.WatchLive(WatchLiveRequest(cursor=cursor))
        if good:
            await again.read()
            again.cancel()
            continue
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await again.read()
        assert reason(caught.value)[0] == "CURSOR_EXPIRED"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (WatchLiveRequest(cursor="made up"), "TOKEN_INVALID"),
        (
            WatchLiveRequest(filters=[Filter(dimension=Dimension.DIMENSION_MARKET)]),
            "QUERY_UNSUPPORTED",
        ),
    ],
)
async def test_what_cannot_be_watched_is_refused(stub, request_, why) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.WatchLive(request_).read()
    assert reason(caught.value)[0] == why
