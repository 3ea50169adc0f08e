"""Business numbers: what Meta tells of them, and what follows. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import phonenumbers
from msgspec import Struct

from services.sender.model import NEVER, Number

LEVELS: Final = {"STANDARD": 80.0, "HIGH": 1000.0}
"""Messages a second in both directions, by what Meta calls it."""
FIELDS: Final = (
    "id,display_phone_number,verified_name,quality_rating,throughput,"
    "whatsapp_business_manager_messaging_limit,health_status"
)
"""What Meta is asked of a number."""
BUSINESS_INITIATED: Final = "business_initiated"
ALL: Final = "all"

_SECONDS_UNTIL: Final = 100_000_000_000  # what is larger are milliseconds already
_GONE: Final = ("account_deleted", "account_offboarded", "partner_removed")


class Described(Struct, frozen=True):
    """A number as Meta describes it; what it does not tell is empty."""

    display_phone_number: str
    verified_name: str = ""
    quality_rating: str = ""
    throughput_level: str = ""
    messaging_limit: str = ""
    health: str = ""
    waba_id: str = ""
    portfolio_id: str = ""


class NumberFact(Struct, frozen=True):
    """One thing that a webhook told of a number, or of all numbers of an account."""

    event_id: str
    time: int
    waba_id: str
    fact: str
    """`limit`, `level`, `quality`, `name`, `restriction` or `lift`."""
    value: str
    display_phone_number: str = ""
    """Empty: all of the account's, and of a limit all of the portfolio's."""
    until: int = 0
    reason: str = ""
    lifts: Sequence[str] = ()
    """With `lift`: the reasons of restrictions that end."""


def described(seen: Mapping[str, Any]) -> Described | None:
    """What Meta's answer says; None when it is of no phone number."""
    if "display_phone_number" not in seen:
        return None
    throughput, health = _mapping(seen.get("throughput")), _mapping(seen.get("health_status"))
    told = health.get("entities")
    entities = {
        str(one.get("entity_type")): str(one.get("id", ""))
        for one in (map(_mapping, told) if isinstance(told, list) else ())
    }
    return Described(
        display_phone_number=str(seen["display_phone_number"]),
        verified_name=str(seen.get("verified_name") or ""),
        quality_rating=str(seen.get("quality_rating") or ""),
        throughput_level=str(throughput.get("level") or ""),
        messaging_limit=str(seen.get("whatsapp_business_manager_messaging_limit") or ""),
        health=str(health.get("can_send_message") or ""),
        waba_id=entities.get("WABA", ""),
        portfolio_id=entities.get("BUSINESS", ""),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def learn(number: Number, seen: Described, now: int) -> None:
    """Take over what Meta describes; what it does not tell stays."""
    number.display_phone_number = seen.display_phone_number
    number.country_code = country_of(seen.display_phone_number) or number.country_code
    number.verified_name = seen.verified_name or number.verified_name
    number.quality_rating = seen.quality_rating or number.quality_rating or "UNKNOWN"
    number.throughput_level = seen.throughput_level or number.throughput_level
    number.messaging_limit = seen.messaging_limit or number.messaging_limit
    number.health = seen.health or number.health
    number.portfolio_id = number.portfolio_id or seen.portfolio_id
    number.throughput = throughput(number.throughput_level, number.throughput_limit)
    number.sync_time = now


def throughput(level: str, limit: float) -> float:
    """What a number keeps to: Meta's level unless set lower. Where Meta tells none, what is set."""
    if level not in LEVELS:
        return limit or LEVELS["STANDARD"]
    return min(limit or LEVELS[level], LEVELS[level])


def country_of(display_phone_number: str) -> str:
    """ISO 3166 alpha-2 of a number; empty when it has none."""
    digits = "".join(c for c in display_phone_number if c.isdigit())
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.region_code_for_number(parsed) or ""


def quality_facts(
    event_id: str, time: int, waba_id: str, display: str, change: str, limit: str
) -> list[NumberFact]:
    """What `phone_number_quality_update` tells: limit, level and, since Meta has no webhook of its
    own for it, quality."""
    told: list[tuple[str, str]] = []
    match change:
        case "THROUGHPUT_UPGRADE":
            told.append(("level", "HIGH"))
        case "FLAGGED":
            told.append(("quality", "RED"))
        case "UNFLAGGED":
            told.append(("quality", "UNKNOWN"))
    facts = [NumberFact(event_id, time, waba_id, fact, value, display) for fact, value in told]
    # The limit is the portfolio's, whichever of its numbers it is told of
    return [NumberFact(event_id, time, waba_id, "limit", limit), *facts] if limit else facts


def limit_fact(event_id: str, time: int, waba_id: str, recipients: int) -> NumberFact | None:
    """What `business_capability_update` tells: the limit of the whole portfolio."""
    if not recipients:
        return None
    value = "TIER_UNLIMITED"
    if recipients > 0:
        thousands, rest = divmod(recipients, 1_000)
        value = f"TIER_{recipients}" if rest or not thousands else f"TIER_{thousands}K"
    return NumberFact(event_id, time, waba_id, "limit", value)


def account_fact(
    event_id: str, time: int, waba_id: str, field: str, change: str, detail: Mapping[str, Any]
) -> NumberFact | None:
    """What a change of an account restricts or lifts; None when it does neither."""
    display = str(detail.get("phone_number") or "")

    def fact(kind: str, value: str = "", until: int = 0, lifts: Sequence[str] = ()) -> NumberFact:
        reason = "" if lifts else change.lower()
        return NumberFact(event_id, time, waba_id, kind, value, display, until, reason, lifts)

    match field, change:
        case "account_update", "ACCOUNT_RESTRICTION":
            what, until = _restricted(detail.get("restriction_info") or ())
            return fact("restriction", what, until) if what else None
        case "account_update", "DISABLED_UPDATE":
            banned = (detail.get("ban_info") or {}).get("waba_ban_state")
            if banned == "REINSTATE":
                return fact("lift", lifts=("disabled_update",))
            return fact("restriction", ALL, NEVER) if banned == "DISABLE" else None
        case "account_update", "ACCOUNT_DELETED" | "ACCOUNT_OFFBOARDED" | "PARTNER_REMOVED":
            return fact("restriction", ALL, NEVER)
        case "account_update", "ACCOUNT_RECONNECTED" | "PARTNER_ADDED":
            return fact("lift", lifts=_GONE)
        case "account_review_update", "REJECTED":
            return fact("restriction", ALL, NEVER)
        case "account_review_update", "APPROVED":
            return fact("lift", lifts=("rejected",))
        case _:
            return None


def _restricted(told: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """What of sending is restricted, and until when; calls and adding numbers are not sending."""
    kinds = {
        str(one.get("restriction_type")): _milliseconds(one.get("expiration"))
        for one in told
        if str(one.get("restriction_type")).endswith("_INITIATED_MESSAGING")
    }
    if not kinds:
        return "", 0
    both = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING" in kinds
    return (ALL if both else BUSINESS_INITIATED), max(kinds.values())


def _milliseconds(expiration: Any) -> int:
    """A moment as Meta writes it; NEVER when it does not say when."""
    if not str(expiration).isdigit():
        return NEVER
    told = int(expiration)
    return told * 1_000 if told < _SECONDS_UNTIL else told
