"""Leases: what a process died over is in doubt when its lease ends, and nothing else is. The pure
part, and on real Postgres."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.sender.delivery.leases import Leases
from services.sender.delivery.outcome import Returned, Sent
from services.sender.model import Message, State
from services.sender.tests.test_caps import claim, ended, now_ms, planned, store


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_a_claim_is_over_once_when_all_of_its_messages_are_settled_however_often(
    settled: list[tuple[int, int]],
) -> None:
    leases, told = Leases(), []
    for name in range(3):  # nobody knows whether the fourth was stored
        leases.begin(name, [f"{n}" for n in range(name + 1)])
    for name, message in settled:
        leases.settle(name, f"{message}")
        told += leases.over()
    known = {(name, n) for name, n in settled if n <= name < 3}
    assert sorted(told) == [n for n in range(3) if len({m for m in known if m[0] == n}) == n + 1]


async def state_of(ready: Any, message: Message) -> tuple[State, str]:
    row = await ready.outbox.get("message_id", message.message_id)
    return State(row.state), row.reason


async def leased(ready: Any, *messages: Message) -> set[str]:
    """Which of them any lease names."""
    rows = await ready.pool.fetch("SELECT unnest(message_ids) AS id FROM leases")
    return {row["id"] for row in rows} & {one.message_id for one in messages}


async def test_what_has_no_outcome_when_its_lease_ends_is_in_doubt_and_the_rest_is_not(
    ready: Any,
) -> None:
    lost, sent, back = (planned(ready, f"c{n}{now_ms()}") for n in range(3))
    await store(ready, lost, sent, back)
    taken = {one.message.message_id: one for one in await claim(ready)}
    assert await leased(ready, lost, sent, back) == set(taken)
    await ready.outbox.settle(
        [
            ended(taken[sent.message_id], Sent(f"wamid.{sent.message_id}")),
            ended(taken[back.message_id], Returned(now_ms(), "limiter_number")),
        ]
    )
    await ready.outbox.expire(now_ms())
    assert await state_of(ready, lost) == (State.ATTEMPTING, "")
    (again,) = await claim(ready)  # under a lease of its own
    await ready.pool.execute(
        "UPDATE leases SET end_time = 1 WHERE claim <> $1", again.message.claim
    )
    await ready.pool.execute(
        "UPDATE messages SET due_time = 1 WHERE claim <> $1", again.message.claim
    )
    await ready.outbox.expire(now_ms())
    assert await state_of(ready, lost) == (State.UNKNOWN, "lease_ended")
    assert await state_of(ready, sent) == (State.SENT, "")
    assert await state_of(ready, back) == (State.ATTEMPTING, "")
    assert await leased(ready, lost, sent, back) == {back.message_id}


async def test_a_lease_is_gone_once_everything_of_its_claim_has_an_outcome(ready: Any) -> None:
    messages = [planned(ready, f"c{n}{now_ms()}") for n in range(3)]
    await store(ready, *messages)
    for one in await claim(ready):
        await ready.outbox.settle([ended(one, Sent(f"wamid.{one.message.message_id}"))])
    await ready.outbox.expire(now_ms())
    assert not await leased(ready, *messages)
