"""Other services are asked until each has erased and shown all, over outages and restarts."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import grpc
import pytest

from chassis.clock import ManualClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.postgres import Pool
from chassis.rpc import channel, server
from merhaba.ingest import v1 as ingest
from merhaba.profile.v1 import ErasureReceipt, ExportedRecord
from merhaba.segment import v1 as segment
from services.profile.api.privacy import Rights
from services.profile.person.directory import Directory
from services.profile.person.model import Happening, Identity, Kind, ServiceUnavailable
from services.profile.rights.exporting import Place
from services.profile.rights.holders import Holder

TOKEN = "a token for tests"


class Held:
    """A service that holds something, and can be away."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        self.away = False
        self.erased: list[Any] = []

    async def EraseContact(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's
        self.erased.append(request)
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        receipt = ErasureReceipt(request_id=request.request_id, contact_id=request.contact_id)
        return self.contract.EraseContactResponse(receipt=receipt)

    async def ExportContact(  # noqa: N802 - the contract's
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        if request.cursor == "lost":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not of this query")
        yield self.contract.ExportContactResponse(cursor="a heartbeat")
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        record = ExportedRecord(record_json=request.contact_id.encode())
        yield self.contract.ExportContactResponse(cursor="end", records=[record])


class Segment(Held, segment.PrivacyServiceServicer):
    """By the contract of segment."""


class Ingest(Held, ingest.PrivacyServiceServicer):
    """By the contract of ingest."""


@pytest.fixture
def others() -> dict[str, Held]:
    return {"segment": Segment(segment), "ingest": Ingest(ingest)}


@pytest.fixture
async def holders(others: dict[str, Any]) -> AsyncIterator[dict[str, Holder]]:
    async with AsyncExitStack() as stack:
        own = server("others", TOKEN)
        segment.add_PrivacyServiceServicer_to_server(others["segment"], own)
        ingest.add_PrivacyServiceServicer_to_server(others["ingest"], own)
        port = own.add_insecure_port("127.0.0.1:0")
        await own.start()
        stack.push_async_callback(own.stop, None)
        opened = await stack.enter_async_context(channel(f"127.0.0.1:{port}", TOKEN))
        yield {name: Holder(name, opened) for name in others}


async def person(directory: Directory, clock: ManualClock) -> tuple[str, str]:
    """Somebody from Brazil, whose number is written in two ways."""
    digits = int.from_bytes(fresh_id("x").encode()[-4:], "big") % 10_000_000
    number = f"55119{80_000_000 + digits}"
    now = milliseconds_of(clock.now())
    who = (Identity(Kind.WA_ID, "", number),)
    (outcome,) = await directory.write(
        [Happening(fresh_id("h"), "attributes_set", now, now, "api", identities=who)]
    )
    return outcome.contact_id, number  # type: ignore[union-attr]


async def test_an_erasure_goes_on_until_every_service_gave_its_receipt(
    rights: Rights,
    others: dict[str, Held],
    directory: Directory,
    pool: Pool,
    manual_clock: ManualClock,
) -> None:
    contact_id, number = await person(directory, manual_clock)
    request_id = fresh_id("era")
    await rights.erasures.begin(request_id, contact_id, "data_subject", "tests")
    others["segment"].away = True
    assert await rights.erasing.turn()
    waiting = await rights.erasures.get(request_id)
    assert waiting.pending == ["ingest", "segment"]
    assert waiting.last_failure == "segment answers UNAVAILABLE; try again"
    assert not others["ingest"].erased, "the log comes last"
    assert not await rights.erasing.turn(), "not again at once"

    others["segment"].away = False
    await manual_clock.advance(timedelta(minutes=2))
    sealed = "SELECT identities FROM erasures WHERE request_id = $1"
    assert number.encode() not in await pool.fetchval(sealed, request_id)
    assert await rights.erasing.turn()
    done = await rights.erasures.get(request_id)
    assert done.pending == []
    assert done.complete_time == milliseconds_of(manual_clock.now())
    assert await pool.fetchval(sealed, request_id) is None
    asked = others["ingest"].erased[0]
    assert {one.value for one in asked.identities} == {number, number[:4] + number[5:]}
    assert [one.request_id for one in others["segment"].erased] == [request_id] * 3, (
        "once more when the log is through"
    )
    assert not await rights.erasing.turn()


async def test_an_export_names_the_service_that_is_away_and_goes_on_there(
    rights: Rights, others: dict[str, Held], directory: Directory, manual_clock: ManualClock
) -> None:
    contact_id, _ = await person(directory, manual_clock)
    contact = await directory.contact(contact_id)
    others["ingest"].away = True
    told: list[tuple[Place, Any]] = []
    last = Place()
    with pytest.raises(ServiceUnavailable) as raised:
        async for last, records in rights.exporting.told(contact, Place(), 0):
            told += [(last, record) for record in records]
    assert raised.value.facts == {"service": "ingest"}
    assert last == ("ingest", "a heartbeat")
    others["ingest"].away = False
    async for behind, records in rights.exporting.told(contact, last, 0):
        told += [(behind, record) for record in records]
    theirs = [place.service for place, record in told if record.record_json == contact_id.encode()]
    assert theirs == ["segment", "ingest"]


async def test_a_cursor_that_a_service_lost_begins_anew_there(
    rights: Rights, directory: Directory, manual_clock: ManualClock
) -> None:
    contact_id, _ = await person(directory, manual_clock)
    contact = await directory.contact(contact_id)
    told = [
        (place.service, len(records))
        async for place, records in rights.exporting.told(contact, Place("ingest", "lost"), 0)
    ]
    assert told == [("ingest", 0), ("ingest", 1)]


async def test_who_dies_with_an_erasure_in_hand_leaves_it_to_another_soon(
    rights: Rights, directory: Directory, manual_clock: ManualClock
) -> None:
    contact_id, _ = await person(directory, manual_clock)
    request_id = fresh_id("era")
    await rights.erasures.begin(request_id, contact_id, "data_subject", "tests")
    now = milliseconds_of(manual_clock.now())
    await rights.erasures.claim(now, now + 30_000)
    await manual_clock.advance(timedelta(seconds=31))
    assert await rights.erasing.turn()
    assert (await rights.erasures.get(request_id)).pending == []
