"""Where contacts stand, in Postgres: decided with every change of a contact, in its transaction.

It stands in the row of the member that stands for the person; a row of `standings` has what of it
is counted and looked for.
"""

from collections.abc import Mapping, Sequence

from chassis.ids import derived_id
from chassis.postgres import Connection
from services.profile.person import standing
from services.profile.person.model import (
    Change,
    Consent,
    Document,
    Happening,
    Merged,
    Note,
    Split,
    Staged,
    Standing,
)
from services.profile.person.picture import Unfolded
from services.profile.person.standing import CONSENT, Rules
from services.profile.person.vocabulary import STAGE
from services.profile.tables.registry import RegistryStore


class Standings:
    """Where contacts stand."""

    def __init__(self, registry: RegistryStore) -> None:
        self._registry = registry

    async def settle(
        self, connection: Connection, unfolded: Sequence[Unfolded], now: int
    ) -> dict[str, Standing]:
        """Decide where people stand after a batch; returns what is to be written of it into the
        rows of members. What changed goes into people's notes: with the last thing said of them,
        and of a move with an event of its own."""
        if not unfolded:
            return {}
        rules = (await self._registry.current(connection)).rules
        former: dict[str, Standing | None] = {}
        decided: dict[str, Standing] = {}
        gone: list[str] = []
        left = {part.left_id for one in unfolded for part in one.person.parts}
        for one in unfolded:
            contact_id = one.person.contact_id
            former.update((member.contact_id, member.standing) for member in one.person.members)
            gone += [part.contact_id for part in one.person.parts if part.contact_id != contact_id]
            time = max([note.time for note in one.notes], default=one.cause.time)
            before = former[contact_id]
            changed = None if contact_id in left else _changed(one)
            after = rules.stand(one.picture, before, time, now, changed)
            if after != before:
                decided[contact_id] = after
            elif after.due is None:
                continue
            changes = told(rules, one.picture, before, after, now)
            if not changes:
                continue
            if one.notes:
                one.notes[-1].changes.extend(changes)
                changes = []
            if moved := move(contact_id, before, after, one.cause, changes):
                one.notes.append(moved)
        await write(connection, decided, former)
        resting = {
            contact_id: stood._replace(score=None, due=None)
            for contact_id in gone
            if contact_id not in decided and (stood := former[contact_id]) is not None
        }
        await rest(connection, list(resting))
        return resting | decided


def _changed(one: Unfolded) -> list[str] | None:
    """What a batch changed of a person; None is anything, when it has other members now."""
    if not one.notes:
        return None
    changed = [CONSENT] if one.lines else []
    for note in one.notes:
        if note.body is not None:
            if isinstance(note.body, Merged | Split):
                return None
            if isinstance(note.body, Consent):
                changed.append(CONSENT)
        changed += [change.name for change in note.changes]
    return changed


def told(
    rules: Rules, picture: Document, before: Standing | None, after: Standing, now: int
) -> list[Change]:
    """Changes to publish of a contact that stands elsewhere, or of which values became too old."""
    changes = [
        Change(name, value, after.enter_time if name == STAGE else now)
        for name, value in standing.moved(before, after)
    ]
    if before is not None and before.due is not None:
        # A moment behind the value: whoever keeps the newest forgets it, until it is said again
        changes += [
            Change(name, b"", picture.attributes[name].time + 1)
            for name in rules.stale(picture, before.due, now)
        ]
    return changes


def move(
    contact_id: str,
    before: Standing | None,
    after: Standing,
    cause: Happening,
    changes: list[Change],
) -> Note | None:
    """What is said of a contact that moved to another stage."""
    if before is None or before.stage == after.stage:
        return None
    event_id = derived_id("stg", contact_id, after.stage, str(after.enter_time))
    body = Staged(before.stage, after.stage)
    return Note(contact_id, contact_id, event_id, cause, after.enter_time, changes, body)


async def write(
    connection: Connection, decided: Mapping[str, Standing], former: Mapping[str, Standing | None]
) -> None:
    """Write what of standings is counted and looked for, of those where it changed."""
    changed = {
        contact_id: after
        for contact_id, after in decided.items()
        if (before := former[contact_id]) is None
        or (before.score, before.due) != (after.score, after.due)
    }
    if not changed:
        return
    await connection.execute(
        "INSERT INTO standings (contact_id, score, due_time)"
        " SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[])"
        " ON CONFLICT (contact_id) DO UPDATE SET score = excluded.score,"
        "  due_time = excluded.due_time",
        list(changed),
        [one.score for one in changed.values()],
        [one.due for one in changed.values()],
    )


async def rest(connection: Connection, contact_ids: Sequence[str]) -> None:
    """Leave contacts where they stood, and time does not move them: those that are part of others
    now, until they part again, and those that do not open."""
    if not contact_ids:
        return
    await connection.execute(
        "UPDATE standings SET score = NULL, due_time = NULL WHERE contact_id = ANY($1::uuid[])",
        contact_ids,
    )
