"""Write keys: made, limited and ended while the front door runs."""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.app import tasks
from chassis.clock import ManualClock
from chassis.ids import fresh_id
from chassis.postgres import Pool, database
from chassis.streams import EventLog
from chassis.testing import wait_until
from merhaba.ingest.v1 import ingest_admin_service_pb2 as pb
from merhaba.ingest.v1.write_key_pb2 import WriteKey as WireKey
from services.ingest.tests.conftest import Front, free_port, opened, refused
from services.ingest.write_key_store import WriteKeyStore
from services.ingest.write_keys import Keyring, Opened, WriteKey, hash_of

SECOND = timedelta(seconds=1)
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "ingest", 2) as found:
        yield found


def name() -> str:
    return fresh_id("key").replace("_", "-")


async def made(front: Front, **more: Any) -> pb.CreateWriteKeyResponse:
    key = WireKey(**{"name": name()} | more)
    request = pb.CreateWriteKeyRequest(request_id=str(uuid4()), write_key=key)
    return await front.admin.CreateWriteKey(request)


async def opens(front: Front, secret: str, status: int = 200) -> None:
    async def so() -> bool:
        return (await front.track(1, secret))[0] == status

    await wait_until(so, timeout_s=10)


async def test_a_key_is_in_force_on_every_replica_within_ten_seconds_as_is_its_end(
    environment: dict[str, str], log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(environment, log) as one:
        ports = {"HTTP_PORT": str(free_port()), "GRPC_PORT": str(free_port())}
        for setting, value in ports.items():
            monkeypatch.setenv(setting, value)
        async with opened(environment | ports, log) as other:
            answer = await made(one, max_events_per_second=1)
            key, secret = answer.write_key, answer.secret
            for front in (one, other):
                await opens(front, secret)
            assert {event.source for event in await one.events("inbound.track")} == {
                f"track:{key.name}"
            }
            assert (await other.track(50, secret))[:2] == (429, "rate_limited")
            assert (await other.track(50))[0] == 200  # a key of the settings goes on beside it
            ended = await one.admin.RevokeWriteKey(
                pb.RevokeWriteKeyRequest(write_key_id=key.write_key_id)
            )
            assert ended.write_key.state == WireKey.STATE_REVOKED
            for front in (one, other):
                await opens(front, secret, 401)


async def test_the_secret_is_shown_once_and_kept_as_a_hash_only(front: Front, pool: Pool) -> None:
    wanted = WireKey(name=name(), max_events_per_second=7, etag="x", secret_prefix="y")
    request = pb.CreateWriteKeyRequest(request_id=str(uuid4()), write_key=wanted)
    first = await front.admin.CreateWriteKey(request)
    key = first.write_key
    assert first.secret.startswith(key.secret_prefix)
    assert len(key.secret_prefix) == 8
    assert len(first.secret) >= 32
    assert (key.name, key.source, key.max_events_per_second) == (wanted.name, wanted.name, 7)
    assert key.state == WireKey.STATE_ACTIVE
    again = await front.admin.CreateWriteKey(request)
    assert (again.write_key, again.secret) == (key, "")
    for table in ("write_keys", "requests"):
        rows = await pool.fetch(f"SELECT {table}::text AS row FROM {table}")
        held = "".join(row["row"] for row in rows)
        assert first.secret not in held
        assert first.secret.encode().hex() not in held


async def test_a_repeat_finds_its_key_though_a_crash_took_the_answer(
    front: Front, pool: Pool
) -> None:
    key = WireKey(name=name())
    request = pb.CreateWriteKeyRequest(request_id=str(uuid4()), write_key=key)
    first = await front.admin.CreateWriteKey(request)
    await pool.execute("DELETE FROM requests WHERE request_id = $1", request.request_id)
    again = await front.admin.CreateWriteKey(request)
    assert (again.write_key, again.secret) == (first.write_key, "")


async def test_another_key_of_the_same_source_takes_its_place(front: Front) -> None:
    old = (await made(front)).write_key
    new = await made(front, source=old.name)
    await opens(front, new.secret)
    (event,) = await front.events("inbound.track")
    assert event.source == f"track:{old.name}"
    assert event.identities[0].scope == old.name


async def test_keys_that_cannot_be_made_say_why(front: Front) -> None:
    taken = (await made(front)).write_key.name
    for wrong, code, reason in (
        ({"name": ""}, INVALID, "FIELD_INVALID"),
        ({"name": "a b"}, INVALID, "FIELD_INVALID"),
        ({"name": "a" * 65}, INVALID, "FIELD_INVALID"),
        ({"source": "a_b"}, INVALID, "FIELD_INVALID"),
        ({"max_events_per_second": -1}, INVALID, "FIELD_INVALID"),
        ({"name": taken}, grpc.StatusCode.FAILED_PRECONDITION, "WRITE_KEY_NAME_TAKEN"),
    ):
        found, info = await refused(made(front, **wrong))
        assert (found, info.reason) == (code, reason)


async def test_keys_are_listed_by_name_and_ended_ones_when_asked(front: Front) -> None:
    common = name()
    keys = [(await made(front, name=f"{common}-{n}")).write_key for n in (2, 0, 1)]
    await front.admin.RevokeWriteKey(pb.RevokeWriteKeyRequest(write_key_id=keys[1].write_key_id))

    async def listed(**more: Any) -> list[str]:
        found: list[str] = []
        request = pb.ListWriteKeysRequest(page_size=2, **more)
        while True:
            page = await front.admin.ListWriteKeys(request)
            assert len(page.write_keys) <= 2
            found += [key.name for key in page.write_keys]
            if not page.next_page_token:
                return [one for one in found if one.startswith(common)]
            request.page_token = page.next_page_token

    assert await listed() == [f"{common}-1", f"{common}-2"]
    assert await listed(show_revoked=True) == [f"{common}-{n}" for n in range(3)]


async def updated(front: Front, *paths: str, **more: Any) -> WireKey:
    request = pb.UpdateWriteKeyRequest(
        request_id=str(uuid4()), write_key=WireKey(**more), update_mask=FieldMask(paths=paths)
    )
    return (await front.admin.UpdateWriteKey(request)).write_key


async def test_a_limit_is_changed_by_who_has_seen_the_present_one(front: Front) -> None:
    key = (await made(front, max_events_per_second=5)).write_key
    mine = {"write_key_id": key.write_key_id}
    changed = await updated(front, max_events_per_second=9, etag=key.etag, **mine)
    assert changed.max_events_per_second == 9
    for etag in (key.etag, "nonsense"):
        code, info = await refused(updated(front, max_events_per_second=1, etag=etag, **mine))
        assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert info.metadata["etag"] == changed.etag
    assert (await updated(front, **mine)).max_events_per_second == 9
    limit = "max_events_per_second"
    assert (await updated(front, limit, **mine)).max_events_per_second == 0
    code, info = await refused(updated(front, "name", name="x", **mine))
    assert (code, info.reason) == (INVALID, "FIELD_INVALID")


@pytest.mark.parametrize("unknown", ["wk_0", "", "a\0b"])
async def test_an_unknown_key_is_not_found(front: Front, unknown: str) -> None:
    for call in (
        updated(front, max_events_per_second=1, write_key_id=unknown),
        front.admin.RevokeWriteKey(pb.RevokeWriteKeyRequest(write_key_id=unknown)),
    ):
        code, info = await refused(call)
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "WRITE_KEY_NOT_FOUND")


async def test_a_key_ends_at_a_time_that_may_be_given_anew_until_it_has(front: Front) -> None:
    key_id = (await made(front)).write_key.write_key_id

    async def revoked(at: datetime | None) -> WireKey:
        request = pb.RevokeWriteKeyRequest(request_id=str(uuid4()), write_key_id=key_id)
        if at is not None:
            request.revoke_time.FromDatetime(at)
        return (await front.admin.RevokeWriteKey(request)).write_key

    for days in (3, 1):
        at = datetime.now(UTC) + timedelta(days=days)
        key = await revoked(at)
        assert (key.state, key.revoke_time.ToDatetime(UTC)) == (WireKey.STATE_ACTIVE, at)
    ended = await revoked(datetime.now(UTC) - timedelta(days=1))
    assert ended.state == WireKey.STATE_REVOKED
    assert datetime.now(UTC) - ended.revoke_time.ToDatetime(UTC) < timedelta(seconds=30)
    assert await revoked(datetime.now(UTC) + timedelta(days=1)) == ended
    assert await revoked(None) == ended
    wrong = pb.RevokeWriteKeyRequest(
        write_key_id=key_id, revoke_time=Timestamp(seconds=999_999_999_999)
    )
    code, info = await refused(front.admin.RevokeWriteKey(wrong))
    assert (code, info.reason) == (INVALID, "FIELD_INVALID")


class Counted:
    """A store whose calls are counted, and which can be away."""

    def __init__(self, store: WriteKeyStore) -> None:
        self._store = store
        self.reads = 0
        self.away = False

    async def in_force(self, now: datetime) -> Sequence[WriteKey]:
        self.reads += 1
        if self.away:
            raise ConnectionRefusedError
        return await self._store.in_force(now)

    async def used(self, write_key_ids: Collection[str], hour: datetime) -> None:
        await self._store.used(write_key_ids, hour)


async def kept(store: WriteKeyStore, clock: ManualClock) -> tuple[WriteKey, str]:
    secret = fresh_id("secret")
    key, new = await store.create(
        WriteKey(
            write_key_id=fresh_id("wk"),
            name=name(),
            source="shop",
            secret_hash=hash_of(secret),
            secret_prefix="secret",
            max_events_per_second=3,
            version=1,
            create_time=clock.now(),
        )
    )
    assert new
    return key, secret


async def test_unknown_keys_cost_no_query_and_the_last_known_go_on_without_postgres(
    pool: Pool, manual_clock: ManualClock
) -> None:
    store = WriteKeyStore(pool)
    counted = Counted(store)
    ring = Keyring("shop:of-the-settings", counted, manual_clock)
    key, secret = await kept(store, manual_clock)
    assert ring.open(f"Bearer {secret}", None) is None
    await ring.refresh()
    for number in range(1_000):
        assert ring.open(f"Bearer {number}", str(number)) is None
    assert counted.reads == 1
    counted.away = True
    async with tasks(ring.run):

        async def looked() -> bool:
            await manual_clock.advance(SECOND)
            return counted.reads >= 3

        await wait_until(looked)
        assert ring.open("", secret) == Opened(key.write_key_id, "shop", 3)
        assert ring.open("", "of-the-settings") == Opened("shop", "shop", 0)


async def test_a_key_ends_to_the_second_between_two_looks_at_the_database(
    pool: Pool, manual_clock: ManualClock
) -> None:
    store = WriteKeyStore(pool)
    key, secret = await kept(store, manual_clock)
    now = manual_clock.now()
    await store.revoke(key.write_key_id, now + SECOND, now)
    ring = Keyring("", store, manual_clock)
    await ring.refresh()
    assert ring.open("", secret)
    await manual_clock.advance(SECOND)
    assert ring.open("", secret) is None


async def test_the_hour_of_the_last_use_is_kept_and_is_no_change(
    pool: Pool, manual_clock: ManualClock
) -> None:
    store = WriteKeyStore(pool)
    key, secret = await kept(store, manual_clock)
    ring = Keyring("", store, manual_clock)

    async def known() -> WriteKey:
        await ring.refresh()
        (found,) = [one for one in await store.in_force(manual_clock.now()) if one.name == key.name]
        return found

    assert (await known()).last_use_time is None
    for _ in range(2):
        hour = manual_clock.now()
        await manual_clock.advance(timedelta(minutes=59))
        assert ring.open("", secret)
        found = await known()
        assert (found.last_use_time, found.version) == (hour, key.version)
        await manual_clock.advance(timedelta(minutes=1))
