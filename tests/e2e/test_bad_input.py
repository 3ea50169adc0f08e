"""Bad input gets a clear error, costs nobody else anything, and nothing is lost."""

import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

import grpc

from chassis.testing import wait_until
from cli.doors import text_message
from merhaba.event.v1 import Identity
from merhaba.ingest.v1 import (
    DeadLetterFilter,
    GetWebhookRequest,
    ListDeadLettersRequest,
    ListWebhooksRequest,
    Webhook,
    WebhookFilter,
)
from merhaba.profile.v1 import ResolveContactRequest
from tests.e2e.command import merhaba
from tests.e2e.people import phones

NUMBER, WABA = "106540352242922", "100200300400500"


def message(phone: str) -> dict:
    return text_message(
        f"wamid.{secrets.token_hex(8)}", phone, NUMBER, WABA, "Merhaba", datetime.now(UTC)
    )


async def known(services, phone: str) -> bool:
    try:
        await services.profile.ResolveContact(
            ResolveContactRequest(identities=[Identity(kind=Identity.KIND_WA_ID, value=phone)])
        )
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return False
    return True


async def test_a_wrong_signature_is_refused_and_leaves_no_trace(session, addresses, services):
    (phone,) = phones(1)
    async with session.post(
        addresses.webhook_url,
        data=json.dumps(message(phone)),
        headers={"X-Hub-Signature-256": "sha256=" + "0" * 64, "Content-Type": "application/json"},
    ) as response:
        assert response.status == 401


async def test_broken_json_is_refused_and_archived(session, addresses, services):
    body = b'{"object": "whatsapp_business_account", ' + secrets.token_hex(8).encode()
    signature = hmac.new(addresses.app_secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
    async with session.post(addresses.webhook_url, data=body, headers=headers) as response:
        assert response.status == 400

    async def archived() -> bool:
        found = await services.ingest.ListWebhooks(
            ListWebhooksRequest(page_size=100, filter=WebhookFilter(states=[Webhook.STATE_BROKEN]))
        )
        kept = [
            await services.ingest.GetWebhook(GetWebhookRequest(webhook_id=webhook.webhook_id))
            for webhook in found.webhooks
        ]
        return any(one.body == body for one in kept)

    await wait_until(archived, timeout_s=60)


async def test_one_bad_item_of_a_webhook_is_dead_lettered_alone(doors, services):
    good, other = phones(2)
    body = message(good)
    value = body["entry"][0]["changes"][0]["value"]
    value["messages"].insert(0, {"type": "text", "text": {"body": "who am I, and when?"}})
    value["messages"].append(message(other)["entry"][0]["changes"][0]["value"]["messages"][0])
    listing = ListDeadLettersRequest(page_size=100, filter=DeadLetterFilter(group="ingest"))
    before = len((await services.ingest.ListDeadLetters(listing)).dead_letters)
    await doors.webhook(body)
    await wait_until(lambda: known(services, good), timeout_s=60)
    await wait_until(lambda: known(services, other), timeout_s=60)
    after = (await services.ingest.ListDeadLetters(listing)).dead_letters
    assert len(after) == before + 1
    assert after[0].reason


async def test_a_second_stack_on_the_same_folder_is_refused(addresses, data_folder):
    refused = merhaba("up", "--json", data=data_folder)
    assert refused.returncode == 2
    assert "a stack is running" in refused.stderr
    assert "merhaba down" in refused.stderr


def test_a_port_that_is_taken_is_named(addresses, tmp_path: Path):
    taken = addresses.tracking_url.rsplit(":", 1)[1]
    refused = merhaba(
        "up",
        "--json",
        data=tmp_path,
        MERHABA_INGEST_PORT=taken,
        DATABASE_URL=addresses.database_url,
        REDIS_URL=addresses.redis_url,
    )
    assert refused.returncode == 2
    assert f"HTTP_PORT: 127.0.0.1:{taken} is taken" in refused.stderr
