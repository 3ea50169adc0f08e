"""Messages and files as they are posted to Meta. Pure."""

from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import msgspec

from services.sender.model import Address, Message

MARKETING: Final = "marketing_messages"
"""The endpoint for marketing templates, of numbers that have one."""
ORDINARY: Final = "ordinary_endpoint"
"""In a message's body, for us alone: it goes over `messages` whatever its number has."""
_MARKETING: Final = "marketing"
_OPTIONS: Final = ("product_policy", "message_activity_sharing", ORDINARY)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Posted(NamedTuple):
    """What goes where."""

    endpoint: str
    """`messages` or `marketing_messages`."""
    body: dict[str, Any]


class Upload(NamedTuple):
    """A file as it goes there."""

    mime_type: str
    size_bytes: int
    parts: AsyncIterator[bytes]


def posted(message: Message, address: Address, *, marketing_endpoint: bool = False) -> Posted:
    """What is posted for a message. `marketing_endpoint`: the number has one, and it is used for
    marketing templates."""
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **({"to": f"+{address.wa_id}"} if address.wa_id else {"recipient": address.bsuid}),
        **_decode(message.body),
        "biz_opaque_callback_data": message.message_id,
    }
    if message.context_wamid:
        body["context"] = {"message_id": message.context_wamid}
    offered = marketing_endpoint and not body.pop(ORDINARY, False)
    if offered and message.template and message.category == _MARKETING:
        return Posted(MARKETING, body)
    for option in _OPTIONS:
        body.pop(option, None)
    return Posted("messages", body)
