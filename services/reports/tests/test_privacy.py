"""One person's right to see and to erase: figures stay, and lead back to nobody."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest

from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.privacy import Erasures
from chassis.rpc import channel, server
from chassis.testing import tables_naming, tables_of_contacts, values_of_contact
from merhaba.event.v1 import ContactErased, Event
from merhaba.profile.v1 import ErasureReceipt, ExportedRecord
from merhaba.reports.v1 import (
    EraseContactRequest,
    ExportContactRequest,
    PrivacyServiceStub,
    add_PrivacyServiceServicer_to_server,
)
from services.reports.ledger import Where
from services.reports.privacy_api import PrivacyApi
from services.reports.tests.events import (
    HOUR,
    MINUTE,
    NOON,
    came,
    created,
    entered,
    event,
    fired,
    merged,
    ordered,
    outcome,
    ref,
    split,
    withdrew,
)

TOKEN = "a token for tests"
RECORDS_OF_ERASURE = {"erasures", "tombstones"}
"""Tables in which an erased contact's id stays: they say that it was erased."""


@pytest.fixture
async def privacy(pool, held, manual_clock) -> AsyncIterator[PrivacyServiceStub]:
    own = server("reports", TOKEN)
    erasures = Erasures(pool, "reports", manual_clock)
    add_PrivacyServiceServicer_to_server(PrivacyApi(held, erasures, manual_clock), own)
    port = own.add_insecure_port("127.0.0.1:0")
    await own.start()
    async with channel(f"127.0.0.1:{port}", TOKEN) as opened:
        yield PrivacyServiceStub(opened)
    await own.stop(None)


async def exported(privacy, contact: str, **more: Any) -> list[ExportedRecord]:
    request = ExportContactRequest(contact_id=contact, **more)
    return [r async for one in privacy.ExportContact(request) for r in one.records]


async def erase(privacy, contact: str, request_id: str = "", **more: Any) -> ErasureReceipt:
    request = EraseContactRequest(
        request_id=request_id or fresh_id("r"), contact_id=contact, **more
    )
    return (await privacy.EraseContact(request)).receipt


def erased(contact: str, request_id: str = "r") -> Event:
    return event(NOON + HOUR, contact, contact_erased=ContactErased(request_id=request_id))


async def lived(feed, pool, contact: str, also: str, run: str) -> None:
    """A message that a trigger started and that brought an order, told of another id of the person,
    a withdrawal, an answer by an ad, a conversion and a read."""
    about = ref(fresh_id("m"), run)
    about.occurrence_id = f"occ/{contact}"
    kinds = ("held", "sent", "delivered")
    await feed("message", [outcome(kind, NOON, contact, about) for kind in kinds])
    orders = [ordered(NOON + MINUTE, one, f"order/{contact}", 5) for one in (contact, also)]
    await feed("contact", [merged(NOON, contact, also), *orders, withdrew(NOON + 1, contact)])
    await feed("contact", [split(NOON - 2, contact, also)])
    await feed("contact", [came(NOON + 2, contact, "ad")])
    await feed("signal", [entered(NOON, contact, run)])
    await feed("signal", [fired(NOON - 3, contact, "t", about.occurrence_id, run)])
    await pool.execute(
        "INSERT INTO conversion_facts (contact_id, conversion_id, order_id, order_time)"
        " VALUES ($1, 'trial', $2, now())",
        *(contact, f"trial/{contact}"),
    )
    await pool.execute(
        "INSERT INTO sampled_facts SELECT message_id, contact_id, campaign_id, counted_time,"
        " reached_time, response_ms, progress, cube_id FROM message_facts WHERE contact_id = $1"
        " ON CONFLICT DO NOTHING",
        contact,
    )
    await pool.execute("INSERT INTO reads VALUES (now(), 'desk', 'why', 'method', $1)", contact)


async def figures(ledger, run: str) -> tuple[Any, ...]:
    where = Where(filters=(("campaign_id", (run,), False),))
    total = (await ledger.campaign(run)).total
    steps, _ = await ledger.funnel(where, ["delivered", "converted"])
    return total, steps, (await ledger.funnel(where, ["planned"]))[0][0]


async def test_every_table_of_contacts_is_told_and_erased_and_figures_stay(
    ledger, feed, privacy, pool
) -> None:
    run, anne, also, bob, more = (fresh_id(n) for n in ("run", "anne", "also", "bob", "more"))
    await lived(feed, pool, anne, also, run)
    await lived(feed, pool, bob, more, run)
    for contact in (anne, bob):
        await pool.execute("INSERT INTO revisions VALUES (DEFAULT, $1, now())", contact)
    told = await exported(privacy, anne)
    text = b"\n".join(one.record_json for one in told)
    tables = await tables_of_contacts(pool)
    for table in tables:
        for value in await values_of_contact(pool, table, anne):
            assert value in text, (table, value)
    assert bob.encode() not in text
    assert {one.dataset for one in told} == {
        *("message", "order", "withdrawal", "person", "membership", "conversion", "history"),
        *("letter", "occurrence", "gate", "read", "revision", "consent", "sample", "arrival"),
    }
    assert sum(one.dataset == "order" for one in told) == 2, "one was told of the other id"

    before = await figures(ledger, run)
    assert (before[0].tally.orders, before[0].tally.opted_out) == (2, 2)
    receipt = await erase(privacy, anne)
    assert dict(receipt.records) == {
        **{"message": 1, "order": 2, "withdrawal": 1, "person": 2, "membership": 1},
        **{"conversion": 1, "history": 2, "letter": 1, "occurrence": 1, "gate": 1, "read": 1},
        **{"revision": 1, "consent": 2, "sample": 1, "arrival": 1},
    }
    assert await figures(ledger, run) == before
    assert await exported(privacy, anne) == []
    assert await tables_naming(pool, anne, also) == RECORDS_OF_ERASURE
    (segment,) = [s for s in (await ledger.segments(timedelta(days=1)))[0] if s.segment_id == run]
    assert (segment.members, segment.entered) == (1, 2)
    for table in tables:
        assert await values_of_contact(pool, table, bob)


async def test_an_erasure_is_heard_of_without_a_call_and_nothing_late_undoes_it(
    ledger, feed, privacy, pool
) -> None:
    run, anne, also, bob = (fresh_id(n) for n in ("run", "anne", "also", "bob"))
    about = ref(fresh_id("m"), run)
    await feed("message", [outcome("planned", NOON, anne, about)])
    await feed("contact", [erased(anne), withdrew(NOON, anne)])
    await feed("message", [outcome("delivered", NOON, anne, about)])
    await feed("message", [outcome("sent", NOON, anne, ref(fresh_id("m"), run))])
    await feed("contact", [ordered(NOON, anne, "o", 1), merged(NOON, bob, anne)])
    await feed("contact", [split(NOON, anne, bob), merged(NOON, anne, also)])
    await feed("signal", [entered(NOON, anne, run)])
    assert await exported(privacy, anne) == []
    assert await tables_naming(pool, anne) == {"tombstones"}
    total = (await ledger.campaign(run)).total
    assert (total.tally.sent, total.tally.delivered) == (2, 1), "they count, of nobody"


async def test_a_person_of_several_ids_is_erased_from_the_base_once(ledger, feed) -> None:
    anne, also, request_id = (fresh_id(n) for n in ("anne", "also", "r"))
    before = (await ledger.live(timedelta(hours=1))).base
    await feed("contact", [created(NOON, anne), created(NOON, also), merged(NOON, anne, also)])
    assert (await ledger.live(timedelta(hours=1))).base == before + 1
    await feed("contact", [erased(anne, request_id), erased(also, request_id)])
    await feed("contact", [erased(also, request_id)])
    assert (await ledger.live(timedelta(hours=1))).base == before


async def test_what_is_folded_at_the_moment_of_the_erasure_leaves_nothing(
    feed, privacy, pool
) -> None:
    for _ in range(20):
        anne = fresh_id("anne")
        await asyncio.gather(
            feed("message", [outcome("sent", NOON, anne, ref(fresh_id("m")))]),
            feed("contact", [withdrew(NOON, anne), merged(NOON, anne, fresh_id("also"))]),
            feed("signal", [entered(NOON, anne, "s")]),
            erase(privacy, anne),
        )
        assert await exported(privacy, anne) == []
        assert await tables_naming(pool, anne) == RECORDS_OF_ERASURE


async def test_an_erasure_of_nobody_is_refused(feed) -> None:
    with pytest.raises(FieldInvalid):
        await feed("contact", [erased("")])


async def test_all_ids_of_a_person_are_erased_together(feed, privacy) -> None:
    anne, also = fresh_id("anne"), fresh_id("also")
    await feed("contact", [withdrew(NOON, one) for one in (anne, also)])
    receipt = await erase(privacy, anne, member_contact_ids=[also])
    assert receipt.records["withdrawal"] == 2
    assert await exported(privacy, anne, member_contact_ids=[also]) == []


async def test_a_repeat_erases_what_came_since_and_gives_the_first_receipt(
    feed, privacy, pool
) -> None:
    anne, request_id = fresh_id("anne"), fresh_id("r")
    await feed("contact", [withdrew(NOON, anne)])
    first = await erase(privacy, anne, request_id)
    await pool.execute("INSERT INTO withdrawals VALUES ($1, now())", anne)
    assert await erase(privacy, anne, request_id) == first
    assert await exported(privacy, anne) == []
    digest, first.sha256 = first.sha256, ""
    assert digest == hashlib.sha256(first.SerializeToString(deterministic=True)).hexdigest()
    assert (first.service, first.contact_id) == ("reports", anne)
    for wrong in (fresh_id("another"), ""):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await erase(privacy, wrong, request_id)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_export_goes_on_behind_its_cursor(privacy, pool) -> None:
    anne = fresh_id("anne")
    await pool.execute(
        "INSERT INTO order_facts (contact_id, order_id)"
        " SELECT $1, 'o' || n FROM generate_series(1, 500) AS n",
        anne,
    )
    everything = await exported(privacy, anne)
    assert len(everything) == 500
    async for page in privacy.ExportContact(ExportContactRequest(contact_id=anne)):
        rest = await exported(privacy, anne, cursor=page.cursor)
        assert list(page.records) + rest == everything
