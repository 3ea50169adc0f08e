"""Stages and levels of contacts in a real Postgres: moved by events, by time and by merging."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from chassis.app import tasks
from chassis.clock import ManualClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.postgres import Effects, Pool
from chassis.streams import EventLog, Position
from chassis.testing import wait_until
from merhaba.event.v1 import Event, Identity
from services.profile.jobs.consumer import recording
from services.profile.jobs.due import Due
from services.profile.jobs.recompute import Recompute
from services.profile.person.directory import Directory, EventQuery
from services.profile.person.identity import normalised
from services.profile.person.model import Happening, Standing, ValueType
from services.profile.person.vocabulary import AttributeType
from services.profile.tables.registry import RegistryStore
from services.profile.tables.runs import State
from services.profile.vault.keys import Vault

DAY = 86_400
Handle = Callable[[Sequence[bytes]], Awaitable[None]]


@pytest.fixture
def handle(directory: Directory, manual_clock: ManualClock) -> Handle:
    return recording(directory, manual_clock, "profile.test")


@pytest.fixture
def due(
    pool: Pool, effects: Effects, vault: Vault, registry: RegistryStore, manual_clock: ManualClock
) -> Due:
    return Due(pool, effects, vault, registry, manual_clock)


def external() -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=fresh_id("c"))


def tracked(name: str, *who: Identity, time: int, json: bytes = b"") -> bytes:
    event = Event(event_id=fresh_id("e"), source="track:shop", identities=who)
    event.event_time.seconds = event.received_time.seconds = time
    event.tracked.name, event.tracked.properties_json = name, json
    return event.SerializeToString()


async def id_of(directory: Directory, who: Identity) -> str:
    return await directory.resolve([normalised(who.kind, who.scope, who.value)])


async def standing(directory: Directory, who: Identity) -> Standing:
    return (await directory.contact(await id_of(directory, who))).standing


async def published(log: EventLog, contact_id: str) -> list[Event]:
    starts = [Position(stream, b"0") for stream in log.streams("contact")]
    found = [Event.FromString(e) for _, events in await log.read(starts, 10_000, 1) for e in events]
    return [event for event in found if event.contact_id == contact_id]


def changed(event: Event, name: str) -> bytes | None:
    return next((c.value_json for c in event.changes if c.name == name), None)


async def test_a_contact_stands_somewhere_from_its_first_event_on(
    handle: Handle, directory: Directory, log: EventLog, manual_clock: ManualClock
) -> None:
    who, now = external(), milliseconds_of(manual_clock.now()) // 1000
    await handle([tracked("signed_up", who, time=now)])
    assert (await standing(directory, who)).stage == "awareness"
    events = await published(log, await id_of(directory, who))
    assert [event.WhichOneof("body") for event in events] == ["contact_created", "tracked"]
    assert changed(events[1], "stage") == b'"awareness"'


async def test_a_move_is_an_event_with_a_history(
    handle: Handle, directory: Directory, log: EventLog, manual_clock: ManualClock
) -> None:
    who, now = external(), milliseconds_of(manual_clock.now()) // 1000
    await handle([tracked("product_viewed", who, time=now - 50, json=b'{"product_id": 1}')])
    order = tracked("order_completed", who, time=now, json=b'{"total": 5}')
    await handle([order])
    await handle([order])
    found = await standing(directory, who)
    assert found[:3] == ("purchase", now * 1000, "consideration")
    contact_id = await id_of(directory, who)
    *_, moved = await published(log, contact_id)
    assert (moved.stage_changed.previous_stage, moved.stage_changed.stage) == (
        "consideration",
        "purchase",
    )
    assert moved.event_time.seconds == now
    query = EventQuery(names=["stage_changed"])
    _, history, _ = await directory.events(contact_id, query, None, 10)
    assert [Event.FromString(one.body).stage_changed.stage for one in history] == ["purchase"]


async def test_time_moves_contacts_at_the_second(
    handle: Handle, directory: Directory, due: Due, log: EventLog, manual_clock: ManualClock
) -> None:
    who, now = external(), milliseconds_of(manual_clock.now())
    await handle([tracked("order_completed", who, time=now // 1000, json=b'{"total": 5}')])
    lapses = now + 180 * DAY * 1000
    for moment, stage in ((lapses - 1, "purchase"), (lapses, "purchase"), (lapses + 1, "lapsed")):
        while await due.turn(moment):
            pass
        assert (await standing(directory, who)).stage == stage
    contact_id = await id_of(directory, who)
    assert (await standing(directory, who)).enter_time == lapses + 1
    (moved,) = [e for e in await published(log, contact_id) if e.HasField("stage_changed")]
    assert moved.stage_changed.stage == "lapsed"
    assert changed(moved, "stage") == b'"lapsed"'
    assert not [e for e in await published(log, contact_id) if e.HasField("attributes_set")]


async def test_two_replicas_move_a_contact_once(
    handle: Handle,
    directory: Directory,
    pool: Pool,
    effects: Effects,
    vault: Vault,
    registry: RegistryStore,
    log: EventLog,
    manual_clock: ManualClock,
) -> None:
    now = milliseconds_of(manual_clock.now())
    people = [external() for _ in range(20)]
    await handle([tracked("order_completed", one, time=now // 1000) for one in people])
    moment = now + 181 * DAY * 1000
    replicas = [Due(pool, effects, vault, registry, manual_clock) for _ in range(3)]

    async def all_turns(one: Due) -> None:
        while await one.turn(moment):
            pass

    await asyncio.gather(*(all_turns(one) for one in replicas))
    await all_turns(replicas[0])
    for one in people:
        assert (await standing(directory, one)).stage == "lapsed"
        contact_id = await id_of(directory, one)
        moves = [e for e in await published(log, contact_id) if e.HasField("stage_changed")]
        assert len(moves) == 1


async def test_a_contact_that_does_not_open_holds_up_nobody(
    handle: Handle,
    directory: Directory,
    due: Due,
    recompute: Recompute,
    pool: Pool,
    manual_clock: ManualClock,
) -> None:
    now = milliseconds_of(manual_clock.now())
    broken, whole = external(), external()
    await handle([tracked("order_completed", who, time=now // 1000) for who in (broken, whole)])
    contact_id = await id_of(directory, broken)
    await pool.execute(
        "UPDATE contacts SET document = set_byte(document, 20, 255 - get_byte(document, 20))"
        " WHERE contact_id = $1",
        contact_id,
    )
    while await due.turn(now + 181 * DAY * 1000):
        pass
    assert (await standing(directory, whole)).stage == "lapsed"
    stood = "SELECT standing FROM contacts WHERE contact_id = $1"
    assert '"purchase"' in await pool.fetchval(stood, contact_id)
    run = await recompute.start([contact_id, await id_of(directory, whole)], ())
    while await recompute.turn():
        pass
    assert (await recompute.get(run.recompute_id)).state == State.COMPLETED
    await pool.execute("DELETE FROM keys WHERE contact_id = $1", contact_id)


async def test_a_value_grows_too_old_and_everybody_is_told(
    handle: Handle,
    directory: Directory,
    due: Due,
    registry: RegistryStore,
    log: EventLog,
    manual_clock: ManualClock,
) -> None:
    name, who = fresh_id("churn"), external()
    given = AttributeType(name, ValueType.NUMBER, max_age=DAY * 1000)
    await registry.register_attribute(given, ["type", "max_age"], "")
    event = Event(event_id=fresh_id("e"), source="track:shop", identities=[who])
    now = milliseconds_of(manual_clock.now())
    event.event_time.FromMilliseconds(now)
    event.identified.traits_json = b'{"%s": 0.9}' % name.encode()
    await handle([event.SerializeToString()])
    assert (await standing(directory, who)).due == now + DAY * 1000
    while await due.turn(now + DAY * 1000):
        pass
    *_, last = await published(log, await id_of(directory, who))
    assert changed(last, name) == b""
    assert (await standing(directory, who)).due is None


async def test_people_that_merge_stand_together_and_where_they_stood_when_they_part(
    handle: Handle, directory: Directory, pool: Pool, manual_clock: ManualClock
) -> None:
    one, other = external(), external()
    now = milliseconds_of(manual_clock.now())
    for who, name in ((one, "order_completed"), (other, "order_completed")):
        await handle([tracked(name, who, time=now // 1000 - 7)])
    await handle([tracked("order_completed", other, time=now // 1000 - 7)])
    ids = [await id_of(directory, who) for who in (one, other)]
    before = [await standing(directory, who) for who in (one, other)]
    assert [found.stage for found in before] == ["purchase", "purchase"]
    cause = Happening(fresh_id("call"), "contacts_merged", now, now, "api")
    stays = await directory.merge(*ids, cause)
    assert (await standing(directory, other)).stage == "loyalty"
    (gone,) = [i for i in ids if i != stays]
    looked_for = "SELECT score, due_time FROM standings WHERE contact_id = $1"
    assert tuple(await pool.fetchrow(looked_for, gone)) == (None, None)
    cause = Happening(fresh_id("call"), "contacts_parted", now, now, "api")
    await directory.unmerge(gone, cause)
    assert [(await standing(directory, who)).stage for who in (one, other)] == ["purchase"] * 2


async def test_somebody_whose_browser_turns_out_to_be_another_s_stands_by_what_is_left(
    handle: Handle, directory: Directory, manual_clock: ManualClock
) -> None:
    one, other = external(), external()
    browser = Identity(kind="KIND_ANONYMOUS_ID", scope="shop", value=fresh_id("b"))
    now = milliseconds_of(manual_clock.now()) // 1000
    await handle([tracked("order_completed", browser, time=now - 5)])
    await handle([tracked("page_viewed", one, browser, time=now - 4)])
    assert (await standing(directory, one)).stage == "purchase"
    earlier = tracked("page_viewed", other, browser, time=now - 9)
    await handle([tracked("message_received", one, time=now - 1), earlier])
    assert (await standing(directory, other)).stage == "purchase"
    assert (await standing(directory, one)).stage == "awareness"


@pytest.fixture
async def compared(pool: Pool) -> AsyncIterator[None]:
    """Whatever levels begin to be told in a test, other tests know of none."""
    yield
    await pool.execute(
        "UPDATE registry SET medium = NULL, high = NULL, generation = generation + 1"
    )


@pytest.mark.usefixtures("compared")
async def test_levels_compare_people_and_are_told_when_they_change(
    handle: Handle,
    directory: Directory,
    registry: RegistryStore,
    pool: Pool,
    log: EventLog,
    manual_clock: ManualClock,
) -> None:
    now = milliseconds_of(manual_clock.now()) // 1000
    people = [external() for _ in range(30)]
    for n, who in enumerate(people):
        await handle([tracked("product_viewed", who, time=now - 10) for _ in range(2 * n + 1)])
    await pool.execute("UPDATE registry SET borders_time = 0")
    await registry.measure()
    before = await registry.current()
    assert before.rules.borders is not None
    await registry.measure()
    assert (await registry.current()).generation == before.generation, "measured a moment ago"
    busiest = people[-1]
    await handle([tracked("product_viewed", busiest, time=now)])
    assert (await standing(directory, busiest)).level == "high"
    *_, last = await published(log, await id_of(directory, busiest))
    assert changed(last, "traits.engagement") == b'"high"'


async def test_the_clock_of_a_service_does_what_is_due(
    handle: Handle, directory: Directory, due: Due, manual_clock: ManualClock
) -> None:
    who, now = external(), milliseconds_of(manual_clock.now())
    await handle([tracked("order_completed", who, time=now // 1000)])
    await manual_clock.advance(timedelta(days=181))

    async def lapsed() -> bool:
        return (await standing(directory, who)).stage == "lapsed"

    async with tasks(due.run):
        await wait_until(lapsed)
