"""Changes of templates, numbers and accounts: the fields of a webhook that concern no person."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple

import orjson

from chassis.failures import FieldInvalid
from services.ingest.content import timestamp
from services.ingest.fields import content_id, epoch_ms, mapping, number, required, text
from services.ingest.model import Body

# Meta tells of a new category a day before it holds.
_NOTICE: Final = timedelta(hours=24)
_TEMPLATE_STATES: Final = frozenset(
    {
        *("APPROVED", "ARCHIVED", "UNARCHIVED", "DELETED", "DISABLED", "FLAGGED", "IN_APPEAL"),
        *("LIMIT_EXCEEDED", "LOCKED", "PAUSED", "PENDING", "PENDING_DELETION", "REINSTATED"),
        "REJECTED",
    }
)
_TIERS: Final = {"UNLIMITED": -1, "1K": 1_000, "2K": 2_000, "10K": 10_000, "100K": 100_000}


class Told(NamedTuple):
    """What a change of an account is, in the contract's words."""

    name: str
    event_id: str
    time_ms: int
    body: Body


def read(field: str, waba_id: str, value: dict[str, Any], time_ms: int) -> Told:
    """A change as an event; a field that nobody knew is kept whole.

    Raises `FieldInvalid` when it lacks what its field promises.
    """
    waba_id = text(mapping(value, "waba_info"), "waba_id") or waba_id
    known = READERS.get(field)
    if known is None:
        name, body = "webhook_unrecognised", _unrecognised(field, value)
    else:
        name, body = known(field, value, time_ms)
    when = epoch_ms(value.get("timestamp")) or time_ms
    at = "" if "timestamp" in value else str(time_ms // 1000)
    return Told(
        name, content_id("waba", value, field, waba_id, at), when, {"waba_id": waba_id} | body
    )


def _unrecognised(field: str, value: dict[str, Any]) -> Body:
    return {"field": field, "reason": "unknown field", "value_json": orjson.dumps(value)}


def _template(value: dict[str, Any]) -> Body:
    return {
        "template_id": required(value, "message_template_id"),
        "name": text(value, "message_template_name"),
        # `en-US` here and `en_US` in the rest of the API
        "language": text(value, "message_template_language").replace("-", "_"),
    }


def _template_status(field: str, value: dict[str, Any], time_ms: int) -> tuple[str, Body]:
    if "event" not in value and "new_quality_score" in value:
        return _template_quality(field, value, time_ms)
    status = required(value, "event")
    if status not in _TEMPLATE_STATES:
        raise FieldInvalid("event", "is no state of a template that is known")
    reason = text(value, "reason") or text(mapping(value, "rejection_info"), "reason")
    details = [
        text(mapping(value, "other_info"), "title"),
        text(mapping(value, "other_info"), "description"),
        text(mapping(value, "rejection_info"), "recommendation"),
        text(mapping(value, "disable_info"), "disable_date"),
    ]
    return "template_status_changed", _template(value) | {
        "status": status,
        "reason": "" if reason == "NONE" else reason,
        "detail": "; ".join(filter(None, details)),
    }


def _template_quality(_field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
    return "template_quality_changed", _template(value) | {
        "previous_score": text(value, "previous_quality_score"),
        "score": required(value, "new_quality_score"),
    }


def _template_category(_field: str, value: dict[str, Any], time_ms: int) -> tuple[str, Body]:
    category = required(value, "new_category")
    coming = text(value, "correct_category")
    if not coming:
        return "template_category_changed", _template(value) | {
            "previous_category": text(value, "previous_category"),
            "category": category,
        }
    notice = time_ms + _NOTICE // timedelta(milliseconds=1)
    return "template_category_changed", _template(value) | {
        "previous_category": category,
        "category": coming,
        "effective_time": timestamp(epoch_ms(value.get("category_update_timestamp")) or notice),
    }


def _template_components(_field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
    return "template_components_changed", _template(value) | {
        "components_json": orjson.dumps(value)
    }


def _number_quality(_field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
    return "number_quality_changed", {
        "display_phone_number": required(value, "display_phone_number"),
        "change": required(value, "event"),
        "messaging_limit": text(value, "max_daily_conversations_per_business")
        or text(value, "current_limit"),
    }


def _number_name(_field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
    return "number_name_changed", {
        "display_phone_number": required(value, "display_phone_number"),
        "name": text(value, "requested_verified_name"),
        "decision": required(value, "decision"),
        "reason": text(value, "rejection_reason"),
    }


def _username(_field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
    return "number_name_changed", {
        "display_phone_number": required(value, "display_phone_number"),
        "name": text(value, "username"),
        "decision": required(value, "status"),
    }


def _capability(_field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
    limit = text(value, "max_daily_conversations_per_business") or text(
        value, "max_daily_conversation_per_phone"
    )
    tier = limit.removeprefix("TIER_")
    return "capability_changed", {
        "max_daily_recipients": _TIERS.get(tier) or number({"tier": tier}, "tier"),
        "max_phone_numbers": number(value, "max_phone_numbers_per_business")
        or number(value, "max_phone_numbers_per_waba"),
    }


def _flow(_field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
    return "flow_changed", {
        "flow_id": required(value, "flow_id"),
        "change": required(value, "event"),
        "detail_json": orjson.dumps(value),
    }


def _account(*names: str) -> "Reader":
    """A change of the account, named by the first of `names` that the value has."""

    def read_account(field: str, value: dict[str, Any], _time_ms: int) -> tuple[str, Body]:
        inside = value | mapping(value, "alert_info")
        change = next((found for name in names if (found := text(inside, name))), "")
        if not value or (not change and field == "account_update"):
            raise FieldInvalid(names[0], "is missing")
        return "account_changed", {
            "field": field,
            "change": change,
            "detail_json": orjson.dumps(value),
        }

    return read_account


Reader = Callable[[str, dict[str, Any], int], tuple[str, Body]]

READERS: Final[dict[str, Reader]] = {
    "message_template_status_update": _template_status,
    "message_template_quality_update": _template_quality,
    "template_category_update": _template_category,
    "message_template_components_update": _template_components,
    "phone_number_quality_update": _number_quality,
    "phone_number_name_update": _number_name,
    "business_username_updates": _username,
    "business_capability_update": _capability,
    "flows": _flow,
    "account_update": _account("event"),
    "account_alerts": _account("alert_type"),
    "account_review_update": _account("decision"),
    "account_settings_update": _account("type"),
    "automatic_events": _account("event"),
    "partner_solutions": _account("event"),
    "payment_configuration_update": _account("status"),
    "security": _account("event"),
    "template_correct_category_detection": _account("correct_category"),
}
"""Fields whose value is one change of an account."""
