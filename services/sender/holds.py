"""Who decides on a campaign as it stands, and who changes it.

Row locks would let those who decide overlap for ever, and whoever wants to pause the campaign wait
in vain (12 claims at once made it wait for seconds). Advisory locks are given in line.
"""

from collections.abc import Iterable
from typing import Final

from chassis.postgres import Connection

_KEYS: Final = "hashtextextended('campaign ' || id, 0)) FROM unnest($1::text[]) AS u (id)"


async def share(connection: Connection, campaign_ids: Iterable[str]) -> None:
    """Until the transaction ends nobody changes these campaigns."""
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({_KEYS}", sorted(campaign_ids))


async def hold(connection: Connection, campaign_ids: Iterable[str]) -> None:
    """Until the transaction ends nobody else changes these campaigns, or decides on them."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_KEYS}", sorted(campaign_ids))
