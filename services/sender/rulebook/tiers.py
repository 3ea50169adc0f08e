"""Volumes that Meta says have been reached, kept."""

from collections.abc import Iterable, Mapping, Sequence

from chassis.postgres import Connection, Effects
from chassis.streams import Record
from services.sender.rules.volumes import VolumeTier


class TierStore:
    """Keeps what Meta says."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects

    async def told(self, tiers: Sequence[VolumeTier]) -> None:
        """Fold in what webhooks tell, in whatever order: volumes only grow."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            for tier in sorted({tiers[i] for i in fresh}):
                await connection.execute(
                    "INSERT INTO volume_tiers AS t VALUES ($1, $2, $3, $4, $5)"
                    " ON CONFLICT (waba_id, month, region, category)"
                    " DO UPDATE SET volume = greatest(t.volume, excluded.volume)",
                    *tier[1:],
                )
            return []

        await self._effects.apply([tier.event_id for tier in tiers], work)


async def reached(
    connection: Connection, waba_ids: Iterable[str], month: int
) -> Mapping[str, Sequence[tuple[str, str, int]]]:
    """By account, the regions, categories and volumes that Meta told of a month."""
    rows = await connection.fetch(
        "SELECT waba_id, region, category, volume FROM volume_tiers"
        " WHERE waba_id = ANY($1::text[]) AND month = $2",
        *(sorted(set(waba_ids)), month),
    )
    found: dict[str, list[tuple[str, str, int]]] = {}
    for waba_id, *tier in rows:
        found.setdefault(waba_id, []).append((tier[0], tier[1], tier[2]))
    return found
