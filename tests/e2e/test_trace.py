"""One webhook's trace crosses ingest, profile, segment, sender and the Graph call."""

import secrets
from collections import defaultdict
from datetime import UTC, datetime

from chassis.ids import fresh_id
from chassis.testing import wait_until
from cli.doors import text_message
from cli.play import definitions
from merhaba.segment.v1 import Action, CreateTriggerRequest, EventCause, SendAction, Trigger
from merhaba.sender.v1 import (
    Audience,
    Campaign,
    CreateCampaignRequest,
    LaunchCampaignRequest,
    TriggeredAudience,
)
from tests.e2e.people import introduction, phones


async def test_one_trace_shows_the_way_from_a_webhook_to_the_graph_call(
    services, doors, session, addresses, collector
):
    (phone,) = phones(1)
    word = secrets.token_hex(6)
    await definitions.number(services, addresses, session)
    await definitions.templates(services, addresses)
    made = await services.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id=fresh_id("r"),
            campaign=Campaign(
                name=f"Answer {word}",
                waba_id=definitions.WABA,
                phone_number_ids=[definitions.NUMBER],
                audience=Audience(triggered=TriggeredAudience()),
                variants=[definitions.thanks("only")],
            ),
        )
    )
    await services.campaigns.LaunchCampaign(
        LaunchCampaignRequest(request_id=fresh_id("r"), campaign_id=made.campaign.campaign_id)
    )
    await services.triggers.CreateTrigger(
        CreateTriggerRequest(
            request_id=fresh_id("r"),
            trigger=Trigger(
                name=f"answer_{word}",
                event=EventCause(name="message_received"),
                condition=f'event.text == "{word}"',
                action=Action(send=SendAction(campaign_id=made.campaign.campaign_id)),
            ),
        )
    )
    await doors.track(introduction(phone))
    await doors.webhook(
        text_message(
            f"wamid.{word}",
            phone,
            definitions.NUMBER,
            definitions.WABA,
            word,
            datetime.now(UTC),
        )
    )

    def crossed() -> bool:
        with collector.lock:
            services_by_trace: dict[bytes, set[str]] = defaultdict(set)
            names_by_trace: dict[bytes, set[str]] = defaultdict(set)
            for service, span in collector.spans:
                services_by_trace[span.trace_id].add(service)
                names_by_trace[span.trace_id].add(span.name)
        return any(
            {"ingest", "profile", "segment", "sender"} <= crossed_services
            and {"webhook", "graph call"} <= names_by_trace[trace]
            for trace, crossed_services in services_by_trace.items()
        )

    await wait_until(crossed, timeout_s=30, every_s=0.2)


async def test_spans_carry_nothing_personal(collector, doors, services):
    (phone,) = phones(1)
    await doors.track(introduction(phone))
    with collector.lock:
        values = [
            attribute.value.string_value
            for _, span in collector.spans
            for attribute in span.attributes
        ]
    assert not any("4477" in value for value in values)
