"""Contacts as segment keeps them, made in bulk: members of a segment until their time has come."""

import uuid
from collections.abc import Sequence
from typing import Final

import asyncpg

from services.segment.engine.membership import decide
from services.segment.engine.model import Happening, SegmentDefinition
from services.segment.engine.rules import Compiler, Rules
from services.segment.engine.state import ContactState
from services.segment.vocabulary import registry

_DAY_MS: Final = 86_400_000
_AT_ONCE: Final = 20_000


async def fill(database_url: str, contacts: Sequence[str], now_ms: int) -> None:
    """Put contacts in place who did `cart_shared` within the last day, 100 of them running out of
    it each second from now on, as far as they go."""
    connection = await asyncpg.connect(
        database_url, server_settings={"search_path": "segment", "synchronous_commit": "off"}
    )
    try:
        generation = await connection.fetchval("SELECT number FROM generation")
        rows = await connection.fetch(
            "SELECT segment_id, name, live_version, live_expression FROM segments"
        )
        definitions = [
            SegmentDefinition(
                r["segment_id"], r["name"], r["live_version"], r["live_expression"], True
            )
            for r in rows
        ]
        (timed,) = (one.segment_id for one in definitions if one.name == "timed")
        rules = Rules(generation, definitions, (), Compiler(registry()))
        for first in range(0, len(contacts), _AT_ONCE):
            some = contacts[first : first + _AT_ONCE]
            states: list[tuple[uuid.UUID, int | None, int, bytes]] = []
            for number, contact_id in enumerate(some, first):
                time_ms = now_ms - _DAY_MS + 20_000 + min(number * 10, _DAY_MS - 60_000)
                states.append((uuid.UUID(contact_id), *_state(rules, contact_id, time_ms)))
            await connection.copy_records_to_table(
                "contact_states",
                columns=("contact_id", "next_time", "generation", "state"),
                records=states,
            )
            await connection.copy_records_to_table(
                "memberships",
                columns=("contact_id", "segment_id", "version", "enter_time"),
                records=[(row[0], timed, 1, now_ms - _DAY_MS) for row in states],
            )
        await connection.execute("ANALYZE contact_states, memberships")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _state(rules: Rules, contact_id: str, time_ms: int) -> tuple[int | None, int, bytes]:
    happening = Happening(f"bulk/{contact_id}", contact_id, time_ms, "cart_shared")
    outcome = decide(rules, {contact_id: ContactState()}, [happening], time_ms, time_ms)
    state = outcome.states[contact_id]
    return state.next_due(), state.generation, state.to_bytes()
