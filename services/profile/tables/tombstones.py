"""What keeps the erased from coming back with old news."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from chassis.postgres import Connection, Pool
from services.profile.person.identity import BlindIndex
from services.profile.person.model import Happening, Identity


async def gone(connection: Connection, contact_ids: Collection[str]) -> set[str]:
    """Those of the ids that were somebody's who is erased."""
    if not contact_ids:
        return set()
    rows = await connection.fetch(
        "SELECT contact_id FROM erased_contacts WHERE contact_id = ANY($1::uuid[])",
        list(contact_ids),
    )
    return {str(row[0]) for row in rows}


def alive(
    happenings: Mapping[int, Happening], ends: Mapping[Identity, int], gone: Collection[str]
) -> Mapping[int, Happening]:
    """Happenings without those of the erased: what was sent under an id of theirs (`gone`), and
    what names an identity of theirs and is older than their erasure (`ends`). What is newer makes
    a new contact."""
    if not ends and not gone:
        return happenings
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
