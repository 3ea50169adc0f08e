"""The tables of docs/webhooks.md, told by the code that reads webhooks.

`python -m services.ingest.tests.webhooks_page` writes them anew.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from chassis.failures import FieldInvalid
from services.ingest import payload
from services.ingest.model import Occurrence
from services.ingest.tests.bodies import message, status, value, webhook

PAGE: Final = Path(__file__).parents[3] / "docs" / "webhooks.md"
FIXTURES: Final = Path(__file__).parent / "fixtures"
_RECEIVED_MS: Final = 1_763_000_000_000
_BEGIN: Final = "<!-- {}: written by the command above -->"
_END: Final = "<!-- end -->"
_HASHED: Final = re.compile(r"([a-z]+)_[a-z2-7]{26}")
_WAMID: Final = "<wamid>"
_PERSON: Final = "447700900123"


class Sample(NamedTuple):
    """The smallest item of a kind."""

    field: str
    part: str
    """Name of the list it stands in; empty for a value without lists."""
    kind: str
    """What tells it from others of its list: its type or state; empty where there is one kind."""
    item: dict[str, Any]

    def body(self) -> bytes:
        inside = value() | {self.part: [self.item]} if self.part else self.item
        return orjson.dumps(webhook(inside, field=self.field))


_CONTENTS: Final[dict[str, Any]] = {
    "text": {"body": "merhaba"},
    "location": {"latitude": 41, "longitude": 29},
    "contacts": [{}],
    "reaction": {"message_id": _WAMID, "emoji": "👍"},
    "order": {"product_items": []},
    "revoke": {"original_message_id": "<wamid of the other>"},
    "edit": {
        "original_message_id": "<wamid of the other>",
        "message": {"type": "text", "text": {"body": "merhaba"}},
    },
}
_BARE: Final = frozenset(
    {"unsupported", "unknown", "ephemeral", "request_welcome", "media_placeholder", "errors"}
)
_TYPES: Final = (
    *("text", "image", "video", "audio", "voice", "document", "sticker", "location", "contacts"),
    *("button", "interactive", "order", "reaction", "system", "edit", "revoke", "unsupported"),
    *("unknown", "ephemeral", "request_welcome", "media_placeholder", "errors"),
)
_ANSWERS: Final = (
    *("button_reply", "list_reply", "nfm_reply", "call_permission_reply", "payment_method"),
)
_TEMPLATE: Final = {"message_template_id": 1, "message_template_name": "n"}
_NUMBER: Final = {"display_phone_number": "15550783881"}
_ACCOUNT: Final[dict[str, dict[str, Any]]] = {
    "message_template_status_update": _TEMPLATE | {"event": "APPROVED"},
    "message_template_quality_update": _TEMPLATE | {"new_quality_score": "GREEN"},
    "template_category_update": _TEMPLATE | {"new_category": "UTILITY"},
    "message_template_components_update": _TEMPLATE,
    "phone_number_quality_update": _NUMBER | {"event": "UPGRADE"},
    "phone_number_name_update": _NUMBER | {"decision": "APPROVED"},
    "business_username_updates": _NUMBER | {"status": "approved"},
    "business_capability_update": {"max_phone_numbers_per_business": 25},
    "flows": {"flow_id": "1", "event": "FLOW_STATUS_CHANGE"},
    "account_update": {"event": "ACCOUNT_RESTRICTION"},
    "account_alerts": {"alert_type": "x"},
    "account_review_update": {"decision": "APPROVED"},
    "account_settings_update": {"type": "x"},
    "automatic_events": {"event": "x"},
    "partner_solutions": {"event": "SOLUTION_CREATED"},
    "payment_configuration_update": {"status": "x"},
    "security": {"event": "PIN_CHANGED"},
    "template_correct_category_detection": {"correct_category": "UTILITY"},
}


def samples() -> Iterator[Sample]:
    """One of every kind that the code knows, and one that it does not."""
    yield from _messages()
    for state in ("sent", "delivered", "read", "played", "failed"):
        yield Sample("messages", "statuses", state, status(_WAMID, state))
    payment = status(_WAMID, "captured", type="payment")
    yield Sample("messages", "statuses", "of a payment: captured", payment)
    group = {"recipient_type": "group", "recipient_id": "<group>"}
    member = group | {"recipient_participant_id": "<phone of the member>"}
    yield Sample("messages", "statuses", "in a group: read", status(_WAMID, "read", **member))
    click = {"action_type": "x", "marketing_messages_link_click_data": {"click_id": "1"}}
    yield Sample("messages", "user_actions", "", click)
    for field in ("messages", "calls"):
        yield Sample(field, "errors", "", {"code": 1})
    call = {"id": "<call>", "from": _PERSON, "event": "connect"}
    yield Sample("calls", "calls", "connect", call)
    yield Sample("calls", "statuses", "ringing", {"id": "<call>", "status": "RINGING"})
    said = message(_WAMID)
    thread = {"id": _PERSON, "messages": [said]}
    yield Sample("history", "history", "a message", {"threads": [thread]})
    yield Sample("history", "history", "errors", {"errors": [{"code": 1}]})
    yield Sample("history", "messages", "an attachment", said)
    yield Sample("history", "message_echoes", "", said | {"to": _PERSON})
    yield Sample("smb_message_echoes", "message_echoes", "", said | {"to": _PERSON})
    synced = {"action": "add", "contact": {"phone_number": _PERSON}}
    yield Sample("smb_app_state_sync", "state_sync", "", synced)
    preference = {"wa_id": _PERSON, "category": "marketing_messages", "value": "stop"}
    yield Sample("user_preferences", "user_preferences", "", preference)
    ids = {"wa_id": _PERSON, "user_id": {"previous": "a", "current": "b"}}
    yield Sample("user_id_update", "user_id_update", "", ids)
    yield Sample("automatic_events", "automatic_events", "", {"event_name": "LeadSubmitted"})
    for field, parts in payload.PARTS.items():
        if "groups" in parts:
            yield Sample(field, "groups", "", {"group_id": "1", "type": "x"})
    handover = {"type": "x", "sender": {"phone_number": _PERSON}}
    yield Sample("messaging_handovers", "", "", handover)
    for field, inside in sorted(_ACCOUNT.items()):
        yield Sample(field, "", "", inside)
    yield Sample("any other", "", "", {})


def _messages() -> Iterator[Sample]:
    for kind in _TYPES:
        if kind == "interactive":
            for answer in _ANSWERS:
                inside: dict[str, Any] = {"type": answer, answer: {}}
                said = message(_WAMID, type=kind, interactive=inside)
                yield Sample("messages", "messages", f"{kind}: {answer}", said)
            continue
        content = {} if kind in _BARE else {kind: _CONTENTS.get(kind, {})}
        yield Sample("messages", "messages", kind, message(_WAMID, type=kind, **content))
    yield Sample("messages", "messages", "any other", message(_WAMID, type="any other"))


def read(body: bytes) -> list[Occurrence | FieldInvalid]:
    """What each item of a webhook becomes, or why nothing."""
    found: list[Occurrence | FieldInvalid] = []
    for item in payload.items(payload.webhook(body), _RECEIVED_MS):
        try:
            found.append(payload.read(item))
        except FieldInvalid as failure:
            found.append(failure)
    return found


def kinds() -> str:
    """The table of every kind of item."""
    heading = "| field | in | kind | event | content | lane | event id |"
    lines = [heading, "|---|---|---|---|---|---|---|"]
    for sample in samples():
        (one,) = read(sample.body())
        assert isinstance(one, Occurrence), (sample, one)
        event = f"`{one.name}`" + (", counted as unrecognised" if one.unrecognised else "")
        said = [key for key in one.body.get("content", ()) if key not in ("kind", "errors")]
        content = ", ".join(f"`{key}`" for key in said)
        place = f"`{sample.part}[]`" if sample.part else "its value"
        field = sample.field if sample.field == "any other" else f"`{sample.field}`"
        lines.append(
            f"| {field} | {place} | {sample.kind} | {event} | {content}"
            f" | `{one.topic}` | {_id(one.event_id)} |"
        )
    return "\n".join(lines)


def _id(event_id: str) -> str:
    hashed = _HASHED.fullmatch(event_id)
    return f"`{hashed.group(1)}_` and a hash" if hashed else f"`{event_id}`"


def payloads() -> str:
    """The table of payloads as Meta posts them."""
    lines = ["| payload | becomes |", "|---|---|"]
    for file in sorted(FIXTURES.glob("*.json")):
        try:
            found = read(file.read_bytes())
        except payload.Unreadable as error:
            told = f"400: {error}"
        else:
            counts = Counter(map(_outcome, found))
            told = ", ".join(f"{n} × {what}" for what, n in sorted(counts.items()))
        lines.append(f"| `{file.stem}` | {told} |")
    return "\n".join(lines)


def _outcome(one: Occurrence | FieldInvalid) -> str:
    if isinstance(one, FieldInvalid):
        return f"a dead letter ({one.message})"
    return f"`{one.name}` on `{one.topic}`"


def renewed(page: str) -> str:
    """The page with its tables as they are now."""
    for name, table in (("kinds", kinds()), ("payloads", payloads())):
        before, begin, rest = page.partition(_BEGIN.format(name))
        _, end, after = rest.partition(_END)
        assert begin and end, f"{PAGE} has no place for its table of {name}"
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
