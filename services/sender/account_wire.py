"""What Meta says of templates and numbers, out of events."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chassis.failures import FieldInvalid
from merhaba.event.v1 import Event
from services.sender.model import AccountChange
from services.sender.numbers.facts import NumberFact, account_fact, limit_fact, quality_facts
from services.sender.rules.volumes import VolumeTier
from services.sender.wire import at

_TEMPLATE_STATES: Final = {"FLAGGED": "", "REINSTATED": "APPROVED", "UNARCHIVED": "APPROVED"}


def template_change(event: Event) -> AccountChange | None:
    """What an event says of a template; None when it says nothing."""
    time = at(event, "event_time")
    match event.WhichOneof("body"):
        case "template_status_changed":
            status = event.template_status_changed
            state = _TEMPLATE_STATES.get(status.status, status.status)
            return AccountChange(
                event.event_id,
                time,
                status.waba_id,
                template_id=status.template_id,
                state=state,
                state_reason=_reason(status.status, status.reason),
                state_detail=status.detail,
            )
        case "template_quality_changed":
            quality = event.template_quality_changed
            return AccountChange(
                event.event_id,
                time,
                quality.waba_id,
                template_id=quality.template_id,
                quality=quality.score,
            )
        case "template_category_changed":
            category = event.template_category_changed
            return AccountChange(
                event.event_id,
                time,
                category.waba_id,
                template_id=category.template_id,
                category=category.category,
                category_time=at(category, "effective_time"),
            )
        case "template_components_changed":
            edited = event.template_components_changed
            return AccountChange(
                event.event_id,
                time,
                edited.waba_id,
                template_id=edited.template_id,
                components=True,
            )
        case _:
            return None


def _reason(status: str, reason: str) -> str:
    """Why a template is as it is; one that is flagged stays in use, and says so."""
    told = "" if reason == "NONE" else reason
    return told if _TEMPLATE_STATES.get(status, status) else told or status


def number_facts(event: Event) -> list[NumberFact]:
    """What an event says of numbers."""
    event_id, time = event.event_id, at(event, "event_time")
    match event.WhichOneof("body"):
        case "number_quality_changed":
            quality = event.number_quality_changed
            return quality_facts(
                event_id,
                time,
                quality.waba_id,
                quality.display_phone_number,
                quality.change,
                quality.messaging_limit,
            )
        case "number_name_changed":
            name = event.number_name_changed
            # User names come in the same event, with their decisions in lower case
            if name.decision != "APPROVED" or not name.name:
                return []
            display = name.display_phone_number
            return [NumberFact(event_id, time, name.waba_id, "name", name.name, display)]
        case "capability_changed":
            capability = event.capability_changed
            fact = limit_fact(event_id, time, capability.waba_id, capability.max_daily_recipients)
        case "account_changed":
            account = event.account_changed
            fact = account_fact(
                event_id,
                time,
                account.waba_id,
                account.field,
                account.change,
                _detail(account.detail_json),
            )
        case _:
            return []
    return [fact] if fact is not None else []


def volume_tier(event: Event) -> VolumeTier | None:
    """What an event says of the volume that an account reached; None when it says nothing."""
    account = event.account_changed
    if account.change != "VOLUME_BASED_PRICING_TIER_UPDATE":
        return None
    told = _detail(account.detail_json).get("volume_tier_info") or {}
    start, _, _ = str(told.get("tier", "")).partition(":")
    month = str(told.get("effective_month", "")).replace("-", "")
    if not start.isdigit() or not month.isdigit():
        return None
    return VolumeTier(
        event.event_id,
        account.waba_id,
        int(month),
        str(told.get("region", "")),
        str(told.get("pricing_category", "")).lower(),
        max(int(start) - 1, 0),  # the tier begins with the message after these
    )


def _detail(said: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(said or b"{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise FieldInvalid("account_changed.detail_json", "not a JSON object") from error
