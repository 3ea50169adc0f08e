"""A campaign's message to one person after the other: which variant, in which words, when. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from chassis.ids import derived_id
from services.sender.campaigns.assignment import Given, assign
from services.sender.campaigns.people import NO_ROW
from services.sender.campaigns.timing import ACTIVITY, BestTime
from services.sender.model import (
    Campaign,
    Contact,
    Lane,
    Message,
    Occurrence,
    State,
    Template,
    Variant,
)
from services.sender.numbers.allocation import Line, allocate
from services.sender.posting import ORDINARY
from services.sender.rules.policy import MARKETING, Policy
from services.sender.wording.form import Form
from services.sender.wording.words import Filled, Words

_SHIPPED: Final = Policy()
_REFUSED: Final = State.SUPPRESSED
_NO_PARAMETERS: Final[Mapping[str, Any]] = {}


class Draft(Struct):
    """A message that is complete but for the tokens of its tracked links."""

    message: Message
    form: Form | None = None
    filled: Filled | None = None
    """None where nothing was to be filled in."""
    others: Sequence[str] = ()
    """Ids that the message had for another id of the person: it has had it if one is known."""

    @property
    def failed(self) -> str:
        """The variable without value whose binding says that the campaign must pause."""
        return self.filled.failed if self.filled else ""

    @property
    def links(self) -> Mapping[str, str]:
        """By variable, the target of the link whose token is to stand there."""
        going = self.filled is not None and self.message.state == State.PLANNED
        return self.filled.links if self.filled and going else {}


class Writer:
    """Writes a campaign's messages."""

    def __init__(
        self,
        campaign: Campaign,
        registry: Sequence[Template],
        lines: Sequence[Line],
        policy: Policy = _SHIPPED,
    ) -> None:
        """`registry` are all templates of the campaign's WABA that its variants name; `lines` the
        numbers that share the work; `policy` says which hours are quiet."""
        self.campaign = campaign
        self._lines = lines
        self._best_time = BestTime(campaign, policy)
        self._words = {one.name: Words(one, registry, campaign) for one in campaign.variants}
        needs = frozenset().union(*(words.needs for words in self._words.values()))
        self.needs = needs | {ACTIVITY} if campaign.best_time_ms else needs
        """What is to be known of contacts beside what is known of everybody."""

    def write(
        self,
        contact: Contact,
        now: int,
        occurrence: Occurrence | None = None,
        *,
        given: Given | None = None,
        row: Mapping[str, str] = NO_ROW,
    ) -> Draft:
        """The contact's own message, planned, held out or suppressed for want of a value. `given`:
        what they got of the campaign before; `row`: of the file that names them."""
        campaign = self.campaign
        variant, propensity = assign(campaign, contact.contact_id, given)
        occurrence_id = occurrence.occurrence_id if occurrence else ""
        message = Message(
            message_id=_id(campaign, occurrence_id, contact.contact_id),
            contact_id=contact.contact_id,
            campaign_id=campaign.campaign_id,
            occurrence_id=occurrence_id,
            phone_number_id=allocate(self._lines, contact),
            template=variant.template if variant else "",
            language="",
            variant=variant.name if variant else "",
            propensity=propensity,
            purpose=campaign.purpose,
            context_wamid="",
            body=b"",
            lane=Lane.BULK,
            not_after=self._not_after(occurrence),
            plan_time=now,
            received_time=occurrence.received_time if occurrence else now,
            traceparent=occurrence.traceparent if occurrence else "",
            category="",
            due_time=now,
        )
        if contact.addresses:
            message.market = contact.addresses[0].market
        draft = Draft(message, others=[_id(campaign, occurrence_id, i) for i in contact.absorbed])
        if variant is None:
            message.state, message.reason = State.HELD_OUT, "hold_out"
            return draft
        self._fill(draft, variant, contact, occurrence, row)
        message.due_time = self._best_time.of(contact, message.purpose or message.category, now)
        return draft

    def _fill(
        self,
        draft: Draft,
        variant: Variant,
        contact: Contact,
        occurrence: Occurrence | None,
        row: Mapping[str, str],
    ) -> None:
        message, words = draft.message, self._words[variant.name]
        form = words.form(contact.language)
        if form is None:
            message.language = contact.language
            message.state, message.gate, message.reason = _REFUSED, "template", "no_language"
            return
        message.language = form.template.language
        message.category = form.template.category_at(message.plan_time)
        if message.category != MARKETING:
            message.lane = Lane.TRANSACTIONAL
        parameters = occurrence.parameters if occurrence else _NO_PARAMETERS
        draft.form = form
        draft.filled = words.fill(form, contact, message.plan_time, parameters, row)
        if problem := draft.filled.problem:
            message.state, message.gate, message.reason = _REFUSED, "variables", problem

    def _not_after(self, occurrence: Occurrence | None) -> int:
        """The last moment of an occurrence; that of the campaign may change and is asked for when
        the message is due."""
        if occurrence is None:
            return 0
        span = self.campaign.not_after_duration
        limits = [occurrence.not_after, occurrence.time + span if span else 0]
        return min(filter(None, limits), default=0)


def _id(campaign: Campaign, occurrence_id: str, contact_id: str) -> str:
    return derived_id("msg", campaign.campaign_id, occurrence_id, contact_id)


def finish(campaign: Campaign, draft: Draft, tokens: Mapping[str, str]) -> Message:
    """The message with its body; `tokens` are those of its links, by variable."""
    message, form, filled = draft.message, draft.form, draft.filled
    if form is not None and filled is not None and message.state == State.PLANNED:
        message.body = body_of(campaign, form, {**filled.values, **tokens})
    return message


def body_of(campaign: Campaign, form: Form, values: Mapping[str, Any]) -> bytes:
    """Meta's message object, with what is said of the way that it is to go."""
    body = form.body(values)
    if not campaign.ignores_marketing_endpoint:
        return body
    return msgspec.json.encode({**msgspec.json.decode(body), ORDINARY: True})
