"""What a business sets up before the first message: a number, templates, segments, a trigger."""

from dataclasses import dataclass
from typing import Final

import aiohttp
import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.ids import fresh_id
from cli.clients import Clients
from cli.stack import Addresses
from merhaba.segment.v1 import (
    Action,
    CreateSegmentRequest,
    CreateTriggerRequest,
    EventCause,
    ListSegmentsRequest,
    ListTriggersRequest,
    Segment,
    SendAction,
    Trigger,
)
from merhaba.sender.v1 import (
    Audience,
    Binding,
    BusinessNumber,
    Campaign,
    CreateCampaignRequest,
    CreateTemplateRequest,
    LaunchCampaignRequest,
    RegisterNumberRequest,
    SegmentAudience,
    Template,
    TemplateBody,
    TemplateButton,
    TemplateComponents,
    TemplateQuickReply,
    TemplateUrl,
    TriggeredAudience,
    UpdatePolicyRequest,
    VariableExample,
    Variant,
)

WABA: Final = "100200300400500"
NUMBER: Final = "106540352242922"
LANGUAGE: Final = "en"
OFFER: Final = "winter_offer"
THANKS: Final = "order_thanks"
SHOP: Final = "https://shop.example/winter"

SEGMENTS: Final = {
    "big_spenders": (
        "Spent 300 or more in the last 30 days",
        'events("order_completed").within("720h").sum(e, e.total) >= 300.0',
    ),
    "just_ordered": (
        "Ordered in the last 10 seconds: nobody does anything, and yet they leave",
        'events("order_completed").within("10s").exists()',
    ),
    "changed_their_mind": (
        "Cancelled something, and still a customer",
        'events("order_cancelled").exists() && traits.order_count >= 1',
    ),
}


@dataclass(frozen=True, slots=True)
class Definitions:
    """Ids of what was set up."""

    segments: dict[str, str]
    """Segment id by name."""
    campaign_id: str
    """The campaign of this play."""
    thanks_campaign_id: str
    trigger_id: str


async def define(
    clients: Clients, addresses: Addresses, session: aiohttp.ClientSession, run: int
) -> Definitions:
    """Set everything up, or find it again; the campaign is new with each play."""
    await number(clients, addresses, session)
    await templates(clients, addresses)
    segments = await _segments(clients)
    thanks_campaign_id = await _thanks_campaign(clients)
    return Definitions(
        segments=segments,
        campaign_id=await _offer_campaign(clients, segments["big_spenders"], run),
        thanks_campaign_id=thanks_campaign_id,
        trigger_id=await _trigger(clients, thanks_campaign_id),
    )


async def number(
    clients: Clients,
    addresses: Addresses,
    session: aiohttp.ClientSession,
    throughput: int = 80,
) -> None:
    """A business number, at the simulator and in the sender's registry, and rules by which it may
    write at any hour and as often as the story is played."""
    async with session.post(
        f"{addresses.simulator_url}/control/numbers",
        json=[
            {
                "phone_number_id": NUMBER,
                "waba_id": WABA,
                "display_phone_number": NUMBER,
                "throughput": throughput,
            }
        ],
        headers={"Authorization": f"Bearer {addresses.control_token}"},
    ) as response:
        response.raise_for_status()
    await clients.numbers.RegisterNumber(
        RegisterNumberRequest(
            number=BusinessNumber(
                phone_number_id=NUMBER,
                waba_id=WABA,
                display_phone_number=NUMBER,
                country_code="GB",
                throughput_limit=throughput,
            )
        )
    )
    await clients.policy.UpdatePolicy(
        UpdatePolicyRequest(update_mask=FieldMask(paths=["frequency_caps", "quiet_hours"]))
    )


async def templates(clients: Clients, addresses: Addresses) -> None:
    """The templates of the story, made whenever the simulator, which forgets, lacks them."""
    offer = Template(
        waba_id=WABA,
        name=OFFER,
        language=LANGUAGE,
        category="MARKETING",
        components=TemplateComponents(
            body=TemplateBody(
                text="Hello from the shop! {{1}} To hear no more of this, answer STOP.",
                examples=[VariableExample(variable="1", example="Lanterns are back.")],
            ),
            buttons=[
                TemplateButton(text="Tell me more", quick_reply=TemplateQuickReply()),
                TemplateButton(
                    text="See the shop",
                    url=TemplateUrl(
                        url=f"{addresses.tracking_url}/l/{{{{1}}}}",
                        example=f"{addresses.tracking_url}/l/example",
                    ),
                ),
            ],
        ),
    )
    thank_you = Template(
        waba_id=WABA,
        name=THANKS,
        language=LANGUAGE,
        category="UTILITY",
        components=TemplateComponents(
            body=TemplateBody(text="Thank you, your order has reached us and is being packed.")
        ),
    )
    for template in (offer, thank_you):
        try:
            await clients.templates.CreateTemplate(
                CreateTemplateRequest(request_id=fresh_id("r"), template=template)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.ALREADY_EXISTS:
                raise


async def _segments(clients: Clients) -> dict[str, str]:
    found = await clients.segments.ListSegments(ListSegmentsRequest(names=list(SEGMENTS)))
    ids = {s.name: s.segment_id for s in found.segments}
    for name, (description, expression) in SEGMENTS.items():
        if name not in ids:
            made = await clients.segments.CreateSegment(
                CreateSegmentRequest(
                    request_id=fresh_id("r"),
                    segment=Segment(
                        name=name,
                        display_name=name.replace("_", " ").capitalize(),
                        description=description,
                        expression=expression,
                    ),
                )
            )
            ids[name] = made.segment.segment_id
    return ids


def thanks(name: str) -> Variant:
    """A variant of a campaign that says thank you, with nothing to fill in."""
    return Variant(name=name, template_name=THANKS, fallback_languages=[LANGUAGE], weight=1)


async def _thanks_campaign(clients: Clients) -> str:
    """One for good: a message for each order that the trigger names."""
    made = await clients.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id="order-thanks",
            campaign=Campaign(
                name="Order thanks",
                waba_id=WABA,
                phone_number_ids=[NUMBER],
                audience=Audience(triggered=TriggeredAudience()),
                variants=[thanks("only")],
            ),
        )
    )
    campaign = made.campaign
    if campaign.state == Campaign.STATE_DRAFT:
        await clients.campaigns.LaunchCampaign(
            LaunchCampaignRequest(
                request_id="order-thanks-launch", campaign_id=campaign.campaign_id
            )
        )
    return campaign.campaign_id


async def _trigger(clients: Clients, campaign_id: str) -> str:
    found = await clients.triggers.ListTriggers(ListTriggersRequest(names=["order_thanks"]))
    if found.triggers:
        return found.triggers[0].trigger_id
    made = await clients.triggers.CreateTrigger(
        CreateTriggerRequest(
            request_id=fresh_id("r"),
            trigger=Trigger(
                name="order_thanks",
                display_name="Thank for an order",
                event=EventCause(name="order_completed"),
                condition="event.total >= 50.0",
                key="event.order_id",
                not_after_duration=Duration(seconds=600),
                action=Action(send=SendAction(campaign_id=campaign_id)),
            ),
        )
    )
    return made.trigger.trigger_id


async def _offer_campaign(clients: Clients, segment_id: str, run: int) -> str:
    """Two variants of one template: they differ in what its variable says."""

    def variant(name: str, words: str) -> Variant:
        return Variant(
            name=name,
            template_name=OFFER,
            fallback_languages=[LANGUAGE],
            weight=1,
            bindings=[
                Binding(variable="body.1", expression=f'"{words}"', missing=Binding.MISSING_SKIP),
                Binding(variable="button.1", expression=f'"{SHOP}"', missing=Binding.MISSING_SKIP),
            ],
        )

    made = await clients.campaigns.CreateCampaign(
        CreateCampaignRequest(
            request_id=f"winter-offer-{run}",
            campaign=Campaign(
                name=f"Winter offer {run}",
                waba_id=WABA,
                phone_number_ids=[NUMBER],
                audience=Audience(segment=SegmentAudience(segment_id=segment_id)),
                variants=[
                    variant("news", "The white hanging hearts and lanterns are back."),
                    variant("saving", "This week you save a tenth on everything with a heart."),
                ],
            ),
        )
    )
    return made.campaign.campaign_id
