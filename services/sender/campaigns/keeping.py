"""Keeping campaigns moving to their end, whoever plans them and whatever happens to their messages.

Scheduled ones start; messages of resumed ones are due again; those that wait for one that was
cancelled, or stopped, end; one whose deadline passed, or for which nobody waits, is over.
"""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.sender.campaigns import rows
from services.sender.campaigns.counting import Counting
from services.sender.campaigns.store import CampaignStore, Change
from services.sender.campaigns.wire import is_triggered
from services.sender.model import NEVER, CampaignPhase, Happening, Message, Standing, State
from services.sender.rows import COLUMNS as MESSAGE
from services.sender.rows import update
from services.sender.wire import record_of

DEADLINE: Final = "deadline"
_MOVED: Final = 1_000
_AWAKE: Final = [
    CampaignPhase.SCHEDULED,
    CampaignPhase.PLANNING,
    CampaignPhase.RUNNING,
    CampaignPhase.PAUSED,
]
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
        passing: Callable[[BaseException], bool],
        warn: Callable[[str, BaseException], None],
    ) -> None:
        """`moved` tells whoever plans and sends that there is something to do."""
        self._pool = pool
        self._effects = effects
        self._campaigns = campaigns
        self._counting = counting
        self._clock = clock
        self._moved = moved
        self._passing = passing
        self._warn = warn
        self._called = asyncio.Event()

    def call(self) -> None:
        """A campaign changed: look at once."""
        self._called.set()

    async def run(self) -> None:
        """Keep campaigns moving, until cancelled."""
        while True:
            self._called.clear()
            moved = 0
            try:
                moved = await self.step() + await self._counting.fold()
            except Exception as error:
                if not self._passing(error):
                    raise
                self._warn("campaigns wait", error)
            if not moved:
                try:
                    async with asyncio.timeout(1):
                        await self._called.wait()
                except TimeoutError:
                    continue

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
            waiting = "state IN (1, 2)" if over else f"state = 2 AND due_time = {NEVER}"
            found = await connection.fetch(
                f"SELECT {MESSAGE} FROM messages WHERE campaign_id = $1 AND {waiting}"
                # Whoever has one locked claims it, waits for this campaign and then sees its state.
                f" AND state IN (1, 2, 3) LIMIT {_MOVED} FOR UPDATE SKIP LOCKED",
                standing.campaign_id,
            )
            messages = [Message(*row) for row in found]
            moved = len(messages)
            for message in messages:
                message.due_time = now
                message.state, message.gate, message.reason = over or (State.PLANNED, "", "")
            await update(connection, messages)
            if moved < _MOVED:
                await connection.execute(
                    "UPDATE campaigns SET swept = true WHERE campaign_id = $1",
                    standing.campaign_id,
                )
            if over is None:
                return []
            return [record_of(Happening("message_suppressed", m, now)) for m in messages]

        await self._effects.apply((), work)
        return moved

    async def _close(self, standing: Standing, now: int) -> int:
        if await self._pool.fetchval(
            "SELECT EXISTS (SELECT FROM messages"
            " WHERE campaign_id = $1 AND campaign_id <> '' AND state IN (1, 2, 3))",
            standing.campaign_id,
        ):
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
