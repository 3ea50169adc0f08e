"""Where contacts stand, in Postgres: decided with every change of a contact, in its transaction."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import asyncpg

from chassis.ids import derived_id
from chassis.postgres import Connection, Pool
from services.profile import standing
from services.profile.model import (
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
from services.profile.picture import Unfolded
from services.profile.registry_store import RegistryStore
from services.profile.standing import CONSENT, Rules
from services.profile.vocabulary import STAGE

_COLUMNS: Final = "contact_id, stage, enter_time, previous_stage, score, level, due_time, version"


class Standings:
    """Where contacts stand."""

    def __init__(self, registry: RegistryStore) -> None:
        self._registry = registry

    async def settle(self, connection: Connection, unfolded: Sequence[Unfolded], now: int) -> None:
        """Decide where people stand after a batch. What changed goes into their notes: with the
        last thing said of them, and of a move with an event of its own."""
        if not unfolded:
            return
        rules = (await self._registry.current(connection)).rules
        former = await load(connection, [one.person.contact_id for one in unfolded])
        decided: dict[str, Standing] = {}
        gone: list[str] = []
        left = {part.left_id for one in unfolded for part in one.person.parts}
        for one in unfolded:
            contact_id = one.person.contact_id
            gone += [part.contact_id for part in one.person.parts if part.contact_id != contact_id]
            time = max([note.time for note in one.notes], default=one.cause.time)
            before = former.get(contact_id)
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
        await write(connection, decided)
        await rest(connection, [one for one in gone if one not in decided])


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


async def load(connection: "Connection | Pool", contact_ids: Iterable[str]) -> dict[str, Standing]:
    """Where contacts stand, of those that do."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM standings WHERE contact_id = ANY($1::uuid[])",  # noqa: S608 - a constant
        list(contact_ids),
    )
    return {str(row[0]): _standing(row) for row in rows}


async def write(connection: Connection, decided: Mapping[str, Standing]) -> None:
    """Write where contacts stand."""
    if not decided:
        return
    columns = list(zip(*decided.values(), strict=True))
    await connection.execute(
        f"INSERT INTO standings ({_COLUMNS}) SELECT * FROM unnest($1::uuid[], $2::text[],"  # noqa: S608 - a constant
        " $3::bigint[], $4::text[], $5::integer[], $6::text[], $7::bigint[],"
        " $8::integer[])"
        " ON CONFLICT (contact_id) DO UPDATE SET stage = excluded.stage,"
        " enter_time = excluded.enter_time, previous_stage = excluded.previous_stage,"
        " score = excluded.score, level = excluded.level, due_time = excluded.due_time,"
        " version = excluded.version",
        list(decided),
        *columns,
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


def _standing(row: "asyncpg.Record") -> Standing:
    return Standing(*row[1:])
