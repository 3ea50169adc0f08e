"""Occurrences for people to read: listed, and explained."""

from collections.abc import Sequence
from typing import Final

from chassis.postgres import Pool
from merhaba.segment.v1 import Explanation
from services.segment.api import explaining
from services.segment.engine.causes import event_name_of
from services.segment.engine.membership import Membership, stand
from services.segment.engine.model import Occurrence
from services.segment.engine.rules import Rules, TriggerRule
from services.segment.engine.state import ContactState
from services.segment.engine.triggers import event_of
from services.segment.tables.occurrence_rows import COLUMNS, of_row
from services.segment.tables.rows import state_of

_LISTED: Final = (
    f"SELECT {COLUMNS} FROM occurrences"  # noqa: S608 - fixed names
    " WHERE {of} AND (cardinality($2::text[]) = 0 OR state = ANY($2))"
    " AND cause_time >= $3 AND cause_time < $4 AND (cause_time, occurrence_id) < ($5, $6)"
    " AND ($7::text = '' OR trigger_id = $7)"
    " ORDER BY cause_time DESC, occurrence_id DESC LIMIT $8"
)


class Occurrences:
    """Reads the table of occurrences."""

    def __init__(self, pool: Pool, membership: Membership) -> None:
        self._pool = pool
        self._membership = membership

    async def listed(
        self,
        trigger_id: str,
        contact_id: str,
        states: Sequence[str],
        between: tuple[int, int],
        after: tuple[int, str],
        limit: int,
    ) -> list[Occurrence]:
        """Newest cause first, behind `after`; of a contact, of a trigger, or of both. No `states`
        are all."""
        of = "contact_id = $1::text::uuid" if contact_id else "trigger_id = $1"
        rows = await self._pool.fetch(
            _LISTED.format(of=of),
            contact_id or trigger_id,
            states,
            *between,
            *after,
            trigger_id,
            limit,
        )
        return [of_row(row) for row in rows]

    async def one(self, occurrence_id: str) -> Occurrence | None:
        """One, if it is there."""
        row = await self._pool.fetchrow(
            f"SELECT {COLUMNS} FROM occurrences WHERE occurrence_id = $1",  # noqa: S608 - fixed names
            occurrence_id,
        )
        return None if row is None else of_row(row)

    async def explained(self, occurrence: Occurrence) -> Explanation | None:
        """How the condition comes out as of the cause, by what is known now; None when there is
        none, or the contact or the trigger is not known any more."""
        rules, now = self._membership.rules, self._membership.now
        trigger = rules.version(occurrence.trigger_id, occurrence.trigger_version)
        if trigger is None or trigger.condition is None:
            return None
        data = await self._pool.fetchval(
            "SELECT state FROM contact_states WHERE contact_id = $1", occurrence.contact_id
        )
        if data is None:
            return None
        state = stand(rules, state_of(data), now)
        if state.restricted:
            return None
        return explained(trigger, occurrence, state, rules)


def explained(
    trigger: TriggerRule, occurrence: Occurrence, state: ContactState, rules: Rules
) -> Explanation:
    """How a trigger's condition comes out for a contact as of an occurrence's cause."""
    condition = trigger.condition
    assert condition is not None
    instant, given = occurrence.cause_time, occurrence.given
    event, name = event_of(trigger, occurrence), event_name_of(trigger.definition.cause)
    return explaining.explanation(
        condition,
        state.facts,
        instant,
        explaining.known(state, {i: rule.name for i, rule in rules.segments.items()}),
        condition.explain(state.facts, instant, event, given),
        {(name, instant): occurrence.cause_event_id} if name else {},
        event,
        given,
    )
