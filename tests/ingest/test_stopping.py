"""Stopping under load: what was sent is answered, what is new is turned away, all 200s are kept."""

import asyncio
import signal
from time import monotonic

from services.ingest.tests.process import door, new_door
from tests.ingest.load import load

DRAIN_S, GRACE_S = 1.0, 3.0


async def test_nothing_sent_before_a_stop_goes_without_its_answer(
    migrated: str, redis_url: str
) -> None:
    with door(migrated, redis_url, DRAIN_S=str(DRAIN_S), GRACE_S=str(GRACE_S)) as front:
        assert front.process is not None
        async with load(front.port, front.secret, per_second=300) as running:
            await asyncio.sleep(1)
            told = monotonic()
            front.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            still_serving = await asyncio.to_thread(front.serves)
            code = await asyncio.to_thread(front.process.wait, 20)
            took = monotonic() - told
        assert not still_serving, "health says no before the door closes"
        assert code == 0, front.said()
        assert DRAIN_S <= took < DRAIN_S + GRACE_S + 2

        before = [one for one in running.sent if one.at < told]
        assert {one.status for one in before} == {200}
        assert not [one for one in running.sent if one.torn]
        # From the health check's word to the door's end requests are served, and each connection
        # ends behind its answer, so that nobody sends into one that is closing.
        meanwhile = [one for one in running.sent if told + 0.2 < one.at < told + DRAIN_S - 0.2]
        assert meanwhile
        assert {one.status for one in meanwhile} == {200}
        assert all(one.closes for one in meanwhile)
        after = [one for one in running.sent if one.at >= told + DRAIN_S - 0.2]
        assert {one.status for one in after} <= {200, 503, 0}
        on_log = front.event_ids("inbound.message")
        assert running.accepted <= set(on_log)
        assert len(on_log) == len(set(on_log))
        assert "Traceback" not in front.said()


async def test_a_request_that_takes_its_time_is_answered_while_stopping(
    migrated: str, redis_url: str
) -> None:
    with door(migrated, redis_url, GRACE_S=str(GRACE_S), LOG_LINGER_MS="900") as front:
        assert front.process is not None
        async with load(front.port, front.secret, per_second=20, clients=20) as running:
            await asyncio.sleep(0.5)
            told = monotonic()
            front.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(front.process.wait, 20)
        assert code == 0, front.said()
        waiting = [one for one in running.sent if one.at < told < one.at + one.seconds]
        assert waiting
        assert {one.status for one in waiting} == {200}
        assert running.accepted <= set(front.event_ids("inbound.message"))


async def test_two_workers_share_one_port_and_everything_is_there_once(
    migrated: str, redis_url: str
) -> None:
    with door(migrated, redis_url, HTTP_REUSE_PORT="true") as one:
        other = new_door(migrated, redis_url)
        other.environment = one.environment
        other.start(one.port)
        try:
            async with load(one.port, one.secret, per_second=300) as running:
                await asyncio.sleep(1.5)
            served = [int(front.cpu_s() * 1000) for front in (one, other)]
        finally:
            other.stop()
        assert running.statuses().keys() == {200}
        on_log = one.event_ids("inbound.message")
        assert len(on_log) == len(running.sent)
        assert set(on_log) == running.accepted
        assert min(served) > max(served) / 10, "one did all the work"
        # One goes, the other stays: with it the port
        async with load(one.port, one.secret, per_second=100) as running:
            await asyncio.sleep(0.3)
        assert running.statuses().keys() == {200}
