"""Lists that only people look at: campaigns as they are searched, recipients one by one."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from chassis.clock import moment_of
from chassis.postgres import Pool
from services.reports import messages
from services.reports.funnel import Outcome, outcome, told_by
from services.reports.model import ABANDONED_STATES, CampaignState, Progress, Step
from services.reports.rollups import part

_STATES: Final = (
    "SELECT c.campaign_id, coalesce(name, ''), coalesce(state, ''), coalesce(recipients, 0),"
    " change_time, launch_time FROM campaign_facts c"
)
_SUMS: Final = (
    "SELECT campaign_id, sum(planned) AS planned, sum(sent) AS sent, sum(delivered) AS delivered,"
    " sum(read) AS read, sum(clicked) AS clicked, sum(replied) AS replied, sum(failed) AS failed,"
    " sum(conversions) AS conversions"
    " FROM summary_days WHERE cut = 1 GROUP BY campaign_id"
)
ORDERS: Final[Mapping[str, str]] = {
    "changed": "c.change_time",
    "name": "lower(coalesce(nullif(name, ''), c.campaign_id))",
    "state": "state",
    "planned": "coalesce(s.planned, 0)",
    "sent": "coalesce(s.sent, 0)",
    "delivered": "s.delivered::float8 / nullif(s.sent, 0)",
    "read": "s.read::float8 / nullif(s.delivered, 0)",
    "clicked": "s.clicked::float8 / nullif(s.delivered, 0)",
    "replied": "s.replied::float8 / nullif(s.delivered, 0)",
    "failed": "coalesce(s.failed, 0)",
    "converted": "coalesce(s.conversions, 0)",
}
"""What a list of campaigns can be ordered by: rates where it shows rates."""
OUTCOMES: Final[tuple[Outcome, ...]] = (
    *("read", "delivered", "failed", "sent", "unknown", "suppressed", "held_out", "pending"),
)


class Recipient(NamedTuple):
    """One message of a campaign."""

    message_id: str
    contact_id: str
    variant: str
    template: str
    outcome: Outcome
    time: datetime | None
    """When it last came further."""
    gate: str
    code: int


class Health(NamedTuple):
    """What Meta last said of a number or template."""

    label: str
    score: str
    bad: bool
    change_time: datetime


class Reading:
    """Reads lists for pages."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def campaigns(
        self, search: str, order: str, descending: bool, first: int, most: int
    ) -> list[CampaignState]:
        """Campaigns whose name or id contains a text, in an order (of `ORDERS`)."""
        by = f"{ORDERS[order]} {'DESC' if descending else 'ASC'} NULLS LAST, c.campaign_id"
        sums = f" LEFT JOIN ({_SUMS}) s USING (campaign_id)" if "s." in ORDERS[order] else ""
        rows = await self._pool.fetch(
            f"{_STATES}{sums} WHERE $1 = '' OR strpos(lower(name), lower($1)) > 0"
            f" OR strpos(c.campaign_id, $1) > 0 ORDER BY {by} OFFSET $2 LIMIT $3",
            *(search, first, most),
        )
        return [CampaignState(*row.values()) for row in rows]

    async def recipients(
        self, campaign_id: str, outcomes: Sequence[str], after: str, most: int
    ) -> list[Recipient]:
        """Messages of a campaign behind an id, by id; only with these outcomes, if any."""
        wanted = " OR ".join(
            "progress & {} = {}".format(*told_by(one)) for one in OUTCOMES if one in outcomes
        )
        rows = await self._pool.fetch(
            f"SELECT {messages.READ} FROM message_facts WHERE campaign_id = $1"  # noqa: S608 - constants, values are bound
            f" AND message_id > $2{f' AND ({wanted})' if wanted else ''}"
            " ORDER BY message_id LIMIT $3",
            *(campaign_id, after, most),
        )
        return [_recipient(row) for row in rows]

    async def goals(self) -> tuple[tuple[str, str], ...]:
        """What counts as success besides orders, with what people call it, by name."""
        rows = await self._pool.fetch(
            "SELECT conversion_id, name FROM conversions ORDER BY name LIMIT 100"
        )
        return tuple((row[0], row[1]) for row in rows)

    async def abandoned(self, campaign_id: str) -> bool:
        """Whether a campaign was cancelled or stopped: what waits of it, waits for nothing."""
        state = await self._pool.fetchval(
            "SELECT state FROM campaign_facts WHERE campaign_id = $1", campaign_id
        )
        return state in ABANDONED_STATES

    async def quality(self, kind: str) -> list[Health]:
        """The latest that Meta said of numbers or templates, the bad ones first."""
        rows = await self._pool.fetch(
            "SELECT label, score, bad, change_time FROM quality_facts WHERE kind = $1"
            " ORDER BY bad DESC, label LIMIT 200",
            kind,
        )
        return [Health(*row.values()) for row in rows]


def _recipient(row: Any) -> Recipient:
    fact, context = messages.read(row)
    far: Progress = part(fact, context).progress
    last: dict[Step, int] = fact.times
    return Recipient(
        fact.message_id,
        fact.contact_id,
        fact.variant,
        fact.template,
        outcome(far),
        moment_of(max(last.values())) if last else None,
        fact.gate[1] if fact.gate else "",
        fact.failure[1] if fact.failure else 0,
    )
