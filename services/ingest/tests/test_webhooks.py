"""Meta's door: what is answered 200 is on the log, and nothing else is."""

import asyncio
import json
import secrets
import shutil
from pathlib import Path

import pytest

from chassis import embedded
from chassis.failures import Misconfigured
from chassis.ids import fresh_id
from chassis.settings import LogSettings
from chassis.streams import EventLog, event_log
from chassis.testing import wait_until
from merhaba.event.v1.event_pb2 import Identity
from merhaba.ingest.v1 import ingest_admin_service_pb2 as admin
from merhaba.ingest.v1.dead_letter_pb2 import DeadLetterFilter
from merhaba.ingest.v1.webhook_pb2 import Webhook, WebhookFilter
from services.ingest.app import main
from services.ingest.intake import Intake
from services.ingest.tests.bodies import message, status, value, webhook
from services.ingest.tests.conftest import OLD_SECRET, Front, opened


async def test_a_webhook_answered_200_is_on_the_log(front: Front) -> None:
    body = webhook(value(messages=[message("wamid.1")], statuses=[status("wamid.2")]))
    response = await front.post(body)
    assert response.status == 200
    assert "aiohttp" not in response.headers["Server"]
    assert [e.event_id for e in await front.events("inbound.message")] == ["wamid.1"]
    assert [e.event_id for e in await front.events("inbound.status")] == ["wamid.2/delivered"]
    assert len(await front.records("raw")) == 1


async def test_a_secret_that_is_being_rotated_still_holds(front: Front) -> None:
    body = webhook(value(statuses=[status()]))
    assert (await front.post(body, OLD_SECRET)).status == 200


async def test_a_wrong_or_missing_signature_leaves_nothing(front: Front) -> None:
    body = json.dumps(webhook(value(messages=[message()]))).encode()
    assert (await front.post(body, "another secret")).status == 401
    url = f"{front.url}/webhooks/whatsapp"
    assert (await front.session.post(url, data=body)).status == 401
    for topic in ("inbound.message", "raw", "raw.retry"):
        assert await front.records(topic) == []


class Counted:
    """Remembers what was counted."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def add(self, amount: int, attributes: dict[str, str]) -> None:
        self.outcomes += [attributes["merhaba.outcome"]] * amount


async def test_every_outcome_is_counted(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    monkeypatch.setattr("services.ingest.app.Tally", lambda *_: counted)
    async with opened(environment, log) as front:
        await front.post(webhook(value(messages=[message()])), "another secret")
        await front.post(b"{")
        await front.post(webhook({}, field="a_new_field"))
        await front.post(webhook(value(messages=[message(), {}])))
    assert sorted(counted.outcomes) == [
        *("accepted", "accepted", "broken", "item_refused", "item_unrecognised"),
        "wrong_signature",
    ]


async def test_broken_json_is_refused_and_archived(front: Front) -> None:
    body = b'{"object": "whatsapp_business_account", ' + fresh_id("broken").encode()
    assert (await front.post(body)).status == 400
    listing = admin.ListWebhooksRequest(filter=WebhookFilter(states=[Webhook.STATE_BROKEN]))
    found: list[admin.GetWebhookResponse] = []

    async def archived() -> bool:
        for one in (await front.admin.ListWebhooks(listing)).webhooks:
            request = admin.GetWebhookRequest(webhook_id=one.webhook_id)
            got = await front.admin.GetWebhook(request)
            if got.body == body:
                found.append(got)
        return bool(found)

    await wait_until(archived)
    assert found[0].webhook.reason == "not JSON"
    assert found[0].webhook.size_bytes == len(body)
    assert await front.records("inbound.message") == []


def new_number() -> str:
    """A number that no other test has, of a country that there is not."""
    return f"999{secrets.randbelow(10**10):010d}"


async def archived_of(front: Front, person: str) -> Webhook:
    """The newest webhook that tells of a person, once it is there."""
    chosen = WebhookFilter(states=[Webhook.STATE_NORMALISED])
    chosen.identities.add(kind=Identity.KIND_WA_ID, value=person)
    found: list[Webhook] = []

    async def there() -> bool:
        response = await front.admin.ListWebhooks(admin.ListWebhooksRequest(filter=chosen))
        found[:] = response.webhooks
        return bool(found)

    await wait_until(there)
    return found[0]


async def test_the_archive_is_found_by_who_is_inside_and_gives_back_every_byte(
    front: Front,
) -> None:
    person = new_number()
    body = json.dumps(webhook(value(messages=[message("wamid.9") | {"from": person}]))).encode()
    assert (await front.post(body)).status == 200
    archived = await archived_of(front, person)
    assert archived.app == "shop"
    assert (list(archived.fields), list(archived.waba_ids)) == (["messages"], ["1020"])
    assert list(archived.phone_number_ids) == ["106540352242922"]
    found = await front.admin.GetWebhook(admin.GetWebhookRequest(webhook_id=archived.webhook_id))
    assert found.body == body
    assert list(found.event_ids) == ["wamid.9"]


async def test_a_replay_changes_nothing_that_was_right(front: Front) -> None:
    person = new_number()
    said = [message(f"wamid.{n}") | {"from": person} for n in range(3)]
    for one in said:
        await front.post(webhook(value(messages=[one])))

    chosen = WebhookFilter()
    chosen.identities.add(kind=Identity.KIND_WA_ID, value=person)
    request = admin.ReplayWebhooksRequest(filter=chosen)
    request.start_time.FromSeconds(1_700_000_000)
    request.end_time.FromSeconds(4_000_000_000)

    async def archived() -> bool:
        listed = await front.admin.ListWebhooks(admin.ListWebhooksRequest(filter=chosen))
        return len(listed.webhooks) == 3

    await wait_until(archived)
    *_, last = [response async for response in front.admin.ReplayWebhooks(request)]
    assert (last.replayed_count, last.total_count, last.event_count) == (3, 3, 3)
    events = await front.events("inbound.message")
    assert len(events) == 6
    assert len({e.event_id for e in events}) == 3
    assert len({e.received_time.ToNanoseconds() for e in events}) <= 3


async def test_webhooks_are_listed_page_by_page_newest_first(front: Front) -> None:
    for n in range(3):
        await front.post(webhook(value(messages=[message(f"wamid.{n}")]), waba=front_waba(front)))
    request = admin.ListWebhooksRequest(page_size=2)
    request.filter.waba_ids.append(front_waba(front))

    async def archived() -> bool:
        return len((await front.admin.ListWebhooks(request)).webhooks) == 2

    await wait_until(archived)

    async def third() -> bool:
        first = await front.admin.ListWebhooks(request)
        return bool(first.next_page_token)

    await wait_until(third)
    first = await front.admin.ListWebhooks(request)
    request.page_token = first.next_page_token
    second = await front.admin.ListWebhooks(request)
    ids = [one.webhook_id for one in (*first.webhooks, *second.webhooks)]
    assert len(ids) == 3
    assert ids == sorted(ids, reverse=True)
    assert not second.next_page_token


def front_waba(front: Front) -> str:
    return f"waba of {front.log.settings.log_namespace}"


async def test_one_bad_item_is_a_dead_letter_that_can_be_redriven(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"id": "wamid.7", "from": "447700900123", "timestamp": "1750101000"}
    response = await front.post(webhook(value(messages=[message("wamid.6"), bad])))
    assert response.status == 200
    assert [e.event_id for e in await front.events("inbound.message")] == ["wamid.6"]
    wanted = DeadLetterFilter(group="ingest")

    async def given_up() -> bool:
        listed = await front.admin.ListDeadLetters(admin.ListDeadLettersRequest(filter=wanted))
        return len(listed.dead_letters) == 1

    await wait_until(given_up)
    listed = await front.admin.ListDeadLetters(admin.ListDeadLettersRequest(filter=wanted))
    (letter,) = listed.dead_letters
    assert (letter.topic, letter.reason) == ("raw.retry", "FIELD_INVALID")
    assert letter.detail == "type: is missing"
    got = await front.admin.GetDeadLetter(
        admin.GetDeadLetterRequest(dead_letter_id=letter.dead_letter_id)
    )
    assert b"wamid.7" in got.dead_letter.undecodable

    # A later version understands messages without a type.
    again = Intake.again

    async def wiser(self: Intake, posted: list) -> int:
        fixed = [
            type(one)(
                one.door,
                one.source,
                one.received_ms,
                one.body.replace(b'"id":"wamid.7"', b'"id":"wamid.7","type":"request_welcome"'),
            )
            for one in posted
        ]
        return await again(self, fixed)

    monkeypatch.setattr(Intake, "again", wiser)
    request = admin.RedriveDeadLettersRequest(dead_letter_ids=[letter.dead_letter_id])
    assert (await front.admin.RedriveDeadLetters(request)).redriven_count == 1

    async def redriven() -> bool:
        return {e.event_id for e in await front.events("inbound.message")} == {"wamid.6", "wamid.7"}

    await wait_until(redriven)
    assert not await given_up()


async def test_metas_handshake_gives_the_challenge_to_who_knows_the_token(front: Front) -> None:
    url = f"{front.url}/webhooks/whatsapp"
    query = {
        "hub.mode": "subscribe",
        "hub.challenge": "1158201444",
        "hub.verify_token": "verify me",
    }
    async with front.session.get(url, params=query) as response:
        assert (response.status, await response.text()) == (200, "1158201444")
        assert response.content_type == "text/plain"
    for wrong in ({"hub.verify_token": "guess"}, {"hub.mode": "x"}, {"hub.challenge": "<b>"}):
        async with front.session.get(url, params=query | wrong) as response:
            assert response.status in (400, 403)


async def test_bodies_are_bounded_and_taken_as_they_are(front: Front) -> None:
    assert (await front.post(b"x" * (3 * 1024 * 1024 + 1))).status == 413
    assert (await front.post(b"{}", **{"Content-Encoding": "gzip"})).status == 415
    full = webhook(value(statuses=[status(f"wamid.{n}") for n in range(1_000)]))
    assert (await front.post(full)).status == 200
    assert len(await front.events("inbound.status")) == 1_000


async def test_a_body_that_does_not_come_is_not_waited_for(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_BODY_S", "0.05")
    async with opened(environment, log):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(environment["HTTP_PORT"]))
        writer.write(b"POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_without_the_log_nothing_is_answered_200(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = embedded.run_folder()
    redis = embedded.start_redis(tmp_path, sockets, maxmemory="64mb")
    monkeypatch.setenv("REDIS_URL", redis.url)
    settings = LogSettings(
        redis_url=redis.url, log_namespace=environment["LOG_NAMESPACE"], log_linger_ms=1
    )
    try:
        async with event_log(settings) as log, opened(environment, log) as front:
            assert (await front.post(webhook(value(messages=[message()])))).status == 200
            redis.stop()
            statuses = set()
            for _ in range(5):
                response = await front.post(webhook(value(messages=[message()])))
                statuses.add(response.status)
                assert int(response.headers["Retry-After"]) > 0
            assert statuses == {503}
            again = embedded.start_redis(tmp_path, sockets, maxmemory="64mb")
            redis = again

            async def back() -> bool:
                return (await front.post(webhook(value(messages=[message("w")])))).status == 200

            await wait_until(back)
            assert "w" in {e.event_id for e in await front.events("inbound.message")}
    finally:
        redis.stop()
        shutil.rmtree(sockets)


async def test_a_full_log_closes_the_door_before_it_fails(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_LIMIT", "0.000001")
    async with opened(environment, log) as front:

        async def closed() -> bool:
            return (await front.post(webhook(value(messages=[message()])))).status == 503

        await wait_until(closed)
        lag = await front.admin.GetLag(admin.GetLagRequest())
        assert (lag.admission.accepting, lag.admission.reason) == (False, "memory")


async def test_a_taken_port_and_a_missing_setting_are_named(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(environment, log):
        with pytest.raises(ExceptionGroup) as taken:
            await main(asyncio.Event())
    (error,) = taken.value.exceptions
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, Misconfigured)
    assert f"HTTP_PORT: 127.0.0.1:{environment['HTTP_PORT']} is taken" in str(error)
    monkeypatch.delenv("APP_SECRETS")
    with pytest.raises(Misconfigured, match="APP_SECRETS: not set"):
        await main(asyncio.Event())


async def test_lag_is_told_for_every_group(front: Front) -> None:
    await front.log.ensure_group("profile", ["inbound.message"])
    await front.post(webhook(value(messages=[message()])))
    request = admin.GetLagRequest(groups=["profile"])
    (group,) = (await front.admin.GetLag(request)).groups
    assert (group.topic, group.group) == ("inbound.message", "profile")
    assert group.oldest_duration.ToMilliseconds() > 0
