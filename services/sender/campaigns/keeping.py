"""Keeping campaigns moving to their end, whoever plans them and whatever happens to their messages.

Scheduled ones start; messages of resumed ones are due again; those that wait for one that was
cancelled, or stopped, end; one whose deadline passed, or for which nobody waits, is over.
"""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Connection, Effects, Pool, delete_before
from chassis.streams import Record
from chassis.transient import keep_at
from services.sender.campaigns import rows
from services.sender.campaigns.counting import Counting, in_states
from services.sender.campaigns.store import CampaignStore, Change
from services.sender.campaigns.wire import is_triggered
from services.sender.model import NEVER, CampaignPhase, Happening, Message, Standing, State
from services.sender.tables.rows import COLUMNS as MESSAGE
from services.sender.tables.rows import update
from services.sender.wire import record_of

DEADLINE: Final = "deadline"
_LOOK_EVERY: Final = timedelta(seconds=1)
_FORGET_EVERY: Final = timedelta(hours=1)
_REQUESTS_KEPT: Final = timedelta(days=2)  # longer than anybody repeats one
_MOVED: Final = 1_000
_CLOCKS_MS: Final = 10_000  # by so much those of processes may differ
# What the budget held after the change it will hold again, and would be looked at for ever.
_HELD_BY_IT: Final = (
    f"is_held AND due_time = {NEVER}"
    " AND (gate = 'campaign' OR gate = 'budget' AND decide_time < $2)"
)
_AWAKE: Final = [
    CampaignPhase.SCHEDULED,
    CampaignPhase.PLANNING,
    CampaignPhase.RUNNING,
    CampaignPhase.PAUSED,
]
_TO_LEAVE: Final = (State.PLANNED, State.HELD, State.ATTEMPTING)
_ENDED: Final = frozenset({CampaignPhase.CANCELLED, CampaignPhase.STOPPED})


class _Swept(NamedTuple):
    """What becomes of messages that wait when their campaign has ended."""

    state: State
    gate: str
    reason: str


_TOO_LATE: Final = _Swept(State.SUPPRESSED, DEADLINE, "too_late")
_OVER: Final[Mapping[int, _Swept]] = {
    CampaignPhase.CANCELLED: _Swept(State.CANCELLED, "campaign", "cancelled"),
    CampaignPhase.STOPPED: _Swept(State.SUPPRESSED, "campaign", "stopped"),
}


class Keeper:
    """Does it in the background."""

    def __init__(
        self,
        pool: Pool,
        effects: Effects,
        campaigns: CampaignStore,
        counting: Counting,
        clock: Clock,
        moved: Callable[[], None],
    ) -> None:
        """`moved` tells whoever plans and sends that there is something to do."""
        self._pool = pool
        self._effects = effects
        self._campaigns = campaigns
        self._counting = counting
        self._clock = clock
        self._moved = moved
        self._called = asyncio.Event()

    def call(self) -> None:
        """A campaign changed: look at once."""
        self._called.set()

    async def run(self) -> None:
        """Keep campaigns moving, until cancelled."""
        await keep_at(self._turn, self._clock, _LOOK_EVERY, "campaigns wait", self._called)

    async def forget(self) -> None:
        """Forget which requests were served long ago, until cancelled."""
        await keep_at(self.forget_requests, self._clock, _FORGET_EVERY, "old requests stay for now")

    async def forget_requests(self) -> int:
        """Forget some changes of weights that nobody repeats any more; returns how many."""
        before = milliseconds_of(self._clock.now() - _REQUESTS_KEPT)
        return await delete_before(self._pool, "weight_requests", "create_time", before)

    async def _turn(self) -> int:
        return await self.step() + await self._counting.fold()

    async def step(self) -> int:
        """Move what is to be moved, of each campaign some; returns how much that was."""
        now = milliseconds_of(self._clock.now())
        found = await self._pool.fetch(
            f"SELECT swept, not_after, {rows.COLUMNS} FROM campaigns"
            " WHERE state IN (2, 3, 4, 7, 8) AND (state < 7 OR NOT swept)"
            " OR state = 5 AND not_after BETWEEN 1 AND $1",
            now,
        )
        moved = 0
        for swept, not_after, *fields in found:
            standing = Standing(*fields)
            moved += await self._keep(standing, swept=swept, late=0 < not_after < now, now=now)
        if moved:
            self._moved()
        return moved

    async def _keep(self, standing: Standing, *, swept: bool, late: bool, now: int) -> int:
        if late and standing.state in _AWAKE:
            return await self._change(standing, _stop(now), now)
        if standing.state == CampaignPhase.SCHEDULED:
            due = standing.start_time <= now
            return await self._change(standing, _start(now), now) if due else 0
        if not swept:
            return await self._sweep(standing, now)
        if standing.state == CampaignPhase.RUNNING and standing.planned:
            return await self._close(standing, now)
        return 0

    async def _change(self, standing: Standing, change: Change, now: int) -> int:
        await self._campaigns.change(standing.campaign_id, change, now)
        return 1

    async def _sweep(self, standing: Standing, now: int) -> int:
        """Some of the messages that wait: due again after a resumption, over after an end."""
        over = _OVER.get(standing.state)
        if over is not None and standing.state_reason == DEADLINE:
            over = _TOO_LATE
        moved = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal moved
            current = await rows.locked(connection, standing.campaign_id)
            if current.state != standing.state:
                return []
            waiting = "is_waiting" if over else f"is_waiting AND {_HELD_BY_IT}"
            theirs = f"FROM messages WHERE campaign_id = $1 AND campaign_id <> '' AND {waiting}"
            asked = (
                [standing.campaign_id]
                if over
                else [standing.campaign_id, current.update_time + _CLOCKS_MS]
            )
            found = await connection.fetch(
                f"SELECT {MESSAGE} {theirs} LIMIT {_MOVED} FOR UPDATE SKIP LOCKED",
                *asked,
            )
            messages = [Message(*row) for row in found]
            moved = len(messages)
            for message in messages:
                message.due_time = now
                message.state, message.gate, message.reason = over or (State.PLANNED, "", "")
            await update(connection, messages)
            if moved < _MOVED:
                # What others have locked, to claim it or to move it to another person, is looked
                # at again.
                await connection.execute(
                    "UPDATE campaigns SET swept = true WHERE campaign_id = $1"
                    f" AND NOT EXISTS (SELECT {theirs})",
                    *asked,
                )
            if over is None:
                return []
            return [record_of(Happening("message_suppressed", m, now)) for m in messages]

        await self._effects.apply((), work)
        return moved

    async def _close(self, standing: Standing, now: int) -> int:
        if await in_states(self._pool, standing.campaign_id, *_TO_LEAVE):
            return 0
        return await self._change(standing, _complete(now), now)


def _start(now: int) -> Change:
    def change(standing: Standing) -> bool:
        if standing.state != CampaignPhase.SCHEDULED:
            return False
        triggered = is_triggered(standing)
        standing.state = CampaignPhase.RUNNING if triggered else CampaignPhase.PLANNING
        standing.launch_time = now
        return True

    return change


def _stop(now: int) -> Change:
    def change(standing: Standing) -> bool:
        if standing.state not in _AWAKE:
            return False
        standing.state, standing.state_reason = CampaignPhase.STOPPED, DEADLINE
        standing.end_time = now
        return True

    return change


def _complete(now: int) -> Change:
    def change(standing: Standing) -> bool:
        if standing.state != CampaignPhase.RUNNING:
            return False
        standing.state, standing.end_time = CampaignPhase.COMPLETED, now
        return True

    return change
