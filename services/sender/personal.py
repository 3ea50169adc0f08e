"""A campaign made personal: who gets which variant, in which language, with which words. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from chassis.ids import derived_id
from expressions import Event, Expression, ExpressionError, Facts, Registry, compile
from services.sender import template as templates
from services.sender.draws import share
from services.sender.failures import ExpressionInvalid
from services.sender.model import (
    Binding,
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

_OPEN: Final = Registry(open=True)
_USABLE: Final = frozenset({"APPROVED", "PAUSED"})  # what is paused comes back; a gate waits
_PARAMETERS: Final = "parameters"
_EVENT: Final = "event."
_PARAMETER: Final = re.compile(r"\bparameters\.")
_ADDRESS: Final = ("https://", "http://")


class Compiled(NamedTuple):
    """A binding ready to be evaluated."""

    binding: Binding
    expression: Expression


class Assignment(NamedTuple):
    """The variant a contact gets for good; None: held out."""

    variant: Variant | None
    propensity: float


class Draft(Struct):
    """A message that is complete but for the tokens of its tracked links."""

    message: Message
    template: Template | None = None
    values: dict[str, str] = {}
    links: dict[str, str] = {}
    """By variable, the target of the link whose token is to stand there."""
    failed: str = ""
    """The variable without value whose binding says that the campaign must pause."""
    others: Sequence[str] = ()
    """Ids that the message had for another id of the person: it has had it if one is known."""


def compile_binding(binding: Binding, field: str = "expression") -> Compiled:
    """Parse and check a binding; raises ExpressionInvalid.

    `parameters.x` is a value the trigger brought: for the language, a property of the event that
    triggers.
    """
    source = _PARAMETER.sub(_EVENT, binding.expression)
    try:
        return Compiled(binding, compile(source, _OPEN, _PARAMETERS))
    except ExpressionError as error:
        raise ExpressionInvalid(field, _as_written(error, binding.expression)) from error


def _as_written(error: ExpressionError, source: str) -> ExpressionError:
    """The same error in the words of whoever wrote `parameters`, and where it stands there."""
    longer = len(_PARAMETERS) + 1 - len(_EVENT)

    def place(offset: int) -> int:
        for found in _PARAMETER.finditer(source):
            if offset >= found.start() + len(_EVENT):
                offset += longer
        return offset

    start, end = place(error.offset), place(error.offset + error.length)
    return ExpressionError(source, start, end, error.message, error.expected)


def assign(campaign: Campaign, contact_id: str) -> Assignment:
    """Hold-out first, then a variant by weight. The same contact, the same answer."""
    total = sum(variant.weight for variant in campaign.variants)
    if share("hold_out", campaign.campaign_id, contact_id) < campaign.hold_out_share:
        return Assignment(None, campaign.hold_out_share)
    point = share("variant", campaign.campaign_id, contact_id) * total
    weighted = [variant for variant in campaign.variants if variant.weight > 0]
    for variant in weighted:
        point -= variant.weight
        if point < 0:
            return Assignment(variant, variant.weight / total)
    return Assignment(weighted[-1], weighted[-1].weight / total)


class Writer:
    """Writes a campaign's message to one contact after the other."""

    def __init__(
        self, campaign: Campaign, registry: Sequence[Template], lines: Sequence[Line]
    ) -> None:
        """`registry` are all templates of the campaign's WABA that its variants name; `lines` the
        numbers that share the work."""
        self.campaign = campaign
        self._lines = lines
        self._templates = {(t.name, t.language): t for t in registry}
        self._variables = {key: templates.variables(t) for key, t in self._templates.items()}
        self._bindings = {
            variant.name: [compile_binding(binding) for binding in variant.bindings]
            for variant in campaign.variants
        }
        self.attributes = frozenset(
            name
            for bindings in self._bindings.values()
            for compiled in bindings
            for name in compiled.expression.attributes
        )

    def write(
        self, contact: Contact, now: int, occurrence: Occurrence | None = None, trace: str = ""
    ) -> Draft:
        """The contact's own message, planned, held out or suppressed for want of a value."""
        campaign = self.campaign
        variant, propensity = assign(campaign, contact.contact_id)
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
            traceparent=trace,
            category="",
            due_time=now,
        )
        if contact.addresses:
            message.market = contact.addresses[0].market
        draft = self._draft(message, variant, contact, occurrence)
        draft.others = [_id(campaign, occurrence_id, other) for other in contact.absorbed]
        return draft

    def _draft(
        self,
        message: Message,
        variant: Variant | None,
        contact: Contact,
        occurrence: Occurrence | None,
    ) -> Draft:
        now = message.plan_time
        if variant is None:
            message.state, message.reason = State.HELD_OUT, "hold_out"
            return Draft(message)
        template = self._template(variant, contact.language)
        if template is None:
            message.language = contact.language
            return _refused(message, "template", "no_language")
        message.language = template.language
        message.category = template.category_at(now)
        if message.category != "marketing":
            message.lane = Lane.TRANSACTIONAL
        return self._fill(message, variant, template, contact, occurrence)

    def _fill(
        self,
        message: Message,
        variant: Variant,
        template: Template,
        contact: Contact,
        occurrence: Occurrence | None,
    ) -> Draft:
        facts = Facts(
            attributes=dict(contact.attributes),
            consents={p: s == "granted" for p, s in contact.consents.items()},
            zone=contact.zone or "UTC",
        )
        event = Event(occurrence.time, occurrence.parameters) if occurrence else Event(0, {})
        draft = Draft(message, template)
        wanted = set(self._variables[template.name, template.language])
        for binding, expression in self._bindings[variant.name]:
            value = _words(expression.evaluate(facts, message.plan_time, event))
            if not value and binding.missing == "fallback":
                fallbacks = binding.fallbacks
                value = templates.clean(fallbacks.get(template.language) or fallbacks.get("*", ""))
            if not value:
                if binding.missing == "fail":
                    draft.failed = binding.variable
                return _refused(message, "variables", f"missing_{binding.variable}", draft.failed)
            wanted.discard(binding.variable)
            # What stands at the end of a button's address is a suffix; a whole address can only be
            # meant as the target of a tracked link.
            if binding.variable.startswith("button.") and value.startswith(_ADDRESS):
                draft.links[binding.variable] = value
            else:
                draft.values[binding.variable] = value
        if wanted:
            return _refused(message, "variables", f"unbound_{min(wanted)}")
        return draft

    def _template(self, variant: Variant, language: str) -> Template | None:
        code = language.replace("-", "_")
        for wanted in (code, code.split("_")[0], *variant.fallback_languages):
            found = self._templates.get((variant.template, wanted))
            if found is not None and found.state in _USABLE:
                return found
        return self._only(variant) if not language else None

    def _only(self, variant: Variant) -> Template | None:
        """For people whose language nobody knows, where there is nothing to choose between."""
        found = [t for t in self._templates.values() if t.name == variant.template]
        usable = len(found) == 1 and found[0].state in _USABLE
        return found[0] if usable else None

    def _not_after(self, occurrence: Occurrence | None) -> int:
        limits = [self.campaign.not_after]
        if occurrence is not None:
            limits.append(occurrence.not_after)
            if self.campaign.not_after_duration:
                limits.append(occurrence.time + self.campaign.not_after_duration)
        return min((limit for limit in limits if limit), default=0)


def _id(campaign: Campaign, occurrence_id: str, contact_id: str) -> str:
    return derived_id("msg", campaign.campaign_id, occurrence_id, contact_id)


def finish(draft: Draft, tokens: Mapping[str, str]) -> Message:
    """The message with its body; `tokens` are those of its links, by variable."""
    if draft.template is not None and draft.message.state == State.PLANNED:
        draft.message.body = templates.fill(draft.template, {**draft.values, **tokens})
    return draft.message


def _refused(message: Message, gate: str, reason: str, failed: str = "") -> Draft:
    message.state, message.gate, message.reason = State.SUPPRESSED, gate, reason
    return Draft(message, failed=failed)


def _words(value: Any) -> str:
    """A value as people read it; empty when there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return templates.clean(str(value))
