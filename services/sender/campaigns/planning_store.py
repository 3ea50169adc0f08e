"""The planning of campaigns in Postgres: their messages and how far their audiences are."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Mapping, Sequence
from typing import Final

from chassis.ids import fresh_id
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.sender.campaigns import rows
from services.sender.campaigns.assignment import Given
from services.sender.campaigns.planner import Others, Planned, first_of
from services.sender.campaigns.store import CampaignStore
from services.sender.campaigns.wire import campaign_of
from services.sender.model import (
    Campaign,
    CampaignPhase,
    Message,
    Number,
    Standing,
    Template,
)
from services.sender.rulebook import Rulebook
from services.sender.rules.policy import Policy
from services.sender.tables.rows import insert
from services.sender.wire import record_of

_TAKES: Final = [CampaignPhase.PLANNING, CampaignPhase.RUNNING, CampaignPhase.PAUSED]


class PlanningStore:
    """Implements `planner.Desk`."""

    def __init__(self, pool: Pool, effects: Effects, campaigns: CampaignStore) -> None:
        self._pool = pool
        self._effects = effects
        self._campaigns = campaigns
        self._rulebook = Rulebook()

    async def lease(self, now: int, until: int) -> Campaign | None:
        """Take a campaign that is to be planned and that nobody else plans."""
        row = await self._pool.fetchrow(
            "UPDATE plans SET planner = $3, lease = $2 WHERE campaign_id = ("
            " SELECT p.campaign_id FROM plans p JOIN campaigns c USING (campaign_id)"
            f" WHERE c.state = {CampaignPhase.PLANNING:d} AND p.lease < $1"
            " ORDER BY c.launch_time LIMIT 1 FOR UPDATE OF p SKIP LOCKED)"
            " RETURNING campaign_id, cursor",
            *(now, until, planner := fresh_id("pln")),
        )
        if row is None:
            return None
        campaign = await self._campaigns.definition(row["campaign_id"])
        campaign.plan_cursor, campaign.planner = row["cursor"], planner
        return campaign

    async def definition(self, campaign_id: str) -> Campaign:
        """A campaign as it is now."""
        return await self._campaigns.definition(campaign_id)

    async def materials(self, campaign: Campaign) -> tuple[Sequence[Template], Sequence[Number]]:
        """The templates its variants name, and the numbers it may go from."""
        return await self._campaigns.materials(campaign)

    async def policy(self) -> Policy:
        """What the business allows itself."""
        async with self._pool.acquire(timeout=10) as connection:
            return (await self._rulebook.read(connection)).policy

    async def plan(
        self,
        campaign: Campaign,
        messages: Sequence[Message],
        others: Others,
        cursor: str,
        unresolved: int,
        until: int,
    ) -> Planned:
        """Store the new ones of these messages with the cursor, if the campaign is as it was."""
        planned = Planned.ENDED

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal planned
            # Shared: claims look at it meanwhile, but nobody pauses, cancels or changes it.
            row = await connection.fetchrow(
                "SELECT state, version FROM campaigns WHERE campaign_id = $1 FOR SHARE",
                campaign.campaign_id,
            )
            planner = await connection.fetchval(
                "SELECT planner FROM plans WHERE campaign_id = $1 FOR UPDATE", campaign.campaign_id
            )
            if row is None or row["state"] != CampaignPhase.PLANNING or planner != campaign.planner:
                planned = Planned.ENDED
                await _release(connection, campaign)
                return []
            if row["version"] != campaign.version:
                planned = Planned.CHANGED
                return []
            planned = Planned.STORED
            new = await insert(connection, await _unknown_to(connection, messages, others))
            await connection.execute(
                "UPDATE plans SET cursor = $2, lease = $3, unresolved = unresolved + $4"
                " WHERE campaign_id = $1",
                *(campaign.campaign_id, cursor, until, unresolved),
            )
            return _told(messages, new)

        await self._effects.apply((), work)
        return planned

    async def planned(self, campaign_id: str, now: int) -> None:
        """The whole audience has its messages."""
        recipients = await self._pool.fetchval(
            "SELECT sum(messages)::bigint FROM (SELECT messages FROM tallies WHERE campaign_id = $1"
            " UNION ALL SELECT messages FROM tally_changes WHERE campaign_id = $1) AS u",
            campaign_id,
        )

        def change(standing: Standing) -> bool:
            if standing.state != CampaignPhase.PLANNING:
                return False
            standing.state, standing.planned = CampaignPhase.RUNNING, True
            standing.recipients = recipients or 0
            return True

        await self._campaigns.change(campaign_id, change, now)

    async def halt(self, campaign: Campaign, reason: str, now: int) -> None:
        """Pause a campaign by itself, with the reason."""

        def change(standing: Standing) -> bool:
            if standing.state not in {CampaignPhase.PLANNING, CampaignPhase.RUNNING}:
                return False
            standing.state, standing.state_reason = CampaignPhase.PAUSED, reason
            return True

        await self._campaigns.change(campaign.campaign_id, change, now)
        async with self._pool.acquire(timeout=10) as connection:
            await _release(connection, campaign)

    async def triggered(self, campaign_ids: Sequence[str]) -> Mapping[str, Campaign]:
        """Those of the campaigns that take occurrences now."""
        found = await self._pool.fetch(
            f"SELECT {rows.COLUMNS} FROM campaigns"
            " WHERE campaign_id = ANY($1::text[]) AND state = ANY($2::int[])",
            list(campaign_ids),
            _TAKES,
        )
        campaigns = [campaign_of(Standing(*row)) for row in found]
        return {one.campaign_id: one for one in campaigns if one.triggered}

    async def given(self, campaign_id: str, contact_ids: Sequence[str]) -> Mapping[str, Given]:
        """What these ids got of a campaign first, where they got anything."""
        found = await self._pool.fetch(
            "SELECT DISTINCT ON (contact_id) contact_id, variant, propensity, plan_time"
            " FROM messages WHERE contact_id = ANY($1::text[]) AND campaign_id = $2"
            " AND campaign_id <> '' AND (variant <> '' OR state = 11)"
            " ORDER BY contact_id, plan_time, message_id",
            *(list(contact_ids), campaign_id),
        )
        return {row[0]: Given(row[1], row[2], row[3]) for row in found}

    async def occur(
        self, event_ids: Sequence[str], messages: Sequence[Message | None], others: Others
    ) -> None:
        """Store the message of each event not seen before."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            mine = sorted(
                (m for i in fresh if (m := messages[i]) is not None), key=lambda m: m.message_id
            )
            new = await insert(connection, await _unknown_to(connection, mine, others))
            return _told(mine, new)

        await self._effects.apply(event_ids, work)


async def _release(connection: Connection, campaign: Campaign) -> None:
    """Whoever resumes a campaign need not wait until its planner's lease is over."""
    await connection.execute(
        "UPDATE plans SET lease = 0 WHERE campaign_id = $1 AND planner = $2",
        *(campaign.campaign_id, campaign.planner),
    )


def _told(messages: Sequence[Message], new: set[str]) -> list[Record]:
    return [
        record_of(happening)
        for message in messages
        if message.message_id in new
        for happening in first_of(message)
    ]


async def _unknown_to(
    connection: Connection, messages: Sequence[Message], others: Others
) -> Sequence[Message]:
    """Those messages that their people have not had under another id."""
    if not others:
        return messages
    found = await connection.fetch(
        "SELECT message_id FROM messages WHERE message_id = ANY($1::text[])",
        [one for ids in others.values() for one in ids],
    )
    known = {row["message_id"] for row in found}
    return [m for m in messages if known.isdisjoint(others.get(m.message_id, ()))]
