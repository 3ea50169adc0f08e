"""A kill -9 of each service, of Redis and of Postgres in the middle of a run loses nothing and
doubles nothing."""

import asyncio
import secrets
import signal

import psutil
import pytest
from google.protobuf.duration_pb2 import Duration

from chassis.ids import fresh_id
from cli.play import definitions, story
from cli.play.summary import _total
from merhaba.event.v1 import Identity
from merhaba.profile.v1 import BatchGetContactsRequest, ContactRef
from merhaba.reports.v1 import GetCampaignReportRequest
from merhaba.segment.v1 import (
    Action,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    Segment,
    SendAction,
    Trigger,
)
from merhaba.sender.v1 import (
    Audience,
    Campaign,
    CreateCampaignRequest,
    GetCampaignRequest,
    LaunchCampaignRequest,
    SegmentAudience,
    TriggeredAudience,
)
from tests.e2e.people import introduction, order, phones

PEOPLE = 240
VICTIMS = ("ingest", "profile", "segment", "sender", "reports")


def kill(stack_pid: int, service: str) -> None:
    """SIGKILL to the service's process as it runs now."""
    for child in psutil.Process(stack_pid).children():
        if child.cmdline()[-1:] == [f"services.{service}"]:
            child.send_signal(signal.SIGKILL)
            return
    raise AssertionError(f"{service} does not run")


def kill_server(data: str, program: str) -> None:
    """SIGKILL to an embedded server, with all its processes."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] != program or process.pid == 0:
            continue
        if any(data in part for part in [*process.cmdline(), process.cwd()]):
            process.send_signal(signal.SIGKILL)
            return
    raise AssertionError(f"{program} does not run")


async def campaign(services, name: str, audience: Audience) -> str:
    made = await services.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id=fresh_id("r"),
            campaign=Campaign(
                name=name,
                waba_id=definitions.WABA,
                phone_number_ids=[definitions.NUMBER],
                audience=audience,
                variants=[
                    definitions.thanks("a"),
                    definitions.thanks("b"),
                ],
            ),
        )
    )
    await services.campaigns.LaunchCampaign(
        LaunchCampaignRequest(request_id=fresh_id("r"), campaign_id=made.campaign.campaign_id)
    )
    return made.campaign.campaign_id


async def report(services, campaign_id: str):
    answer = await services.reports.GetCampaignReport(
        GetCampaignReportRequest(campaign_id=campaign_id)
    )
    return answer.report


@pytest.mark.timeout(600)
async def test_killing_every_service_in_turn_loses_and_doubles_nothing(
    services, doors, session, addresses
):
    people = phones(PEOPLE)
    mark = secrets.token_hex(4)
    await definitions.number(services, addresses, session)
    await definitions.templates(services, addresses)
    made = await services.segments.CreateSegment(
        CreateSegmentRequest(
            request_id=fresh_id("r"),
            segment=Segment(
                name=f"ordered_{mark}",
                expression=f'events("order_completed").where(e, e.currency == "{mark}").exists()',
            ),
        )
    )
    thanks = await campaign(services, f"Thanks {mark}", Audience(triggered=TriggeredAudience()))
    await services.triggers.CreateTrigger(
        CreateTriggerRequest(
            request_id=fresh_id("r"),
            trigger=Trigger(
                name=f"thanks_{mark}",
                event=EventCause(name="order_completed"),
                condition=f'event.currency == "{mark}"',
                key="event.order_id",
                not_after_duration=Duration(seconds=3600),
                action=Action(send=SendAction(campaign_id=thanks)),
            ),
        )
    )
    await doors.track([item for phone in people for item in introduction(phone)])

    async def orders() -> None:
        for position, phone in enumerate(people):
            item = order(phone, f"{mark}-{position}", 80.0)
            item["properties"]["currency"] = mark
            await doors.track([item])
            if position % 3 == 0:
                await doors.track([item])  # said twice
            await asyncio.sleep(0.06)

    async def kills() -> None:
        for victim in VICTIMS:
            await asyncio.sleep(1.5)
            kill(addresses.pid, victim)
        await asyncio.sleep(1)
        kill_server(addresses.data, "redis-server")
        await asyncio.sleep(1.5)
        kill_server(addresses.data, "postgres")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(orders())
        tasks.create_task(kills())
    await story.until_processed(services, 150, lambda _: None)

    offer = await campaign(
        services,
        f"Offer {mark}",
        Audience(segment=SegmentAudience(segment_id=made.segment.segment_id)),
    )
    await asyncio.sleep(1)
    for victim in ("sender", "segment", "sender"):
        kill(addresses.pid, victim)
        await asyncio.sleep(1)

    async with asyncio.timeout(150):
        while True:
            answer = await services.campaigns.GetCampaign(GetCampaignRequest(campaign_id=offer))
            states = dict(answer.progress.states)
            if answer.progress.recipients == PEOPLE and not (
                states.get("planned", 0) + states.get("attempting", 0)
            ):
                break
            await asyncio.sleep(0.5)
    await story.control(session, addresses, "drain", {"timeout_s": 60, "hurry": True})
    await story.until_processed(services, 150, lambda _: None)

    contacts = []
    for start in range(0, PEOPLE, 200):
        found = await services.profile.BatchGetContacts(
            BatchGetContactsRequest(
                contacts=[
                    ContactRef(identity=Identity(kind=Identity.KIND_WA_ID, value=phone))
                    for phone in people[start : start + 200]
                ]
            )
        )
        contacts += [result.contact for result in found.results]
    assert len({c.contact_id for c in contacts}) == PEOPLE
    counts = [t.value_json for c in contacts for t in c.traits if t.name == "traits.order_count"]
    assert counts == [b"1"] * PEOPLE

    simulated = await story.summary_of_simulator(session, addresses)
    assert simulated["ledger/duplicates"]["by_callback_data"] == 0
    for campaign_id in (thanks, offer):
        said = await report(services, campaign_id)
        assert said.recipients == PEOPLE
        assert _total(said.outcome) == PEOPLE
        assert said.outcome.pending == 0
        reached = said.outcome.sent + said.outcome.delivered + said.outcome.read
        assert reached + said.outcome.unknown + sum(said.outcome.failed_codes.values()) == PEOPLE
        assert said.outcome.unknown <= 3 * 64, "only what was on its way when the sender died"
