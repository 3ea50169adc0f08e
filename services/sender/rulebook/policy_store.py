"""The policy in Postgres: one row, none while nobody set anything."""

from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from chassis.postgres import Pool
from services.sender.rulebook import publish
from services.sender.rules.policy import Policy


class StoredPolicy(NamedTuple):
    """The policy as it stands; version and time are 0 where nobody set anything."""

    policy: Policy
    version: int = 0
    update_time: int = 0


class PolicyStore:
    """Reads and changes the policy."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def get(self) -> StoredPolicy:
        """The policy; the defaults where nobody set anything."""
        row = await self._pool.fetchrow("SELECT definition, version, update_time FROM policy")
        return StoredPolicy(Policy()) if row is None else _stored(*row)

    async def change(
        self, change: Callable[[StoredPolicy], Policy], gates: Collection[str], now: int
    ) -> StoredPolicy:
        """Change the policy while nobody else does; what `gates` hold is asked again."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO policy (version, definition, update_time) VALUES (0, $1, 0)"
                " ON CONFLICT DO NOTHING",
                msgspec.json.encode(Policy()),
            )
            row = await connection.fetchrow(
                "SELECT definition, version, update_time FROM policy FOR UPDATE"
            )
            assert row is not None  # inserted above, and nobody deletes it
            before = _stored(*row)
            changed = StoredPolicy(change(before), before.version + 1, now)
            await connection.execute(
                "UPDATE policy SET definition = $1, version = $2, update_time = $3",
                *(msgspec.json.encode(changed.policy), changed.version, now),
            )
            await publish(connection, gates, now)
        return changed


def _stored(definition: bytes, version: int, update_time: int) -> StoredPolicy:
    return StoredPolicy(msgspec.json.decode(definition, type=Policy), version, update_time)
