"""People, numbers and orders that no other test knows."""

import itertools
import secrets
from datetime import UTC, datetime
from typing import Any

_serial = itertools.count(secrets.randbelow(50_000_000))


def phones(count: int) -> list[str]:
    """Well-formed numbers, digits only, each given out once."""
    return [f"4477{next(_serial):08d}" for _ in range(count)]


def introduction(phone: str, consents: bool = True) -> list[dict[str, Any]]:
    """Tracking items that make a contact of a phone, agreeing to marketing or not."""
    now = datetime.now(UTC).isoformat()
    items: list[dict[str, Any]] = [
        {
            "type": "identify",
            "messageId": f"i:{phone}",
            "userId": phone,
            "timestamp": now,
            "traits": {"phone": f"+{phone}", "country": "GB"},
        }
    ]
    if consents:
        items.append(
            {
                "type": "track",
                "messageId": f"c:{phone}",
                "userId": phone,
                "timestamp": now,
                "event": "Consent Granted",
                "properties": {
                    "purpose": "marketing",
                    "text_version": "test-1",
                    "channel": "web_form",
                    "proof": phone,
                },
            }
        )
    return items


def order(phone: str, number: str, total: float) -> dict[str, Any]:
    """A completed order, now."""
    return {
        "type": "track",
        "messageId": f"o:{number}",
        "userId": phone,
        "timestamp": datetime.now(UTC).isoformat(),
        "event": "Order Completed",
        "properties": {
            "order_id": number,
            "total": total,
            "currency": "GBP",
            "products": [{"sku": "1", "name": "Lantern", "price": total, "quantity": 1}],
        },
    }
