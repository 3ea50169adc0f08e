"""Bodies as Meta posts them."""

from typing import Any

from chassis.ids import fresh_id


def webhook(*values: dict[str, Any], field: str = "messages", waba: str = "1020") -> dict[str, Any]:
    """A webhook of one entry with a change for each value."""
    changes = [{"field": field, "value": value} for value in values]
    return {"object": "whatsapp_business_account", "entry": [{"id": waba, "changes": changes}]}


def value(phone: str = "106540352242922", **parts: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "15550783881", "phone_number_id": phone}
    return {"messaging_product": "whatsapp", "metadata": metadata, **parts}


def message(wamid: str = "", **more: Any) -> dict[str, Any]:
    return {
        "from": "447700900123",
        "id": wamid or fresh_id("wamid"),
        "timestamp": "1750101000",
        "type": "text",
        "text": {"body": "merhaba"},
    } | more


def status(wamid: str = "", state: str = "delivered", **more: Any) -> dict[str, Any]:
    return {
        "id": wamid or fresh_id("wamid"),
        "status": state,
        "timestamp": "1750101000",
        "recipient_id": "447700900123",
    } | more
