"""What the sender itself knows of people and money, for very many at once."""

from collections.abc import Mapping, Sequence

from chassis.postgres import Pool
from services.sender.campaigns.preflight.judging import Known
from services.sender.model import Number
from services.sender.rulebook import Rulebook, Rules
from services.sender.rules.rates import Tariff
from services.sender.tables.candidates import load_tariffs, saturations, sent


class Knowledge:
    """Reads it, reserving and locking nothing."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rulebook = Rulebook()

    async def rules(self) -> Rules:
        """The policy and the rate cards in force."""
        async with self._pool.acquire(timeout=10) as connection:
            return await self._rulebook.read(connection)

    async def of(self, contact_ids: Sequence[str], rules: Rules, now: int) -> Known:
        """What is known of those of these contacts of whom anything is."""
        caps = rules.policy.frequency_caps
        async with self._pool.acquire(timeout=10) as connection:
            noted = await saturations(connection, contact_ids)
            counted = await sent(connection, contact_ids, caps, now) if caps else {}
        return Known(noted, counted)

    async def tariffs(
        self, numbers: Sequence[Number], rules: Rules, now: int
    ) -> Mapping[str, Tariff]:
        """By business number, what messages cost."""
        async with self._pool.acquire(timeout=10) as connection:
            return await load_tariffs(connection, rules.cards, numbers, now)

    async def spent(self, campaign_id: str) -> int:
        """What of a campaign's budget is spent or reserved (micros)."""
        found: int | None = await self._pool.fetchval(
            "SELECT micros FROM spendings WHERE campaign_id = $1", campaign_id
        )
        return found or 0
