"""What is kept about a person opens with the person's own key, and never again without it."""

import asyncio
import base64
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.answers import Answers
from chassis.clock import ManualClock
from chassis.failures import FieldInvalid, Misconfigured, RequestIdReused
from chassis.ids import fresh_id
from chassis.postgres import Effects, Pool, database, migrate
from chassis.streams import EventLog, Position, Record
from merhaba.event.v1 import ConsentChanged, Event, Identity
from merhaba.profile.v1 import ConsentRecord, RecordConsentRequest, RecordConsentResponse
from services.profile.app import new_contact_id
from services.profile.jobs.consumer import recording
from services.profile.person.directory import ContactQuery, Cursor, Directory, EventQuery
from services.profile.person.identity import BlindIndex, normalised
from services.profile.person.model import NOBODY, ContactNotFound, ServiceUnavailable
from services.profile.rotation import rotate
from services.profile.tables.contacts import ContactStore
from services.profile.tables.registry import RegistryStore
from services.profile.vault import keys as vaults
from services.profile.vault.envelope import Envelope
from services.profile.vault.keys import Vault
from services.profile.vault.master_keys import LocalMasterKeys
from services.profile.vault.seal import KEY_BYTES, NONCE_BYTES, Key, Sort, Tampered

Open = Callable[[Vault], Directory]
MIGRATIONS = Path(__file__).parent.parent / "migrations"
EVERYTHING = EventQuery((), 0, 1 << 62)


def setting(*ids: str) -> str:
    return ",".join(
        f"{i}:{base64.b64encode(i.encode().ljust(KEY_BYTES, b'.')).decode()}" for i in ids
    )


@pytest.fixture
def replica(pool: Pool, log: EventLog, index: BlindIndex, manual_clock: ManualClock) -> Open:
    """A process of its own over the same tables."""

    return lambda vault: over(pool, log, vault, index, manual_clock)


def over(
    pool: Pool, log: EventLog, vault: Vault, index: BlindIndex, clock: ManualClock
) -> Directory:
    masters = LocalMasterKeys(setting("k1"))
    effects = Effects(pool, log, clock, timedelta(days=30), Envelope(masters))
    registry = RegistryStore(pool, clock)
    return Directory(ContactStore(pool, effects, vault, index, registry, clock, new_contact_id))


def identified(who: Identity, json: bytes = b"{}") -> bytes:
    event = Event(event_id=fresh_id("e"), source="shop", identities=[who])
    event.event_time.seconds = event.received_time.seconds = 1_000
    event.identified.traits_json = json
    return event.SerializeToString()


def agreed(who: Identity, proof: str) -> bytes:
    event = Event(event_id=fresh_id("e"), source="shop", identities=[who])
    event.event_time.seconds = event.received_time.seconds = 1_000
    event.consent_changed.purpose = "marketing"
    event.consent_changed.granted = True
    event.consent_changed.proof = proof
    return event.SerializeToString()


def someone() -> Identity:
    return Identity(kind="KIND_EXTERNAL_ID", scope="shop", value=fresh_id("c"))


async def known(directory: Directory, clock: ManualClock, *raws: bytes) -> str:
    """Take events in; the id of whom they are about."""
    await recording(directory, clock, "profile.test")(raws)
    who = Event.FromString(raws[0]).identities[0]
    return await directory.resolve([normalised(who.kind, who.scope, who.value)])


@given(plain=st.binary(max_size=2_000), at=st.integers(0), flip=st.integers(1, 255))
def test_what_is_sealed_opens_only_as_what_it_is_and_whole(
    plain: bytes, at: int, flip: int
) -> None:
    contact_id = new_contact_id()
    key = Key(contact_id, secret := os.urandom(KEY_BYTES))
    sealed = key.seal(Sort.EVENT, plain, os.urandom(NONCE_BYTES))
    assert key.open(Sort.EVENT, sealed) == plain
    broken = bytearray(sealed)
    broken[at % len(sealed)] ^= flip
    for other, sort, found in (
        (key, Sort.CONSENT, sealed),
        (key, Sort.EVENT, bytes(broken)),
        (Key(new_contact_id(), secret), Sort.EVENT, sealed),
        (Key(contact_id, os.urandom(KEY_BYTES)), Sort.EVENT, sealed),
        (key, Sort.EVENT, b""),
    ):
        with pytest.raises(Tampered):
            other.open(sort, found)


@pytest.mark.parametrize(
    "wrong",
    ["", "k1", "k1:", "k1:c2hvcnQ=", ":" + setting("k").partition(":")[2], setting("k", "k")],
)
def test_a_wrong_master_key_is_named_and_not_shown(wrong: str) -> None:
    with pytest.raises(Misconfigured, match="MASTER_KEYS") as raised:
        LocalMasterKeys(wrong)
    assert "c2hvcnQ" not in str(raised.value)


def test_the_index_says_nothing_without_its_secret() -> None:
    number = normalised(1, "", "905331234567")
    one, other = BlindIndex(b"1" * 32)(number), BlindIndex(b"2" * 32)(number)
    assert len(one) == 16
    assert one != other


async def test_no_column_holds_anything_of_a_person_in_the_clear(
    pool: Pool, replica: Open, vault: Vault, manual_clock: ManualClock
) -> None:
    directory = replica(vault)
    who, name, proof = someone(), fresh_id("name"), fresh_id("proof")
    email = f"{fresh_id('mail')}@example.com"
    told = f'{{"first_name": "{name}", "email": "{email}"}}'.encode()
    contact_id = await known(directory, manual_clock, identified(who, told), agreed(who, proof))
    found = await directory.contact(contact_id)
    assert found.document.attributes["first_name"].value == name
    for table in ("identities", "contacts", "keys", "events", "consents", "seen", "outbox"):
        rows = await pool.fetch(f"SELECT * FROM {table}")
        cells = [value for row in rows for value in row]
        assert cells
        dump = b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in cells)
        for secret in (who.value, name, proof, email):
            assert secret.encode() not in dump, table


async def test_without_the_key_nobody_is_there_and_nothing_fails(
    pool: Pool, replica: Open, manual_clock: ManualClock
) -> None:
    who, vault = someone(), Vault(LocalMasterKeys(f"{setting('k2')}"))
    other = replica(vault)
    contact_id = await known(other, manual_clock, identified(who), agreed(who, "form"))
    stays = await known(other, manual_clock, identified(someone()))
    contact = await other.contact(contact_id)  # and its key stands open in memory
    destroying = Vault(LocalMasterKeys(setting("k2")))
    async with pool.acquire() as connection:
        assert await destroying.destroy(connection, [contact_id]) == 1
        assert await destroying.destroy(connection, [contact_id]) == 0
    with pytest.raises(ContactNotFound):
        await other.contact(contact_id)
    with pytest.raises(ContactNotFound):
        await other.events(contact_id, EVERYTHING, None, 10)
    assert [one and one.contact_id for one in await other.find([contact_id, stays])] == [
        None,
        stays,
    ]
    assert not (await other.consents(contact, [], None, 10))[0]
    both = ContactQuery(contact_ids=[contact_id, stays])
    assert [c.contact_id for c in await other.contacts(both, NOBODY, 10)] == [stays]
    async for _, chapters in other.histories(both, EVERYTHING, Cursor(), 10, 10):
        assert [chapter.contact.contact_id for chapter in chapters] == [stays]


async def test_a_contact_that_is_not_made_leaves_no_key(
    pool: Pool, directory: Directory, manual_clock: ManualClock
) -> None:
    before = await pool.fetchval("SELECT count(*) FROM keys")
    await known(directory, manual_clock, identified(someone()))
    wrong = b'{"first_name": "' + b"x" * 100_000 + b'"}'
    with pytest.raises(FieldInvalid):
        await recording(directory, manual_clock, "profile.test")(
            [identified(someone()), identified(someone(), b"no json"), identified(someone(), wrong)]
        )
    assert await pool.fetchval("SELECT count(*) FROM keys") == before + 1


async def test_a_new_master_key_wraps_everything_anew_and_the_former_can_go(
    postgres_url: str, log: EventLog, index: BlindIndex, manual_clock: ManualClock
) -> None:
    schema = fresh_id("rotation").replace("-", "_").lower()
    await asyncio.to_thread(migrate, postgres_url, schema, MIGRATIONS)
    async with database(postgres_url, schema, 2) as pool:

        def process(*masters: str) -> tuple[Vault, Directory]:
            vault = Vault(LocalMasterKeys(setting(*masters)))
            return vault, over(pool, log, vault, index, manual_clock)

        _, former = process("old")
        ids = [await known(former, manual_clock, identified(someone())) for _ in range(5)]
        both, _ = process("new", "old")
        async with pool.acquire() as connection, connection.transaction():
            assert await both.rewrap(connection, NOBODY, 2) == (ids[1], 2)
        # Here it is killed, and begins again.
        assert await rotate(pool, both, asyncio.Event(), at_once=2) == 3
        assert await rotate(pool, both, asyncio.Event()) == 0
        found = await process("new")[1].find(ids)
        assert [one and one.contact_id for one in found] == ids
        with pytest.raises(ServiceUnavailable, match="'new'"):
            await process("old")[1].find(ids)


async def test_what_a_crash_left_in_the_outbox_is_opened_and_published_by_another_process(
    postgres_url: str, log: EventLog, manual_clock: ManualClock
) -> None:
    schema = fresh_id("outbox").replace("-", "_").lower()
    await asyncio.to_thread(migrate, postgres_url, schema, MIGRATIONS)
    record = Record("contact", "key", b"an event")
    left = await Envelope(LocalMasterKeys(setting("k1"))).seal(msgspec.msgpack.encode([record]))
    assert record.event not in left
    async with database(postgres_url, schema, 2) as pool:
        await pool.execute("INSERT INTO outbox (records) VALUES ($1)", left)
        other = Envelope(LocalMasterKeys(setting("k2", "k1")))
        effects = Effects(pool, log, manual_clock, timedelta(days=30), other)
        assert await effects.sweep(timedelta(0)) == 1
    starts = [Position(stream, b"0") for stream in log.streams("contact")]
    assert [one for _, events in await log.read(starts, 10, 1) for one in events] == [b"an event"]


async def test_kept_answers_say_nothing_and_are_given_again_by_another_process(
    pool: Pool, manual_clock: ManualClock
) -> None:
    proof, request_id = fresh_id("proof"), fresh_id("r")
    request = RecordConsentRequest(request_id=request_id, change=ConsentChanged(proof=proof))
    answer = RecordConsentResponse(record=ConsentRecord(change=request.change))

    def process(*masters: str) -> Answers:
        return Answers(pool, manual_clock, Envelope(LocalMasterKeys(setting(*masters))))

    async def respond() -> RecordConsentResponse:
        return answer

    async def never() -> RecordConsentResponse:
        raise AssertionError

    once = process("k1").once
    assert await once(request, request_id, respond, RecordConsentResponse) == answer
    row = await pool.fetchrow("SELECT * FROM requests WHERE request_id = $1", request_id)
    assert row is not None
    assert proof.encode() not in row["response"]
    assert len(row["digest"]) > 64, "sealed too: of a short request it could be guessed"
    again = process("k2", "k1").once
    assert await again(request, request_id, never, RecordConsentResponse) == answer
    request.change.granted = True
    with pytest.raises(RequestIdReused):
        await again(request, request_id, never, RecordConsentResponse)


async def test_opened_keys_are_bounded(
    monkeypatch: pytest.MonkeyPatch, replica: Open, manual_clock: ManualClock
) -> None:
    monkeypatch.setattr(vaults, "_OPENED", 3)
    vault = Vault(LocalMasterKeys(setting("k1")))
    directory = replica(vault)
    ids = [await known(directory, manual_clock, identified(someone())) for _ in range(5)]
    assert None not in await directory.find(ids)
    assert len(vault._opened) == 3
