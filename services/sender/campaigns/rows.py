"""Campaigns as rows."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from typing import Any, Final

from chassis.postgres import Connection
from merhaba.sender.v1 import Campaign as CampaignProto
from services.sender.failures import CampaignNotFound
from services.sender.holds import hold
from services.sender.model import Standing
from services.sender.wire import at

COLUMNS: Final = ", ".join(Standing.__struct_fields__)
_MOVING: Final = ("state", "budget_micros", "budget_currency")
"""What makes those move who wait."""
_WRITTEN: Final = [c for c in Standing.__struct_fields__ if c not in {"campaign_id", "create_time"}]


async def locked(connection: Connection, campaign_id: str) -> Standing:
    """A campaign that nobody else changes until the transaction ends; claims of its messages wait,
    too. Raises CampaignNotFound."""
    await hold(connection, [campaign_id])
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM campaigns WHERE campaign_id = $1 FOR UPDATE", campaign_id
    )
    if row is None:
        raise unknown(campaign_id)
    return Standing(*row)


async def insert(connection: Connection, standing: Standing) -> None:
    """Store a campaign unless its id is known."""
    values = {field: getattr(standing, field) for field in standing.__struct_fields__}
    values |= _looked_at(standing)
    marks = ", ".join(f"${i}" for i, _ in enumerate(values, 1))
    status = await connection.execute(
        f"INSERT INTO campaigns ({', '.join(values)}) VALUES ({marks}) ON CONFLICT DO NOTHING",
        *values.values(),
    )
    if int(status.split()[-1]):
        await connection.execute(
            "INSERT INTO plans (campaign_id) VALUES ($1)", standing.campaign_id
        )


async def write(connection: Connection, standing: Standing, now: int) -> None:
    """Store a campaign that changed."""
    standing.version += 1
    standing.update_time = now
    values = {field: getattr(standing, field) for field in _WRITTEN} | _looked_at(standing)
    places = {column: f"${i}" for i, column in enumerate(values, 2)}
    assigned = ", ".join(f"{column} = {place}" for column, place in places.items())
    # What waits is to be looked at anew only where it may move now.
    same = " AND ".join(f"{column} = {places[column]}" for column in _MOVING)
    await connection.execute(
        f"UPDATE campaigns SET {assigned}, swept = swept AND {same} WHERE campaign_id = $1",
        *(standing.campaign_id, *values.values()),
    )
    if values["budget_currency"]:
        # Of one without a budget nobody added up what it spends.
        await connection.execute(
            "INSERT INTO spendings SELECT $1, coalesce(sum(cost_micros), 0) FROM ("
            " SELECT cost_micros, currency FROM tallies WHERE campaign_id = $1 UNION ALL"
            " SELECT cost_micros, currency FROM tally_changes WHERE campaign_id = $1) AS spent"
            " WHERE currency = $2 ON CONFLICT DO NOTHING",
            *(standing.campaign_id, values["budget_currency"]),
        )


def _looked_at(standing: Standing) -> dict[str, Any]:
    """What claims look at of a definition, where they need not read all of it."""
    campaign = CampaignProto.FromString(standing.definition)
    return {
        "budget_micros": campaign.budget.amount_micros,
        "budget_currency": campaign.budget.currency_code,
        "ignores_control": campaign.ignores_global_control,
        "not_after": at(campaign, "not_after_time"),
    }


def unknown(campaign_id: str) -> CampaignNotFound:
    """Nobody created that campaign."""
    return CampaignNotFound(f"no campaign {campaign_id}", campaign_id=campaign_id)
