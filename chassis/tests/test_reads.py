"""Who reads of a person says what for, and is on record for as long as records are kept."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from chassis.callers import Call, Caller, call
from chassis.clock import ManualClock, milliseconds_of
from chassis.failures import FieldInvalid
from chassis.ids import fresh_id
from chassis.postgres import Pool, database, delete_before, migrate
from chassis.reads import Reads

KEPT = timedelta(days=30)
TABLES = """
CREATE TABLE reads (
    read_time bigint NOT NULL, caller text, purpose text, method text, message_id text
);
CREATE TABLE "Odd ""name" (n bigint PRIMARY KEY);
"""


@pytest.fixture
async def pool(postgres_url: str, tmp_path: Path) -> AsyncIterator[Pool]:
    schema = fresh_id("reads")
    (tmp_path / "0001_reads.sql").write_text(TABLES)
    migrate(postgres_url, schema, tmp_path)
    async with database(postgres_url, schema, 2) as opened:
        yield opened


@pytest.fixture
def reads(pool: Pool, manual_clock: ManualClock) -> Reads:
    return Reads(pool, manual_clock, KEPT, ("message_id",))


def asks(purpose: str) -> None:
    call.set(Call("GetMessage", Caller("desk", "support"), purpose))


async def test_a_read_is_on_record_with_its_purpose_and_without_one_there_is_none(
    reads: Reads, pool: Pool, manual_clock: ManualClock
) -> None:
    asks("")
    with pytest.raises(FieldInvalid):
        await reads.record("m1")
    asks("a complaint")
    await reads.record("m2")
    (row,) = await pool.fetch("SELECT * FROM reads")
    now = milliseconds_of(manual_clock.now())
    assert tuple(row) == (now, "desk", "a complaint", "GetMessage", "m2")


async def test_old_reads_are_forgotten(reads: Reads, pool: Pool, manual_clock: ManualClock) -> None:
    asks("a complaint")
    for message in ("old", "young"):
        await reads.record(message)
        await manual_clock.advance(KEPT)
    assert await reads.forget_old() == 1
    assert await reads.forget_old() == 0
    assert [row[0] for row in await pool.fetch("SELECT message_id FROM reads")] == ["young"]


async def test_what_is_old_is_deleted_a_bounded_number_at_a_time(pool: Pool) -> None:
    await pool.execute('INSERT INTO "Odd ""name" SELECT generate_series(1, 10)')
    deleted = [await delete_before(pool, 'Odd "name', "n", 8, most=3) for _ in range(4)]
    assert deleted == [3, 3, 1, 0]
    assert [row[0] for row in await pool.fetch('SELECT n FROM "Odd ""name" ORDER BY n')] == [
        8,
        9,
        10,
    ]
