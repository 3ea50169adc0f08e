"""What keeps the erased from coming back with old news."""

from collections.abc import Iterable, Mapping, Sequence

from chassis.postgres import Connection, Pool
from services.profile.identity import BlindIndex
from services.profile.model import Happening, Identity


async def alive(
    connection: Connection, index: BlindIndex, happenings: Mapping[int, Happening]
) -> dict[int, Happening]:
    """Happenings without those of the erased: what was sent under an id of theirs, and what names
    an identity of theirs and is older than their erasure. What is newer makes a new contact."""
    identities = {index(one): one for each in happenings.values() for one in each.identities}
    rows = await connection.fetch(
        "SELECT identity, erase_time FROM erased_identities WHERE identity = ANY($1::bytea[])",
        list(identities),
    )
    ends = {identities[row[0]]: row[1] for row in rows}
    named = {one.contact_id for one in happenings.values() if one.contact_id}
    gone: set[str] = set()
    if named:
        rows = await connection.fetch(
            "SELECT contact_id FROM erased_contacts WHERE contact_id = ANY($1::uuid[])",
            list(named),
        )
        gone = {str(row[0]) for row in rows}
    if not ends and not gone:
        return dict(happenings)
    return {
        position: one
        for position, one in happenings.items()
        if one.contact_id not in gone
        and not any(
            min(one.time, one.received or one.time) <= ends[identity]
            for identity in one.identities
            if identity in ends
        )
    }


async def of_contact(where: "Connection | Pool", contact_ids: Sequence[str]) -> str:
    """The request that erased one of these ids; empty when none did."""
    found: str | None = await where.fetchval(
        "SELECT request_id FROM erased_contacts WHERE contact_id = ANY($1::uuid[]) LIMIT 1",
        contact_ids,
    )
    return found or ""


async def of_identity(where: "Connection | Pool", index: BlindIndex, identity: Identity) -> str:
    """The request that last erased somebody of an identity; empty when none did."""
    found: str | None = await where.fetchval(
        "SELECT request_id FROM erased_identities WHERE identity = $1", index(identity)
    )
    return found or ""


async def erect(
    connection: Connection,
    request_id: str,
    contact_ids: Iterable[str],
    identities: Iterable[bytes],
    now: int,
) -> None:
    """Remember the erased: ids, and identities by their blind index."""
    await connection.execute(
        "INSERT INTO erased_contacts SELECT u, $1 FROM unnest($2::uuid[]) AS u"
        " ON CONFLICT DO NOTHING",
        request_id,
        list(contact_ids),
    )
    await connection.execute(
        "INSERT INTO erased_identities SELECT u, $1, $2 FROM unnest($3::bytea[]) AS u"
        " ON CONFLICT (identity) DO UPDATE SET request_id = excluded.request_id,"
        " erase_time = greatest(erased_identities.erase_time, excluded.erase_time)",
        request_id,
        now,
        sorted(identities),
    )
