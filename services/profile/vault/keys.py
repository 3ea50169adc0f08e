"""The contacts' keys: made, kept wrapped, opened, destroyed.

Whoever has no row in `keys` is erased: nothing sealed about them can be read again by anybody,
also where old copies of it survive in backups, in the write-ahead log or on a replica.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from chassis.postgres import Connection, Pool
from services.profile.vault.master_keys import MasterKeys
from services.profile.vault.seal import KEY_BYTES, Key

_OPENED: Final = 10_000  # of 2.5 KB each

Wrapped = tuple[str, str, bytes]
"""Of a row of `keys`: contact, id of the master key, wrapped key."""


class Vault:
    """Keys of contacts.

    Opened keys are remembered by their wrapped bytes, and these are read from the database each
    time: so no replica can use a key for a moment longer than it exists.
    """

    def __init__(self, masters: MasterKeys, random: Callable[[int], bytes] = os.urandom) -> None:
        self._masters = masters
        self._opened: OrderedDict[bytes, Key] = OrderedDict()
        self.random: Final = random

    async def make(self, connection: Connection, contact_ids: Sequence[str]) -> dict[str, Key]:
        """Give new contacts their keys."""
        made = {contact_id: self.random(KEY_BYTES) for contact_id in contact_ids}
        wrapped = await self._masters.wrap(made)
        await connection.execute(
            "INSERT INTO keys SELECT u.contact_id, $1, u.wrapped"
            " FROM unnest($2::uuid[], $3::bytea[]) AS u (contact_id, wrapped)",
            self._masters.active,
            contact_ids,
            [wrapped[contact_id] for contact_id in contact_ids],
        )
        return {
            contact_id: self._remember(wrapped[contact_id], Key(contact_id, key))
            for contact_id, key in made.items()
        }

    async def keys(
        self, connection: "Connection | Pool", contact_ids: Iterable[str]
    ) -> dict[str, Key]:
        """The keys of contacts; those who are erased have none."""
        rows = await connection.fetch(
            "SELECT contact_id, master_id, wrapped FROM keys WHERE contact_id = ANY($1::uuid[])",
            list(contact_ids),
        )
        return await self.open([(str(row[0]), row[1], row[2]) for row in rows])

    async def open(self, wrapped: Iterable[Wrapped]) -> dict[str, Key]:
        """Open keys, at once those that are new here. Raises `ServiceUnavailable`, `Tampered`."""
        found: dict[str, Key] = {}
        closed: dict[str, dict[str, bytes]] = {}
        for contact_id, master_id, bytes_ in wrapped:
            key = self._opened.get(bytes_)
            if key is None:
                closed.setdefault(master_id, {})[contact_id] = bytes_
            else:
                self._opened.move_to_end(bytes_)
                found[contact_id] = key
        for master_id, some in closed.items():
            for contact_id, opened in (await self._masters.unwrap(master_id, some)).items():
                found[contact_id] = self._remember(some[contact_id], Key(contact_id, opened))
        return found

    async def destroy(self, connection: Connection, contact_ids: Sequence[str]) -> int:
        """Destroy keys, so that what they seal can never be read again; returns how many there
        were."""
        rows = await connection.fetch(
            "DELETE FROM keys WHERE contact_id = ANY($1::uuid[]) RETURNING wrapped", contact_ids
        )
        for row in rows:
            self._opened.pop(row[0], None)
        return len(rows)

    async def rewrap(self, connection: Connection, after: str, limit: int) -> tuple[str, int]:
        """Wrap keys of former master keys anew, the next `limit` contacts after one.

        Returns the last contact looked at (empty: there are no more) and how many were wrapped.
        """
        rows = await connection.fetch(
            "SELECT contact_id, master_id, wrapped FROM keys"
            " WHERE contact_id > $1 AND master_id <> $2 ORDER BY contact_id LIMIT $3 FOR UPDATE",
            after,
            self._masters.active,
            limit,
        )
        former: dict[str, dict[str, bytes]] = {}
        for row in rows:
            former.setdefault(row[1], {})[str(row[0])] = row[2]
        keys: dict[str, bytes] = {}
        for master_id, some in former.items():
            keys |= await self._masters.unwrap(master_id, some)
        if not keys:
            return "", 0
        wrapped = await self._masters.wrap(keys)
        await connection.execute(
            "UPDATE keys k SET master_id = $1, wrapped = u.wrapped"
            " FROM unnest($2::uuid[], $3::bytea[]) AS u (contact_id, wrapped)"
            " WHERE k.contact_id = u.contact_id",
            self._masters.active,
            list(wrapped),
            list(wrapped.values()),
        )
        return str(rows[-1][0]), len(rows)

    def _remember(self, wrapped: bytes, key: Key) -> Key:
        self._opened[wrapped] = key
        if len(self._opened) > _OPENED:
            self._opened.popitem(last=False)
        return key
