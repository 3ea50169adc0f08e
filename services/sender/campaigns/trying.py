"""Test sends: a variant as testers would get it, at once, and in nobody's count."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from chassis.ids import derived_id
from merhaba.sender.v1 import Destination, TestSendCampaignRequest
from services.sender.campaigns.planner import LinkWish
from services.sender.campaigns.store import CampaignStore
from services.sender.campaigns.writer import body_of
from services.sender.failures import (
    ContactNotFound,
    NumberUnusable,
    ParametersInvalid,
    TemplateState,
    VariantNotFound,
)
from services.sender.model import Campaign, Contact, Lane, Message, Template, single
from services.sender.numbers.allocation import allocate, lines_of
from services.sender.wording.form import Form
from services.sender.wording.words import Filled, Words

_MOST: Final = 20


class People(Protocol):
    """Other services, as test sends need them."""

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]: ...
    async def links(self, wishes: Sequence[LinkWish]) -> Sequence[str]: ...


class Outbox(Protocol):
    """The outbox, as test sends need it."""

    async def add(self, message: Message) -> Message: ...


class Trying:
    """Sends variants to testers."""

    def __init__(
        self,
        campaigns: CampaignStore,
        people: People,
        meant: Callable[[Destination], Awaitable[Contact]],
        outbox: Outbox,
        wake: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`meant` finds who a destination is; `wake` tells dispatch that something is due."""
        self._campaigns = campaigns
        self._people = people
        self._meant = meant
        self._outbox = outbox
        self._wake = wake
        self._clock = clock

    async def send(self, request: TestSendCampaignRequest) -> list[Message]:
        """Intend the testers' messages, in order; those that stand when the request was made
        before."""
        if not request.request_id:
            raise FieldInvalid("request_id", "missing; give a UUID")
        if not 0 < len(request.testers) <= _MOST:
            raise FieldInvalid("testers", f"1 to {_MOST}", limit=str(_MOST))
        campaign = await self._campaigns.definition(request.campaign_id)
        templates, numbers = await self._campaigns.materials(campaign)
        words = _words(campaign, request.variant, templates)
        needs = sorted(words.needs)
        now = milliseconds_of(self._clock.now())
        lines = lines_of(numbers, now)
        if not lines:
            raise NumberUnusable(
                "no business number of the account is registered; register one",
                waba_id=campaign.waba_id,
                problem="none",
            )
        sample = None
        if request.sample_contact_id:
            sample = await self._read(request.sample_contact_id, needs)
        messages = []
        for destination in request.testers:
            tester = await self._meant(destination)
            whose = sample or await self._read(tester.contact_id, needs)
            form, filled = _fill(words, request.language or tester.language, whose, now)
            message = single(tester.contact_id, allocate(lines, tester), b"", now)
            message.message_id = derived_id("msg", "test", request.request_id, tester.contact_id)
            message.template = form.template.name
            message.language = form.template.language
            message.purpose = campaign.purpose
            message.lane = Lane.TRANSACTIONAL
            message.category = form.template.category_at(now)
            message.trial = True
            values = {**filled.values, **await self._tokens(message, filled)}
            message.body = body_of(campaign, form, values)
            messages.append(await self._outbox.add(message))
        self._wake()
        return messages

    async def _read(self, contact_id: str, needs: Sequence[str]) -> Contact:
        found = (await self._people.read([contact_id], needs)).get(contact_id)
        if found is None:
            raise ContactNotFound("profile knows no such contact", contact_id=contact_id)
        return found

    async def _tokens(self, message: Message, filled: Filled) -> dict[str, str]:
        wishes = [
            LinkWish(url, message.message_id, "", message.contact_id)
            for url in filled.links.values()
        ]
        if not wishes:
            return {}
        return dict(zip(filled.links, await self._people.links(wishes), strict=True))


def _words(campaign: Campaign, name: str, templates: Sequence[Template]) -> Words:
    for variant in campaign.variants:
        if variant.name == name or (not name and len(campaign.variants) == 1):
            return Words(variant, templates, campaign)
    raise VariantNotFound(
        f"no variant {name}; there are {', '.join(one.name for one in campaign.variants)}",
        campaign_id=campaign.campaign_id,
        variant=name,
    )


def _fill(words: Words, language: str, values: Contact, now: int) -> tuple[Form, Filled]:
    form = words.form(language)
    if form is None:
        raise TemplateState(
            f"{words.variant.template} is approved neither in {language or 'no language'} nor in"
            " any that the variant falls back to",
            template_id="",
            state="",
        )
    filled = words.fill(form, values, now)
    if filled.problem:
        variable = filled.failed or next((one.variable for one in filled.lacks), "")
        raise ParametersInvalid(
            f"{filled.problem}: the one whose values fill it has none; name another sample contact",
            template_name=form.template.name,
            language=form.template.language,
            variable=variable,
            problem=filled.problem,
        )
    return form, filled
