"""What a variant of a campaign says to one person after the other, without a hole. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from msgspec import Struct

from expressions import Facts, Registry, Timeline
from services.sender.formats import TextFormat
from services.sender.model import Binding, Campaign, Contact, Template, Variant
from services.sender.wording.bindings import CAMPAIGN, OPEN, Compiled, compile_binding
from services.sender.wording.clean import is_value, tidy
from services.sender.wording.form import Form
from services.sender.wording.formatting import writer_of
from services.sender.wording.parts import Blank
from services.sender.wording.taking import TAKES, WRITTEN, is_address

_USABLE: Final = frozenset({"APPROVED", "PAUSED"})  # what is paused comes back; a gate waits
_NOTHING: Final[Mapping[str, Any]] = {}

Make = Callable[[Any, str], Any]
"""A value of an expression, and a zone, as it stands in Meta's JSON; None or empty when missing."""


class Lack(NamedTuple):
    """A variable whose expression gave nothing."""

    variable: str
    missing: str
    """What its binding says: `fallback`, `skip` or `fail`."""


class Filled(Struct):
    """A template filled in for one person."""

    values: dict[str, Any]
    links: dict[str, str]
    """By variable, the target of the tracked link whose token is to stand there."""
    lacks: list[Lack]
    problem: str = ""
    """Why there is no message: `missing_<variable>`, `unbound_<variable>`, `too_long_<text>`."""
    failed: str = ""
    """The variable without value whose binding says that the campaign must pause."""


class _Line(NamedTuple):
    """A binding in one language."""

    variable: str
    compiled: Compiled
    make: Make
    fallback: Any
    links: bool
    """A whole address is the target of a tracked link."""


class _Page(NamedTuple):
    """A form with the lines that fill it."""

    form: Form
    lines: Sequence[_Line]
    cuttable: frozenset[str]
    unbound: str
    given: Mapping[str, str]


class Words:
    """A variant's template in its languages, with its bindings compiled once."""

    def __init__(
        self,
        variant: Variant,
        templates: Sequence[Template],
        campaign: Campaign | None = None,
        registry: Registry = OPEN,
    ) -> None:
        """`templates` of all names may be given. Raises ExpressionInvalid."""
        self.variant = variant
        self.compiled = [compile_binding(one, registry=registry) for one in variant.bindings]
        self.needs = frozenset().union(*(one.needs for one in self.compiled))
        """What it looks at of a contact, as `Compiled.needs`."""
        self._consents = any(one.expression.consents for one in self.compiled)
        self._campaign = (campaign.campaign_id, campaign.name) if campaign else ("", "")
        self._pages = {
            one.language: self._page(Form(one)) for one in templates if one.name == variant.template
        }

    @property
    def forms(self) -> list[Form]:
        """One per language."""
        return [page.form for page in self._pages.values()]

    def form(self, language: str, *, usable_only: bool = True) -> Form | None:
        """The template for somebody's language: in it, in what it is a kind of, in the variant's
        fallbacks, or, where nobody knows the language, the only one there is. `usable_only`: it
        can be sent."""
        base, _, region = language.replace("-", "_").partition("_")
        code = f"{base.lower()}_{region.upper()}" if region else base.lower()
        for wanted in (code, base.lower(), *self.variant.fallback_languages):
            page = self._pages.get(wanted)
            if page is not None and (not usable_only or _usable(page.form)):
                return page.form
        alone = not language and len(self._pages) == 1
        found = [one for one in self.forms if not usable_only or _usable(one)]
        return found[0] if alone and found else None

    def fill(
        self,
        form: Form,
        contact: Contact,
        now: int,
        parameters: Mapping[str, Any] = _NOTHING,
        row: Mapping[str, Any] = _NOTHING,
    ) -> Filled:
        """The values of one person's message. `parameters` came with the trigger, `row` with the
        file that named them."""
        page = self._pages[form.template.language]
        filled = Filled({}, {}, [], page.unbound)
        facts = self._facts(contact)
        given = {"parameters": parameters, "row": row, "campaign": page.given}
        for line in page.lines:
            variable, compiled = line.variable, line.compiled
            raw = compiled.expression.evaluate(facts, now, None, given)
            value = None
            if raw is not None:
                if line.links and is_address(raw):
                    filled.links[variable] = tidy(raw)
                    continue
                value = line.make(raw, facts.zone)
            if not value and value != 0:
                value = self._lacking(filled, compiled.binding, line.fallback)
                if value is None:
                    continue
                if line.links and is_address(value):
                    filled.links[variable] = value
                    continue
            filled.values[variable] = value
        if not filled.problem and (text := form.shorten(filled.values, page.cuttable)):
            filled.problem = f"too_long_{text}"
        return filled

    @staticmethod
    def _lacking(filled: Filled, binding: Binding, fallback: Any) -> Any:
        filled.lacks.append(Lack(binding.variable, binding.missing))
        if binding.missing == "fallback" and fallback is not None:
            return fallback
        filled.problem = filled.problem or f"missing_{binding.variable}"
        if binding.missing == "fail":
            filled.failed = filled.failed or binding.variable
        return None

    def _facts(self, contact: Contact) -> Facts:
        # Nothing of it is changed, so nothing is copied.
        return Facts(
            attributes=cast(dict[str, Any], contact.attributes),
            consents={purpose: said == "granted" for purpose, said in contact.consents.items()}
            if self._consents
            else {},
            segments=cast(set[str], contact.segments),
            zone=contact.zone or "UTC",
            timelines=cast(dict[str, Timeline], contact.timelines),
        )

    def _page(self, form: Form) -> _Page:
        language = form.template.language
        lines = [
            _line(one, form.blanks[one.binding.variable], language)
            for one in self.compiled
            if one.binding.variable in form.blanks
        ]
        unbound = form.required - {line.variable for line in lines}
        told = (*self._campaign, self.variant.name, language)
        return _Page(
            form,
            lines,
            frozenset(line.variable for line in lines if _may_be_cut(line.compiled.binding)),
            f"unbound_{min(unbound)}" if unbound else "",
            dict(zip(CAMPAIGN, told, strict=True)),
        )


def _usable(form: Form) -> bool:
    return form.template.state in _USABLE


def fallback_of(binding: Binding, language: str, kind: str) -> Any:
    """What stands where the expression gives nothing, in a language; None when there is none."""
    said = binding.fallbacks
    base = language.partition("_")[0]
    text = said.get(language) or said.get(base) or said.get("*") or ""
    if kind == "suffix" and is_address(text):
        return tidy(text)
    return TAKES[kind](text)


def _line(compiled: Compiled, blank: Blank, language: str) -> _Line:
    binding = compiled.binding
    fallback = fallback_of(binding, language, blank.kind) if binding.fallbacks else None
    make = _maker(binding, blank.kind, language)
    return _Line(binding.variable, compiled, make, fallback, blank.kind == "suffix")


def _maker(binding: Binding, kind: str, language: str) -> Make:
    take = TAKES[kind]
    form = binding.format
    if kind not in WRITTEN or (form is None and kind != "text"):
        return lambda raw, _: take(raw)
    write = writer_of(form, language)
    if form is not None and not isinstance(form, TextFormat):
        # CLDR's signs stand as they are: spaces that do not break, marks of direction.
        return write if kind == "text" else lambda raw, zone: take(write(raw, zone))
    if form is not None and form.suffix and binding.missing != "fallback":
        # A name of which nobody knows the ending is better without than no message at all.
        plain = writer_of(TextFormat(form.casing), language)
        return lambda raw, zone: take(write(raw, zone) or plain(raw, zone))
    if kind != "text":
        return lambda raw, zone: take(write(raw, zone))
    return lambda raw, zone: text if is_value(text := write(raw, zone)) else None


def _may_be_cut(binding: Binding) -> bool:
    form = binding.format
    return form is None or (isinstance(form, TextFormat) and not form.suffix)
