"""Nothing that is said of a contact is missed by a message that is being written just then."""

from chassis.clock import moment_of
from chassis.ids import fresh_id
from services.reports import contexts
from services.reports.tests.events import NOON, fired, outcome, ref


async def test_a_revision_waits_for_whoever_may_have_missed_it(pool) -> None:
    who = fresh_id("p")
    async with pool.acquire() as teller, pool.acquire() as writer, pool.acquire() as reviser:
        telling, writing = teller.transaction(), writer.transaction()
        await telling.start()
        await contexts.leave(teller, {who: NOON})
        await writing.start()
        await writer.fetchval("SELECT pg_current_xact_id()")  # begun later, and before it was told
        await telling.commit()
        async with reviser.transaction():
            assert who not in await contexts.take(reviser, 1000)
        await writing.commit()
        async with reviser.transaction():
            assert (await contexts.take(reviser, 1000))[who] == NOON


async def test_a_message_finds_its_trigger_whatever_is_written_first(feed_together, pool) -> None:
    for turn in range(40):
        own = fresh_id("c")
        about = ref(f"{own}/m", own)
        about.occurrence_id = f"{own}/occurrence"
        both = [
            ("signal", [fired(NOON - 1, own, "the trigger", about.occurrence_id, own)]),
            ("message", [outcome("sent", NOON, own, about)]),
        ]
        await feed_together(both[:: -1 if turn % 2 else 1])
        found = await pool.fetch(
            "SELECT trigger_id, bucket FROM rollups JOIN cubes USING (cube_id)"
            " WHERE campaign_id = $1 AND planned > 0",
            own,
        )
        assert [tuple(row) for row in found] == [("the trigger", moment_of(NOON))]
