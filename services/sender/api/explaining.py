"""Why a message may or may not go: every gate asked, nothing sent."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from chassis.clock import Clock, milliseconds_of
from chassis.failures import FieldInvalid
from merhaba.sender.v1 import Content, ExplainSendRequest, ExplainSendResponse
from services.sender.api.intents import Intents
from services.sender.campaigns.writer import Writer
from services.sender.delivery.sentences import HOLD_OUT, TIER
from services.sender.failures import MessageNotFound
from services.sender.gates import Asked, Candidate, GateVerdict, Verdict, ask, next_eligible
from services.sender.model import (
    DAY_MS,
    Campaign,
    Contact,
    Message,
    Number,
    State,
    Template,
)
from services.sender.numbers.allocation import lines_of
from services.sender.tables.history import Recorded
from services.sender.tables.verdicts import verdict_proto
from services.sender.wire import at, stamp

_BY_PLANNING: Final = frozenset({"variables", "template"})
_LETS_PASS: Final = frozenset({Verdict.PASS, Verdict.SKIPPED})


class Messages(Protocol):
    """The outbox, as explaining needs it."""

    async def get(self, column: str, value: str) -> Message | None: ...
    async def candidate(self, message: Message, now: int) -> Candidate: ...
    async def decision(self, message_id: str) -> Recorded | None: ...


class Contacts(Protocol):
    """Profile, as explaining needs it."""

    async def read(
        self, contact_ids: Sequence[str], attributes: Sequence[str]
    ) -> Mapping[str, Contact]: ...


class Reaching(Protocol):
    """The limiters, as explaining needs them."""

    async def reachable(self, portfolio_id: str, limit: int, person: str) -> int: ...


class Campaigns(Protocol):
    """Campaigns, as explaining needs them."""

    async def definition(self, campaign_id: str) -> Campaign: ...
    async def materials(
        self, campaign: Campaign
    ) -> tuple[Sequence[Template], Sequence[Number]]: ...


class Explaining:
    """Answers ExplainSend."""

    def __init__(
        self,
        messages: Messages,
        contacts: Contacts,
        campaigns: Campaigns,
        intents: Intents,
        limiters: Reaching,
        clock: Clock,
    ) -> None:
        self._limiters = limiters
        self._messages = messages
        self._contacts = contacts
        self._campaigns = campaigns
        self._intents = intents
        self._clock = clock

    async def explain(self, request: ExplainSendRequest) -> ExplainSendResponse:
        """Ask every gate, without sending anything."""
        now = at(request, "send_time") or milliseconds_of(self._clock.now())
        recorded = None
        if request.WhichOneof("subject") == "message_id":
            message = await self._get(request.message_id)
            recorded = await self._messages.decision(request.message_id)
            found = await self._contacts.read([message.contact_id], ())
            contact = found.get(message.contact_id)
        else:
            contact = await self._intents.contact(request.destination)
            message = await self._subject(request, contact, now)
        asked = Asked(now, contact, await self._messages.candidate(message, now))
        verdicts = [*_planning(message), *ask(asked), *await self._tier(asked)]
        cost = asked.of.tariff.estimate(asked.category, asked.market)
        return ExplainSendResponse(
            allowed=all(one.verdict in _LETS_PASS for one in verdicts),
            verdicts=[verdict_proto(one, request.language) for one in verdicts],
            next_eligible_time=stamp(next_eligible(asked, verdicts)),
            evaluate_time=stamp(now),
            contact_id=message.contact_id,
            phone_number_id=message.phone_number_id,
            variant=message.variant,
            recorded_verdicts=[
                verdict_proto(one, request.language)
                for one in (recorded.verdicts if recorded else ())
            ],
            cost_micros=cost.micros if cost else 0,
            currency_code=cost.currency if cost else "",
        )

    async def _tier(self, asked: Asked) -> list[GateVerdict]:
        """What the limiter of people says that Meta lets a portfolio write to in a day, if it does:
        who wrote lately does not count."""
        number = asked.of.number
        limit = number.daily_limit if number is not None else None
        if number is None or limit is None or asked.now < asked.of.window_time + DAY_MS:
            return []
        values = {"tier.limit": limit}
        wait_ms = await self._limiters.reachable(number.portfolio, limit, asked.message.contact_id)
        if not wait_ms:
            return [GateVerdict(TIER, Verdict.PASS, values=values)]
        return [GateVerdict(TIER, Verdict.WAIT, "tier_reached", values, asked.now + wait_ms)]

    async def _get(self, message_id: str) -> Message:
        message = await self._messages.get("message_id", message_id)
        if message is None:
            raise MessageNotFound("no such message", message_id=message_id)
        return message

    async def _subject(self, request: ExplainSendRequest, contact: Contact, now: int) -> Message:
        match request.WhichOneof("subject"):
            case "content":
                return await self._intents.message(
                    contact, request.content, request.phone_number_id
                )
            case "campaign_id":
                campaign = await self._campaigns.definition(request.campaign_id)
                templates, numbers = await self._campaigns.materials(campaign)
                writer = Writer(campaign, templates, lines_of(numbers, now))
                names = sorted(writer.needs)
                known = await self._contacts.read([contact.contact_id], names)
                return writer.write(known[contact.contact_id], now).message
            case "purpose":
                content = Content()
                content.text.body = request.purpose
                message = await self._intents.message(contact, content, request.phone_number_id)
                message.category = message.purpose = request.purpose
                return message
            case _:
                raise FieldInvalid("subject", "missing; say what would be sent")


def _planning(message: Message) -> list[GateVerdict]:
    """What was decided when the message was written, before any gate was asked."""
    if message.state == State.HELD_OUT and message.reason == HOLD_OUT:
        return [GateVerdict(HOLD_OUT, Verdict.REFUSE, HOLD_OUT)]
    if message.state == State.SUPPRESSED and message.gate in _BY_PLANNING:
        return [GateVerdict(message.gate, Verdict.REFUSE, message.reason)]
    return []
