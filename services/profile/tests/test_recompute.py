"""Computing anew: the same fold over the same events gives the same traits, to the bit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.app import tasks
from chassis.clock import ManualClock, milliseconds_of
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.postgres import Effects, Pool
from chassis.streams import EventLog, Position
from chassis.testing import wait_until
from merhaba.event.v1 import Event, Identity
from services.profile.jobs.consumer import recording
from services.profile.jobs.recompute import Recompute
from services.profile.person.directory import Directory
from services.profile.person.identity import normalised
from services.profile.person.model import Document, Happening
from services.profile.person.registry import UnknownAttribute
from services.profile.person.traits import reset, values_json
from services.profile.tables import runs
from services.profile.tables.held import hold
from services.profile.tables.registry import RegistryStore
from services.profile.tables.rows import Sealer
from services.profile.tables.runs import RecomputeNotFound, State
from services.profile.tables.writing import change
from services.profile.vault.keys import Vault

Handle = Callable[[Sequence[bytes]], Awaitable[None]]
NOW = 1_795_338_000


@pytest.fixture
def handle(directory: Directory, manual_clock: ManualClock) -> Handle:
    return recording(directory, manual_clock, "profile.test")


def external(value: str = "") -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=value or fresh_id("c"))


def event(who: Identity, time: int = NOW, **body: Any) -> Event:
    made = Event(event_id=fresh_id("e"), source="test", identities=[who], **body)
    made.event_time.seconds = made.received_time.seconds = time
    return made


def tracked(who: Identity, name: str, time: int = NOW, **properties: Any) -> Event:
    json = orjson.dumps(properties)
    return event(who, time, tracked={"name": name, "properties_json": json})


def received(who: Identity, text: str, time: int = NOW) -> Event:
    content = {"kind": "text", "text": text}
    return event(who, time, message_received={"wamid": fresh_id("w"), "content": content})


async def id_of(directory: Directory, who: Identity) -> str:
    return await directory.resolve([normalised(who.kind, who.scope, who.value)])


async def documents(pool: Pool, vault: Vault, contact_ids: list[str]) -> dict[str, Document]:
    async with pool.acquire() as connection, connection.transaction():
        people, *_ = await hold(connection, vault, contact_ids)
        return {m.contact_id: m.document for person in people for m in person.members}


async def spoil(pool: Pool, vault: Vault, contact_id: str) -> None:
    """As if traits had been computed wrongly."""
    async with pool.acquire() as connection, connection.transaction():
        people, keys, _ = await hold(connection, vault, [contact_id])
        for member in people[0].members:
            reset(member.document)
            member.document.counts["order_count"] = 99
            await change(
                connection, {member.contact_id: member.document}, {}, 0, Sealer(vault, keys)
            )


async def done(recompute: Recompute, contact_ids: list[str], *names: str) -> runs.Run:
    run = await recompute.start(contact_ids, names)
    while (await recompute.get(run.recompute_id)).state == State.RUNNING:
        assert await recompute.turn()
    return await recompute.get(run.recompute_id)


async def published(log: EventLog, *contact_ids: str) -> list[Event]:
    starts = [Position(stream, b"0") for stream in log.streams("contact")]
    found = [Event.FromString(e) for _, events in await log.read(starts, 10_000, 1) for e in events]
    return [event for event in found if event.contact_id in contact_ids]


_ACTS = st.one_of(
    st.tuples(
        st.sampled_from(["product_viewed", "product_added", "cart_updated", "order_completed"]),
        st.fixed_dictionaries(
            {"product_id": st.sampled_from("abc"), "category": st.sampled_from(["x", "y"])},
            optional={"price": st.floats(0, 50), "total": st.floats(0, 90), "order_id": st.just(1)},
        ),
    ),
    st.tuples(st.just("feedback_given"), st.fixed_dictionaries({"score": st.integers(0, 10)})),
    st.tuples(st.just("text"), st.sampled_from(["çok kötü bir ürün geldi", "thanks, great!", "?"])),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    acts=st.lists(
        st.tuples(st.integers(0, 2), st.integers(NOW - 90_000_000, NOW), _ACTS), max_size=25
    ),
    merge=st.booleans(),
)
async def test_computing_any_history_anew_changes_nothing(
    handle: Handle,
    directory: Directory,
    recompute: Recompute,
    pool: Pool,
    vault: Vault,
    log: EventLog,
    acts: list[tuple[int, int, tuple[str, Any]]],
    merge: bool,
) -> None:
    people = [external() for _ in range(3)]
    await handle([tracked(who, "signed_up").SerializeToString() for who in people])
    for who, time, (name, what) in acts:
        one = people[who]
        made = received(one, what, time) if name == "text" else tracked(one, name, time, **what)
        await handle([made.SerializeToString()])
    ids = [await id_of(directory, who) for who in people]
    if merge:
        cause = Happening(fresh_id("call"), "contacts_merged", NOW * 1000, NOW * 1000, "api")
        await directory.merge(ids[0], ids[1], cause)
    before = await documents(pool, vault, ids)
    said = len(await published(log, *ids))
    run = await done(recompute, ids)
    assert (run.state, run.changed) == (State.COMPLETED, 0)
    assert await documents(pool, vault, ids) == before
    assert len(await published(log, *ids)) == said


async def test_what_was_wrong_becomes_right_and_only_that_is_told(
    handle: Handle,
    directory: Directory,
    recompute: Recompute,
    pool: Pool,
    vault: Vault,
    log: EventLog,
) -> None:
    wrong, right = external(), external()
    for who in (wrong, right):
        for n in range(3):
            made = tracked(who, "order_completed", NOW + n, total=10, order_id=n)
            await handle([made.SerializeToString()])
    ids = [await id_of(directory, who) for who in (wrong, right)]
    before = await documents(pool, vault, ids)
    await spoil(pool, vault, ids[0])
    run = await done(recompute, ids)
    assert (run.passed, run.changed, run.total) == (2, 1, 2)
    after = await documents(pool, vault, ids)
    assert after[ids[1]] == before[ids[1]]
    assert values_json(after[ids[0]]) == values_json(before[ids[0]])
    (told,) = [e for e in await published(log, *ids) if e.HasField("attributes_set")]
    assert told.contact_id == ids[0]
    changes = {one.name: one.value_json for one in told.changes}
    assert changes["traits.order_count"] == b"3"
    assert changes["traits.order_total"] == b"30.0"
    assert max(c.change_time.ToMilliseconds() for c in told.changes) >= before[ids[0]].stamp
    assert (await done(recompute, ids)).changed == 0


async def test_a_long_history_is_folded_page_by_page(
    handle: Handle,
    directory: Directory,
    recompute: Recompute,
    pool: Pool,
    vault: Vault,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.profile.jobs.recompute._EVENTS", 10)
    monkeypatch.setattr("services.profile.jobs.recompute._PAGE", 7)
    long, short, exact = external(), external(), external()
    for who, count in ((long, 45), (short, 3), (exact, 10)):
        events = [tracked(who, "product_viewed", NOW + n % 5, product_id=n) for n in range(count)]
        await handle([one.SerializeToString() for one in events])
    ids = [await id_of(directory, who) for who in (long, short, exact)]
    before = await documents(pool, vault, ids)
    for contact_id in ids:
        await spoil(pool, vault, contact_id)
    assert (await done(recompute, ids)).changed == 3
    after = await documents(pool, vault, ids)
    for contact_id in ids:
        assert after[contact_id].tallies == before[contact_id].tallies


async def test_everybody_is_computed_in_parts_beside_live_events_by_several_workers(
    handle: Handle,
    directory: Directory,
    recompute: Recompute,
    pool: Pool,
    effects: Effects,
    vault: Vault,
    registry: RegistryStore,
    manual_clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.profile.tables.runs._PART", 15)
    monkeypatch.setattr("services.profile.jobs.recompute._BATCH", 4)
    people = [external() for _ in range(40)]
    for _ in range(2):
        events = [tracked(one, "order_completed", NOW, total=1) for one in people]
        await handle([one.SerializeToString() for one in events])
    ids = [await id_of(directory, who) for who in people]
    for contact_id in ids[::3]:
        await spoil(pool, vault, contact_id)
    run = await recompute.start((), ())
    others = [
        recompute,
        *(Recompute(pool, effects, vault, registry, manual_clock) for _ in range(2)),
    ]

    async def live() -> None:
        for who in people:
            await handle([tracked(who, "order_completed", NOW, total=1).SerializeToString()])

    async def ended() -> bool:
        return (await recompute.get(run.recompute_id)).state == State.COMPLETED

    async with tasks(*(one.run for one in others)):
        await asyncio.gather(live(), wait_until(ended, timeout_s=60))
    found = await recompute.get(run.recompute_id)
    assert found.passed == found.total >= 40
    assert found.changed >= 14
    for document in (await documents(pool, vault, ids)).values():
        assert document.counts["order_count"] == 3
        assert document.counts["order_total"] == 3_000_000


async def test_a_run_goes_on_after_a_crash_and_ends_when_cancelled(
    handle: Handle,
    directory: Directory,
    recompute: Recompute,
    pool: Pool,
    effects: Effects,
    vault: Vault,
    registry: RegistryStore,
    manual_clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = [external() for _ in range(4)]
    await handle([tracked(one, "order_completed").SerializeToString() for one in people])
    ids = [await id_of(directory, who) for who in people]
    run = await recompute.start(ids, ())
    assert await recompute.turn()

    async def crash(*_: object) -> None:
        raise ConnectionError("gone")

    with monkeypatch.context() as broken:
        broken.setattr("services.profile.tables.runs.advance", crash)
        with pytest.raises(ConnectionError):
            await recompute.turn()
    assert (await recompute.get(run.recompute_id)).passed == 1
    other = Recompute(pool, effects, vault, registry, manual_clock)
    assert await other.turn()
    assert (await other.get(run.recompute_id)).passed == 2
    cancelled = await other.cancel(run.recompute_id)
    assert cancelled.state == State.CANCELLED
    assert cancelled.end_time == milliseconds_of(manual_clock.now())
    await other.turn()
    assert (await other.get(run.recompute_id)).passed == 2
    assert await other.cancel(run.recompute_id) == await other.get(run.recompute_id)


async def test_a_run_that_cannot_go_on_says_why(
    handle: Handle,
    directory: Directory,
    recompute: Recompute,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = external()
    await handle([tracked(who, "order_completed").SerializeToString()])
    run = await recompute.start([await id_of(directory, who)], ())

    def no_longer_readable(*_: object) -> None:
        raise FieldInvalid("event", "not understood")

    monkeypatch.setattr("services.profile.jobs.recompute.decoded", no_longer_readable)
    while (await recompute.get(run.recompute_id)).state == State.RUNNING:
        assert await recompute.turn()
    found = await recompute.get(run.recompute_id)
    assert (found.state, found.failure) == (State.FAILED, "event: not understood")


async def test_only_the_stage_may_be_computed_anew(
    handle: Handle, directory: Directory, recompute: Recompute, pool: Pool, vault: Vault
) -> None:
    who = external()
    await handle([tracked(who, "order_completed").SerializeToString()])
    contact_id = await id_of(directory, who)
    await pool.execute(
        "UPDATE contacts SET standing = replace(standing, 'purchase', 'awareness')"
        " WHERE contact_id = $1",
        contact_id,
    )
    await spoil(pool, vault, contact_id)
    await done(recompute, [contact_id], "traits.order_total")
    assert (await directory.contact(contact_id)).standing.stage == "awareness"
    await spoil(pool, vault, contact_id)
    assert (await done(recompute, [contact_id], "stage")).changed == 1
    assert (await directory.contact(contact_id)).standing.stage != "awareness"
    assert (await documents(pool, vault, [contact_id]))[contact_id].counts == {"order_count": 99}


async def test_what_cannot_be_computed_is_refused(recompute: Recompute) -> None:
    with pytest.raises(UnknownAttribute) as raised:
        await recompute.start((), ["traits.order_cuont"])
    assert raised.value.facts["suggestion"] == "traits.order_count"
    with pytest.raises(RecomputeNotFound):
        await recompute.get("rec_nothing")
    with pytest.raises(RecomputeNotFound):
        await recompute.cancel("rec_nothing")
