"""Rows of the tables to the model and back: encoded, and sealed with their contacts' keys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import asyncpg
import msgspec

from services.profile.person.model import Consent, Document, Member, Standing, StoredEvent
from services.profile.person.part import Part, decoder
from services.profile.vault.keys import Vault
from services.profile.vault.seal import NONCE_BYTES, Key, Sort

MEMBER: Final = (
    "contact_id, create_time, update_time, document, master_id, wrapped, survivor_id, standing"
)
"""Columns of what `members_of` reads."""
GENERATION: Final = "(SELECT generation FROM registry) AS generation"
"""Of what was registered when they were read."""
MEMBERS: Final = "contacts JOIN keys USING (contact_id)"
"""Where they come from: so whoever is erased is not there."""
EVENT: Final = "contact_id, event_time, event, body"
"""Columns of what `events_of` reads."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DOCUMENT: Final = msgspec.msgpack.Decoder(Document)
_CONSENT: Final = msgspec.msgpack.Decoder(Consent)
_STANDING: Final = msgspec.json.Decoder(Standing)


async def keys_of(rows: "Sequence[asyncpg.Record]", vault: Vault) -> dict[str, Key]:
    """The keys of the members in rows of `MEMBER`."""
    return await vault.open([(str(row[0]), row[4], row[5]) for row in rows])


def members_of(
    rows: "Iterable[asyncpg.Record]", keys: Mapping[str, Key], part: Part | None = None
) -> list[Member]:
    """Members from `MEMBER`; of their documents perhaps only a part."""
    decode = _DOCUMENT.decode if part is None else decoder(part)
    return [
        Member(
            contact_id := str(row[0]),
            row[1],
            row[2],
            decode(keys[contact_id].open(Sort.DOCUMENT, row[3])),
            "" if row[6] is None else str(row[6]),
            None if row[7] is None else _STANDING.decode(row[7]),
        )
        for row in rows
    ]


def events_of(rows: "Iterable[asyncpg.Record]", keys: Mapping[str, Key]) -> list[StoredEvent]:
    """Events from `EVENT`, without those of the erased."""
    return [
        StoredEvent(contact_id, row[1], str(row[2]), keys[contact_id].open(Sort.EVENT, row[3]))
        for row in rows
        if (contact_id := str(row[0])) in keys
    ]


def lines_of(
    rows: "Iterable[asyncpg.Record]", keys: Mapping[str, Key]
) -> list[tuple[str, Consent]]:
    """Lines of the ledger, each with its contact, from `contact_id, line`; not the erased's."""
    return [
        (contact_id, _CONSENT.decode(keys[contact_id].open(Sort.CONSENT, row[1])))
        for row in rows
        if (contact_id := str(row[0])) in keys
    ]


class Sealer:
    """Seals what is to be written, with keys of the contacts it is about."""

    def __init__(self, vault: Vault, keys: Mapping[str, Key]) -> None:
        self._vault = vault
        self._keys = keys

    def documents(self, found: Iterable[tuple[str, Document]]) -> list[bytes]:
        """Documents, each given with its contact."""
        return self._sealed(Sort.DOCUMENT, [(i, _ENCODER.encode(one)) for i, one in found])

    def lines(self, found: Iterable[tuple[str, Consent]]) -> list[bytes]:
        """Lines of the ledger, each given with its contact."""
        return self._sealed(Sort.CONSENT, [(i, _ENCODER.encode(one)) for i, one in found])

    def events(self, found: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Bodies of events, each given with its contact."""
        return self._sealed(Sort.EVENT, found)

    def _sealed(self, sort: Sort, found: Sequence[tuple[str, bytes]]) -> list[bytes]:
        nonces = self._vault.random(NONCE_BYTES * len(found))
        return [
            self._keys[contact_id].seal(sort, plain, nonces[at : at + NONCE_BYTES])
            for at, (contact_id, plain) in zip(
                range(0, len(nonces), NONCE_BYTES), found, strict=True
            )
        ]
