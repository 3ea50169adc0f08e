"""The contract's bindings, as planning knows them."""

import re
from collections.abc import Sequence
from typing import Final, get_args

from babel.numbers import list_currencies

from chassis.failures import FieldInvalid
from merhaba.sender.v1 import Binding as BindingProto
from merhaba.sender.v1 import TextFormat as TextProto
from services.sender.formats import (
    Casing,
    DateFormat,
    Format,
    MoneyFormat,
    NumberFormat,
    PluralFormat,
    Suffix,
    TextFormat,
)
from services.sender.model import Binding
from services.sender.wording.clean import is_value, tidy
from services.sender.wording.formatting import is_pattern

_MISSING: Final = {
    BindingProto.MISSING_FALLBACK: "fallback",
    BindingProto.MISSING_SKIP: "skip",
    BindingProto.MISSING_FAIL: "fail",
}
_CASINGS: Final[Sequence[Casing]] = get_args(Casing)
_SUFFIXES: Final[Sequence[Suffix]] = get_args(Suffix)
_CATEGORIES: Final = frozenset({"zero", "one", "two", "few", "many", "other"})
_VARIABLE: Final = re.compile(r"[a-z0-9_.]{1,128}")
_LANGUAGE: Final = re.compile(r"\*|[a-z]{2,3}(_[A-Za-z]{2,4})?")
_MOST: Final = 500
_DIGITS: Final = 6
_LONGEST: Final = 1_024


def bindings_of(protos: Sequence[BindingProto]) -> list[Binding]:
    """Bindings that were checked before."""
    return [_binding(proto) for proto in protos]


def checked_bindings(protos: Sequence[BindingProto], where: str) -> list[Binding]:
    """Raises FieldInvalid, with the path of the field, for what is wrong by itself."""
    if len(protos) > _MOST:
        raise FieldInvalid(where, f"{len(protos)} bindings; no template takes more than {_MOST}")
    seen: set[str] = set()
    for index, proto in enumerate(protos):
        at = f"{where}[{index}]"
        if not _VARIABLE.fullmatch(proto.variable):
            raise FieldInvalid(f"{at}.variable", "name one, such as body.1 or header")
        if proto.variable in seen:
            raise FieldInvalid(f"{at}.variable", f"{proto.variable} has a binding already")
        seen.add(proto.variable)
        _check_missing(proto, at)
        _check_format(proto, at)
    return bindings_of(protos)


def _binding(proto: BindingProto) -> Binding:
    return Binding(
        variable=proto.variable,
        expression=proto.expression,
        missing=_MISSING.get(proto.missing, "skip"),
        fallbacks=dict(proto.fallbacks),
        format=_format(proto),
    )


def _format(proto: BindingProto) -> Format | None:
    match proto.WhichOneof("format"):
        case "text":
            text = proto.text
            casing, suffix = _CASINGS[text.casing], _SUFFIXES[text.suffix]
            return TextFormat(casing, suffix, text.max_characters)
        case "money":
            return MoneyFormat(proto.money.currency_code, proto.money.micros)
        case "number":
            return NumberFormat(proto.number.max_fraction_digits, proto.number.percent)
        case "date":
            return DateFormat(proto.date.pattern)
        case "plural":
            return PluralFormat(dict(proto.plural.forms))
        case _:
            return None


def _check_missing(proto: BindingProto, at: str) -> None:
    if proto.missing not in _MISSING:
        raise FieldInvalid(f"{at}.missing", "choose fallback, skip or fail")
    if proto.missing == BindingProto.MISSING_FALLBACK and not proto.fallbacks:
        raise FieldInvalid(f"{at}.fallbacks", "give a text, by language or for `*`")
    for language, text in proto.fallbacks.items():
        if not _LANGUAGE.fullmatch(language):
            raise FieldInvalid(f"{at}.fallbacks", f"`{language}` is no language; write tr, or `*`")
        if not text.strip():
            raise FieldInvalid(f"{at}.fallbacks", f"the one of `{language}` is empty")


def _check_format(proto: BindingProto, at: str) -> None:
    match proto.WhichOneof("format"):
        case "text":
            _check_text(proto.text, f"{at}.text")
        case "money" if proto.money.currency_code not in list_currencies():
            raise FieldInvalid(f"{at}.money.currency_code", "not ISO 4217, such as TRY")
        case "number" if not 0 <= proto.number.max_fraction_digits <= _DIGITS:
            raise FieldInvalid(f"{at}.number.max_fraction_digits", f"0 to {_DIGITS}")
        case "date" if not is_pattern(proto.date.pattern):
            problem = "short, medium, long, full, or a pattern of CLDR's such as d MMMM"
            raise FieldInvalid(f"{at}.date.pattern", problem)
        case "plural":
            forms = proto.plural.forms
            if unknown := sorted(forms.keys() - _CATEGORIES):
                problem = f"`{unknown[0]}` is no plural category of CLDR's"
                raise FieldInvalid(f"{at}.plural.forms", problem)
            shown = [tidy(form.replace("{}", "2")) for form in forms.values()]
            if "other" not in forms or not all(map(is_value, shown)):
                problem = "give `other`, and none that is empty or a placeholder"
                raise FieldInvalid(f"{at}.plural.forms", problem)
        case _:
            return


def _check_text(text: TextProto, at: str) -> None:
    if not 0 <= text.max_characters <= _LONGEST or text.max_characters == 1:
        raise FieldInvalid(f"{at}.max_characters", f"2 to {_LONGEST}, or 0 for no limit")
    if text.casing not in range(len(_CASINGS)):
        raise FieldInvalid(f"{at}.casing", "not one of the contract's")
    if text.suffix not in range(len(_SUFFIXES)):
        raise FieldInvalid(f"{at}.suffix", "not one of the contract's")
    if text.suffix and text.max_characters:
        problem = "a text that was cut takes no suffix; choose one of the two"
        raise FieldInvalid(f"{at}.max_characters", problem)
