"""A backfill reads what is not kept yet, of whom it concerns; goes on where it stood; and writes
only whom it makes a difference to."""

import asyncio
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from merhaba.event.v1 import Event
from merhaba.profile.v1 import Attribute, ConsentRecord
from merhaba.segment.v1 import Backfill, GetBackfillRequest, Segment
from services.segment.engine.membership import SCAN
from services.segment.engine.model import BackfillRecord
from services.segment.tests.conftest import stamp
from services.segment.tests.test_service import is_member, make, person


async def done(suite: Any) -> None:
    while await suite.backfills.work():
        pass


def city(suite: Any, name: str) -> Attribute:
    return Attribute(name="city", value_json=f'"{name}"'.encode(), change_time=stamp(suite.now))


def order(suite: Any, contact: str, ago: timedelta = timedelta()) -> Event:
    found: Event = suite.tracked(contact, "order_completed", '{"total": 5}', ago)
    return found


async def people(suite: Any, count: int) -> list[str]:
    """Known to profile and here, the first half in Ankara."""
    found = sorted(person() for _ in range(count))
    for number, one in enumerate(found):
        suite.profile.facts[one] = [city(suite, "ankara" if number < count // 2 else "izmir")]
    await suite.hear(*(suite.created(one) for one in found))
    return found


async def generations(suite: Any) -> dict[str, int]:
    rows = await suite.pool.fetch("SELECT contact_id::text AS id, generation FROM contact_states")
    return {row["id"]: row["generation"] for row in rows}


async def test_at_first_everything_that_rules_look_at_is_read_of_everybody(suite: Any) -> None:
    stranger, *_ = await people(suite, 4)
    suite.profile.consents[stranger] = [ConsentRecord(event_time=stamp(suite.now))]
    suite.profile.consents[stranger][0].change.purpose = "marketing"
    suite.profile.consents[stranger][0].change.granted = True
    local = await make(suite, "local", 'profile.city == "ankara" && consent("marketing")')
    await done(suite)
    (asked,) = suite.profile.requests
    assert {"attributes.city", "stage", "zone", "consents"} <= set(asked.read_mask.paths)
    assert "events" not in asked.read_mask.paths
    assert not asked.attribute_names
    assert await is_member(suite, stranger, local)


async def test_what_is_kept_of_everybody_is_not_read_again(suite: Any) -> None:
    first, *_, last = await people(suite, 4)
    await make(suite, "local", 'profile.city == "ankara"')
    await done(suite)
    asked = len(suite.profile.requests)
    other = await make(suite, "other", 'profile.city == "izmir" && !segment("local")')
    await done(suite)
    assert len(suite.profile.requests) == asked
    assert [await is_member(suite, one, other) for one in (first, last)] == [False, True]


async def test_later_only_what_is_new_is_read_and_only_of_whom_there_is_any(suite: Any) -> None:
    first, *others = await people(suite, 4)
    await make(suite, "local", 'profile.city == "ankara"')
    await done(suite)
    suite.profile.told.clear()
    suite.profile.events[first] = [order(suite, first)]
    buyers = await make(suite, "buyers", 'events("order_completed").within("7d").exists()')
    await done(suite)
    asked = suite.profile.requests[-1]
    assert (list(asked.names), asked.skip_empty) == (["order_completed"], True)
    assert not {"consents", "attributes.city"} & set(asked.read_mask.paths)
    assert suite.profile.told == [first]
    suite.profile.facts[others[0]].append(
        Attribute(name="age", value_json=b"40", change_time=stamp(suite.now))
    )
    grown = await make(suite, "grown", 'profile.age >= 18 && profile.city == "ankara"')
    await done(suite)
    assert list(suite.profile.requests[-1].attribute_names) == ["age"]
    assert suite.profile.told == [first, others[0]]
    for segment, member in ((buyers, first), (grown, others[0])):
        found = [one for one in (first, *others) if await is_member(suite, one, segment)]
        assert found == [member]


async def test_only_whom_a_rule_concerns_is_written(suite: Any) -> None:
    found = await people(suite, SCAN // 2)
    await make(suite, "local", 'profile.city == "ankara"')
    await done(suite)
    before = await generations(suite)
    distant = await make(suite, "distant", 'profile.city == "izmir"')
    await done(suite)
    after = await generations(suite)
    assert {one for one in found if after[one] != before[one]} == set(found[SCAN // 4 :])
    # Who was left is brought up to the rules by what happens next.
    moves = suite.tracked(found[0], "moved", changes=[("city", '"izmir"')])
    await suite.hear(moves)
    assert await is_member(suite, found[0], distant)
    assert (await suite.signals(found[0]))[-1].segment_entered.cause_event_id == moves.event_id


async def test_it_goes_on_where_profile_went_away(suite: Any) -> None:
    found = await people(suite, 6)
    suite.profile.breaks_at = found[3]
    local = await make(suite, "local", 'profile.city == "izmir"')
    asked = GetBackfillRequest(backfill_id=local.backfill_id)
    assert not await suite.backfills.work()
    told = (await suite.segments.GetBackfill(asked)).backfill
    assert (told.state, told.phase) == (Backfill.STATE_RUNNING, Backfill.PHASE_HISTORY)
    assert told.passed_count == 3
    assert "UNAVAILABLE" in told.failure
    await suite.clock.advance(timedelta(seconds=2))
    await done(suite)
    assert suite.profile.requests[-1].cursor == found[2]
    assert suite.profile.told == found
    told = (await suite.segments.GetBackfill(asked)).backfill
    assert (told.state, told.failure, told.member_count) == (Backfill.STATE_COMPLETED, "", 3)


async def test_who_comes_live_meanwhile_is_there_once(suite: Any) -> None:
    await people(suite, 1)
    strangers = sorted(person() for _ in range(300))
    for one in strangers:
        suite.profile.events[one] = [order(suite, one, timedelta(days=1))]
    twice = 'events("order_completed").within("7d").count() >= 2'
    segment: Segment = await make(suite, "twice", twice)
    live = [order(suite, one) for one in reversed(strangers)]
    await asyncio.gather(
        suite.backfills.work(),
        *(suite.hear(*live[first : first + 10]) for first in range(0, len(live), 10)),
    )
    assert [one for one in strangers if not await is_member(suite, one, segment)] == []


def test_a_pace_is_of_the_time_it_works_at_a_phase_without_a_pause(manual_clock: Any) -> None:
    began = manual_clock.now()
    record = BackfillRecord(
        *("bf", "seg", 1, (), None, "running", "history", "", 500, 2_500, 0, ""),
        create_time=began - timedelta(hours=1),
        update_time=began,
        phase_time=began,
        phase_passed_count=500,
    )
    assert (record.contacts_per_s, record.remaining) == (0, None)

    def later(passed: int, state: str = "running") -> BackfillRecord:
        now = began + timedelta(seconds=10)
        return replace(record, update_time=now, passed_count=passed, state=state)

    assert (later(1_500).contacts_per_s, later(1_500).remaining) == (100, timedelta(seconds=10))
    assert later(2_600).remaining == timedelta(0)
    assert later(2_500, "completed").remaining is None
