"""What Meta tells of templates, numbers and accounts. Pure."""

from typing import Any

from simulator.templates.definition import Template
from simulator.webhooks.updates import Update
from simulator.world.numbers import Number
from simulator.world.quality import Score


def notice(waba_id: str, field: str, value: dict[str, Any], now: float) -> Update:
    """A change whose whole value is `value`."""
    return Update(waba_id, field, None, "", value, None, now)


def template_status(
    template: Template, now: float, *, title: str = "", description: str = ""
) -> Update:
    """`title` says why: FIRST_PAUSE, SECOND_PAUSE, RATE_LIMITING_PAUSE, UNPAUSE or DISABLED."""
    value = {
        "event": template.status,
        **_named(template),
        "reason": template.rejected_reason,
        "message_template_category": template.category,
    }
    if title:
        value["other_info"] = {"title": title, "description": description}
    if template.status == "DISABLED":
        value["disable_info"] = {"disable_date": int(now)}
    return notice(template.waba_id, "message_template_status_update", value, now)


def template_quality(template: Template, before: Score, now: float) -> Update:
    """The score is already the new one."""
    value = {
        "previous_quality_score": before,
        "new_quality_score": template.feedback.told,
        **_named(template),
    }
    return notice(template.waba_id, "message_template_quality_update", value, now)


def template_category(template: Template, before: str, now: float) -> Update:
    """The category is already the new one."""
    value = {
        **_named(template),
        "previous_category": before,
        "new_category": template.category,
    }
    return notice(template.waba_id, "template_category_update", value, now)


def template_category_coming(
    template: Template, category: str, holds_at: float, now: float
) -> Update:
    """`holds_at`: when it will."""
    value = {
        **_named(template),
        "correct_category": category,
        "new_category": template.category,
        "category_update_timestamp": int(holds_at),
    }
    return notice(template.waba_id, "template_category_update", value, now)


def number_quality(number: Number, event: str, tier: str, now: float) -> Update:
    """`event`: FLAGGED, UNFLAGGED, UPGRADE or THROUGHPUT_UPGRADE."""
    value = {
        "display_phone_number": number.metadata.display_phone_number,
        "event": event,
        "max_daily_conversations_per_business": tier,
    }
    return notice(number.waba_id, "phone_number_quality_update", value, now)


def capability(waba_id: str, limit: int, phone_numbers: int, now: float) -> Update:
    """How many conversations may be opened; -1 stands for no limit."""
    value = {
        "max_daily_conversations_per_business": limit or -1,
        "max_phone_numbers_per_business": phone_numbers,
    }
    return notice(waba_id, "business_capability_update", value, now)


def _named(template: Template) -> dict[str, Any]:
    # Languages are written en-US here and en_US in Graph.
    return {
        "message_template_id": int(template.template_id),
        "message_template_name": template.name,
        "message_template_language": template.language.replace("_", "-"),
    }
