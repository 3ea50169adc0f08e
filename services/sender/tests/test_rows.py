"""What becomes of a message after its claim costs none of its indexes. On real Postgres."""

from typing import Any, Final

from chassis.ids import fresh_id
from services.sender.delivery.outcome import Sent
from services.sender.tests.test_caps import claim, ended, planned, store

# Written by an outcome, or by what is heard later
LATER: Final = frozenset(
    {
        *("state", "reason", "error_code", "wamid", "sent_time", "delivered_time", "read_time"),
        *("played_time", "failed_time", "clicked_time", "replied_time", "implied", "pricing"),
        *("cost_micros", "currency"),
    }
)


async def test_no_index_names_a_column_that_is_written_after_the_claim(ready: Any) -> None:
    """Neither as a key nor in its condition: else Postgres writes all of them with each status."""
    rows = await ready.pool.fetch(
        "SELECT DISTINCT a.attname FROM pg_index i JOIN pg_depend d"
        " ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid"
        " AND d.refobjid = i.indrelid JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = d.refobjsubid"
        " WHERE i.indrelid = 'messages'::regclass"
    )
    named = {row["attname"] for row in rows}
    assert {"due_time", "is_waiting"} <= named
    assert not named & LATER


async def test_an_accepted_message_is_found_by_metas_id(ready: Any) -> None:
    message = planned(ready, fresh_id("c"))
    await store(ready, message)
    (one,) = await claim(ready)
    wamid = fresh_id("wamid")
    await ready.outbox.settle([ended(one, Sent(wamid))])
    found = await ready.outbox.get("wamid", wamid)
    assert found is not None
    assert found.message_id == message.message_id
    assert await ready.outbox.get("wamid", "wamid.other") is None
