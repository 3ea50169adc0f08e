"""The registry of templates and business numbers, kept in step with Meta."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlencode

import msgspec

from services.sender.model import (
    Number,
    NumberExists,
    NumberUnusable,
    PlatformRefused,
    Template,
    TemplateExists,
)

_FIELDS: Final = (
    "id,name,language,status,category,parameter_format,components,rejected_reason,quality_score"
)
_NUMBER_FIELDS: Final = (
    "id,display_phone_number,verified_name,quality_rating,throughput,"
    "whatsapp_business_manager_messaging_limit"
)
_THROUGHPUT: Final = {"STANDARD": 80.0, "HIGH": 1000.0}
_CREDENTIALS: Final = frozenset({"", "default"})


class Synced(NamedTuple):
    """What a sync learned."""

    added: int
    changed: int
    removed: int
    unchanged: int


class Shelf(Protocol):
    """Where templates and numbers are kept."""

    async def named(self, waba_id: str, name: str, language: str = "") -> Sequence[Template]: ...
    async def templates(
        self,
        waba_id: str,
        name: str,
        language: str,
        category: str,
        states: Sequence[str],
        after: tuple[str, str, str],
        n: int,
    ) -> Sequence[Template]: ...
    async def template(self, template_id: str) -> Template: ...
    async def request_of(self, template_id: str) -> str: ...
    async def put_template(self, template: Template, request_id: str = "") -> None: ...
    async def remove_templates(self, waba_id: str, kept: Sequence[str], now: int) -> int: ...
    async def number(self, phone_number_id: str) -> Number: ...
    async def numbers(self, waba_id: str, after: str, n: int) -> Sequence[Number]: ...
    async def put_number(self, number: Number) -> None: ...
    async def pause_number(
        self, phone_number_id: str, paused: bool, reason: str, now: int
    ) -> Number: ...


class Management(Protocol):
    """Meta's management calls."""

    async def manage(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Raises PlatformRefused, PlatformBusy, PlatformUnavailable or TemplateExists."""
        ...


class Registry:
    """Templates and numbers: what the business asks of Meta, and what Meta says."""

    def __init__(self, shelf: Shelf, platform: Management, now: Callable[[], int]) -> None:
        self.shelf = shelf
        self._platform = platform
        self.now = now

    async def create_template(
        self, waba_id: str, wanted: Mapping[str, Any], request_id: str
    ) -> Template:
        """Submit a template (Meta's JSON), once per request."""
        name, language = wanted["name"], wanted["language"]
        known = await self.shelf.named(waba_id, name, language)
        if known and await self.shelf.request_of(known[0].template_id) == request_id:
            return known[0]
        for seen in await self._listed(waba_id, {"name": name, "language": language}):
            if seen["name"] == name:
                # An earlier call of this request may have ended unclear: then Meta has it, and
                # the registry has not.
                if known or not _same(seen, wanted):
                    raise _exists(waba_id, name, language)
                return await self._put(waba_id, seen, request_id)
        answer = await self._platform.manage("POST", f"{waba_id}/message_templates", wanted)
        return await self._put(waba_id, {**wanted, **answer}, request_id)

    async def sync_templates(self, waba_id: str) -> Synced:
        """Read all templates of an account from Meta and put the registry right."""
        seen = await self._listed(waba_id, {})
        added = changed = 0
        for one in seen:
            known = await self.shelf.named(waba_id, one["name"], one["language"])
            template = _template(waba_id, one, self.now())
            if not known:
                added += 1
            elif _known(known[0]) == _known(template):
                continue
            else:
                changed += 1
            request_id = await self.shelf.request_of(template.template_id)
            await self.shelf.put_template(template, request_id)
        removed = await self.shelf.remove_templates(
            waba_id, [str(one["id"]) for one in seen], self.now()
        )
        return Synced(added, changed, removed, len(seen) - added - changed)

    async def _listed(self, waba_id: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            asked = urlencode({"fields": _FIELDS, "limit": "200", **query, **after})
            page = await self._platform.manage("GET", f"{waba_id}/message_templates?{asked}")
            found += page.get("data", [])
            paging = page.get("paging", {})
            if "next" not in paging:
                return found
            after = {"after": paging["cursors"]["after"]}

    async def _put(self, waba_id: str, seen: Mapping[str, Any], request_id: str) -> Template:
        template = _template(waba_id, seen, self.now())
        await self.shelf.put_template(template, request_id)
        # Meta's word may have come in a webhook meanwhile, for a template nobody knew yet.
        if template.state == "PENDING":
            for one in await self._listed(waba_id, {"name": template.name}):
                if str(one["id"]) == template.template_id and one["status"] != "PENDING":
                    template = _template(waba_id, {**seen, **one}, self.now())
                    await self.shelf.put_template(template, request_id)
        return template

    async def register_number(self, wanted: Number, credential_name: str, limit: float) -> Number:
        """Add a number, reading from Meta what it says of it. `limit` 0: Meta's level."""
        if credential_name not in _CREDENTIALS:
            raise NumberUnusable(
                f"no secret is called {credential_name}; `default` is CLOUD_API_TOKEN",
                phone_number_id=wanted.phone_number_id,
                problem="no_such_secret",
            )
        number = await self.refresh(wanted, limit)
        for known in await self.shelf.numbers("", "", 1_000):
            if known.phone_number_id == number.phone_number_id:
                if known.waba_id != number.waba_id:
                    raise NumberExists(
                        "the number is registered with another account",
                        phone_number_id=number.phone_number_id,
                    )
                number.create_time, number.paused = known.create_time, known.paused
                number.state_reason = known.state_reason
        await self.shelf.put_number(number)
        return number

    async def refresh(self, number: Number, limit: float) -> Number:
        """What Meta says of a number now."""
        seen = await self._platform.manage(
            "GET", f"{number.phone_number_id}?fields={_NUMBER_FIELDS}"
        )
        if "display_phone_number" not in seen:
            raise PlatformRefused("Meta: this is no phone number", code="100", title="", details="")
        throughput = seen.get("throughput") or {}
        level = str(throughput.get("level", "STANDARD"))
        number.display_phone_number = str(seen["display_phone_number"])
        number.verified_name = str(seen.get("verified_name", ""))
        number.quality_rating = str(seen.get("quality_rating", "UNKNOWN"))
        number.messaging_limit = str(seen.get("whatsapp_business_manager_messaging_limit", ""))
        number.throughput_level = level
        number.throughput = limit or _THROUGHPUT.get(level, _THROUGHPUT["STANDARD"])
        number.update_time = number.sync_time = self.now()
        return number


def _template(waba_id: str, seen: Mapping[str, Any], now: int) -> Template:
    reason = str(seen.get("rejected_reason") or "")
    return Template(
        template_id=str(seen["id"]),
        waba_id=waba_id,
        name=seen["name"],
        language=seen["language"],
        category=seen["category"],
        effective_category=seen["category"],
        announced_category="",
        announced_time=0,
        state=seen["status"],
        state_reason="" if reason == "NONE" else reason,
        state_detail="",
        named=str(seen.get("parameter_format", "")).upper() == "NAMED",
        components=msgspec.json.encode(seen["components"]),
        create_time=now,
        update_time=now,
    )


def _known(template: Template) -> tuple[object, ...]:
    return (
        template.template_id,
        template.effective_category,
        template.state,
        template.components,
    )


def _same(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(seen[key] == wanted[key] for key in ("language", "components"))


def _exists(waba_id: str, name: str, language: str) -> TemplateExists:
    return TemplateExists(
        f"{name} exists in {language}; edit it or choose another name",
        waba_id=waba_id,
        name=name,
        language=language,
    )
