"""Personal messages: variants that stick, words that are there, never a hole."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from services.sender.campaigns.writer import Writer, assign, finish
from services.sender.failures import ExpressionInvalid
from services.sender.model import (
    Address,
    Binding,
    Campaign,
    CampaignPhase,
    Contact,
    Lane,
    Occurrence,
    State,
    Template,
    Variant,
)
from services.sender.numbers.allocation import Line
from services.sender.posting import posted
from services.sender.wording.bindings import compile_binding
from services.sender.wording.form import Form

NOW = 1_790_000_000_000
COMPONENTS = [
    {"type": "HEADER", "format": "TEXT", "text": "{{1}}!"},
    {"type": "BODY", "text": "Merhaba {{1}}, {{2}} puanın var."},
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "QUICK_REPLY", "text": "Dur"},
            {"type": "URL", "text": "Aç", "url": "https://m.example/r/{{1}}"},
        ],
    },
]


def template(language: str = "tr", category: str = "MARKETING", **changes: Any) -> Template:
    fields: dict[str, Any] = {
        "template_id": language,
        "waba_id": "2",
        "name": "welcome",
        "language": language,
        "category": category,
        "effective_category": category,
        "announced_category": "",
        "announced_time": 0,
        "state": "APPROVED",
        "state_reason": "",
        "state_detail": "",
        "named": False,
        "components": msgspec.json.encode(COMPONENTS),
        "create_time": NOW,
        "update_time": NOW,
    }
    return Template(**{**fields, **changes})


BINDINGS = [
    Binding("header", "profile.city", "fallback", {"*": "Selam"}),
    Binding("body.1", "profile.first_name", "fallback", {"tr": "dostum", "*": "friend"}),
    Binding("body.2", "traits.points", "skip"),
    Binding("button.1", '"https://shop.example/" + parameters.path', "fallback", {"*": "x"}),
]


def campaign(**changes: Any) -> Campaign:
    fields: dict[str, Any] = {
        "campaign_id": "cmp_1",
        "name": "Yaz",
        "phase": CampaignPhase.RUNNING,
        "waba_id": "2",
        "purpose": "",
        "not_after": 0,
        "not_after_duration": 0,
        "hold_out_share": 0.0,
        "variants": [Variant("a", "welcome", 1.0, BINDINGS, ["en"])],
        "phone_number_ids": [],
    }
    return Campaign(**{**fields, **changes})


def occurrence(**parameters: Any) -> Occurrence:
    return Occurrence("e", "c", "cmp_1", "occ_1", "trg", parameters, NOW, 0, NOW - 5, "")


def person(contact_id: str = "c", language: str = "tr", **attributes: Any) -> Contact:
    return Contact(contact_id, addresses=[Address("905")], language=language, attributes=attributes)


def parameters_of(body: bytes) -> list[Any]:
    return [
        (c["type"], [p.get("text") for p in c["parameters"]])
        for c in msgspec.json.decode(body)["template"]["components"]
    ]


def test_every_variable_of_a_template_is_found() -> None:
    form = Form(template())
    assert list(form.blanks) == ["header", "body.1", "body.2", "button.0", "button.1"]
    assert form.required == {"header", "body.1", "body.2", "button.1"}


def test_values_come_from_the_contact_and_links_from_their_tokens() -> None:
    writer = Writer(campaign(), [template()], [Line("1", 80)])
    assert writer.needs == {"city", "first_name", "traits.points"}
    who = person(city="Bursa", first_name=" Ayşe\n ", **{"traits.points": 12})
    draft = writer.write(who, NOW, occurrence(path="bag"))
    assert draft.links == {"button.1": "https://shop.example/bag"}
    message = finish(campaign(), draft, {"button.1": "T0K3N"})
    assert parameters_of(message.body) == [
        ("header", ["Bursa"]),
        ("body", ["Ayşe", "12"]),
        ("button", ["T0K3N"]),
    ]
    assert (message.lane, message.category) == (Lane.BULK, "marketing")
    assert message.received_time == NOW - 5


def test_a_missing_value_is_a_fallback_or_no_message_and_never_a_hole() -> None:
    writer = Writer(campaign(), [template()], [Line("1", 80)])
    draft = writer.write(person(**{"traits.points": 3}), NOW, occurrence(path="x"))
    assert draft.filled is not None
    assert draft.filled.values == {"header": "Selam", "body.1": "dostum", "body.2": "3"}
    blank = writer.write(person(first_name="  ", **{"traits.points": None}), NOW, occurrence())
    assert (blank.message.state, blank.message.gate) == (State.SUPPRESSED, "variables")
    assert blank.message.reason == "missing_body.2"
    strict = [Binding("body.1", "profile.first_name", "fail")]
    failing = Writer(
        campaign(variants=[Variant("a", "welcome", 1.0, strict)]), [template()], [Line("1", 80)]
    )
    assert failing.write(person(), NOW).failed == "body.1"


def test_a_language_that_nobody_approved_falls_back_and_then_stops() -> None:
    writer = Writer(campaign(), [template("tr"), template("en")], [Line("1", 80)])
    points = {"traits.points": 1}
    given = {
        lang: writer.write(person("c", lang, **points), NOW).message for lang in ("tr-TR", "de")
    }
    assert {k: m.language for k, m in given.items()} == {"tr-TR": "tr", "de": "en"}
    sole = campaign(variants=[Variant("a", "welcome", 1.0, BINDINGS)])
    unknown = Writer(sole, [template("tr")], [Line("1", 80)]).write(person("c", "", **points), NOW)
    assert unknown.message.language == "tr"
    alone = Writer(campaign(), [template("tr")], [Line("1", 80)]).write(
        person("c", "de", **points), NOW
    )
    assert (alone.message.state, alone.message.gate) == (State.SUPPRESSED, "template")


def test_variants_stick_follow_their_weights_and_record_their_propensity() -> None:
    split = campaign(
        variants=[Variant("a", "w", 3.0), Variant("b", "w", 1.0), Variant("c", "w", 0.0)],
        hold_out_share=0.1,
    )
    drawn = [assign(split, str(n)) for n in range(20_000)]
    assert drawn == [assign(split, str(n)) for n in range(20_000)]
    counts = Counter(a.variant.name if a.variant else "held" for a in drawn)
    assert 1_800 < counts["held"] < 2_200
    assert 13_100 < counts["a"] < 13_900
    assert counts["c"] == 0
    assert {a.variant.name: a.propensity for a in drawn if a.variant} == {"a": 0.75, "b": 0.25}


def test_the_same_occurrence_is_the_same_message_and_another_is_another() -> None:
    writer = Writer(campaign(), [template()], [Line("1", 80)])
    ids = [
        writer.write(person(), NOW + n, o).message.message_id
        for n, o in enumerate([None, occurrence(path="a"), occurrence(path="b"), None])
    ]
    assert ids[0] == ids[3]
    assert ids[1] == ids[2] != ids[0]


def test_a_person_gets_the_message_from_the_number_they_wrote_to() -> None:
    writer = Writer(campaign(), [template()], [Line("1", 80), Line("2", 80), Line("3", 80)])
    for number in ("1", "2", "3"):
        who = Contact("c", addresses=[Address("905", phone_number_id=number)], language="tr")
        assert writer.write(who, NOW).message.phone_number_id == number


def test_expressions_are_checked_when_written() -> None:
    with pytest.raises(ExpressionInvalid, match=r"variants\[0\]"):
        compile_binding(Binding("body.1", "profile.", "skip"), "variants[0]")
    source = 'parameters.city == "x" && parameters.total.foo() > 1 + "a"'
    with pytest.raises(ExpressionInvalid) as raised:
        compile_binding(Binding("body.1", source, "skip"), "variants[0]")
    facts = raised.value.facts
    at, length = int(facts["offset"]), int(facts["length"])
    assert source[at : at + length] == "foo"
    assert (facts["field"], facts["column"]) == ("variants[0]", str(at + 1))
    assert facts["problem"] in raised.value.message


def test_a_campaign_may_go_the_ordinary_way_where_a_number_has_another() -> None:
    to = Address("905")
    for ordinary, endpoint in ((False, "marketing_messages"), (True, "messages")):
        one = campaign(ignores_marketing_endpoint=ordinary)
        writer = Writer(one, [template()], [Line("1", 80)])
        who = person(city="Bursa", first_name="Ece", **{"traits.points": 1})
        message = finish(one, writer.write(who, NOW, occurrence(path="x")), {"button.1": "T"})
        sent = posted(message, to, marketing_endpoint=True)
        assert sent.endpoint == endpoint
        assert set(sent.body) == {
            *("messaging_product", "recipient_type", "to", "type", "template"),
            "biz_opaque_callback_data",
        }
