"""Whatever dies while a campaign is sent: nobody gets it twice, and everybody ends with an outcome.

`SURVIVE=long` (`make survive`) serves twenty times as many people through more deaths.
"""

import asyncio
import os
import random
from collections import Counter
from typing import Final

import pytest

from bench import audience
from chassis.testing import wait_until
from services.sender.model import State
from services.sender.rules.policy import Policy
from tests.sender.suite import CAMPAIGN, UNWILLING, suite

LONG: Final = os.environ.get("SURVIVE") == "long"
PEOPLE: Final = 20_000 if LONG else 1_000
PER_SECOND: Final = 400 if LONG else 150
KILLS: Final = 30 if LONG else 5
FAULTS: Final = {
    "timeout_after_accept": 0.02,
    "timeout_hold_s": 4,
    "drop_after_accept": 0.03,
    "error_5xx_after_accept": 0.03,
    "error_5xx": 0.02,
    "throttle": 0.001,
    "duplicate_webhooks": 0.1,
    "shuffle_webhooks": True,
}
POLICY: Final = Policy(frequency_caps=(), quiet_hours=(), unknown_ms=5_000)
REACHED: Final = frozenset({State.SENT, State.DELIVERED, State.READ, State.PLAYED})


@pytest.mark.timeout(900 if LONG else 300)
async def test_nobody_is_written_to_twice_and_everybody_ends_with_an_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A lease lasts as long as a call may and half a minute: so the end is not waited for long.
    monkeypatch.setenv("CALL_TIMEOUT_S", "2")
    monkeypatch.setenv("MEDIA_TIMEOUT_S", "1")
    chance = random.Random(20_261_122)
    async with suite() as running:
        await running.prepare(PEOPLE, PER_SECOND, POLICY)
        await running.control("POST faults", FAULTS)
        await running.sends()
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.5, 2.5))
            running.kill(chance.choice(("sender", "sender", "redis", "postgres")))

        async def over() -> bool:
            return not await running.open()

        await wait_until(over, timeout_s=600 if LONG else 180, every_s=1)
        await running.control("POST faults", {})
        await running.control("POST drain", {"timeout_s": 60, "hurry": True})
        accepted = Counter(entry["callback_data"] for entry in await running.ledger())

        async def heard() -> bool:
            """Every status has come, also of those that were given up before."""
            rows = await running.fetch(
                "SELECT count(*) FROM sender.messages WHERE message_id = ANY($1::text[])"
                " AND (state < 5 OR reason = 'unconfirmed')",
                list(accepted),
            )
            return not rows[0][0]

        await wait_until(heard, timeout_s=60, every_s=0.5)
        rows = await running.fetch(
            "SELECT message_id, state, gate, reason, error_code FROM sender.messages"
        )
    assert set(accepted.values()) == {1}, "nobody twice"
    by_person = {audience.message_id(CAMPAIGN, person): person for person in range(PEOPLE)}
    assert accepted.keys() <= by_person.keys()
    unwilling = {one for one, person in by_person.items() if person % UNWILLING == 0}
    assert accepted.keys().isdisjoint(unwilling)
    assert len(rows) == PEOPLE
    outcomes: Counter[str] = Counter()
    for message_id, state, gate, reason, code in rows:
        outcomes[f"{State(state).name.lower()} {gate or reason or code}"] += 1
        if message_id in unwilling:
            assert (state, gate) == (State.SUPPRESSED, "consent")
        elif message_id in accepted:
            assert state in REACHED, f"accepted, and {State(state).name} for {reason}"
        else:
            # In doubt, since whoever held it died or Meta said nothing clear: never repeated
            assert (state, reason) == (State.FAILED, "unconfirmed")
    unconfirmed = PEOPLE - len(unwilling) - len(accepted)
    assert unconfirmed <= PEOPLE * 0.2, outcomes
