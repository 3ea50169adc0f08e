"""What is in the database already is there after a migration."""

import asyncio
import shutil
from pathlib import Path

import msgspec

from chassis.postgres import database, migrate
from services.profile.person.model import Standing

MIGRATIONS = Path(__file__).parent.parent / "migrations"
WHO = "01900000-0000-7000-8000-000000000001"


async def test_people_stand_where_they_stood_before_it_moved_into_their_rows(
    postgres_url: str, tmp_path: Path
) -> None:
    schema, former = "profile_before", Standing("purchase", 7, "consideration", 12, "", None, 3)
    for file in sorted(MIGRATIONS.glob("000[1-5]_*.sql")):
        shutil.copy(file, tmp_path)
    await asyncio.to_thread(migrate, postgres_url, schema, tmp_path)
    async with database(postgres_url, schema, 1) as pool:
        await pool.execute(
            "INSERT INTO contacts (contact_id, create_time, update_time, document)"
            " VALUES ($1, 1, 1, '')",
            WHO,
        )
        await pool.execute(
            "INSERT INTO standings VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", WHO, *former
        )
    await asyncio.to_thread(migrate, postgres_url, schema, MIGRATIONS)
    async with database(postgres_url, schema, 1) as pool:
        found = await pool.fetchval("SELECT standing FROM contacts WHERE contact_id = $1", WHO)
        assert msgspec.json.decode(found, type=Standing) == former
        counted = await pool.fetchrow("SELECT score, due_time FROM standings")
        assert tuple(counted) == (former.score, former.due)
        await pool.execute(f"DROP SCHEMA {schema} CASCADE")
