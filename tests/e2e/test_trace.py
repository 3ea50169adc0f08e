"""One webhook's trace crosses ingest, profile, segment, sender and the Graph call."""

import json
import secrets
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chassis.ids import fresh_id
from chassis.testing import wait_until
from cli.doors import text_message
from cli.play import definitions, story
from merhaba.segment.v1 import Action, CreateTriggerRequest, EventCause, SendAction, Trigger
from merhaba.sender.v1 import (
    Audience,
    Campaign,
    CreateCampaignRequest,
    LaunchCampaignRequest,
    ListMessagesRequest,
    TriggeredAudience,
)
from tests.e2e.command import merhaba
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

    await wait_until(crossed, timeout_s=60, every_s=0.2)

    await story.control(session, addresses, "drain", {"timeout_s": 60, "hurry": True})
    await story.until_processed(services, 60, lambda _: None)
    request = ListMessagesRequest(campaign_id=made.campaign.campaign_id)
    (message,) = (await services.messages.ListMessages(request)).messages

    def traced(wanted: str) -> dict[str, Any]:
        done = merhaba("trace", wanted, "--json", data=Path(addresses.data))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def missing(said: dict[str, Any]) -> list[dict[str, str]]:
        """What was told of the message is told there too, where more may have happened meanwhile;
        but for the moment up to which reports count, which goes on."""
        steps = whole["steps"]
        return [s for s in steps if s["where"] != "reports" and s not in said["steps"]]

    whole = traced(message.ref.message_id)
    first = dict.fromkeys(step["where"] for step in whole["steps"])
    assert list(first)[:4] == ["person", "ingest", "segment", "sender"], whole
    assert {"Meta", "reports"} <= set(first), whole
    assert not missing(traced(message.contact_id))
    (said,) = [step["detail"] for step in whole["steps"] if step["what"].startswith("called Meta")]
    assert not missing(traced(said.rpartition(" ")[2])), "its trace id leads to it"
    unknown = merhaba("trace", "nobody", data=Path(addresses.data))
    assert unknown.returncode != 0
    assert "nobody" in unknown.stderr


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
