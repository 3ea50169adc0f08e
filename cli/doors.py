"""The public doors, used as their owners do: Meta's signed webhooks and a tracking SDK's calls."""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import aiohttp
import orjson

from chassis.failures import Unavailable
from cli.stack import Addresses

_TRIES: Final = 60
_NOT_NOW: Final = (429, 500, 502, 503)


class Doors:
    """Posts events until they are accepted, as senders on the internet do."""

    def __init__(self, session: aiohttp.ClientSession, addresses: Addresses) -> None:
        self._session = session
        self._addresses = addresses

    async def track(self, items: Sequence[dict[str, Any]]) -> None:
        """Post items of the tracking API (Segment's spec), as one batch."""
        url = f"{self._addresses.tracking_url}/v1/batch"
        authorization = aiohttp.encode_basic_auth(self._addresses.write_key, "")
        await self._post(
            url, orjson.dumps({"batch": list(items)}), {"Authorization": authorization}
        )

    async def webhook(self, body: dict[str, Any]) -> None:
        """Post a WhatsApp webhook, signed as Meta signs it."""
        raw = orjson.dumps(body)
        signature = hmac.new(self._addresses.app_secret.encode(), raw, hashlib.sha256).hexdigest()
        await self._post(
            self._addresses.webhook_url, raw, {"X-Hub-Signature-256": f"sha256={signature}"}
        )

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        headers = {"Content-Type": "application/json", **headers}
        answer = ""
        for _ in range(_TRIES):
            wait = 0.5
            try:
                async with self._session.post(url, data=body, headers=headers) as response:
                    if response.status == 200:
                        return
                    answer = f"{response.status} {await response.text()}"
                    if response.status not in _NOT_NOW:
                        break
                    wait = float(response.headers.get("Retry-After", wait))
            except (aiohttp.ClientError, TimeoutError) as error:
                answer = type(error).__name__
            await asyncio.sleep(wait)
        raise Unavailable(f"{url} does not take it: {answer}")


def text_message(
    wamid: str, wa_id: str, phone_number_id: str, waba_id: str, text: str, time: datetime
) -> dict[str, Any]:
    """The webhook of a text message from a person."""
    return {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": waba_id,
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {
                                "display_phone_number": phone_number_id,
                                "phone_number_id": phone_number_id,
                            },
                            "contacts": [{"wa_id": wa_id, "profile": {}}],
                            "messages": [
                                {
                                    "from": wa_id,
                                    "id": wamid,
                                    "timestamp": str(int(time.timestamp())),
                                    "type": "text",
                                    "text": {"body": text},
                                }
                            ],
                        },
                    }
                ],
            }
        ],
    }
