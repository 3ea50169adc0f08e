"""Whether a variant's bindings can fill its templates, before anybody is written to. Pure."""

from collections.abc import Sequence

from expressions import Registry
from services.sender.failures import ParametersInvalid
from services.sender.model import Template, Variant
from services.sender.wording.bindings import OPEN, check_kind, compile_binding
from services.sender.wording.form import Form
from services.sender.wording.taking import WRITTEN
from services.sender.wording.words import fallback_of


def check_variant(
    variant: Variant, templates: Sequence[Template], where: str, registry: Registry = OPEN
) -> None:
    """Raises ParametersInvalid for what a template of the variant lacks or does not have, and
    ExpressionInvalid for an expression that can never fill its variable. `where`: path of the
    variant; `registry`: what is known of attributes' types."""
    at = f"{where}.bindings" if where else "bindings"
    compiled = [
        compile_binding(one, f"{at}[{index}].expression", registry)
        for index, one in enumerate(variant.bindings)
    ]
    forms = [Form(one) for one in templates]
    known = {variable for form in forms for variable in form.blanks}
    for form in forms:
        bound = {one.binding.variable for one in compiled}
        for variable in sorted(form.required - bound):
            raise _unfit(form, variant, variable, "unbound; give it a binding")
        for index, one in enumerate(compiled):
            binding = one.binding
            blank = form.blanks.get(binding.variable)
            if blank is None:
                if binding.variable not in known:
                    problem = f"no such variable; there are {', '.join(sorted(known)) or 'none'}"
                    raise _unfit(form, variant, binding.variable, problem)
                continue
            if binding.format is not None and blank.kind not in WRITTEN:
                problem = "takes no format; it is not shown as words"
                raise _unfit(form, variant, binding.variable, problem)
            check_kind(one, blank.kind, f"{at}[{index}].expression")
            language = form.template.language
            if binding.missing == "fallback" and not fallback_of(binding, language, blank.kind):
                problem = (
                    f"no fallback that fits in {language}; give one for it, or for `*`"
                    if blank.required
                    else f"no fallback that fits in {language}; give one, or choose skip"
                )
                raise _unfit(form, variant, binding.variable, problem)


def _unfit(form: Form, variant: Variant, variable: str, problem: str) -> ParametersInvalid:
    return ParametersInvalid(
        f"variant {variant.name}: {variable}: {problem}",
        template_name=form.template.name,
        language=form.template.language,
        variable=variable,
        problem=problem,
    )
