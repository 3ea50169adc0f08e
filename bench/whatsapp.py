"""Bodies of WhatsApp webhooks, as a load posts them."""

import time
from collections.abc import Sequence
from typing import Any

from cli.play.definitions import NUMBER, WABA


def status(wamid: str, wa_id: str, message_id: str, what: str) -> dict[str, Any]:
    """One status of a message of ours, now."""
    found: dict[str, Any] = {
        "id": wamid,
        "status": what,
        "timestamp": str(int(time.time())),
        "recipient_id": wa_id,
        "biz_opaque_callback_data": message_id,
    }
    if what != "read":
        found["pricing"] = {
            "billable": True,
            "pricing_model": "PMP",
            "type": "regular",
            "category": "utility",
        }
    return found


def webhook(statuses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The envelope around statuses."""
    return {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": WABA,
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {
                                "display_phone_number": NUMBER,
                                "phone_number_id": NUMBER,
                            },
                            "contacts": [
                                {"profile": {"name": "A person"}, "wa_id": wa_id}
                                for wa_id in dict.fromkeys(s["recipient_id"] for s in statuses)
                            ],
                            "statuses": list(statuses),
                        },
                    }
                ],
            }
        ],
    }
