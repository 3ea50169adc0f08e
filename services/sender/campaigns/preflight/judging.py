"""What the gates will say of very many people. Pure.

Most people are alike to the gates: whoever has the same consents, zone, market, language and number
gets the same verdicts. So the gates are asked once for each kind of people, exactly as they are
asked when a message is due, and by themselves only those of whom something is known that nobody
else shares: what they were sent, or what Meta said of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from services.sender import gates
from services.sender.campaigns.assignment import assign
from services.sender.campaigns.people import Person
from services.sender.campaigns.preflight.sums import Lacking, Place, Sums
from services.sender.campaigns.sieve import Sieve
from services.sender.campaigns.timing import ACTIVITY, BestTime
from services.sender.gates import Asked, Candidate, Verdict
from services.sender.gates.now import GLOBAL_CONTROL, OPEN_COMPLAINT, controlled
from services.sender.model import (
    DAY_MS,
    NEVER,
    Campaign,
    CampaignPhase,
    Contact,
    Lane,
    Message,
    Number,
    Template,
    Variant,
)
from services.sender.numbers.allocation import allocate, lines_of
from services.sender.rules.caps import Counted
from services.sender.rules.policy import Policy
from services.sender.wording.form import Form
from services.sender.wording.words import Lack, Words

_HOUR_MS: Final = 3_600_000
_REMEMBERED: Final = 50_000
_EVENTS: Final = ("events.", "segments.")


class Known(NamedTuple):
    """What the sender itself knows of people, of those of whom it knows anything."""

    noted: Mapping[str, tuple[int, int, int]]
    """By contact, when Meta said things of them; see `candidates.saturations`."""
    sent: Mapping[str, Sequence[Counted]]
    """By contact, what they were sent lately."""


class _Written(NamedTuple):
    """What comes of the bindings."""

    problem: str
    lacks: Sequence[Lack]


class _Verdict(NamedTuple):
    """What the gates say: never, at a gate; or from a moment on, which a gate may put off."""

    never: str
    later: str
    time: int
    """0 when nobody can say."""


class Judge:
    """Looks at the people of one campaign."""

    def __init__(
        self,
        campaign: Campaign,
        templates: Sequence[Template],
        numbers: Sequence[Number],
        policy: Policy,
        start: int,
    ) -> None:
        """`start`: when it would be launched (ms)."""
        self._campaign = campaign
        self._policy = policy
        self._start = start
        self._numbers = {one.phone_number_id: one for one in numbers}
        self._lines = lines_of(numbers, start)
        self._sieve = Sieve(campaign.filter)
        self._best_time = BestTime(campaign, policy)
        self._words = {one.name: Words(one, templates, campaign) for one in campaign.variants}
        looked_at = frozenset().union(*(one.needs for one in self._words.values()))
        needs = looked_at | self._sieve.attributes | {OPEN_COMPLAINT}
        self.needs = sorted(needs | ({ACTIVITY} if campaign.best_time_ms else set()))
        """What is to be known of contacts beside what is known of everybody."""
        self._shared = {  # of a variant: what its values follow from; None when from more
            name: None
            if any(n.startswith(_EVENTS) for n in one.needs)
            or any(c.expression.consents for c in one.compiled)
            else sorted(one.needs)
            for name, one in self._words.items()
        }
        self._forms: dict[tuple[str, str], Form | None] = {}
        self._written: dict[Any, _Written] = {}
        self._verdicts: dict[Any, _Verdict] = {}

    def look(self, people: Sequence[tuple[Person, Contact]], known: Known, sums: Sums) -> None:
        """Add up what becomes of people, each of them once."""
        for person, contact in people:
            if not self._sieve.passes(contact, self._start):
                continue
            sums.recipients += 1
            variant, _ = assign(self._campaign, contact.contact_id)
            if variant is None:
                sums.held_out += 1
                continue
            form = self._form(variant, contact.language)
            if form is None:
                sums.excludes("template")
                continue
            written = self._write(variant, form, contact, person.row)
            for lack in written.lacks:
                where = Lacking(variant.name, lack.variable)
                sums.lacking(where, lack.missing, contact.contact_id)
            if written.problem:
                sums.excludes("variables")
                continue
            self._ask(variant, form.template, contact, known, sums)

    def _form(self, variant: Variant, language: str) -> Form | None:
        key = variant.name, language
        if key not in self._forms:
            if len(self._forms) >= _REMEMBERED:
                self._forms.clear()
            self._forms[key] = self._words[variant.name].form(language)
        return self._forms[key]

    def _write(
        self, variant: Variant, form: Form, contact: Contact, row: Mapping[str, str]
    ) -> _Written:
        """The same values make the same message."""
        needs = self._shared[variant.name]
        if needs is None:
            return self._fill(variant, form, contact, row)
        values = contact.attributes
        key = (variant.name, form.template.language, contact.zone, *_keyed(values, needs, row))
        found = self._written.get(key)
        if found is None:
            if len(self._written) >= _REMEMBERED:
                self._written.clear()
            found = self._written[key] = self._fill(variant, form, contact, row)
        return found

    def _fill(
        self, variant: Variant, form: Form, contact: Contact, row: Mapping[str, str]
    ) -> _Written:
        filled = self._words[variant.name].fill(form, contact, self._start, row=row)
        return _Written(filled.problem, filled.lacks)

    def _ask(
        self, variant: Variant, template: Template, contact: Contact, known: Known, sums: Sums
    ) -> None:
        number = allocate(self._lines, contact)
        category = template.category_at(self._start)
        purpose = self._campaign.purpose or category
        due = self._best_time.of(contact, purpose, self._start)
        verdict = self._judge(template, number, contact, known, due)
        person = contact.contact_id, *contact.absorbed
        if verdict.never:
            sums.excludes(verdict.never)
            return
        drawing = not self._campaign.ignores_control
        if drawing and controlled(self._policy, purpose, category, person):
            sums.excludes(GLOBAL_CONTROL)
            return
        if verdict.later:
            sums.delays(verdict.later)
        address = contact.addresses[0]
        heard = address.last_message_time if address.phone_number_id == number else 0
        time = max(verdict.time, due) if verdict.time else 0
        sums.reaches(
            Place(number, address.market, category),
            (variant.name, template.language),
            time,
            opening=heard + DAY_MS <= (time or due),
        )

    def _judge(
        self, template: Template, number: str, contact: Contact, known: Known, due: int
    ) -> _Verdict:
        noted, sent = known.noted.get(contact.contact_id), known.sent.get(contact.contact_id)
        if noted or sent:
            return self._decide(template, number, contact, due, noted or (0, 0, 0), sent or ())
        address = contact.addresses[0] if contact.addresses else None
        hour = max(self._start, due // _HOUR_MS * _HOUR_MS)
        key = (
            *(template.template_id, template.language, number, hour, contact.restricted),
            *(contact.zone, address and address.market, contact.attributes.get(OPEN_COMPLAINT)),
            *contact.consents.items(),
        )
        found = self._verdicts.get(key)
        if found is None:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            found = self._verdicts[key] = self._decide(template, number, contact, hour)
        return found

    def _decide(
        self,
        template: Template,
        number: str,
        contact: Contact,
        now: int,
        noted: tuple[int, int, int] = (0, 0, 0),
        sent: Sequence[Counted] = (),
    ) -> _Verdict:
        candidate = Candidate(
            self._message(template, number, contact, now),
            CampaignPhase.RUNNING,
            ignores_control=True,  # drawn for each person
            not_after=self._campaign.not_after,
            template=template,
            number=self._numbers[number],
            saturation_time=noted[0],
            opted_out_time=noted[1],
            unreachable_time=noted[2],
            policy=self._policy,
            counted=list(sent),
        )
        decision = gates.decide(Asked(now, contact, candidate))
        refused = [one.gate for one in decision.verdicts if one.verdict == Verdict.REFUSE]
        if refused or decision.stop is None:
            return _Verdict(refused[0] if refused else "", "", now)
        time = decision.due_time if decision.due_time < NEVER else 0
        certain = decision.stop.next_time < NEVER
        return _Verdict("", decision.stop.gate, time if certain else 0)

    def _message(self, template: Template, number: str, contact: Contact, now: int) -> Message:
        return Message(
            message_id="",
            contact_id=contact.contact_id,
            campaign_id=self._campaign.campaign_id,
            occurrence_id="",
            phone_number_id=number,
            template=template.name,
            language=template.language,
            variant="",
            propensity=1.0,
            purpose=self._campaign.purpose,
            context_wamid="",
            body=b"",
            lane=Lane.BULK,
            not_after=0,
            plan_time=now,
            received_time=now,
            traceparent="",
            category=template.category_at(now),
        )


def _keyed(
    values: Mapping[str, Any], needs: Sequence[str], row: Mapping[str, str]
) -> Iterator[Any]:
    for name in needs:
        value = values.get(name)
        yield value if value.__class__ in (str, int, float, bool) else repr(value)
        yield value.__class__
    yield from row.items()
