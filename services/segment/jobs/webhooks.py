"""Calls of webhooks: signed, over TLS, and never to an address inside our own network."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson

from chassis.addresses import OutboundRefused
from chassis.outbound import Outbound, outbound
from chassis.webhooks import SIGNATURE, signature
from services.segment.engine.actions import Answer, Deed, WebhookAction

OCCURRENCE: Final = "Merhaba-Occurrence-Id"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=5)
_CONNECTIONS: Final = 200


class Webhooks:
    """Posts what is to be done to whoever does it."""

    def __init__(self, calls: Outbound, secrets: Mapping[str, str]) -> None:
        """`secrets`: what calls are signed with, by name."""
        self._calls = calls
        self._secrets = secrets

    async def call(self, deed: Deed, now: int) -> Answer:
        """Call once; any answer but 2xx is none."""
        action = deed.action
        assert isinstance(action, WebhookAction)
        secret = self._secrets.get(action.secret_name)
        if secret is None:
            return Answer(False, f"no secret is named {action.secret_name} in WEBHOOK_SECRETS")
        body = body_of(deed)
        headers = {
            "Content-Type": "application/json",
            OCCURRENCE: deed.deed_id,
            SIGNATURE: signature(secret, now // 1000, body),
        }
        try:
            async with self._calls.request(
                "POST", action.url, data=body, headers=headers
            ) as response:
                return Answer(200 <= response.status < 300, f"it answered {response.status}")
        except OutboundRefused as refused:
            return Answer(False, f"not called: {refused}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Of an address only what kind of failure it was, as it may be personal.
            return Answer(False, f"no answer: {_kind(error)}")


@asynccontextmanager
async def webhooks(secrets: Mapping[str, str], inside: bool) -> AsyncIterator[Webhooks]:
    """`inside`: calls may go to addresses inside our network, and without TLS."""
    async with outbound(_TIMEOUT, _CONNECTIONS, inside=inside) as calls:
        yield Webhooks(calls, secrets)


def body_of(deed: Deed) -> bytes:
    """What is posted; the same whenever it is posted again."""
    told: dict[str, Any] = {
        "occurrence_id": deed.deed_id,
        "contact_id": deed.contact_id,
        **deed.about,
        "due_time": deed.due_time,
        "parameters": deed.parameters,
    }
    return orjson.dumps(told, default=str)


def _kind(error: BaseException) -> str:
    return "time-out" if isinstance(error, TimeoutError) else type(error).__name__
