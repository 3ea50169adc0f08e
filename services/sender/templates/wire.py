"""Templates between the contract, the model and what is submitted."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from google.protobuf.duration_pb2 import Duration

from chassis.failures import FieldInvalid
from merhaba.sender.v1 import LintFinding, TemplateButton, TemplateHeader
from merhaba.sender.v1 import Template as TemplateProto
from services.sender.model import Template
from services.sender.templates.components import components_of, graph_components
from services.sender.templates.draft import Draft
from services.sender.templates.lint import Finding, Severity
from services.sender.wire import stamp

_STATES: Final = set(TemplateProto.State.keys())
_NAMED: Final = {
    TemplateProto.PARAMETER_FORMAT_POSITIONAL: False,
    TemplateProto.PARAMETER_FORMAT_NAMED: True,
}
_SEVERITIES: Final = {
    Severity.WARNING: LintFinding.SEVERITY_WARNING,
    Severity.ERROR: LintFinding.SEVERITY_ERROR,
}


def draft_of(template: TemplateProto, languages: Sequence[str] = ()) -> Draft:
    """What is to be checked and submitted. Raises FieldInvalid for an example that is both a file
    and a handle."""
    files = set()
    for field, header in _headers(template):
        if header.example_file_id and header.example_handle:
            raise FieldInvalid(f"template.{field}.example_file_id", "give a file or a handle")
        files |= {header.example_file_id} - {""}
    named = _NAMED.get(template.parameter_format)
    return Draft(
        template.waba_id,
        template.name,
        template.language,
        template.category.upper(),
        named,
        graph_components(template.components, named=bool(named)),
        template.message_ttl_duration.seconds,
        template.sub_category,
        template.link_tracking_disabled,
        template.library_template_name,
        list(_opt_outs(template)),
        list(languages),
        frozenset(files),
    )


def unsubmitted(template: TemplateProto) -> Template:
    """A draft as the template it would become, for a look at it."""
    draft = draft_of(template)
    return Template(
        template_id=template.template_id,
        waba_id=draft.waba_id,
        name=draft.name,
        language=draft.language,
        category=draft.category,
        effective_category=draft.category,
        announced_category="",
        announced_time=0,
        state="",
        state_reason="",
        state_detail="",
        named=bool(draft.named),
        components=msgspec.json.encode(draft.components),
        create_time=0,
        update_time=0,
    )


def template_proto(template: Template) -> TemplateProto:
    """A template as the contract shows it."""
    state = f"STATE_{template.state}"
    found = TemplateProto(
        template_id=template.template_id,
        waba_id=template.waba_id,
        name=template.name,
        language=template.language,
        etag=str(template.version),
        category=template.category,
        effective_category=template.effective_category,
        announced_category=template.announced_category,
        announced_category_time=stamp(template.announced_time),
        state=TemplateProto.State.Value(state)
        if state in _STATES
        else TemplateProto.STATE_UNSPECIFIED,
        state_reason=template.state_reason,
        state_detail=template.state_detail,
        quality_score=template.quality,
        quality_time=stamp(template.quality_time),
        parameter_format=TemplateProto.PARAMETER_FORMAT_NAMED
        if template.named
        else TemplateProto.PARAMETER_FORMAT_POSITIONAL,
        components=components_of(msgspec.json.decode(template.components)),
        message_ttl_duration=Duration(seconds=template.ttl_s) if template.ttl_s else None,
        sub_category=template.sub_category,
        link_tracking_disabled=template.link_tracking_disabled,
        library_template_name=template.library_name,
        create_time=stamp(template.create_time),
        update_time=stamp(template.update_time),
        sync_time=stamp(template.sync_time),
    )
    for variable, button in _buttons(found):
        if variable in template.opt_outs and button.HasField("quick_reply"):
            button.quick_reply.marketing_opt_out = True
    return found


def finding_proto(finding: Finding) -> LintFinding:
    """A finding as the contract shows it."""
    return LintFinding(
        severity=_SEVERITIES[finding.severity],
        rule=finding.rule,
        field=finding.field,
        explanation=finding.explanation,
        change=finding.change,
    )


def _opt_outs(template: TemplateProto) -> Iterator[str]:
    for variable, button in _buttons(template):
        if button.quick_reply.marketing_opt_out:
            yield variable


def _buttons(template: TemplateProto) -> Iterator[tuple[str, TemplateButton]]:
    """Every button, by the name that bindings use."""
    for index, button in enumerate(template.components.buttons):
        yield f"button.{index}", button
    for place, card in enumerate(template.components.cards):
        for index, button in enumerate(card.buttons):
            yield f"card.{place}.button.{index}", button


def _headers(template: TemplateProto) -> Iterator[tuple[str, TemplateHeader]]:
    yield "components.header", template.components.header
    for place, card in enumerate(template.components.cards):
        yield f"components.cards[{place}].header", card.header
