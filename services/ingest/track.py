"""The business's own events: calls of the Segment tracking API as occurrences. Pure."""

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import orjson
import phonenumbers

from chassis.failures import FieldInvalid
from services.ingest.fields import content_id, event_id, iso_ms, mapping, required, text
from services.ingest.model import TRACKED, Body, Identity, Kind, Occurrence

_OBJECT_BYTES: Final = 32 * 1024
_LATENCY_MS: Final = 5_000  # less than this between two clocks is the way, not a wrong clock
_HISTORY_MS: Final = 24 * 3_600_000
_WITH_COUNTRY: Final = 11  # digits: shorter ones are national, as far as they can be
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^\w]+|_+")
_DOTLESS: Final = str.maketrans("ıİ", "iI")


def occurrence(call: Any, key_name: str, received_ms: int, sent_at: Any, region: str) -> Occurrence:
    """One call as an occurrence.

    `key_name` names the write key it came with, `region` (ISO 3166) the country of phone numbers
    without one. Raises `FieldInvalid` when the call cannot be taken.
    """
    if not isinstance(call, dict):
        raise FieldInvalid("batch", "holds something that is not an object")
    kind = required(call, "type")
    read = _READERS.get(kind)
    if read is None:
        raise FieldInvalid("type", f"is none of {', '.join(_READERS)}")
    people = _people(call, key_name)
    if not people:
        raise FieldInvalid("userId", "is missing, and there is no anonymousId")
    if kind == "identify":
        people += _named(_traits(call), region)
    name, body = read(call)
    message_id = text(call, "messageId")
    by_name = event_id("track", key_name, message_id) if message_id else ""
    return Occurrence(
        TRACKED,
        by_name or content_id("track", call, key_name),
        happened_ms(call.get("timestamp"), sent_at, received_ms),
        f"track:{key_name}",
        name,
        body,
        people,
    )  # fmt: skip


def alone(call: Any, sent_at: Any) -> bytes:
    """A batch with nothing but this call."""
    try:
        return orjson.dumps({"batch": [call], "sentAt": sent_at})
    except TypeError:
        # orjson reads deeper nesting than it writes; who sent it is told that it was refused
        return orjson.dumps({"batch": ["nested too deeply"], "sentAt": None})


def happened_ms(timestamp: Any, sent_at: Any, received_ms: int) -> int:
    """When it happened, by our clock.

    A device whose clock is wrong is wrong about `sentAt` too, by which it is corrected:
    received - (sentAt - timestamp). What is a day old when it is sent comes from an import, whose
    times are as recorded. Raises `FieldInvalid` for a timestamp that is none.
    """
    if timestamp is None:
        return received_ms
    told = iso_ms(timestamp)
    if told is None:
        raise FieldInvalid("timestamp", "is not ISO 8601")
    sent = iso_ms(sent_at)
    if sent is not None and sent - told < _HISTORY_MS and abs(received_ms - sent) > _LATENCY_MS:
        told += received_ms - sent
    return min(told, received_ms)


def snake(name: str) -> str:
    """The name by which expressions know an event: `Order Completed` is `order_completed`."""
    plain = unicodedata.normalize("NFKD", name.translate(_DOTLESS))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return "_".join(word for word in _WORDS.split(plain) if word).lower()


def _people(call: dict[str, Any], scope: str) -> tuple[Identity, ...]:
    user, anonymous = text(call, "userId"), text(call, "anonymousId")
    found: list[Identity] = []
    if user:
        found.append(Identity(Kind.EXTERNAL_ID, scope, user))
    if anonymous:
        found.append(Identity(Kind.ANONYMOUS_ID, scope, anonymous))
    return tuple(found)


def _named(traits: dict[str, Any], region: str) -> tuple[Identity, ...]:
    """What traits say of how else a person is known. Unreadable ones stay traits only."""
    found: list[Identity] = []
    phone, email = traits.get("phone"), traits.get("email")
    if isinstance(phone, str | int) and (digits := wa_id(str(phone), region)):
        found.append(Identity(Kind.WA_ID, "", digits))
    if isinstance(email, str) and "@" in email:
        found.append(Identity(Kind.EMAIL, "", email.strip().lower()))
    return tuple(found)


def wa_id(phone: str, region: str) -> str:
    """The digits of E.164 of a phone number as people write it; empty when it cannot be one."""
    digits = re.sub(r"\D", "", phone)
    forms: list[tuple[str, str | None]] = [(phone, region), (f"+{digits}", None)]
    if len(digits) >= _WITH_COUNTRY and not digits.startswith("0"):
        forms.reverse()
    # Numbers need not be assigned: ranges kept for fiction are possible and never valid.
    for written, where in forms:
        try:
            number = phonenumbers.parse(written, where)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
    return ""


def _json(call: dict[str, Any], name: str) -> bytes:
    said = orjson.dumps(mapping(call, name))
    if len(said) > _OBJECT_BYTES:
        raise FieldInvalid(name, "is larger than 32 KiB", limit=str(_OBJECT_BYTES))
    return said


def _traits(call: dict[str, Any]) -> dict[str, Any]:
    """Traits, wherever the library puts them: one of them uses the context."""
    return mapping(call, "traits") or mapping(mapping(call, "context"), "traits")


def _track(call: dict[str, Any]) -> tuple[str, Body]:
    name = snake(required(call, "event"))
    if not name:
        raise FieldInvalid("event", "has no letter or digit")
    return "tracked", {
        "name": name,
        "properties_json": _json(call, "properties"),
        "context_json": _json(call, "context"),
    }


def _identify(call: dict[str, Any]) -> tuple[str, Body]:
    traits = _json({"traits": _traits(call)}, "traits")
    return "identified", {"traits_json": traits, "context_json": _json(call, "context")}


def _viewed(event: str) -> Callable[[dict[str, Any]], tuple[str, Body]]:
    def read(call: dict[str, Any]) -> tuple[str, Body]:
        return event, {
            "name": text(call, "name"),
            "category": text(call, "category"),
            "properties_json": _json(call, "properties"),
            "context_json": _json(call, "context"),
        }

    return read


def _group(call: dict[str, Any]) -> tuple[str, Body]:
    return "grouped", {"group_id": required(call, "groupId"), "traits_json": _json(call, "traits")}


def _alias(call: dict[str, Any]) -> tuple[str, Body]:
    return "aliased", {"previous_id": required(call, "previousId")}


_READERS: Final[dict[str, Callable[[dict[str, Any]], tuple[str, Body]]]] = {
    "track": _track,
    "identify": _identify,
    "page": _viewed("page_viewed"),
    "screen": _viewed("screen_viewed"),
    "group": _group,
    "alias": _alias,
}

CALLS: Final = frozenset(_READERS)
"""Types of call; each is also a path."""
