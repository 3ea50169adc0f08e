"""The registry put right by what Meta lists: when somebody asks, at the start and now and then,
since webhooks get lost and people edit templates at Meta."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from msgspec.structs import replace

from chassis.clock import Clock, milliseconds_of
from chassis.failures import Failure
from chassis.transient import keep_at
from services.sender.failures import PlatformRefused
from services.sender.model import DAY_MS, Template
from services.sender.templates.reading import Management, described, differs, listed, template_of

_LOOK_EVERY: Final = timedelta(seconds=10)
_LEASE_MS: Final = 5 * 60_000  # also how long an error keeps an account from being read again
_FRESH_MS: Final = 60_000  # what another replica read so lately is not read again at a start
_AT_ONCE: Final = 20
_TRIES: Final = 3
_REQUESTS_KEPT_MS: Final = 2 * DAY_MS
_DELETED: Final = "DELETED"
_NO_OBJECT: Final = ("100", "33")
"""Meta's code and subcode: nothing has this id."""


class Synced(NamedTuple):
    """What a sync learned."""

    added: int
    changed: int
    removed: int
    unchanged: int


class Shelf(Protocol):
    """Where templates are kept."""

    async def of_account(self, waba_id: str) -> Sequence[Template]: ...
    async def named(self, waba_id: str, name: str, language: str = "") -> Sequence[Template]: ...
    async def put(self, template: Template, known: Template | None, asked: int) -> bool: ...
    async def unchanged(self, template_ids: Sequence[str], asked: int) -> None: ...
    async def credential_of(self, waba_id: str) -> str: ...
    async def due_accounts(self, now: int, until: int, n: int) -> Sequence[str]: ...
    async def account_read(self, waba_id: str, again: int) -> None: ...
    async def hurry(self, before: int) -> None: ...
    async def forget_requests(self, before: int) -> None: ...


class Syncing:
    """Reads accounts from Meta."""

    def __init__(
        self,
        shelf: Shelf,
        platform: Management,
        clock: Clock,
        every: timedelta,
        warn: Callable[[str, BaseException], None],
    ) -> None:
        """`every`: how often an account is read when nobody asks."""
        self._shelf = shelf
        self._platform = platform
        self._clock = clock
        self._every_ms = int(every / timedelta(milliseconds=1))
        self._warn = warn

    def _now(self) -> int:
        return milliseconds_of(self._clock.now())

    async def sync(self, waba_id: str) -> Synced:
        """Put the registry right. Raises PlatformRefused, PlatformBusy, PlatformUnavailable and
        NumberUnusable; what was read until then stays."""
        asked = self._now()
        credential = await self._shelf.credential_of(waba_id)
        known = {(t.name, t.language): t for t in await self._shelf.of_account(waba_id)}
        added = changed = 0
        same: list[str] = []
        seen_ids: set[str] = set()
        async for seen in listed(self._platform, waba_id, credential, {}):
            one = known.get((seen["name"], seen["language"]))
            template = template_of(waba_id, seen, one, asked)
            seen_ids.add(template.template_id)
            if one is not None and not differs(one, template):
                same.append(template.template_id)
                continue
            await self._put(template, one, asked, credential)
            added, changed = (added + 1, changed) if one is None else (added, changed + 1)
        await self._shelf.unchanged(same, asked)
        removed = 0
        for one in known.values():
            if one.template_id in seen_ids or one.state == _DELETED:
                continue
            missed = await self._missed(one, asked, credential)
            if differs(one, missed) and await self._shelf.put(missed, one, asked):
                gone = missed.state == _DELETED
                removed, changed = removed + gone, changed + (not gone)
        await self._shelf.account_read(waba_id, asked + self._every_ms)
        return Synced(added, changed, removed, len(same))

    async def _put(
        self, template: Template, known: Template | None, asked: int, credential: str
    ) -> None:
        """Store it; when a webhook told something meanwhile, as Meta describes it then."""
        for _ in range(_TRIES):
            if await self._shelf.put(template, known, asked):
                return
            waba_id, asked = template.waba_id, self._now()
            known = next(
                iter(await self._shelf.named(waba_id, template.name, template.language)), None
            )
            seen: dict[str, Any] = await described(self._platform, template.template_id, credential)
            template = template_of(waba_id, seen, known, asked)

    async def _missed(self, known: Template, asked: int, credential: str) -> Template:
        """A template that a list left out, as Meta describes it by its id: only what is gone there
        pauses campaigns."""
        try:
            seen = await described(self._platform, known.template_id, credential)
        except PlatformRefused as refused:
            if (refused.facts["code"], refused.facts["subcode"]) != _NO_OBJECT:
                raise
            return replace(known, state=_DELETED, update_time=asked, sync_time=asked)
        return template_of(known.waba_id, seen, known, asked)

    async def run(self) -> None:
        """Read every account, and again after a while, until cancelled."""
        await self._shelf.hurry(self._now() + self._every_ms - _FRESH_MS)
        await keep_at(self.step, self._clock, _LOOK_EVERY, "templates are not synced")

    async def step(self) -> bool:
        """Read the accounts that are due; returns whether there may be more."""
        now = self._now()
        due = await self._shelf.due_accounts(now, now + _LEASE_MS, _AT_ONCE)
        for waba_id in due:
            try:
                await self.sync(waba_id)
            except Failure as failure:
                # Of one account, whose token may be gone: the others are read nevertheless
                self._warn("an account's templates are not read", failure)
        await self._shelf.forget_requests(now - _REQUESTS_KEPT_MS)
        return len(due) == _AT_ONCE
