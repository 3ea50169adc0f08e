"""Templates of the contract and of Meta: the same both ways, and none that the one has and the
other has not."""

from typing import Any

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from merhaba.sender.v1 import (
    Template,
    TemplateBody,
    TemplateButton,
    TemplateCard,
    TemplateComponents,
    TemplateFlow,
    TemplateFooter,
    TemplateHeader,
    TemplateOffer,
    TemplateOtp,
    TemplatePlainButton,
    TemplateQuickReply,
    TemplateUrl,
    TemplateVoiceCall,
    VariableExample,
)
from services.sender.model import Template as Known
from services.sender.templates.components import components_of, graph_components
from services.sender.templates.draft import submission, ttl_of
from services.sender.templates.reading import template_of
from services.sender.templates.wire import draft_of, template_proto
from services.sender.tests.templates import SENDS, needs_the_wild, plain, read
from services.sender.wording.form import Form

BODIES = sorted(path.name for path in SENDS.glob("template_create__*.json"))
LISTED = ("response__message-templates__02.json", "response__template-id__01.json")
NOT_BUILT = {
    "template_create__authentication__body_footer_btn-otp__02.json": (
        "one app beside the button, as it was before there was a list of them"
    ),
    "template_create__marketing-utility__header-_body_footer_call_permission_request__01.json": (
        "the example of the header is called that of a body"
    ),
    "template_create__marketing__body_carousel__02.json": "of placeholders: no format of a header",
    "template_create__marketing__body_carousel__03.json": "the example of the body is no list",
}


def proto_of(sample: dict[str, Any]) -> Template:
    """As a caller writes it."""
    formats = {
        "NAMED": Template.PARAMETER_FORMAT_NAMED,
        "POSITIONAL": Template.PARAMETER_FORMAT_POSITIONAL,
    }
    ttl_s = ttl_of(sample.get("message_send_ttl_seconds"))
    return Template(
        waba_id="1",
        name=sample["name"],
        language=sample.get("language", ""),
        category=sample["category"],
        parameter_format=formats.get(
            sample.get("parameter_format", ""), Template.PARAMETER_FORMAT_UNSPECIFIED
        ),
        components=components_of(sample["components"]),
        message_ttl_duration=Duration(seconds=ttl_s) if ttl_s else None,
        sub_category=sample.get("sub_category", ""),
        link_tracking_disabled=sample.get("cta_url_link_tracking_opted_out", False),
    )


@needs_the_wild
@pytest.mark.parametrize("name", [one for one in BODIES if one not in NOT_BUILT])
def test_what_others_submit_is_built_and_equals_it(name: str) -> None:
    sample = plain(read(SENDS / name))
    sent = Template.FromString(proto_of(sample).SerializeToString())
    assert submission(draft_of(sent, sample.get("languages", ()))) == sample


@needs_the_wild
@pytest.mark.parametrize("name", LISTED)
def test_what_meta_lists_is_shown_and_can_be_submitted_again(name: str) -> None:
    seen = plain(read(SENDS / name))
    known = template_of("1", seen, None, 7)
    shown = template_proto(known)
    assert shown.template_id == seen["id"]
    assert Template.State.Name(shown.state) == f"STATE_{seen['status']}"
    again = submission(draft_of(shown))
    assert again["components"] == seen["components"]
    assert {k: again[k] for k in ("name", "language", "category")} == {
        k: seen[k] for k in ("name", "language", "category")
    }


@needs_the_wild
@pytest.mark.parametrize(("name", "reason"), NOT_BUILT.items())
def test_what_cannot_be_built_is_named_with_its_reason(name: str, reason: str) -> None:
    sample = plain(read(SENDS / name))
    assert submission(draft_of(proto_of(sample))) != sample, f"it can be built now: not {reason}"


WORDS = st.text(min_size=1, max_size=12)
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["Selam {{1}}.", "{{2}} {{1}}", "{{ad}} {{1}}", "\r\n"]
)
URLS = st.builds(TemplateUrl, url=WORDS, example=TEXTS)
FLOWS = st.builds(TemplateFlow, flow_action=TEXTS, screen=TEXTS, icon=TEXTS) | st.builds(
    TemplateFlow, flow_id=WORDS
) | st.builds(TemplateFlow, flow_name=WORDS) | st.builds(
    lambda text: TemplateFlow(flow_json=text.encode()), WORDS
)  # fmt: skip
APPS = st.builds(TemplateOtp.App, package_name=WORDS, signature_hash=WORDS)
OTPS = st.builds(
    TemplateOtp,
    kind=st.sampled_from([1, 2, 3]),
    autofill_text=TEXTS,
    apps=st.lists(APPS, max_size=2),
    zero_tap_terms_accepted=st.booleans(),
)
PLAIN = st.builds(TemplatePlainButton, kind=st.sampled_from([1, 2, 3, 4, 5]))
MINUTES = st.builds(lambda n: Duration(seconds=n * 60), st.integers(1, 90))
CALLS = st.builds(TemplateVoiceCall, ttl_duration=st.none() | MINUTES)
BUTTONS = st.one_of(
    st.builds(TemplateButton, text=TEXTS, quick_reply=st.just(TemplateQuickReply())),
    st.builds(TemplateButton, text=TEXTS, url=URLS),
    st.builds(TemplateButton, text=TEXTS, phone_number=TEXTS),
    st.builds(TemplateButton, text=TEXTS, copy_code_example=TEXTS),
    st.builds(TemplateButton, text=TEXTS, flow=FLOWS),
    st.builds(TemplateButton, text=TEXTS, otp=OTPS),
    st.builds(TemplateButton, text=TEXTS, plain=PLAIN),
    st.builds(TemplateButton, text=TEXTS, voice_call=CALLS),
)


@st.composite
def examples(draw: st.DrawFn, named: bool) -> list[VariableExample]:
    texts = draw(st.lists(TEXTS, max_size=12))
    names = draw(st.permutations([f"n{place}" for place in range(len(texts))]))
    return [
        VariableExample(variable=names[place] if named else str(place + 1), example=one)
        for place, one in enumerate(texts)
    ]


@st.composite
def headers(draw: st.DrawFn, named: bool) -> TemplateHeader:
    format_ = draw(st.sampled_from(TemplateHeader.Format.values()[1:]))
    if format_ == TemplateHeader.FORMAT_TEXT:
        return TemplateHeader(format=format_, text=draw(TEXTS), examples=draw(examples(named)))
    return TemplateHeader(format=format_, example_handle=draw(TEXTS))


@st.composite
def bodies(draw: st.DrawFn, named: bool) -> TemplateBody:
    return TemplateBody(
        text=draw(TEXTS),
        examples=draw(examples(named)),
        security_recommendation=draw(st.booleans()),
    )


@st.composite
def templates(draw: st.DrawFn) -> tuple[TemplateComponents, bool]:
    named = draw(st.booleans())
    footer = st.builds(TemplateFooter, text=TEXTS, code_expiration_duration=st.none() | MINUTES)
    offer = st.builds(TemplateOffer, text=TEXTS, expires=st.booleans())
    card = st.builds(
        TemplateCard,
        header=st.none() | headers(named),
        body=st.none() | bodies(named),
        buttons=st.lists(BUTTONS, max_size=2),
    )
    return (
        TemplateComponents(
            header=draw(st.none() | headers(named)),
            body=draw(st.none() | bodies(named)),
            footer=draw(st.none() | footer),
            buttons=draw(st.lists(BUTTONS, max_size=4)),
            cards=draw(st.lists(card, max_size=3)),
            limited_time_offer=draw(st.none() | offer),
            call_permission_request=draw(st.booleans()),
        ),
        named,
    )


@given(templates())
def test_every_template_is_the_same_there_and_back(drawn: tuple[TemplateComponents, bool]) -> None:
    parts, named = drawn
    written = graph_components(parts, named=named)
    assert components_of(written) == parts
    assert graph_components(components_of(written), named=named) == written


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["type", "format", "text", "example", "buttons", "cards", "components", "body_text", "url"]
)
KINDS = st.sampled_from(["HEADER", "body", "BUTTONS", "carousel", "URL", "OTP", "FLOW"])


@given(st.lists(st.dictionaries(KEYS, JSON | KINDS, max_size=5), max_size=4))
def test_nothing_that_meta_may_list_breaks_the_reading(seen: list[dict[str, Any]]) -> None:
    assert isinstance(components_of(seen), TemplateComponents)


def test_what_an_opt_out_is_stays_known_though_meta_has_no_word_for_it() -> None:
    reply = TemplateQuickReply(marketing_opt_out=True)
    button = TemplateButton(text="Dur", quick_reply=reply)
    card = TemplateCard(buttons=[button])
    draft = draft_of(Template(components=TemplateComponents(buttons=[button], cards=[card])))
    assert draft.opt_outs == ["button.0", "card.0.button.0"]
    assert "marketing_opt_out" not in str(submission(draft))
    known = template_of("1", {**SEEN, "components": draft.components}, None, 7)
    known.opt_outs = draft.opt_outs
    shown = template_proto(known).components
    assert shown.buttons[0].quick_reply.marketing_opt_out
    assert shown.cards[0].buttons[0].quick_reply.marketing_opt_out


def test_an_opt_out_answers_with_a_keyword_that_is_understood() -> None:
    buttons = [{"type": "QUICK_REPLY", "text": text} for text in ("Evet", "Artık yazma")]
    parts = [{"type": "BODY", "text": "Selam"}, {"type": "BUTTONS", "buttons": buttons}]
    known = template_of("1", {**SEEN, "components": parts}, None, 7)
    known.opt_outs = ["button.1"]
    sent = msgspec.json.decode(Form(known).body({}))["template"]["components"]
    assert sent == [
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "1",
            "parameters": [{"type": "payload", "payload": "STOP"}],
        }
    ]


SEEN = {
    "id": "5",
    "name": "n",
    "language": "tr",
    "status": "APPROVED",
    "category": "MARKETING",
    "components": [],
}


def test_what_meta_lists_as_null_is_not_there() -> None:
    parts = [
        {"type": "BODY", "text": "Selam", "example": None},
        {"type": "BUTTONS", "buttons": [None, {"type": "URL", "text": "Aç", "url": None}]},
        {"type": "FOOTER", "text": None},
        None,
    ]
    known = template_of("1", {**SEEN, "components": parts}, None, 7)
    assert Form(known).required == frozenset()
    assert template_proto(known).components.body.text == "Selam"
    assert Form(template_of("1", {**SEEN, "components": None}, None, 7)).blanks == {}


@pytest.mark.parametrize(("text", "named"), [("{{ad}} Bey", True), ("{{1}} Bey", False)])
def test_how_variables_are_named_is_seen_where_meta_does_not_say(text: str, named: bool) -> None:
    parts = [{"type": "BODY", "text": text}]
    assert template_of("1", {**SEEN, "components": parts}, None, 7).named is named


def test_a_button_of_a_code_is_read_from_the_link_that_meta_lists() -> None:
    url = (
        "https://www.whatsapp.com/otp/code/?otp_type=ONE_TAP&cta_display_name=Autofill"
        "&package_name=com.example.shop&signature_hash=K8a%2FAINcGX7&code=otp{{1}}"
    )
    link = {"type": "URL", "text": "Otomatik doldur", "url": url, "example": [url]}
    seen = {**SEEN, "category": "AUTHENTICATION"}
    known = template_of(
        "1", {**seen, "components": [{"type": "BUTTONS", "buttons": [link]}]}, None, 7
    )
    (button,) = template_proto(known).components.buttons
    app = TemplateOtp.App(package_name="com.example.shop", signature_hash="K8a/AINcGX7")
    assert button == TemplateButton(
        text="Otomatik doldur", otp=TemplateOtp(kind=TemplateOtp.KIND_ONE_TAP, apps=[app])
    )


def test_thirty_days_are_what_meta_writes_as_minus_one() -> None:
    month = Duration(seconds=30 * 86_400)
    sent = submission(draft_of(Template(category="utility", message_ttl_duration=month)))
    assert sent["message_send_ttl_seconds"] == -1
    sent = submission(draft_of(Template(category="MARKETING", message_ttl_duration=month)))
    assert sent["message_send_ttl_seconds"] == 30 * 86_400
    known: Known = template_of("1", {**SEEN, "message_send_ttl_seconds": -1}, None, 7)
    assert template_proto(known).message_ttl_duration == month


def test_a_template_of_the_library_is_submitted_with_its_buttons_alone() -> None:
    url = TemplateUrl(url="https://shop.example/{{1}}", example="https://shop.example/x")
    parts = TemplateComponents(
        buttons=[TemplateButton(url=url), TemplateButton(phone_number="+902121234567")]
    )
    sent = submission(
        draft_of(
            Template(
                name="kargo",
                language="tr",
                category="UTILITY",
                library_template_name="delivery_update_1",
                components=parts,
            )
        )
    )
    assert "components" not in sent
    assert sent["library_template_name"] == "delivery_update_1"
    assert sent["library_template_button_inputs"] == [
        {
            "type": "URL",
            "url": {
                "base_url": "https://shop.example/{{1}}",
                "url_suffix_example": "https://shop.example/x",
            },
        },
        {"type": "PHONE_NUMBER", "phone_number": "+902121234567"},
    ]
