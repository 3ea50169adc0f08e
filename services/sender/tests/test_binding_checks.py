"""Bindings are checked when a campaign is written: what is wrong, where, and what to do."""

from typing import Any

import pytest

from chassis.failures import FieldInvalid
from merhaba.sender.v1 import Binding as BindingProto
from services.sender.failures import ExpressionInvalid, ParametersInvalid
from services.sender.formats import DateFormat, Format, MoneyFormat, NumberFormat, TextFormat
from services.sender.model import Binding, Variant
from services.sender.tests.test_words import body, buttons, header, template
from services.sender.wording.binding_wire import checked_bindings
from services.sender.wording.bindings import compile_binding, registry
from services.sender.wording.checking import check_variant

FIELD = "campaign.variants[0].bindings"
FALLBACK = {"missing": "fallback", "fallbacks": {"*": "dostum"}}


def proto(**changes: Any) -> BindingProto:
    fields: dict[str, Any] = {"variable": "body.1", "expression": "profile.city"}
    missing = BindingProto.MISSING_SKIP
    return BindingProto(**{**fields, "missing": missing, **changes})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"variable": ""}, "[0].variable"),
        ({"variable": "Body 1"}, "[0].variable"),
        ({"missing": 0}, "[0].missing"),
        ({"missing": 1}, "[0].fallbacks"),
        ({"missing": 1, "fallbacks": {"tr": " "}}, "[0].fallbacks"),
        ({"missing": 1, "fallbacks": {"Türkçe": "x"}}, "[0].fallbacks"),
        ({"money": {"currency_code": "TL"}}, "[0].money.currency_code"),
        ({"number": {"max_fraction_digits": 9}}, "[0].number.max_fraction_digits"),
        ({"date": {"pattern": "QQQQQQQ"}}, "[0].date.pattern"),
        ({"plural": {"forms": {"one": "{} ürün"}}}, "[0].plural.forms"),
        ({"plural": {"forms": {"other": "{}", "lots": "x"}}}, "[0].plural.forms"),
        ({"plural": {"forms": {"other": "{{1}} ürün"}}}, "[0].plural.forms"),
        ({"plural": {"forms": {"other": "\u3164"}}}, "[0].plural.forms"),
        ({"text": {"max_characters": -1}}, "[0].text.max_characters"),
        ({"text": {"suffix": 1, "max_characters": 20}}, "[0].text.max_characters"),
    ],
)
def test_a_binding_that_nobody_can_follow_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldInvalid) as raised:
        checked_bindings([proto(**changes)], FIELD)
    assert raised.value.facts["field"] == FIELD + field


def test_a_variable_has_one_binding() -> None:
    with pytest.raises(FieldInvalid, match="has a binding already"):
        checked_bindings([proto(), proto()], FIELD)


def test_there_are_no_more_bindings_than_a_template_has_variables() -> None:
    many = [proto(variable=f"body.{n}") for n in range(501)]
    with pytest.raises(FieldInvalid, match="no template takes more than 500"):
        checked_bindings(many, FIELD)


def test_every_format_of_the_contract_is_taken() -> None:
    formats: list[dict[str, Any]] = [
        {"text": {"casing": 3, "suffix": 1}},
        {"money": {"currency_code": "TRY", "micros": True}},
        {"number": {"max_fraction_digits": 2, "percent": True}},
        {"date": {"pattern": "d MMMM"}},
        {"plural": {"forms": {"other": "{} ürün"}}},
    ]
    found = [checked_bindings([proto(**one)], FIELD)[0].format for one in formats]
    assert found[:2] == [TextFormat("title", "genitive"), MoneyFormat("TRY", micros=True)]
    assert all(found)


KNOWN = registry({"first_name": "string", "total": "double", "vip": "bool", "born": "date"})


@pytest.mark.parametrize(
    ("source", "form", "problem"),
    [
        ("profile.first_name", MoneyFormat("TRY"), "write double(…) around it"),
        ('"12,5"', NumberFormat(), "write double(…) around it"),
        ("profile.total", DateFormat("long"), "expected date or timestamp, this is double"),
        ("traits.order_count", DateFormat("long"), ""),  # nobody knows its type
        ("profile.born", DateFormat("long"), ""),
        ('timestamp("2026-01-01T00:00:00Z")', DateFormat("long"), ""),
        ('timestamp("2026-01-01T00:00:00Z")', MoneyFormat("TRY"), "this is timestamp"),
        ("size(profile.first_name)", MoneyFormat("TRY"), ""),
        ("profile.vip", TextFormat("upper"), 'write `… ? "a" : "b"`'),
        ("profile.", None, "ends too early"),
        ('near("kadikoy", "1km")', None, "do not know where places are"),
        ("campaign.title", None, "unknown field `title`"),
    ],
)
def test_a_format_suits_the_type_of_its_expression(
    source: str, form: Format | None, problem: str
) -> None:
    binding = Binding("body.1", source, "skip", {}, form)
    if not problem:
        compile_binding(binding, FIELD, KNOWN)
        return
    with pytest.raises(ExpressionInvalid) as raised:
        compile_binding(binding, FIELD, KNOWN)
    facts = raised.value.facts
    assert problem in facts["problem"]
    assert facts["field"] == FIELD
    assert int(facts["length"]) > 0
    assert (facts["line"], facts["column"] != "") == ("1", True)


def check(bindings: list[Binding], *components: dict[str, Any], language: str = "tr") -> None:
    one = template(*components, language=language)
    check_variant(Variant("a", one.name, 1.0, bindings), [one], "campaign.variants[0]")


def test_every_variable_has_a_binding_and_every_binding_a_variable() -> None:
    with pytest.raises(ParametersInvalid) as raised:
        check([Binding("body.1", "profile.a", "skip")], body("{{1}} {{2}}"))
    assert (raised.value.facts["variable"], raised.value.facts["language"]) == ("body.2", "tr")
    assert "unbound" in raised.value.facts["problem"]
    with pytest.raises(ParametersInvalid, match=r"body.3: no such variable; there are body.1"):
        bound = [Binding("body.1", "profile.a", "skip"), Binding("body.3", "profile.a", "skip")]
        check(bound, body("{{1}}"))
    check([Binding("body.1", "profile.a", "skip")], body("{{1}}"))


def test_a_value_suits_what_its_variable_takes() -> None:
    with pytest.raises(ExpressionInvalid, match="expected string, this is int"):
        check([Binding("header", "1 + 1", "skip")], header("IMAGE"), body("x"))
    with pytest.raises(ParametersInvalid, match="takes no format"):
        pictured = Binding("header", "profile.image", "skip", {}, TextFormat("upper"))
        check([pictured], header("IMAGE"), body("x"))
    with pytest.raises(ExpressionInvalid, match="this is bool; write"):
        check([Binding("body.1", "1 > 2", "skip")], body("{{1}}"))


@pytest.mark.parametrize(
    ("fallbacks", "language", "right"),
    [
        ({"tr": "dostum"}, "tr", True),
        ({"en": "friend"}, "en_GB", True),
        ({"*": "👋"}, "de", True),
        ({"en": "friend"}, "tr", False),
        ({"tr": "-"}, "tr", False),
        ({"*": "{{1}}"}, "tr", False),
    ],
)
def test_a_fallback_says_something_in_every_language_of_the_template(
    fallbacks: dict[str, str], language: str, right: bool
) -> None:
    bound = [Binding("body.1", "profile.nickname", "fallback", fallbacks)]
    if right:
        check(bound, body("{{1}}"), language=language)
        return
    with pytest.raises(ParametersInvalid, match="no fallback that fits"):
        check(bound, body("{{1}}"), language=language)


def test_a_fallback_is_of_the_kind_of_its_variable() -> None:
    coupon = buttons({"type": "COPY_CODE"})
    long = Binding("button.0", "profile.coupon", "fallback", {"*": "X" * 21})
    with pytest.raises(ParametersInvalid, match="no fallback that fits"):
        check([long], body("x"), coupon)
    check([Binding("button.0", "profile.coupon", "fallback", {"*": "BAHAR25"})], body("x"), coupon)
