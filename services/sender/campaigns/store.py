"""Campaigns in Postgres: their definitions and where they stand."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from chassis.failures import RequestIdReused
from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.sender.campaigns import rows
from services.sender.campaigns.counting import in_states
from services.sender.campaigns.wire import campaign_of
from services.sender.model import Campaign, Message, Number, Standing, State, Template
from services.sender.rulebook import Rulebook
from services.sender.rules.rates import RateCard
from services.sender.tables.rows import COLUMNS as MESSAGE
from services.sender.wire import campaign_record

Change = Callable[[Standing], bool]
"""Changes a campaign in place, or raises; False when nothing is to change."""

_NUMBERS: Final = ", ".join(Number.__struct_fields__)
_TEMPLATES: Final = ", ".join(Template.__struct_fields__)


class CampaignStore:
    """What the campaign API asks for and changes."""

    def __init__(self, pool: Pool, effects: Effects) -> None:
        self._pool = pool
        self._effects = effects
        self._rulebook = Rulebook()

    async def create(self, standing: Standing) -> Standing:
        """Store a draft; returns the one that stands when the id is known."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            await rows.insert(connection, standing)
        return await self.get(standing.campaign_id)

    async def find(self, campaign_id: str) -> Standing | None:
        """A campaign by its id."""
        row = await self._pool.fetchrow(
            f"SELECT {rows.COLUMNS} FROM campaigns WHERE campaign_id = $1", campaign_id
        )
        return None if row is None else Standing(*row)

    async def get(self, campaign_id: str) -> Standing:
        """A campaign; raises CampaignNotFound."""
        found = await self.find(campaign_id)
        if found is None:
            raise rows.unknown(campaign_id)
        return found

    async def definition(self, campaign_id: str) -> Campaign:
        """A campaign as planning sees it; raises CampaignNotFound."""
        return campaign_of(await self.get(campaign_id))

    async def search(
        self, states: Sequence[int], name: str, after: tuple[int, str], n: int
    ) -> list[Standing]:
        """Campaigns, latest created first, `after` a (create time, id)."""
        found = await self._pool.fetch(
            f"SELECT {rows.COLUMNS} FROM campaigns WHERE (create_time, campaign_id) < ($1, $2)"
            " AND ($3::int[] = '{}' OR state = ANY($3)) AND strpos(lower(name), lower($4)) > 0"
            " ORDER BY create_time DESC, campaign_id DESC LIMIT $5",
            *(*after, list(states), name, n),
        )
        return [Standing(*row) for row in found]

    async def change(self, campaign_id: str, change: Change, now: int) -> Standing:
        """Change a campaign while nobody else does; calls that claim its messages wait."""
        changed: list[Standing] = []

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            standing = await rows.locked(connection, campaign_id)
            changed[:] = [standing]
            state = standing.state
            if not change(standing):
                return []
            await rows.write(connection, standing, now)
            return [campaign_record(standing)] if standing.state != state else []

        await self._effects.apply((), work)
        return changed[0]

    async def weigh(
        self, campaign_id: str, request_id: str, weights: Mapping[str, float], change: Change,
        now: int,
    ) -> Standing:  # fmt: skip
        """Change the weights of a campaign, once for each request. Raises RequestIdReused."""
        said = msgspec.json.encode(weights, order="sorted")
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            standing = await rows.locked(connection, campaign_id)
            known = await connection.fetchrow(
                "SELECT campaign_id, weights FROM weight_requests WHERE request_id = $1", request_id
            )
            if known is not None:
                if tuple(known) != (campaign_id, said):
                    raise RequestIdReused(request_id)
            elif change(standing):
                await rows.write(connection, standing, now)
            if known is None:
                await connection.execute(
                    "INSERT INTO weight_requests VALUES ($1, $2, $3, $4)",
                    *(request_id, campaign_id, said, now),
                )
        return standing

    async def recipients(
        self, campaign_id: str, conditions: Mapping[str, Any], states: Sequence[int], since: int,
        after: str, n: int,
    ) -> list[Message]:  # fmt: skip
        """Messages of a campaign by id, with these column values, any of these states, changed at
        or after a time."""
        where = "".join(f" AND {name} = ${i}" for i, name in enumerate(conditions, 6))
        found = await self._pool.fetch(
            f"SELECT {MESSAGE} FROM messages WHERE campaign_id = $1 AND campaign_id <> ''"
            " AND message_id > $2 AND ($3::int[] = '{}' OR state = ANY($3))"
            " AND ($5::bigint = 0 OR greatest(plan_time, attempt_time, sent_time, delivered_time,"
            "  read_time, failed_time, clicked_time, replied_time) >= $5)"
            f"{where} ORDER BY message_id LIMIT $4",
            *(campaign_id, after, list(states), n, since, *conditions.values()),
        )
        return [Message(*row) for row in found]

    async def attempts(self, campaign_id: str) -> bool:
        """Whether any message is claimed of which the outcome is not known."""
        return await in_states(self._pool, campaign_id, State.ATTEMPTING) > 0

    async def cards(self) -> Sequence[RateCard]:
        """The rate cards."""
        async with self._pool.acquire(timeout=10) as connection:
            return (await self._rulebook.read(connection)).cards

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
