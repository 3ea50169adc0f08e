"""Who moved from stage to stage. Pure.

A move is counted when it is told of (`stage_changed`), by when it happened, so in any order; that a
contact is new, when it is first seen to stand anywhere. Where two contacts turn out to be one, who
stays may be told to move to where the other stood already: somebody went there before, and nobody
goes there twice.
"""

from typing import Final, NamedTuple

from services.segment.engine.causes import STAGE_CHANGED
from services.segment.engine.model import Happening

STAGE: Final = "stage"
_SOON: Final = 60_000
"""How long (ms) after a merge its move is told of."""


class Move(NamedTuple):
    """Somebody came to a stage, from another or, when that is empty, as a new contact."""

    contact_id: str
    time: int
    previous: str
    stage: str


class Joined(NamedTuple):
    """Where somebody stood who became part of a contact, and when that was."""

    stage: str
    time: int


def move_of(
    happening: Happening, before: str | None, after: str | None, joined: Joined | None
) -> Move | None:
    """The move that is told, if one is. `before`, `after`: where the contact stands as far as is
    known, without and with what happened."""
    contact_id = happening.contact_id
    if happening.name == STAGE_CHANGED:
        told = happening.properties
        stage = str(told.get(STAGE) or "")
        if joined is not None and joined.stage == stage and happening.time <= joined.time + _SOON:
            return None
        return Move(contact_id, happening.time, str(told.get("previous_stage") or ""), stage)
    if before is None and after is not None:
        time = max(fact.time for fact in happening.attributes if fact.name == STAGE)
        return Move(contact_id, time, "", after)
    return None
