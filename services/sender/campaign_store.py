"""Campaigns in Postgres: their definitions, where they stand, and their messages' planning."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from merhaba.sender.v1 import Campaign as CampaignProto
from services.sender.failures import CampaignNotFound
from services.sender.model import (
    NEVER,
    Campaign,
    CampaignPhase,
    Counts,
    Happening,
    Message,
    Number,
    Standing,
    State,
    Template,
)
from services.sender.planner import Others, first_of
from services.sender.rows import COLUMNS, insert, update
from services.sender.wire import campaign_of, campaign_record, record_of

Change = Callable[[Standing], bool]
"""Changes a campaign in place, or raises; False when nothing is to change."""

_COLUMNS: Final = ", ".join(Standing.__struct_fields__)
_WRITTEN: Final = [c for c in Standing.__struct_fields__ if c not in {"campaign_id", "create_time"}]
_NUMBERS: Final = ", ".join(Number.__struct_fields__)
_TEMPLATES: Final = ", ".join(Template.__struct_fields__)
_MOVED: Final = 1_000
_TAKES: Final = [CampaignPhase.PLANNING, CampaignPhase.RUNNING, CampaignPhase.PAUSED]


class CampaignStore:
    """Implements `planner.Desk`, and what the campaign API asks."""

    def __init__(self, pool: Pool, effects: Effects) -> None:
        self._pool = pool
        self._effects = effects

    # --- for the API --------------------------------------------------------------------------

    async def create(self, standing: Standing) -> Standing:
        """Store a draft; returns the one that stands when the id is known."""

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            fields = standing.__struct_fields__
            marks = ", ".join(f"${i}" for i, _ in enumerate(fields, 1))
            await connection.execute(
                f"INSERT INTO campaigns ({_COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING",
                *(getattr(standing, field) for field in fields),
            )
            await _limit(connection, standing)
            return []

        await self._effects.apply((), work)
        return await self.get(standing.campaign_id)

    async def get(self, campaign_id: str) -> Standing:
        """A campaign; raises CampaignNotFound."""
        row = await self._pool.fetchrow(
            f"SELECT {_COLUMNS} FROM campaigns WHERE campaign_id = $1", campaign_id
        )
        if row is None:
            raise _unknown(campaign_id)
        return Standing(*row)

    async def definition(self, campaign_id: str) -> Campaign:
        """A campaign as planning sees it; raises CampaignNotFound."""
        return _campaign(await self.get(campaign_id))

    async def search(
        self, states: Sequence[int], name: str, after: tuple[int, str], n: int
    ) -> list[Standing]:
        """Campaigns, latest created first, `after` a (create time, id)."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM campaigns WHERE (create_time, campaign_id) < ($1, $2)"
            " AND ($3::int[] = '{}' OR state = ANY($3)) AND strpos(lower(name), lower($4)) > 0"
            " ORDER BY create_time DESC, campaign_id DESC LIMIT $5",
            *(*after, list(states), name, n),
        )
        return [Standing(*row) for row in rows]

    async def change(self, campaign_id: str, change: Change, now: int) -> Standing:
        """Change a campaign while nobody else does; calls that claim its messages wait."""
        changed: list[Standing] = []

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            standing = await _locked(connection, campaign_id)
            changed.append(standing)
            before, definition = standing.state, standing.definition
            if not change(standing):
                return []
            await _write(connection, standing, now)
            if standing.definition != definition:
                await _limit(connection, standing)
            return [campaign_record(standing)] if standing.state != before else []

        await self._effects.apply((), work)
        return changed[0]

    async def counts(self, campaign_id: str) -> list[Counts]:
        """How many messages stand where, and what they cost."""
        rows = await self._pool.fetch(
            "SELECT variant, state, gate, error_code, count(*),"
            " count(*) FILTER (WHERE replied_time > 0), count(*) FILTER (WHERE clicked_time > 0),"
            " sum(cost_micros)::bigint, max(currency)"
            " FROM messages WHERE campaign_id = $1 GROUP BY 1, 2, 3, 4",
            campaign_id,
        )
        return [Counts(*row) for row in rows]

    async def recipients(
        self, campaign_id: str, conditions: Mapping[str, str], states: Sequence[int], after: str,
        n: int,
    ) -> list[Message]:  # fmt: skip
        """Messages of a campaign by id, with these column values and any of these states."""
        where = "".join(f" AND {name} = ${i}" for i, name in enumerate(conditions, 5))
        rows = await self._pool.fetch(
            f"SELECT {COLUMNS} FROM messages WHERE campaign_id = $1 AND message_id > $2"
            f" AND ($3::int[] = '{{}}' OR state = ANY($3)){where} ORDER BY message_id LIMIT $4",
            *(campaign_id, after, list(states), n, *conditions.values()),
        )
        return [Message(*row) for row in rows]

    # --- for planning -------------------------------------------------------------------------

    async def lease(self, now: int, until: int) -> Campaign | None:
        """Take a campaign that is to be planned and that nobody else plans."""
        row = await self._pool.fetchrow(
            "UPDATE campaigns SET plan_lease = $2 WHERE campaign_id = ("
            " SELECT campaign_id FROM campaigns WHERE state = 3 AND plan_lease < $1"
            " ORDER BY launch_time LIMIT 1 FOR UPDATE SKIP LOCKED)"
            f" RETURNING {_COLUMNS}",
            now,
            until,
        )
        return None if row is None else _campaign(Standing(*row))

    async def materials(self, campaign: Campaign) -> tuple[list[Template], list[Number]]:
        """The templates its variants name, and the numbers it may go from."""
        templates = await self._pool.fetch(
            f"SELECT {_TEMPLATES} FROM templates WHERE waba_id = $1 AND name = ANY($2::text[])",
            campaign.waba_id,
            [variant.template for variant in campaign.variants],
        )
        numbers = await self._pool.fetch(
            f"SELECT {_NUMBERS} FROM numbers WHERE waba_id = $1"
            " AND ($2::text[] = '{}' OR phone_number_id = ANY($2))",
            campaign.waba_id,
            list(campaign.phone_number_ids),
        )
        return [Template(*row) for row in templates], [Number(*row) for row in numbers]

    async def plan(
        self,
        campaign: Campaign,
        messages: Sequence[Message],
        others: Others,
        cursor: str,
        unresolved: int,
        until: int,
    ) -> bool:
        """Store the new ones of these messages and the cursor. False: it is no longer planning."""
        going_on = False

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal going_on
            standing = await _locked(connection, campaign.campaign_id)
            going_on = standing.state == CampaignPhase.PLANNING
            if not going_on:
                return []
            new = await insert(connection, await _unknown_to(connection, messages, others))
            await connection.execute(
                "UPDATE campaigns SET plan_cursor = $2, plan_lease = $3,"
                " recipients = recipients + $4, unresolved = unresolved + $5"
                " WHERE campaign_id = $1",
                *(campaign.campaign_id, cursor, until, len(new), unresolved),
            )
            return [
                record_of(happening)
                for message in messages
                if message.message_id in new
                for happening in first_of(message)
            ]

        await self._effects.apply((), work)
        return going_on

    async def planned(self, campaign_id: str, now: int) -> None:
        """The whole audience has its messages."""

        def change(standing: Standing) -> bool:
            if standing.state != CampaignPhase.PLANNING:
                return False
            standing.state, standing.planned = CampaignPhase.RUNNING, True
            return True

        await self.change(campaign_id, change, now)

    async def halt(self, campaign_id: str, reason: str, now: int) -> None:
        """Pause a campaign by itself, with the reason."""

        def change(standing: Standing) -> bool:
            if standing.state not in {CampaignPhase.PLANNING, CampaignPhase.RUNNING}:
                return False
            standing.state, standing.state_reason = CampaignPhase.PAUSED, reason
            return True

        await self.change(campaign_id, change, now)

    async def triggered(self, campaign_ids: Sequence[str]) -> Mapping[str, Campaign]:
        """Those of the campaigns that take occurrences now."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM campaigns"
            " WHERE campaign_id = ANY($1::text[]) AND state = ANY($2::int[])",
            list(campaign_ids),
            _TAKES,
        )
        campaigns = [_campaign(Standing(*row)) for row in rows]
        return {one.campaign_id: one for one in campaigns if one.triggered}

    async def occur(
        self, event_ids: Sequence[str], messages: Sequence[Message | None], others: Others
    ) -> None:
        """Store the message of each event not seen before."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            mine = sorted(
                (m for i in fresh if (m := messages[i]) is not None), key=lambda m: m.message_id
            )
            new = await insert(connection, await _unknown_to(connection, mine, others))
            counted: dict[str, int] = {}
            for message in mine:
                if message.message_id in new:
                    counted[message.campaign_id] = counted.get(message.campaign_id, 0) + 1
            for campaign_id in sorted(counted):
                await connection.execute(
                    "UPDATE campaigns SET recipients = recipients + $2 WHERE campaign_id = $1",
                    campaign_id,
                    counted[campaign_id],
                )
            return [
                record_of(happening)
                for message in mine
                if message.message_id in new
                for happening in first_of(message)
            ]

        await self._effects.apply(event_ids, work)

    async def advance(self, now: int) -> int:
        """Start what is scheduled, move messages of resumed and cancelled campaigns, close what
        is done. Returns how much moved."""
        moved = 0
        rows = await self._pool.fetch(
            f"SELECT swept, {_COLUMNS} FROM campaigns WHERE state IN (2, 3, 4, 7)"
            " AND (state <> 7 OR NOT swept)"
        )
        for swept, *fields in rows:
            standing = Standing(*fields)
            if standing.state == CampaignPhase.SCHEDULED:
                if standing.start_time <= now:
                    await self.change(standing.campaign_id, _start(now), now)
                    moved += 1
                continue
            if not swept:
                moved += await self._sweep(standing, now)
            elif standing.state == CampaignPhase.RUNNING and standing.planned:
                moved += await self._close(standing.campaign_id, now)
        return moved

    async def _sweep(self, standing: Standing, now: int) -> int:
        """After a resumption, messages held by the pause are due again; after a cancellation,
        those that wait end."""
        cancelled = standing.state == CampaignPhase.CANCELLED
        moved = 0

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal moved
            current = await _locked(connection, standing.campaign_id)
            if current.state != standing.state:
                return []
            held = "state IN (1, 2)" if cancelled else f"state = 2 AND due_time = {NEVER}"
            rows = await connection.fetch(
                f"SELECT {COLUMNS} FROM messages WHERE campaign_id = $1 AND {held}"
                # Whoever has one locked claims it, waits for this campaign and then sees its state.
                f" AND state IN (1, 2, 3) LIMIT {_MOVED} FOR UPDATE SKIP LOCKED",
                standing.campaign_id,
            )
            messages = [Message(*row) for row in rows]
            moved = len(messages)
            for message in messages:
                message.gate, message.reason = ("campaign", "cancelled") if cancelled else ("", "")
                message.state = State.CANCELLED if cancelled else State.PLANNED
                message.due_time = now
            await update(connection, messages)
            if moved < _MOVED:
                await connection.execute(
                    "UPDATE campaigns SET swept = true WHERE campaign_id = $1",
                    standing.campaign_id,
                )
            if not cancelled:
                return []
            return [record_of(Happening("message_suppressed", m, now)) for m in messages]

        await self._effects.apply((), work)
        return moved

    async def _close(self, campaign_id: str, now: int) -> int:
        waiting = await self._pool.fetchval(
            "SELECT EXISTS (SELECT FROM messages"
            " WHERE campaign_id = $1 AND campaign_id <> '' AND state IN (1, 2, 3))",
            campaign_id,
        )
        if waiting:
            return 0

        def change(standing: Standing) -> bool:
            if standing.state != CampaignPhase.RUNNING:
                return False
            standing.state, standing.end_time = CampaignPhase.COMPLETED, now
            return True

        await self.change(campaign_id, change, now)
        return 1


def _start(now: int) -> Change:
    def change(standing: Standing) -> bool:
        if standing.state != CampaignPhase.SCHEDULED:
            return False
        standing.state, standing.launch_time = CampaignPhase.PLANNING, now
        return True

    return change


async def _unknown_to(
    connection: Connection, messages: Sequence[Message], others: Others
) -> Sequence[Message]:
    """Those messages that their people have not had under another id."""
    if not others:
        return messages
    rows = await connection.fetch(
        "SELECT message_id FROM messages WHERE message_id = ANY($1::text[])",
        [one for ids in others.values() for one in ids],
    )
    known = {row["message_id"] for row in rows}
    return [m for m in messages if known.isdisjoint(others.get(m.message_id, ()))]


async def _locked(connection: Connection, campaign_id: str) -> Standing:
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM campaigns WHERE campaign_id = $1 FOR UPDATE", campaign_id
    )
    if row is None:
        raise _unknown(campaign_id)
    return Standing(*row)


async def _write(connection: Connection, standing: Standing, now: int) -> None:
    """Every change of a campaign may leave messages behind that are to be moved."""
    standing.version += 1
    standing.update_time = now
    assigned = ", ".join(f"{c} = ${i}" for i, c in enumerate(_WRITTEN, 2))
    await connection.execute(
        f"UPDATE campaigns SET {assigned}, swept = false WHERE campaign_id = $1",
        standing.campaign_id,
        *(getattr(standing, c) for c in _WRITTEN),
    )


async def _limit(connection: Connection, standing: Standing) -> None:
    """What claims look at of a definition, where they need not read all of it."""
    campaign = CampaignProto.FromString(standing.definition)
    await connection.execute(
        "UPDATE campaigns SET budget_micros = $2, budget_currency = $3, ignores_control = $4"
        " WHERE campaign_id = $1",
        *(standing.campaign_id, campaign.budget.amount_micros, campaign.budget.currency_code),
        campaign.ignores_global_control,
    )


def _campaign(standing: Standing) -> Campaign:
    campaign = campaign_of(CampaignProto.FromString(standing.definition))
    campaign.campaign_id = standing.campaign_id
    campaign.phase = standing.state
    campaign.plan_cursor = standing.plan_cursor
    return campaign


def _unknown(campaign_id: str) -> CampaignNotFound:
    return CampaignNotFound(f"no campaign {campaign_id}", campaign_id=campaign_id)
