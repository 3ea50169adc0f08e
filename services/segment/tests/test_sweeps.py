"""What an edit means for all who were there is done behind it, and nothing acts meanwhile."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from merhaba.segment.v1 import (
    ArchiveJourneyRequest,
    ArchiveTriggerRequest,
    EventCause,
    JourneyInstance,
    Migration,
    Occurrence,
    PauseJourneyRequest,
    ResumeJourneyRequest,
    UpdateJourneyRequest,
)
from services.segment.engine import membership
from services.segment.tables import sweeps as sweeps_store
from services.segment.tests.test_journeys import create, hours, look, person, send, sent, wait
from services.segment.tests.test_journeys import start as enter
from services.segment.tests.test_service import HOURS, start
from services.segment.tests.test_triggers import occurrences


class Crash(Exception):
    """The process dies."""


async def swept(suite: Any, monkeypatch: pytest.MonkeyPatch, crash_every: int = 0) -> int:
    """All sweeps done, by replicas that die again and again; returns how many of them died."""
    store, died, steps, last = suite.sweeps._store, 0, 0, None
    real = suite.sweeps._batch

    async def batch(sweep: Any) -> bool:
        nonlocal steps, last
        steps, last = steps + 1, sweep
        more = await real(sweep)
        if crash_every and steps % crash_every == 0:
            raise Crash
        return bool(more)

    monkeypatch.setattr(suite.sweeps, "_batch", batch)
    while True:
        try:
            if not await suite.sweeps.work():
                break
        except Crash:
            died += 1
            assert await store.claim(suite.now, timedelta(seconds=60)) != last, "it is leased"
            await suite.clock.advance(timedelta(seconds=61))
    assert await suite.pool.fetchval("SELECT count(*) FROM sweeps") == 0
    return died


async def waiting(suite: Any, people: int) -> tuple[Any, list[str]]:
    trigger = await start(suite, event=EventCause(name="signed_up"), delay_duration=HOURS[1])
    contacts = [person() for _ in range(people)]
    await suite.hear(*(suite.tracked(one, "signed_up") for one in contacts))
    return trigger, contacts


async def test_an_ended_triggers_occurrences_are_cancelled_behind_the_answer_whoever_dies(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps_store, "_BATCH", 3)
    trigger, contacts = await waiting(suite, 10)
    answer = await suite.triggers.ArchiveTrigger(
        ArchiveTriggerRequest(trigger_id=trigger.trigger_id)
    )
    ended = suite.now
    assert answer.cancelled_count == 10
    assert len(await occurrences(suite, trigger_id=trigger.trigger_id)) == 10
    await suite.clock.advance(timedelta(hours=2))
    while await suite.membership.pass_time():
        pass
    for one in contacts:
        assert await suite.said(one) == [], "it was not swept yet, and does not act all the same"
    assert await swept(suite, monkeypatch, crash_every=2) > 0
    for found in await occurrences(suite, trigger_id=trigger.trigger_id):
        assert (found.state, found.reason) == (
            Occurrence.STATE_CANCELLED,
            "the trigger was archived",
        )
        assert found.end_time.ToDatetime(tzinfo=ended.tzinfo) == ended.replace(
            microsecond=ended.microsecond // 1000 * 1000
        )


async def test_an_edit_writes_no_row_of_a_contact(suite: Any) -> None:
    """However many it concerns: everybody waits for it."""
    journey = await create(suite, wait("a", "b", duration=hours(1)), send("b"))
    contacts = [person() for _ in range(5)]
    await enter(suite, journey, *contacts)
    trigger, _ = await waiting(suite, 5)

    async def versions() -> list[Any]:
        return [
            row[0]
            for table in ("contact_states", "journey_instances", "occurrences")
            for row in await suite.pool.fetch(f"SELECT xmin FROM {table} ORDER BY contact_id")
        ]

    before, named = await versions(), {"journey_id": journey.journey_id}
    await suite.journeys.PauseJourney(PauseJourneyRequest(**named))
    await suite.journeys.ResumeJourney(ResumeJourneyRequest(**named))
    journey.ClearField("etag")
    update = UpdateJourneyRequest(journey=journey, migration=Migration(steps={"a": "a"}))
    update.update_mask.paths.append("display_name")
    assert (await suite.journeys.UpdateJourney(update)).migrating_count == 5
    archived = await suite.journeys.ArchiveJourney(ArchiveJourneyRequest(**named))
    assert archived.exited_count == 5
    await suite.triggers.ArchiveTrigger(ArchiveTriggerRequest(trigger_id=trigger.trigger_id))
    assert await versions() == before


async def test_people_of_an_ended_journey_are_let_go_behind_the_answer_whoever_dies(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "BATCH", 3)
    journey = await create(suite, wait("a", "b", duration=hours(1)), send("b"))
    contacts = [person() for _ in range(10)]
    instances = await enter(suite, journey, *contacts)
    await suite.journeys.ArchiveJourney(ArchiveJourneyRequest(journey_id=journey.journey_id))
    met = contacts[4]
    await suite.hear(suite.tracked(met, "signed_up"))
    assert await swept(suite, monkeypatch, crash_every=2) > 0
    for one in instances:
        assert (await look(suite, one)).state == JourneyInstance.STATE_EXITED
    await suite.pass_time(hours=2)
    for one in contacts:
        assert await sent(suite, one) == []


async def test_whose_time_comes_before_the_sweep_does_is_let_go_and_does_no_step(
    suite: Any,
) -> None:
    journey = await create(suite, wait("a", "b", duration=hours(1)), send("b"))
    who = person()
    [instance] = await enter(suite, journey, who)
    await suite.journeys.ArchiveJourney(ArchiveJourneyRequest(journey_id=journey.journey_id))
    await suite.clock.advance(timedelta(hours=2))
    while await suite.membership.pass_time():
        pass
    assert await sent(suite, who) == []
    assert (await look(suite, instance)).state == JourneyInstance.STATE_EXITED


async def test_a_resumed_journey_goes_on_for_everybody_once_whoever_dies(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "BATCH", 2)
    journey = await create(
        suite, wait("a", "b", duration=hours(1)), send("b", "c"), wait("c", duration=hours(9))
    )
    journey_id = journey.journey_id
    contacts = [person() for _ in range(7)]
    await enter(suite, journey, *contacts)
    await suite.journeys.PauseJourney(PauseJourneyRequest(journey_id=journey_id))
    await suite.pass_time(hours=2)
    await suite.journeys.ResumeJourney(ResumeJourneyRequest(journey_id=journey_id))
    assert await swept(suite, monkeypatch, crash_every=2) > 0
    while await suite.membership.pass_time():
        pass
    for one in contacts:
        assert len(await sent(suite, one)) == 1


async def test_two_replicas_sweep_together_and_nobody_is_let_go_twice(
    suite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "BATCH", 2)
    journey = await create(suite, wait("a", "b", duration=hours(1)), send("b"))
    contacts = [person() for _ in range(9)]
    await enter(suite, journey, *contacts)
    await suite.journeys.ArchiveJourney(ArchiveJourneyRequest(journey_id=journey.journey_id))
    sweep = await suite.sweeps._store.claim(suite.now, timedelta())
    assert sweep is not None
    people = sweep._replace(work="people")
    await asyncio.gather(*(suite.membership.sweep(people) for _ in range(6)))
    while await suite.sweeps.work():
        pass
    for one in contacts:
        states = [e.journey_step_reached.state for e in await suite.signals(one)]
        assert len(states) == len(set(states)) == 3, "started, waits, is let go"
