"""The linter: each of Meta's rules broken once and kept once; what others submit passes; and
nothing makes it raise."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.sender.templates.draft import MONTH_S, Draft, submission, ttl_of
from services.sender.templates.lint import RULES, Severity, lint
from services.sender.tests.templates import (
    SENDS,
    body,
    buttons,
    card,
    carousel,
    draft,
    footer,
    header,
    link,
    media,
    needs_the_wild,
    offer,
    otp,
    plain,
    read,
    reply,
)
from simulator.refusals import Refused
from simulator.templates.definition import define


def named(text: str, **examples: str) -> dict[str, Any]:
    given = [{"param_name": name, "example": one} for name, one in examples.items()]
    return {"type": "BODY", "text": text, "example": {"body_text_named_params": given}}


def code(*parts: dict[str, Any], **more: Any) -> Draft:
    """An authentication template."""
    whole = parts or (ADVICE, buttons(otp()))
    return draft(*whole, category="AUTHENTICATION", name="kod", **more)


def expires(minutes: Any) -> dict[str, Any]:
    return {"type": "FOOTER", "code_expiration_minutes": minutes}


def utility(*parts: dict[str, Any], **more: Any) -> Draft:
    return draft(*(parts or (body(),)), category="UTILITY", **more)


ADVICE = {"type": "BODY", "add_security_recommendation": True}
APP = {"package_name": "com.example.shop", "signature_hash": "K8a/AINcGX7"}
PHONE = {"type": "PHONE_NUMBER", "text": "Ara", "phone_number": "+902121234567"}
COPY = {"type": "COPY_CODE", "example": "YAZ20"}
FLOW = {"type": "FLOW", "text": "Doldur", "flow_id": "1"}
CATALOG = {"type": "CATALOG", "text": "Katalog"}
LONG_CARD = card(media(), body("x" * 161), buttons(link()))
DOOR = link("https://shop.example/{{1}}", example=["https://shop.example/x"])
LIBRARY: dict[str, Any] = {"library_name": "delivery_update_1", "category": "UTILITY"}


def pressing(*given: dict[str, Any]) -> Draft:
    return draft(body(), footer(), buttons(*given))


# Rule, what breaks it, where, and what is next to that and keeps it.
CASES: list[tuple[str, Draft, str, Draft]] = [
    ("name_invalid", draft(name="Yeni Sezon"), "name", draft(name="yeni_sezon_2")),
    ("language_unknown", draft(language="tr-TR"), "language", draft(language="pt_BR")),
    (
        "languages_not_authentication",
        draft(language="", languages=["tr", "en"]),
        "languages",
        code(language="", languages=["tr", "en"]),
    ),
    ("category_unknown", draft(category="TRANSACTIONAL"), "category", utility()),
    ("ttl_range", utility(ttl_s=43_201), "message_ttl_duration", utility(ttl_s=43_200)),
    ("ttl_range", draft(ttl_s=43_199), "message_ttl_duration", draft(ttl_s=43_200)),
    ("ttl_range", code(ttl_s=901), "message_ttl_duration", code(ttl_s=MONTH_S)),
    ("library_fixed", draft(body(), **LIBRARY), "components", draft(buttons(link()), **LIBRARY)),
    ("body_missing", draft(footer()), "components.body.text", draft()),
    ("body_missing", draft(body(" "), footer()), "components.body.text", draft()),
    (
        "header_text_missing",
        draft(header(""), body(), footer()),
        "components.header.text",
        draft(header("Selam"), body(), footer()),
    ),
    (
        "header_too_long",
        draft(header("x" * 61), body(), footer()),
        "components.header.text",
        draft(header("x" * 60), body(), footer()),
    ),
    (
        "body_too_long",
        draft(body("x" * 1025), footer()),
        "components.body.text",
        draft(body("x" * 1024), footer()),
    ),
    (
        "body_too_long",
        draft(offer(), body("x" * 601), buttons(link())),
        "components.body.text",
        draft(offer(), body("x" * 600), buttons(link())),
    ),
    (
        "body_too_long",
        draft(body(), carousel(LONG_CARD, LONG_CARD)),
        "components.cards[0].body.text",
        draft(body(), carousel()),
    ),
    (
        "footer_too_long",
        draft(body(), footer("x" * 61)),
        "components.footer.text",
        draft(body(), footer("x" * 60)),
    ),
    ("footer_missing", draft(body(), footer("")), "components.footer.text", draft()),
    ("footer_variable", draft(body(), footer("{{1}} dur")), "components.footer.text", draft()),
    (
        "header_variables",
        draft(header("a {{1}} b {{2}}", "x", "y"), body(), footer()),
        "components.header.text",
        draft(header("a {{1}} b", "x"), body(), footer()),
    ),
    (
        "header_formatting",
        draft(header("Yaz *geldi*"), body(), footer()),
        "components.header.text",
        draft(header("Yaz_2 geldi"), body(), footer()),
    ),
    (
        "header_formatting",
        draft(header("Yaz geldi 😃"), body(), footer()),
        "components.header.text",
        draft(header("Yaz geldi: %20, ilk 3 gün!"), body(), footer()),
    ),
    ("footer_formatting", draft(body(), footer("dur 😃")), "components.footer.text", draft()),
    (
        "body_whitespace",
        draft(body("Selam\n\n\nyeni sezon"), footer()),
        "components.body.text",
        draft(body("Selam\n\nyeni    sezon"), footer()),
    ),
    (
        "body_emojis",
        draft(body("Selam " + "😃" * 11), footer()),
        "components.body.text",
        draft(body("Selam " + "😃" * 10), footer()),
    ),
    (
        "variable_malformed",
        draft(body("Selam {{Ad}}, iyi günler"), footer()),
        "components.body.text",
        draft(body("Selam {{ 1 }}, yeni sezon geldi", "x"), footer()),
    ),
    (
        "variable_malformed",
        draft(body("Selam {{1}, iyi günler"), footer()),
        "components.body.text",
        draft(body("Selam {1}, iyi günler"), footer()),
    ),
    (
        "variables_mixed",
        draft(body("Selam {{ad}}, yeni sezon geldi {{1}} dedi", "x"), footer()),
        "components.body.text",
        draft(named("Selam {{ad}}, yeni sezon geldi", ad="Ada"), footer(), named=True),
    ),
    (
        "variables_mixed",
        draft(named("Selam {{1}}, yeni sezon geldi"), footer(), named=True),
        "components.body.text",
        draft(),
    ),
    (
        "variable_gap",
        draft(body("Selam {{1}}, kod {{3}} ile yeni sezon geldi", "a", "b"), footer()),
        "components.body.text",
        draft(body("Selam {{2}}, kod {{1}} ile yeni sezon geldi", "a", "b"), footer()),
    ),
    (
        "variable_at_edge",
        draft(body("{{1}} için yeni sezon geldi"), footer()),
        "components.body.text",
        draft(),
    ),
    (
        "variable_at_edge",
        draft(body("Yeni sezon geldi, kod {{1}} \n"), footer()),
        "components.body.text",
        draft(body("Yeni sezon geldi, kod {{1}}."), footer()),
    ),
    (
        "variables_adjacent",
        draft(body("Selam {{1}}{{2}}, yeni sezon geldi artık", "a", "b"), footer()),
        "components.body.text",
        draft(body("Selam {{1}} {{2}}, yeni sezon geldi artık", "a", "b"), footer()),
    ),
    (
        "too_many_variables",
        draft(body("a {{1}} - {{2}} - {{3}}!", "x", "y", "z"), footer()),
        "components.body.text",
        draft(body("a {{1}} b {{2}} c {{3}}!", "x", "y", "z"), footer()),
    ),
    (
        "few_words_for_variables",
        draft(body("Selam sana {{1}}!"), footer()),
        "components.body.text",
        draft(body("Selam sana da {{1}}!"), footer()),
    ),
    (
        "example_missing",
        draft(body("Selam {{1}}, kod {{2}} ile yeni sezon", "a"), footer()),
        "components.body.examples",
        draft(body("Selam {{1}}, kod {{2}} ile yeni sezon", "a", "b"), footer()),
    ),
    (
        "example_missing",
        draft(header("Selam {{1}}"), body(), footer()),
        "components.header.examples",
        draft(header("Selam {{1}}", "Ada"), body(), footer()),
    ),
    (
        "example_unused",
        draft(body("Selam {{1}}, yeni sezon geldi", "a", "b"), footer()),
        "components.body.examples",
        draft(),
    ),
    (
        "example_whitespace",
        draft(body("Selam {{1}}, yeni sezon geldi", "a\nb"), footer()),
        "components.body.examples",
        draft(body("Selam {{1}}, yeni sezon geldi", "a    b"), footer()),
    ),
    (
        "too_many_buttons",
        pressing(*(reply(str(n)) for n in range(11))),
        "components.buttons",
        pressing(*(reply(str(n)) for n in range(10))),
    ),
    (
        "too_many_of_kind",
        pressing(*(link(text=str(n)) for n in range(3))),
        "components.buttons",
        pressing(*(link(text=str(n)) for n in range(2))),
    ),
    ("too_many_of_kind", pressing(PHONE, PHONE), "components.buttons", pressing(PHONE)),
    (
        "quick_replies_apart",
        pressing(reply("a"), link(), reply("b")),
        "components.buttons",
        pressing(reply("a"), reply("b"), link()),
    ),
    ("desktop_hidden", pressing(reply(), link()), "components.buttons", pressing(link(), PHONE)),
    ("button_alone", pressing(FLOW, link()), "components.buttons", pressing(FLOW)),
    ("button_text_missing", pressing(reply("")), "components.buttons[0].text", pressing(COPY)),
    (
        "button_text_too_long",
        pressing(reply("x" * 26)),
        "components.buttons[0].text",
        pressing(reply("x" * 25)),
    ),
    (
        "button_text_formatting",
        pressing(reply("Evet 😃")),
        "components.buttons[0].text",
        pressing(reply("Evet!")),
    ),
    (
        "button_text_repeated",
        pressing(reply("Evet"), reply("evet")),
        "components.buttons[1].text",
        pressing(reply("Evet"), reply("Hayır")),
    ),
    (
        "url_invalid",
        pressing(link("shop.example/o")),
        "components.buttons[0].url.url",
        pressing(link()),
    ),
    (
        "url_insecure",
        pressing(link("http://shop.example")),
        "components.buttons[0].url.url",
        pressing(link()),
    ),
    (
        "url_too_long",
        pressing(link("https://shop.example/" + "x" * 1980)),
        "components.buttons[0].url.url",
        pressing(link("https://shop.example/" + "x" * 1979)),
    ),
    (
        "url_variable",
        pressing(link("https://shop.example/{{1}}/o", example=["https://shop.example/x/o"])),
        "components.buttons[0].url.url",
        pressing(DOOR),
    ),
    (
        "url_variable",
        pressing(link("https://shop.example/{{1}}{{2}}", example=["https://shop.example/x"])),
        "components.buttons[0].url.url",
        pressing(DOOR),
    ),
    (
        "url_example_missing",
        pressing(link("https://shop.example/{{1}}")),
        "components.buttons[0].url.example",
        pressing(DOOR),
    ),
    (
        "url_shortened",
        pressing(link("https://bit.ly/x")),
        "components.buttons[0].url.url",
        pressing(link("https://notbit.ly/x")),
    ),
    (
        "url_whatsapp",
        pressing(link("https://chat.whatsapp.com/x")),
        "components.buttons[0].url.url",
        pressing(link("https://shop.example/wa.me")),
    ),
    (
        "phone_number_invalid",
        pressing(PHONE | {"phone_number": "ara"}),
        "components.buttons[0].phone_number",
        pressing(PHONE),
    ),
    (
        "code_example_missing",
        pressing({"type": "COPY_CODE", "example": ""}),
        "components.buttons[0].copy_code_example",
        pressing(COPY),
    ),
    (
        "code_too_long",
        pressing(COPY | {"example": "x" * 21}),
        "components.buttons[0].copy_code_example",
        pressing(COPY | {"example": "x" * 20}),
    ),
    (
        "flow_missing",
        pressing({"type": "FLOW", "text": "Doldur"}),
        "components.buttons[0].flow",
        pressing(FLOW),
    ),
    ("button_unknown", pressing({"text": "Bas"}), "components.buttons[0]", pressing(reply())),
    (
        "sample_missing",
        draft(media(handle=""), body(), footer()),
        "components.header.example_file_id",
        draft(media("LOCATION", ""), body(), footer()),
    ),
    (
        "sample_link",
        draft(media(handle="https://scontent.example/x"), body(), footer()),
        "components.header.example_handle",
        draft(media(), body(), footer()),
    ),
    (
        "gif_not_marketing",
        utility(media("GIF"), body()),
        "components.header.format",
        draft(media("GIF"), body(), footer()),
    ),
    (
        "cards_count",
        draft(body(), carousel(card())),
        "components.cards",
        draft(body(), carousel(*[card()] * 10)),
    ),
    (
        "cards_differ",
        draft(body(), carousel(card(), card(media(), buttons(reply())))),
        "components.cards[1]",
        draft(body(), carousel()),
    ),
    (
        "card_header",
        draft(body(), carousel(*[card(media("DOCUMENT"), buttons(link()))] * 2)),
        "components.cards[0].header",
        draft(body(), carousel(*[card(media("PRODUCT", ""), buttons(link()))] * 2)),
    ),
    (
        "card_buttons",
        draft(body(), carousel(*[card(media(), body())] * 2)),
        "components.cards[0].buttons",
        draft(body(), carousel()),
    ),
    (
        "carousel_alone",
        draft(body(), footer(), carousel()),
        "components.footer",
        draft(body(), carousel()),
    ),
    (
        "offer_text",
        draft(offer("x" * 17), body(), buttons(link())),
        "components.limited_time_offer.text",
        draft(offer("x" * 16), body(), buttons(link())),
    ),
    (
        "offer_footer",
        draft(offer(), body(), footer(), buttons(link())),
        "components.footer",
        draft(offer(), body(), buttons(link())),
    ),
    (
        "offer_buttons",
        draft(offer(), body(), buttons(reply())),
        "components.buttons",
        draft(offer(), body(), buttons(COPY, link())),
    ),
    (
        "offer_not_marketing",
        utility(offer(), body(), buttons(link())),
        "components.limited_time_offer",
        draft(offer(), body(), buttons(link())),
    ),
    (
        "promotional_utility",
        utility(body("Siparişin yolda, bu arada İNDİRİM başladı")),
        "components.body.text",
        utility(body("Siparişin yolda, bugün kapında")),
    ),
    (
        "opt_out_missing",
        draft(body()),
        "components",
        draft(body(), buttons(reply()), opt_outs=["button.0"]),
    ),
    (
        "product_not_marketing",
        utility(body(), buttons(CATALOG)),
        "components.buttons[0]",
        pressing(CATALOG),
    ),
    (
        "authentication_fixed",
        code(body("Kodun {{1}}, kimseye verme"), buttons(otp())),
        "components.body.text",
        code(),
    ),
    (
        "authentication_fixed",
        code(header(), ADVICE, buttons(otp())),
        "components.header",
        code(ADVICE, expires(5), buttons(otp())),
    ),
    (
        "authentication_fixed",
        code(ADVICE, buttons(otp(), link())),
        "components.buttons[1]",
        code(),
    ),
    ("otp_missing", code(ADVICE), "components.buttons", code()),
    ("otp_not_authentication", pressing(otp()), "components.buttons[0]", code()),
    (
        "otp_kind_missing",
        code(ADVICE, buttons({"type": "OTP"})),
        "components.buttons[0].otp.kind",
        code(),
    ),
    (
        "otp_apps",
        code(ADVICE, buttons(otp("ONE_TAP"))),
        "components.buttons[0].otp.apps",
        code(ADVICE, buttons(otp("ONE_TAP", supported_apps=[APP]))),
    ),
    (
        "zero_tap_terms",
        code(ADVICE, buttons(otp("ZERO_TAP", supported_apps=[APP]))),
        "components.buttons[0].otp.zero_tap_terms_accepted",
        code(
            ADVICE,
            buttons(otp("ZERO_TAP", supported_apps=[APP], zero_tap_terms_accepted=True)),
        ),
    ),
    (
        "code_expiration",
        code(ADVICE, expires(91), buttons(otp())),
        "components.footer.code_expiration_duration",
        code(ADVICE, expires(90), buttons(otp())),
    ),
    (
        "code_expiration",
        code(ADVICE, expires(1.5), buttons(otp())),
        "components.footer.code_expiration_duration",
        code(ADVICE, expires(1), buttons(otp())),
    ),
    (
        "authentication_only",
        utility(body() | ADVICE),
        "components.body.security_recommendation",
        code(),
    ),
]


def broken(one: Draft) -> list[tuple[str, str]]:
    return [(finding.rule, finding.field) for finding in lint(one)]


@pytest.mark.parametrize(("rule", "bad", "field", "good"), CASES)
def test_a_rule_is_found_where_it_is_broken_and_nowhere_else(
    rule: str, bad: Draft, field: str, good: Draft
) -> None:
    assert (rule, field) in broken(bad)
    assert rule not in dict(broken(good))


@pytest.mark.parametrize("severity", Severity)
def test_what_keeps_a_rule_is_refused_for_no_other(severity: Severity) -> None:
    errors = [
        (rule, finding.rule)
        for rule, _, _, good in CASES
        for finding in lint(good)
        if finding.severity == severity == Severity.ERROR
    ]
    assert errors == []


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    assert {case[0] for case in CASES} == RULES.keys()


def test_a_good_template_has_no_findings() -> None:
    library = draft(buttons(link() | {"text": ""}), **LIBRARY)
    good = (draft(), utility(), code(), pressing(link(), PHONE), library)
    assert [lint(one) for one in good] == [[]] * 5


def test_errors_come_first_and_every_finding_says_what_to_change_in_both_languages() -> None:
    bad = draft(body("{{1}} {{2}} indirim\n\n\n", "a"), category="UTILITY", name="Ad")
    english, turkish = lint(bad), lint(bad, "tr")
    severities = [one.severity for one in english]
    assert severities == sorted(severities, reverse=True)
    assert {Severity.ERROR, Severity.WARNING} == set(severities)
    for one, other in zip(english, turkish, strict=True):
        assert (one.rule, one.field) == (other.rule, other.field)
        assert one.explanation != other.explanation
        assert one.change != other.change
        assert "{" not in one.change.replace("{{", "")


def test_what_meta_wrote_itself_is_no_fault_of_who_asked() -> None:
    listed = {
        "type": "URL",
        "text": "Copy code",
        "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}",
    }
    whole = body("*{{1}}* is your code.", "123456") | ADVICE
    seen = code(whole, footer("It ends in 5 minutes.") | expires(5), buttons(listed))
    assert lint(replace(seen, stands=True)) == []


FLAWED = {
    "template_create__category__body_call_permission_request__01.json": ["category_unknown"],
    "template_create__marketing-utility__header-_body_footer_call_permission_request__01.json": [
        *("category_unknown", "example_missing"),
    ],
    "template_create__marketing__body_carousel__02.json": [
        *("name_invalid", "language_unknown", "example_unused", "card_header", "card_buttons"),
        *("cards_count", "button_text_too_long", "url_invalid", "phone_number_invalid"),
    ],
    "template_create__marketing__body_carousel__04.json": [
        *("name_invalid", "language_unknown", "example_unused", "cards_count"),
    ],
    "template_create__marketing__body_footer__01.json": ["ttl_range"],
    "template_create__marketing__body_footer_btn-catalog__01.json": [
        *("name_invalid", "language_unknown", "example_unused"),
    ],
    "template_create__marketing__header-image_body_btn-quick_reply_footer__02.json": [
        "variable_at_edge"
    ],
    "template_create__transactional__header-text_body_footer__01.json": ["category_unknown"],
    "template_create__utility__header-text_body_footer_btn-order_details__01.json": [
        *("name_invalid", "language_unknown"),
    ],
}
"""Samples that Meta would refuse: placeholders, former categories, slips of its own pages."""


@needs_the_wild
@pytest.mark.parametrize(
    "path", sorted(SENDS.glob("template_create__*.json")), ids=lambda p: p.name
)
def test_what_others_submit_passes(path: Any) -> None:
    sample = plain(read(path))
    named = {"NAMED": True, "POSITIONAL": False}.get(sample.get("parameter_format", ""))
    given = Draft(
        "1",
        sample["name"],
        sample.get("language", ""),
        sample["category"],
        named,
        sample["components"],
        ttl_of(sample.get("message_send_ttl_seconds")),
        languages=sample.get("languages", ()),
    )
    errors = {one.rule for one in lint(given) if one.severity == Severity.ERROR}
    assert errors == set(FLAWED.get(path.name, []))


TEXTS = st.text(max_size=8) | st.sampled_from(["{{1}}", "{{", "}}{{a}}", "https://[", "a{{1}}"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(
    [
        *("HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "LIMITED_TIME_OFFER", "IMAGE", "GIF"),
        *("URL", "OTP", "COPY_CODE", "PHONE_NUMBER", "FLOW", "QUICK_REPLY", "ONE_TAP"),
    ]
)
KEYS = st.sampled_from(
    [
        *("type", "format", "text", "url", "example", "otp_type", "supported_apps"),
        *("code_expiration_minutes", "limited_time_offer", "phone_number"),
    ]
)
FLAT = st.dictionaries(KEYS, KINDS | JSON, max_size=5)
LISTS = st.sampled_from(["buttons", "cards", "components"])
PARTS = st.recursive(
    FLAT,
    lambda inner: st.builds(
        lambda flat, key, inside: {**flat, key: inside}, FLAT, LISTS, st.lists(inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.builds(
        Draft,
        TEXTS,
        TEXTS,
        TEXTS,
        st.sampled_from(["MARKETING", "UTILITY", "AUTHENTICATION", "", "X"]),
        st.sampled_from([None, True, False]),
        st.lists(PARTS, max_size=4),
        ttl_s=st.integers(-2, 10**7),
        library_name=TEXTS,
        languages=st.lists(TEXTS, max_size=2),
        stands=st.booleans(),
    )
)
def test_nothing_makes_it_raise(one: Draft) -> None:
    found = lint(one) + lint(one, "tr")
    assert all(finding.explanation and finding.change for finding in found)


LEFT_TO_META = {"language_unknown", "example_unused", "url_invalid", "cards_differ"}
"""Rules that the simulator does not keep, or not wholly."""


def accepted(one: Draft) -> bool:
    """Whether the simulator, which keeps Meta's rules on its own, would review it."""
    given = submission(replace(one, languages=(), language=one.language or "tr"))
    try:
        define("5", "1", given, bool)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(("rule", "bad", "field", "good"), CASES)
def test_the_simulator_takes_what_passes_and_refuses_what_fails(
    rule: str, bad: Draft, field: str, good: Draft
) -> None:
    # It counts variables in the order of the text
    assert accepted(good) or rule == "variable_gap"
    refused = RULES[rule].severity == Severity.ERROR and rule not in LEFT_TO_META
    if refused and not (bad.languages or bad.library_name):
        assert not accepted(bad)
