"""Campaigns as rows."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from typing import Final

from chassis.postgres import Connection
from merhaba.sender.v1 import Campaign as CampaignProto
from services.sender.failures import CampaignNotFound
from services.sender.holds import hold
from services.sender.model import Standing
from services.sender.wire import at

COLUMNS: Final = ", ".join(Standing.__struct_fields__)
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
    fields = standing.__struct_fields__
    marks = ", ".join(f"${i}" for i, _ in enumerate(fields, 1))
    await connection.execute(
        f"INSERT INTO campaigns ({COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING",
        *(getattr(standing, field) for field in fields),
    )
    await connection.execute(
        "INSERT INTO plans (campaign_id) VALUES ($1) ON CONFLICT DO NOTHING", standing.campaign_id
    )
    await _limit(connection, standing)


async def write(connection: Connection, standing: Standing, now: int) -> None:
    """Store a campaign that changed. Any change may leave messages behind that are to move."""
    standing.version += 1
    standing.update_time = now
    assigned = ", ".join(f"{c} = ${i}" for i, c in enumerate(_WRITTEN, 2))
    await connection.execute(
        f"UPDATE campaigns SET {assigned}, swept = false WHERE campaign_id = $1",
        standing.campaign_id,
        *(getattr(standing, c) for c in _WRITTEN),
    )
    await _limit(connection, standing)


async def _limit(connection: Connection, standing: Standing) -> None:
    """What claims look at of a definition, where they need not read all of it."""
    campaign = CampaignProto.FromString(standing.definition)
    await connection.execute(
        "UPDATE campaigns SET budget_micros = $2, budget_currency = $3, ignores_control = $4,"
        " not_after = $5 WHERE campaign_id = $1",
        *(standing.campaign_id, campaign.budget.amount_micros, campaign.budget.currency_code),
        *(campaign.ignores_global_control, at(campaign, "not_after_time")),
    )


def unknown(campaign_id: str) -> CampaignNotFound:
    """Nobody created that campaign."""
    return CampaignNotFound(f"no campaign {campaign_id}", campaign_id=campaign_id)
