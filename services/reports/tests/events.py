"""Events as other services publish them, for the tests of reports."""

import json
from datetime import UTC, datetime

from chassis.ids import fresh_id
from merhaba.event.v1 import (
    CampaignChanged,
    ConsentChanged,
    ContactCreated,
    ContactMerged,
    ContactSplit,
    Event,
    LinkClicked,
    MessageClicked,
    MessageDelivered,
    MessageEchoed,
    MessageFailed,
    MessageHeld,
    MessageHeldOut,
    MessagePlanned,
    MessagePlayed,
    MessageRead,
    MessageReceived,
    MessageRef,
    MessageReplied,
    MessageSent,
    MessageSuppressed,
    MessageUnknown,
    PlatformError,
    Pricing,
    Referral,
    SegmentChanged,
    SegmentEntered,
    SegmentLeft,
    StageChanged,
    Tracked,
    TriggerFired,
)

NOON = int(datetime(2026, 11, 22, 9, tzinfo=UTC).timestamp() * 1000)
"""When the manual clock of the tests stands, in milliseconds."""
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def event(at: int, contact: str, event_id: str = "", **body) -> Event:
    made = Event(event_id=event_id or fresh_id("e"), contact_id=contact, **body)
    made.event_time.FromMilliseconds(at)
    made.received_time.FromMilliseconds(at)
    return made


def ref(message: str, campaign: str = "", variant: str = "", template: str = "tpl") -> MessageRef:
    return MessageRef(
        message_id=message,
        campaign_id=campaign,
        variant=variant,
        template_name=template,
        category="marketing",
        market="TR",
        language="tr",
    )


def outcome(
    kind: str, at: int, contact: str, about: MessageRef, event_id: str = "", **more
) -> Event:
    """An event on the topic `message`: `kind` is `sent`, `read`, …"""
    match kind:
        case "planned":
            body = {"message_planned": MessagePlanned(message=about)}
        case "suppressed":
            gate = more.get("gate", "consent")
            body = {"message_suppressed": MessageSuppressed(message=about, gate=gate)}
        case "held_out":
            body = {"message_held_out": MessageHeldOut(message=about, group="hold_out")}
        case "held":
            body = {"message_held": MessageHeld(message=about, reason="pacing")}
        case "sent":
            priced = {"pricing": Pricing(billable=True)} if more.get("priced") else {}
            body = {
                "message_sent": MessageSent(
                    message=about,
                    cost_micros=more.get("cost", 0),
                    currency_code=more.get("currency", "USD" if more.get("cost") else ""),
                    **priced,
                )
            }
        case "delivered":
            body = {"message_delivered": MessageDelivered(message=about)}
        case "read":
            body = {"message_read": MessageRead(message=about)}
        case "implied_read":
            body = {"message_read": MessageRead(message=about, implied=True)}
        case "played":
            body = {"message_played": MessagePlayed(message=about)}
        case "clicked":
            body = {"message_clicked": MessageClicked(message=about, kind="url")}
        case "replied":
            body = {"message_replied": MessageReplied(message=about, match="context")}
        case "failed":
            error = PlatformError(code=more.get("code", 131049))
            body = {"message_failed": MessageFailed(message=about, error=error)}
        case "unknown":
            body = {"message_unknown": MessageUnknown(message=about)}
        case _:
            raise AssertionError(kind)
    return event(at, contact, event_id, **body)


def campaign(at: int, campaign_id: str, state: str, name: str = "", recipients: int = 0) -> Event:
    changed = CampaignChanged(
        campaign_id=campaign_id, state=state, name=name, recipients=recipients
    )
    return event(at, "", campaign_changed=changed)


def merged(at: int, stays: str, *absorbed: str) -> Event:
    body = ContactMerged(absorbed_contact_id=absorbed[0], member_contact_ids=absorbed)
    return event(at, stays, contact_merged=body)


def split(at: int, contact: str, from_contact: str) -> Event:
    body = ContactSplit(from_contact_id=from_contact, member_contact_ids=[contact])
    return event(at, contact, contact_split=body)


def ordered(
    at: int, contact: str, order: str, total: object = None, currency: str = "TRY"
) -> Event:
    properties = {"order_id": order, "total": total, "currency": currency}
    return tracked(at, contact, "order_completed", properties)


def cancelled(at: int, contact: str, order: str) -> Event:
    return tracked(at, contact, "order_cancelled", {"order_id": order})


def tracked(at: int, contact: str, name: str, properties: object) -> Event:
    body = Tracked(name=name, properties_json=json.dumps(properties).encode())
    return event(at, contact, tracked=body)


def link_clicked(at: int, contact: str, message: str, campaign_id: str) -> Event:
    clicked = LinkClicked(link_id="l", message_id=message, campaign_id=campaign_id)
    return event(at, contact, link_clicked=clicked)


def withdrew(at: int, contact: str, purpose: str = "marketing") -> Event:
    return event(at, contact, consent_changed=ConsentChanged(purpose=purpose))


def created(at: int, contact: str) -> Event:
    return event(at, contact, contact_created=ContactCreated())


def received(at: int, contact: str, number: str = "") -> Event:
    body = MessageReceived(wamid=fresh_id("wamid"), phone_number_id=number)
    return event(at, contact, message_received=body)


def came(at: int, contact: str, ad: str, headline: str = "", number: str = "", **more) -> Event:
    """A person wrote from a click-to-WhatsApp ad."""
    referral = Referral(source_type="ad", source_id=ad, headline=headline)
    body = MessageReceived(wamid=fresh_id("wamid"), phone_number_id=number, referral=referral)
    return event(at, contact, message_received=body, **more)


def echoed(at: int, contact: str, **more) -> Event:
    body = MessageEchoed(wamid=fresh_id("wamid"), **more)
    return event(at, contact, message_echoed=body)


def granted(at: int, contact: str, until: int = 0, medium: str = "") -> Event:
    body = ConsentChanged(purpose="marketing", granted=True, medium=medium)
    if until:
        body.expire_time.FromMilliseconds(until)
    return event(at, contact, consent_changed=body)


def entered(at: int, contact: str, segment: str) -> Event:
    return event(at, contact, segment_entered=SegmentEntered(segment_id=segment))


def left(at: int, contact: str, segment: str) -> Event:
    return event(at, contact, segment_left=SegmentLeft(segment_id=segment))


def segment_changed(
    at: int, segment: str, name: str, display_name: str = "", state: str = "active"
) -> Event:
    changed = SegmentChanged(
        segment_id=segment, name=name, display_name=display_name, version=1, state=state
    )
    return event(at, "", segment_changed=changed)


def fired(at: int, contact: str, trigger: str, occurrence: str, campaign: str) -> Event:
    body = TriggerFired(trigger_id=trigger, occurrence_id=occurrence, campaign_id=campaign)
    return event(at, contact, trigger_fired=body)


def staged(at: int, contact: str, stage: str) -> Event:
    return event(at, contact, stage_changed=StageChanged(stage=stage))
