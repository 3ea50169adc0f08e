"""Templates in Postgres."""
# ruff: noqa: S608 - what is put into SQL here are names of the model's own columns

from collections.abc import Sequence
from typing import Final

from chassis.clock import Clock, milliseconds_of
from chassis.postgres import Connection, Effects, Pool, delete_before
from chassis.streams import Record
from services.sender.failures import TemplateNotFound
from services.sender.model import AccountChange, CampaignPhase, Template
from services.sender.tables.aftermath import UNDER_WAY, sending
from services.sender.templates.folding import fold, follow

_COLUMNS: Final = Template.__struct_fields__
_TEMPLATES: Final = f"SELECT {', '.join(_COLUMNS)} FROM templates"
_OURS: Final = frozenset({"template_id", "waba_id", "name", "language", "version"})
_LIVE: Final = (CampaignPhase.SCHEDULED, *UNDER_WAY, CampaignPhase.PAUSED)
_MARGIN_MS: Final = 60_000
"""A webhook tells whole seconds of another clock: one as old as this may be news all the same."""
_SOON_MS: Final = 60_000
"""Many webhooks at once cost one reading of the account."""


class RegistryStore:
    """Implements `registry.Shelf` and `syncing.Shelf`."""

    def __init__(self, pool: Pool, effects: Effects, clock: Clock) -> None:
        self._pool = pool
        self._effects = effects
        self._clock = clock

    def now(self) -> int:
        """Milliseconds."""
        return milliseconds_of(self._clock.now())

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

    async def of_account(self, waba_id: str) -> list[Template]:
        """Every template of an account."""
        rows = await self._pool.fetch(f"{_TEMPLATES} WHERE waba_id = $1", waba_id)
        return [Template(*row) for row in rows]

    async def put(self, template: Template, known: Template | None, asked: int) -> bool:
        """Store a template as Meta told it when it was asked, with what follows from that, unless
        somebody stored something else since it was `known`: then False, and nothing is changed."""
        done = False

        async def work(connection: Connection, _: Sequence[int]) -> list[Record]:
            nonlocal done
            if known is None:
                done = await _insert(connection, template)
            else:
                done = await _replace(connection, template, known.version)
            if not done:
                return []
            await connection.execute(
                "UPDATE templates SET state_time = greatest(state_time, $2), category_time ="
                " greatest(category_time, $2) WHERE template_id = $1",
                *(template.template_id, asked - _MARGIN_MS),
            )
            return await follow(connection, template, known, self.now())

        await self._effects.apply((), work)
        return done

    async def unchanged(self, template_ids: Sequence[str], asked: int) -> None:
        """Meta was asked about these, and they are as they are known."""
        await self._pool.execute(
            "UPDATE templates SET sync_time = $2 WHERE template_id = ANY($1::text[])",
            *(list(template_ids), asked),
        )

    async def edited(self, template_id: str, times: Sequence[int]) -> None:
        """When it was edited while it was approved, of late."""
        await self._pool.execute(
            "UPDATE templates SET edit_times = $2 WHERE template_id = $1",
            *(template_id, list(times)),
        )

    async def edits(self, template_id: str) -> list[int]:
        """When it was edited while it was approved, of late, in order."""
        found: list[int] | None = await self._pool.fetchval(
            "SELECT edit_times FROM templates WHERE template_id = $1", template_id
        )
        return found or []

    async def used_by(self, waba_id: str, name: str) -> list[str]:
        """Campaigns that were launched, or are to be, are not over, and send the template."""
        async with self._pool.acquire(timeout=10) as connection:
            return await sending(connection, waba_id, name, _LIVE)

    async def intended(self, request_id: str) -> bool:
        """Whether a request may have reached Meta."""
        found: bool = await self._pool.fetchval(
            "SELECT EXISTS (SELECT FROM template_requests WHERE request_id = $1)", request_id
        )
        return found

    async def intend(self, request_id: str) -> None:
        """A request is about to go to Meta."""
        await self._pool.execute(
            "INSERT INTO template_requests VALUES ($1, $2) ON CONFLICT DO NOTHING",
            *(request_id, self.now()),
        )

    async def refused(self, request_id: str) -> None:
        """Meta did nothing of what a request asked."""
        await self._pool.execute("DELETE FROM template_requests WHERE request_id = $1", request_id)

    async def forget_requests(self, before: int) -> None:
        """Forget what was intended long ago."""
        while await delete_before(self._pool, "template_requests", "create_time", before):
            pass

    async def credential_of(self, waba_id: str) -> str:
        """Names the access token that opens an account: that of its first number."""
        found: str | None = await self._pool.fetchval(
            "SELECT credential_name FROM numbers WHERE waba_id = $1 ORDER BY phone_number_id"
            " LIMIT 1",
            waba_id,
        )
        return found or "default"

    async def due_accounts(self, now: int, until: int, n: int) -> list[str]:
        """Accounts that are to be read from Meta, for whoever asks first until a moment."""
        await self._pool.execute(
            "INSERT INTO template_syncs SELECT DISTINCT waba_id, 0 FROM numbers WHERE waba_id <> ''"
            " ON CONFLICT DO NOTHING"
        )
        rows = await self._pool.fetch(
            "UPDATE template_syncs SET ask_time = $2 WHERE waba_id IN (SELECT waba_id"
            " FROM template_syncs WHERE ask_time <= $1 ORDER BY ask_time LIMIT $3"
            " FOR UPDATE SKIP LOCKED) RETURNING waba_id",
            *(now, until, n),
        )
        return [row[0] for row in rows]

    async def account_read(self, waba_id: str, again: int) -> None:
        """An account was read; again at a moment, or when something asks for it sooner."""
        await self._pool.execute(
            "INSERT INTO template_syncs VALUES ($1, $2) ON CONFLICT (waba_id) DO UPDATE"
            " SET ask_time = excluded.ask_time",
            *(waba_id, again),
        )

    async def hurry(self, before: int) -> None:
        """Read accounts now that would be read only after a moment."""
        await self._pool.execute(
            "UPDATE template_syncs SET ask_time = 0 WHERE ask_time > 0 AND ask_time < $1", before
        )

    async def account(self, changes: Sequence[AccountChange]) -> None:
        """Fold in what Meta says of templates."""

        async def work(connection: Connection, fresh: Sequence[int]) -> list[Record]:
            records: list[Record] = []
            now = self.now()
            for change in sorted((changes[i] for i in fresh), key=lambda c: c.time):
                folded = await fold(connection, change, now)
                records += folded.records
                if folded.incomplete:
                    await _ask(connection, change.waba_id, now + _SOON_MS)
            return records

        await self._effects.apply([change.event_id for change in changes], work)


async def _insert(connection: Connection, template: Template) -> bool:
    marks = ", ".join(f"${i}" for i, _ in enumerate(_COLUMNS, 1))
    status = await connection.execute(
        f"INSERT INTO templates ({', '.join(_COLUMNS)}) VALUES ({marks}) ON CONFLICT DO NOTHING",
        *(getattr(template, column) for column in _COLUMNS),
    )
    return status.endswith(" 1")


async def _replace(connection: Connection, template: Template, version: int) -> bool:
    """The row of its name and language; the id is another when it was created anew."""
    columns = [column for column in _COLUMNS if column not in _OURS]
    changes = ", ".join(f"{column} = ${i}" for i, column in enumerate(columns, 6))
    status = await connection.execute(
        f"UPDATE templates SET template_id = $4, version = version + 1, {changes},"
        " edit_times = CASE WHEN template_id = $4 THEN edit_times ELSE '{}' END"
        " WHERE waba_id = $1 AND name = $2 AND language = $3 AND version = $5",
        *(template.waba_id, template.name, template.language, template.template_id, version),
        *(getattr(template, column) for column in columns),
    )
    return status.endswith(" 1")


async def _ask(connection: Connection, waba_id: str, time: int) -> None:
    """Read an account at this time at the latest."""
    await connection.execute(
        "INSERT INTO template_syncs VALUES ($1, $2) ON CONFLICT (waba_id) DO UPDATE"
        " SET ask_time = least(template_syncs.ask_time, excluded.ask_time)",
        *(waba_id, time),
    )
