"""Templates in Postgres."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Sequence
from typing import Final

from chassis.postgres import Connection, Effects, Pool
from chassis.streams import Record
from services.sender.aftermath import sending, turn
from services.sender.failures import TemplateNotFound
from services.sender.model import AccountChange, CampaignPhase, Template

_TEMPLATE: Final = Template.__struct_fields__
_ENDS: Final = frozenset({"PAUSED", "DISABLED", "REJECTED", "PENDING_DELETION", "DELETED"})
_RED: Final = "RED"
_TEMPLATES: Final = f"SELECT {', '.join(_TEMPLATE)} FROM templates"


class RegistryStore:
    """Implements `registry.Shelf`."""

    def __init__(self, pool: Pool, effects: Effects) -> None:
        self._pool = pool
        self._effects = effects

    async def templates(
        self,
        waba_id: str,
        name: str,
        language: str,
        category: str,
        states: Sequence[str],
        after: tuple[str, str, str],
        n: int,
    ) -> list[Template]:
        """Templates by name, language and id; empty conditions take all."""
        rows = await self._pool.fetch(
            f"{_TEMPLATES} WHERE ($1 = '' OR waba_id = $1) AND strpos(name, $2) > 0"
            " AND ($3 = '' OR language = $3) AND ($4 = '' OR upper(effective_category) = $4)"
            " AND (state = ANY($5::text[]) OR ($5 = '{}' AND state <> 'DELETED'))"
            " AND (name, language, template_id) > ($6, $7, $8)"
            " ORDER BY name, language, template_id LIMIT $9",
            *(waba_id, name, language, category.upper(), list(states), *after, n),
        )
        return [Template(*row) for row in rows]

    async def template(self, template_id: str) -> Template:
        """By Meta's id; raises TemplateNotFound."""
        row = await self._pool.fetchrow(f"{_TEMPLATES} WHERE template_id = $1", template_id)
        if row is None:
            raise TemplateNotFound(
                f"no template {template_id}; sync the account's", template_id=template_id
            )
        return Template(*row)

    async def named(self, waba_id: str, name: str, language: str = "") -> list[Template]:
        """All languages of a name, or one."""
        rows = await self._pool.fetch(
            f"{_TEMPLATES} WHERE waba_id = $1 AND name = $2 AND ($3 = '' OR language = $3)"
            " ORDER BY language",
            *(waba_id, name, language),
        )
        return [Template(*row) for row in rows]

    async def request_of(self, template_id: str) -> str:
        """The request that created a template; empty when it was found at Meta."""
        found: str | None = await self._pool.fetchval(
            "SELECT request_id FROM templates WHERE template_id = $1", template_id
        )
        return found or ""

    async def put_template(self, template: Template, request_id: str = "") -> None:
        """Store a template as Meta tells it now."""
        fields = ", ".join((*_TEMPLATE, "request_id"))
        marks = ", ".join(f"${i}" for i in range(1, len(_TEMPLATE) + 2))
        changing = [c for c in _TEMPLATE if c not in {"template_id", "create_time"}]
        await self._pool.execute(
            f"INSERT INTO templates ({fields}) VALUES ({marks})"
            " ON CONFLICT (waba_id, name, language) DO UPDATE SET request_id ="
            " excluded.request_id, template_id ="
            f" excluded.template_id, {', '.join(f'{c} = excluded.{c}' for c in changing)}",
            *(getattr(template, c) for c in _TEMPLATE),
            request_id,
        )

    async def remove_templates(self, waba_id: str, kept: Sequence[str], now: int) -> int:
        """Those of an account that Meta no longer lists are deleted."""
        rows = await self._pool.fetch(
            "UPDATE templates SET state = 'DELETED', update_time = $3 WHERE waba_id = $1"
            " AND template_id <> ALL($2::text[]) AND state <> 'DELETED' RETURNING 1",
            *(waba_id, list(kept), now),
        )
        return len(rows)

    async def credential_of(self, waba_id: str) -> str:
        """Names the access token that opens an account: that of its first number."""
        found: str | None = await self._pool.fetchval(
            "SELECT credential_name FROM numbers WHERE waba_id = $1 ORDER BY phone_number_id"
            " LIMIT 1",
            waba_id,
        )
        return found or "default"

    async def account(self, changes: Sequence[AccountChange]) -> None:
        """Fold in what Meta says of templates."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            records: list[Record] = []
            for change in sorted((changes[i] for i in fresh), key=lambda c: c.time):
                records += await _apply(connection, change)
            return records

        await self._effects.apply([change.event_id for change in changes], work)


async def _apply(connection: Connection, change: AccountChange) -> list[Record]:
    if change.state:
        name = await connection.fetchval(
            "UPDATE templates SET state = $2, state_reason = $3, state_detail = $4,"
            " state_time = $5, update_time = greatest(update_time, $5)"
            " WHERE template_id = $1 AND state_time <= $5 RETURNING name",
            *(change.template_id, change.state, change.state_reason, change.state_detail),
            change.time,
        )
        if name and change.state in _ENDS:
            return await _turn(connection, change, name, CampaignPhase.PAUSED, change.state)
    elif change.quality == _RED:
        name = await connection.fetchval(
            "SELECT name FROM templates WHERE template_id = $1", change.template_id
        )
        if name:
            return await _turn(connection, change, name, CampaignPhase.STOPPED, "quality_red")
    elif change.category and change.category_time:
        await connection.execute(
            "UPDATE templates SET announced_category = $2, announced_time = $3"
            " WHERE template_id = $1",
            *(change.template_id, change.category, change.category_time),
        )
    elif change.category:
        await connection.execute(
            "UPDATE templates SET effective_category = $2, announced_category = '',"
            " announced_time = 0, update_time = greatest(update_time, $3) WHERE template_id = $1",
            *(change.template_id, change.category, change.time),
        )
    return []


async def _turn(
    connection: Connection, change: AccountChange, name: str, phase: CampaignPhase, why: str
) -> list[Record]:
    """Campaigns under way that send the template go no further, and say why."""
    ids = await sending(connection, change.waba_id, name)
    return await turn(connection, ids, phase, f"template_{why.lower()}", change.time)
