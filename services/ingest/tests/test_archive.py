"""The archive on a real Postgres: several writers, repeats, time and people."""

import random
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from chassis.clock import ManualClock, milliseconds_of
from chassis.ids import fresh_id
from chassis.postgres import Pool, database
from services.ingest.archive import Archive, ArchiveQuery, Archivist
from services.ingest.model import RawWebhook
from services.ingest.wire import LogWriter

START_MS = milliseconds_of(datetime(2031, 5, 1, tzinfo=UTC))


@pytest.fixture
async def pool(migrated: str) -> AsyncIterator[Pool]:
    async with database(migrated, "ingest", 4) as opened:
        yield opened


def raw(person: str, at_ms: int, **more: object) -> RawWebhook:
    """A webhook received at a moment, with an id of that moment."""
    webhook_id = f"wh_{at_ms:012x}{secrets.token_hex(10)}"
    parts: dict[str, object] = {"fields": ("messages",), "identities": (person, "other")}
    parts |= more
    body = b'{"a":"' + webhook_id.encode() + b'"}'
    return RawWebhook(webhook_id, at_ms, "shop", body, **parts)  # type: ignore[arg-type]


def ids(webhooks: Sequence[RawWebhook]) -> list[str]:
    return sorted(one.webhook_id for one in webhooks)


async def all_pages(archive: Archive, query: ArchiveQuery, size: int) -> list[str]:
    found: list[str] = []
    while page := await archive.newest(query, found[-1] if found else "", size):
        assert len(page) <= size
        found += [head.webhook_id for head in page]
    return found


async def all_replayed(archive: Archive, query: ArchiveQuery, size: int) -> list[str]:
    found: list[str] = []
    while page := await archive.oldest(query, found[-1] if found else "", size):
        assert all(one.head.webhook_id.encode() in one.body for one in page)
        found += [one.head.webhook_id for one in page]
    return found


async def test_segments_of_several_writers_are_one_list_in_the_order_of_time(pool: Pool) -> None:
    archive, person, random_ = Archive(pool, b"key"), fresh_id("p"), random.Random(7)
    made = [raw(person, START_MS + 150 * n) for n in range(1_000)]
    shuffled = made.copy()
    random_.shuffle(shuffled)
    for _ in range(60):
        await archive.add([shuffled.pop() for _ in range(min(16, len(shuffled)))])
    await archive.add(shuffled)
    query = ArchiveQuery(identities=[person])
    assert await archive.count(query) == 1_000
    assert await all_pages(archive, query, 70) == ids(made)[::-1]
    assert await all_replayed(archive, query, 170) == ids(made)
    found = await archive.get(made[5].webhook_id)
    assert found is not None
    assert (found.body, found.head.received_ms) == (made[5].body, made[5].received_ms)


async def test_a_period_is_exact(pool: Pool) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    made = [raw(person, START_MS + 60_000 * n) for n in range(20)]
    await archive.add(made)
    query = ArchiveQuery(
        start_ms=START_MS + 5 * 60_000, end_ms=START_MS + 9 * 60_000, identities=[person]
    )
    assert await all_pages(archive, query, 3) == ids(made[5:9])[::-1]
    without = ArchiveQuery(start_ms=query.start_ms, end_ms=query.end_ms)
    assert set(ids(made[5:9])) <= set(await all_replayed(archive, without, 3))


async def test_a_webhook_written_twice_is_one_to_every_reader(pool: Pool) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    made = [raw(person, START_MS + n) for n in range(30)]
    await archive.add(made)
    await archive.add(made)
    query = ArchiveQuery(identities=[person])
    segments = "SELECT count(*) FROM segments WHERE blind_indexes && $1"
    number = [archive._index.of(person)]
    assert await pool.fetchval(segments, number) == 1
    await archive.add(made[7:19])
    await archive.add([made[9], raw(person, START_MS + 40)])
    assert await pool.fetchval(segments, number) == 3
    assert await archive.count(query) == 31
    assert len(await all_pages(archive, query, 4)) == 31
    assert len(await all_replayed(archive, query, 4)) == 31


async def test_what_a_dead_consumer_had_written_is_not_written_again(
    pool: Pool, manual_clock: ManualClock
) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    archivist = Archivist(archive, manual_clock, timedelta(seconds=15))
    now_ms = milliseconds_of(manual_clock.now())
    made = [raw(person, now_ms + n) for n in range(30)]
    writer = LogWriter(None)  # type: ignore[arg-type]  # it only encodes here
    records = [writer.raw(one).event for one in made]
    await archivist.handle(records[:20])
    await manual_clock.advance(timedelta(seconds=16))
    await archivist.handle(records[10:])
    assert (
        await pool.fetchval(
            "SELECT sum(webhook_count) FROM segments WHERE blind_indexes && $1",
            [archive._index.of(person)],
        )
        == 30
    )
    assert await archive.count(ArchiveQuery(identities=[person])) == 30


async def test_people_are_found_only_with_the_key(pool: Pool) -> None:
    person = fresh_id("p")
    await Archive(pool, b"key").add([raw(person, START_MS)])
    assert await Archive(pool, b"key").count(ArchiveQuery(identities=[person])) == 1
    assert await Archive(pool, b"another").count(ArchiveQuery(identities=[person])) == 0


async def test_what_postgres_cannot_hold_as_text_spoils_no_batch(pool: Pool) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    await archive.add([raw(person, START_MS, fields=("a\0b",)), raw(person, START_MS + 1)])
    query = ArchiveQuery(identities=[person], fields=["a\0b"])
    assert await archive.count(query) == 1


async def test_segments_go_as_a_whole_once_all_of_them_is_past_its_time(pool: Pool) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    early = START_MS - 10 * 86_400_000
    made = [raw(person, early + n) for n in (0, 1_000, 2_000)]
    await archive.add(made[:2])
    await archive.add(made[2:])
    query = ArchiveQuery(identities=[person])
    epoch = datetime.fromtimestamp(0, UTC)
    await archive.forget(epoch + timedelta(milliseconds=early + 1_000))
    assert await archive.count(query) == 3
    await archive.forget(epoch + timedelta(milliseconds=early + 1_001))
    assert await all_replayed(archive, query, 9) == ids(made[2:])
    assert await archive.get(made[0].webhook_id) is None


async def test_a_page_of_large_bodies_is_bounded(pool: Pool) -> None:
    archive, person = Archive(pool, b"key"), fresh_id("p")
    made = [raw(person, START_MS + n) for n in range(8)]
    large = [
        RawWebhook(one.webhook_id, one.received_ms, "a", one.body + bytes(3 * 2**20),
                   identities=one.identities)
        for one in made
    ]  # fmt: skip
    await archive.add(large)
    query = ArchiveQuery(identities=[person])
    assert len(await archive.oldest(query, "", 8)) == 2
    assert await all_replayed(archive, query, 8) == ids(made)


async def test_an_id_that_is_none_is_not_found(pool: Pool) -> None:
    assert await Archive(pool, b"key").get("x") is None
    assert await Archive(pool, b"key").get(fresh_id("wh")) is None
