"""Campaigns to very many: how fast an audience is turned into messages and in how much memory, how
soon the first of them leaves, and how long it takes to say beforehand what a launch would mean.

Profile, segment, the sender and the simulator, all of them real processes on this machine, with
`--contacts` people who agreed to marketing, each with a document of their own. Baselines of the
same run: the same rows put into a table like it by COPY; a message by itself; reading everybody by
BatchGetContacts, from what a sample took.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiohttp
import asyncpg
import msgspec
import psutil
import uvloop
from google.protobuf.field_mask_pb2 import FieldMask

import chassis.postgres
from bench import audience
from bench.people import Base, caught_up, log_of, records
from bench.rendering import rendering
from bench.result import Figure, tell
from bench.running import note, suite
from bench.work import Cost
from chassis.streams import event_log
from cli.place import Place
from cli.stack import Stack
from merhaba.profile.v1 import BatchGetContactsRequest, ContactRef, ProfileServiceStub
from merhaba.segment.v1 import (
    CreateSegmentRequest,
    GetSegmentRequest,
    Segment,
    SegmentServiceStub,
)
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    CampaignServiceStub,
    Content,
    CreateCampaignRequest,
    Destination,
    GetCampaignRequest,
    LaunchCampaignRequest,
    MessageServiceStub,
    Preflight,
    PreflightCampaignRequest,
    SegmentAudience,
    SendMessageRequest,
    Variant,
)
from services.profile.person.identity import normalised
from services.profile.person.model import Consent, Document, Fact, Identity, Kind
from services.profile.person.model import Place as Where
from services.sender.rulebook.policy_store import PolicyStore
from services.sender.rules.policy import Policy
from services.sender.tables.rows import COLUMNS

_NUMBER: Final = "1"
_MODELS: Final = 500
_SLOW: Final = 20.0  # messages a second: planning is measured, not sending
_SAMPLE: Final = 10_000
_SENDING: Final = ("addresses", "consents", "zone", "language", "absorbed_contact_ids")
_PARTS: Final = ("profile", "segment", "sender")


class Customers(Base):
    """People who can be written to, have a name, and agreed to marketing; one in ten did not."""

    def document(self, model: Document, number: int) -> Document:
        """As others, with a phone number."""
        found = super().document(model, number)
        (known,) = found.identities.values()
        wa_id: Identity = normalised(Kind.WA_ID, "", audience.wa_id(number))
        consent = Consent(f"c{number}", known.first_time, "marketing", number % 10 != 0, "form")
        name = Fact(f"Ad{number % 5_000}", known.first_time, 0, "form")
        return msgspec.structs.replace(
            found,
            identities={**found.identities, wa_id: known},
            consents={"marketing\x1f": consent},
            attributes={**found.attributes, "first_name": name},
            place=Where(wa_id.value, "TR", "Europe/Istanbul", "tr"),
        )


@dataclass
class Bench:
    """A running suite with everybody in one segment."""

    running: Stack
    database: audience.Database
    campaigns: CampaignServiceStub
    messages: MessageServiceStub
    profiles: ProfileServiceStub
    http: aiohttp.ClientSession
    contacts: int
    segment_id: str


async def main(contacts: int) -> None:
    """Measure."""
    async with prepared(contacts) as bench:
        figures = [
            *await _preflight(bench),
            *await _plan(bench),
        ]
    note("renders")
    tell("campaign", [*figures, *rendering()])


@asynccontextmanager
async def prepared(contacts: int) -> AsyncIterator[Bench]:
    """Everything that is there before anybody makes a campaign."""
    async with AsyncExitStack() as exits:
        running = await exits.enter_async_context(suite(_PARTS))
        to = running.addresses()
        http = await exits.enter_async_context(aiohttp.ClientSession())
        opened = {
            name: await exits.enter_async_context(to.channel(name, purpose="benchmark"))
            for name in _PARTS
        }
        database = await asyncpg.connect(to.database_url)
        exits.push_async_callback(database.close)
        log = await exits.enter_async_context(event_log(log_of(to.redis_url)))
        await log.append(list(records(range(_MODELS * 10), range(_MODELS), _now_ms())))
        await caught_up(log, "profile.track", "inbound.track")
        segment_id = await _segment(SegmentServiceStub(opened["segment"]))
        note(f"{contacts:,} contacts")
        base = Customers(to.database_url, Place(Path(to.data)).secrets())
        await base.copy(_MODELS, _MODELS + contacts)
        await audience.control(http, to, "PUT webhook", {"url": ""})
        await audience.number(http, to, database, _NUMBER, _SLOW)
        await audience.template(http, to)
        await audience.settle(http, to, range(_MODELS, _MODELS + min(contacts, 10_000)))
        async with chassis.postgres.database(to.database_url, "sender", 1) as pool:
            policy = Policy(quiet_hours=(), default_zone="Europe/Istanbul")
            await PolicyStore(pool).change(lambda _: policy, (), 1)
        await _enter(database, segment_id)
        yield Bench(
            running,
            database,
            CampaignServiceStub(opened["sender"]),
            MessageServiceStub(opened["sender"]),
            ProfileServiceStub(opened["profile"]),
            http,
            contacts,
            segment_id,
        )


async def _segment(segments: SegmentServiceStub) -> str:
    """A segment that nobody is in yet, made while there are few to look at."""
    made = await segments.CreateSegment(
        CreateSegmentRequest(
            request_id="everybody",
            segment=Segment(name="everybody", expression='events("cart_shared").exists()'),
        )
    )
    segment_id = made.segment.segment_id
    while True:
        found = await segments.GetSegment(GetSegmentRequest(segment_id=segment_id))
        if found.segment.state == Segment.STATE_ACTIVE:
            return segment_id
        await asyncio.sleep(0.1)


async def _enter(database: audience.Database, segment_id: str) -> None:
    """Everybody who was copied is in the segment."""
    await database.execute(
        "INSERT INTO segment.memberships SELECT contact_id, $1, 1, 1 FROM profile.contacts c"
        " WHERE NOT EXISTS (SELECT FROM segment.contact_states s"
        "  WHERE s.contact_id = c.contact_id)",
        segment_id,
        timeout=300,
    )
    await database.execute("ANALYZE segment.memberships")


async def _draft(bench: Bench) -> str:
    binding = Binding(
        variable="body.1",
        expression="profile.first_name",
        missing=Binding.MISSING_FALLBACK,
        fallbacks={"*": "dostum"},
    )
    made = await bench.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id=str(uuid4()),
            campaign=Campaign(
                name="everybody",
                waba_id=audience.WABA,
                audience=Audience(segment=SegmentAudience(segment_id=bench.segment_id)),
                hold_out_share=0.05,
                variants=[
                    Variant(name=n, template_name=audience.TEMPLATE, weight=1, bindings=[binding])
                    for n in ("a", "b")
                ],
            ),
        )
    )
    return made.campaign.campaign_id


# --- before -----------------------------------------------------------------------------------


async def _preflight(bench: Bench) -> list[Figure]:
    campaign_id = await _draft(bench)
    costs = {name: Cost(bench.running, name) for name in _PARTS}
    reached = Preflight()
    began = time.perf_counter()
    async for told in bench.campaigns.PreflightCampaign(
        PreflightCampaignRequest(campaign_id=campaign_id)
    ):
        note(f"  looked at {told.checked_recipients:,} of {told.total_recipients:,}")
        reached = told.preflight
    seconds = time.perf_counter() - began
    spent = {name: cost.spent() for name, cost in costs.items()}
    assert reached.recipients == bench.contacts, reached
    note(f"  {reached.reachable:,} reachable, {dict(reached.excluded_gates)}")
    return [
        Figure("preflight_s", seconds, "s", await _read_all(bench)),
        Figure("preflight_contacts_per_s", bench.contacts / seconds, "1/s"),
        *(
            Figure(f"preflight_{name}_us", own / bench.contacts * 1e6, "us")
            for name, (own, _) in spent.items()
        ),
        Figure("preflight_postgres_us", spent["sender"][1] / bench.contacts * 1e6, "us"),
    ]


async def _read_all(bench: Bench) -> float:
    """Seconds that reading everybody by BatchGetContacts takes, by what a sample took."""
    size = min(_SAMPLE, bench.contacts)
    rows = await bench.database.fetch(
        "SELECT contact_id::text FROM segment.memberships LIMIT $1", size
    )
    mask = FieldMask(paths=[*_SENDING, "attributes.first_name"])
    batches = [
        BatchGetContactsRequest(
            contacts=[ContactRef(contact_id=row[0]) for row in rows[start : start + 500]],
            read_mask=mask,
        )
        for start in range(0, size, 500)
    ]
    began = time.perf_counter()
    for start in range(0, len(batches), 4):
        await asyncio.gather(
            *(bench.profiles.BatchGetContacts(one) for one in batches[start : start + 4])
        )
    return (time.perf_counter() - began) / size * bench.contacts


# --- launched ---------------------------------------------------------------------------------


async def _plan(bench: Bench) -> list[Figure]:
    await audience.sends(bench.database, [_NUMBER], True)
    alone = await _alone(bench)
    process = psutil.Process(bench.running.addresses().pids["sender"])
    before, peak = process.memory_info().rss / 1e6, 0.0
    campaign_id = await _draft(bench)
    _, seen = await audience.entries(bench.http, bench.running.addresses())
    costs = {name: Cost(bench.running, name) for name in _PARTS}
    began, first, turn = time.perf_counter(), 0.0, 0
    await bench.campaigns.LaunchCampaign(
        LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    )
    while True:
        await asyncio.sleep(0.02 if not first else 0.5)
        peak = max(peak, process.memory_info().rss / 1e6)
        if not first:
            entries, seen = await audience.entries(bench.http, bench.running.addresses(), seen)
            if await _are_of(bench, campaign_id, [one["callback_data"] for one in entries]):
                first = time.perf_counter() - began
        found = await bench.campaigns.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
        if found.progress.recipients_final:
            break
        turn += 1
        if turn % 40 == 0:
            note(f"  planned {found.progress.recipients:,}")
    seconds = time.perf_counter() - began
    spent = {name: cost.spent() for name, cost in costs.items()}
    count = found.progress.recipients
    assert count == bench.contacts, found.progress
    return [
        Figure("plan_recipients_per_s", count / seconds, "1/s", await _copied(bench, campaign_id)),
        Figure("plan_rss_mb", peak, "MB", before),
        Figure("first_message_s", first, "s", alone),
        *(Figure(f"plan_{name}_us", own / count * 1e6, "us") for name, (own, _) in spent.items()),
        Figure("plan_postgres_us", spent["sender"][1] / count * 1e6, "us"),
    ]


async def _are_of(bench: Bench, campaign_id: str, message_ids: list[str]) -> bool:
    """Whether any of the messages is the campaign's."""
    found: bool = await bench.database.fetchval(
        "SELECT EXISTS (SELECT FROM sender.messages"
        " WHERE message_id = ANY($1::text[]) AND campaign_id = $2)",
        *(message_ids, campaign_id),
    )
    return found


async def _alone(bench: Bench) -> float:
    """Seconds until a message by itself has left."""
    note("one message")
    to = bench.running.addresses()
    _, seen = await audience.entries(bench.http, to)
    content = Content()
    content.template.name, content.template.language = audience.TEMPLATE, audience.LANGUAGE
    content.template.body.add(text="Ayşe")
    rows = await bench.database.fetch(
        "SELECT contact_id::text FROM segment.memberships ORDER BY contact_id LIMIT 3"
    )
    began = time.perf_counter()
    for (contact_id,) in rows:
        await bench.messages.SendMessage(
            SendMessageRequest(
                request_id=str(uuid4()),
                destination=Destination(contact_id=contact_id),
                content=content,
                phone_number_id=_NUMBER,
            )
        )
    while True:
        entries, seen = await audience.entries(bench.http, to, seen)
        if entries:
            return time.perf_counter() - began
        await asyncio.sleep(0.01)


async def _copied(bench: Bench, campaign_id: str) -> float:
    """Rows a second of a bare COPY into a table of the same columns and indexes."""
    rows = await bench.database.fetch(
        f"SELECT {COLUMNS} FROM sender.messages WHERE campaign_id = $1 LIMIT 50000",  # noqa: S608 - constant
        campaign_id,
    )
    await bench.database.execute("CREATE TABLE bare (LIKE sender.messages INCLUDING ALL)")
    try:
        began = time.perf_counter()
        await bench.database.copy_records_to_table(
            "bare", records=[tuple(row) for row in rows], columns=COLUMNS.split(", ")
        )
        return len(rows) / (time.perf_counter() - began)
    finally:
        await bench.database.execute("DROP TABLE bare")


def _now_ms() -> int:
    return int(time.time() * 1000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000, help="people of the audience")
    uvloop.run(main(parser.parse_args().contacts))
