"""The linter: each of Meta's rules broken once and kept once; what others submit passes; and
nothing makes it raise."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.sender.templates.draft import Draft, submission, ttl_of
from services.sender.templates.lint import RULES, Severity, lint
from services.sender.tests.lint_cases import CASES
from services.sender.tests.lint_cases.drafts import (
    ADVICE,
    LIBRARY,
    PHONE,
    code,
    expires,
    pressed,
    pressing,
    utility,
)
from services.sender.tests.templates import (
    SENDS,
    body,
    buttons,
    draft,
    footer,
    link,
    needs_the_wild,
    plain,
    read,
)
from simulator.refusals import Refused
from simulator.templates.definition import define


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


@pytest.mark.parametrize("text", ["{{" * 100_000, "{{a" * 100_000, "{{ " * 100_000, "}" * 300_000])
def test_braces_without_end_take_no_time(text: str) -> None:
    began = time.perf_counter()
    found = {rule for rule, _ in broken(draft(body(text), pressed(text), footer(text[:60])))}
    assert time.perf_counter() - began < 2
    assert {"body_too_long", "url_too_long"} <= found


def test_of_a_million_mistakes_a_hundred_are_told_the_worst_first() -> None:
    told = lint(draft(body(), buttons(*({} for _ in range(100_000)))))
    assert len(told) == 100
    assert told[0].severity == Severity.ERROR


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
