"""What a batch changes, written: members, the ledger, events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from chassis.ids import fingerprint
from chassis.postgres import Connection
from services.profile.contract.wire import kept, note_name
from services.profile.person.model import Consent, Document, Note, Standing
from services.profile.tables.rows import Sealer

_STANDING: Final = msgspec.json.Encoder()


async def create(
    connection: Connection,
    documents: Mapping[str, Document],
    survivors: Mapping[str, str | None],
    standings: Mapping[str, Standing],
    now: int,
    sealer: Sealer,
) -> None:
    """Write new members, with whom stands for them and where that one stands."""
    await connection.execute(
        "INSERT INTO contacts"
        " (contact_id, survivor_id, create_time, update_time, document, standing)"
        " SELECT u.contact_id, u.survivor_id, $5, $5, u.document, u.standing"
        " FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::text[])"
        " AS u (contact_id, survivor_id, document, standing)",
        list(documents),
        [survivors.get(contact_id) for contact_id in documents],
        sealer.documents(documents.items()),
        _written(documents, standings),
        now,
    )


async def change(
    connection: Connection,
    documents: Mapping[str, Document],
    standings: Mapping[str, Standing],
    now: int,
    sealer: Sealer,
) -> None:
    """Write what members' events say now, and where those stand who stand elsewhere now."""
    if documents:
        await connection.execute(
            "UPDATE contacts c SET document = u.document, update_time = $4,"
            "  standing = coalesce(u.standing, c.standing)"
            " FROM unnest($1::uuid[], $2::bytea[], $3::text[])"
            "  AS u (contact_id, document, standing)"
            " WHERE c.contact_id = u.contact_id",
            list(documents),
            sealer.documents(documents.items()),
            _written(documents, standings),
            now,
        )
    others = standings.keys() - documents.keys()
    if others:
        await connection.execute(
            "UPDATE contacts c SET standing = u.standing"
            " FROM unnest($1::uuid[], $2::text[]) AS u (contact_id, standing)"
            " WHERE c.contact_id = u.contact_id",
            list(others),
            _written(others, standings),
        )


def _written(contact_ids: Iterable[str], standings: Mapping[str, Standing]) -> list[str | None]:
    return [
        None if one is None else _STANDING.encode(one).decode()
        for one in map(standings.get, contact_ids)
    ]


async def enter(
    connection: Connection, found: Sequence[tuple[str, Consent]], now: int, sealer: Sealer
) -> None:
    """Add lines to the ledger, each given with its member."""
    lines = [(one, msgspec.structs.replace(line, create_time=now)) for one, line in found]
    await connection.execute(
        "INSERT INTO consents (contact_id, event_time, consent_id, purpose, line, create_time)"
        " SELECT *, $6::bigint FROM"
        " unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bytea[])"
        " ON CONFLICT DO NOTHING",
        [contact_id for contact_id, _ in lines],
        [line.event_time for _, line in lines],
        [line.consent_id for _, line in lines],
        [line.purpose for _, line in lines],
        sealer.lines(lines),
        now,
    )


async def keep(
    connection: Connection, notes: Sequence[Note], messages: Sequence[bytes], sealer: Sealer
) -> None:
    """Keep events: as they came, so that what they changed can be computed anew."""
    await connection.execute(
        "INSERT INTO events SELECT * FROM"
        " unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::bytea[])"
        " ON CONFLICT DO NOTHING",  # known, but `seen` too long ago to remember
        [note.home_id for note in notes],
        [note.time for note in notes],
        [fingerprint(note.event_id) for note in notes],
        [note_name(note) for note in notes],
        sealer.events(
            [
                (note.home_id, kept(note.cause) if note.body is None else message)
                for note, message in zip(notes, messages, strict=True)
            ]
        ),
    )
