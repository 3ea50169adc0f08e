"""Whatever somebody drafts can be checked, shown, drawn and filled in, before it is any good."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from merhaba.sender.v1 import Template, TemplateComponents
from services.sender.body.parameters import from_graph
from services.sender.templates.lint import lint
from services.sender.templates.wire import draft_of, unsubmitted
from services.sender.tests.test_template_wire import templates
from services.sender.tests.test_words import NOW
from services.sender.wording.bubble import draw
from services.sender.wording.form import Form
from services.sender.wording.parts import Blank
from services.sender.wording.showing import bubble, examples, lines

FILLED: dict[str, Any] = {
    "media": {"link": "https://shop.example/a.jpg"},
    "latitude": 41.0,
    "longitude": 29.0,
    "time": NOW + 1,
    "record": {"screen": "A"},
    "sections": [{"product_items": [{"product_retailer_id": "p1"}]}],
}


def filled(blanks: list[Blank]) -> dict[str, Any]:
    return {blank.variable: FILLED.get(blank.kind, "x") for blank in blanks}


@settings(deadline=None, max_examples=50)
@given(
    templates(),
    st.sampled_from(["MARKETING", "UTILITY", "AUTHENTICATION", "", "x"]),
    st.sampled_from(["tr", "en_US", "ar", "zz", ""]),
    st.sampled_from(Template.ParameterFormat.values()),
    st.integers(0, 9),
)
def test_any_draft_is_checked_shown_and_filled_in(
    drawn: tuple[TemplateComponents, bool], category: str, language: str, format_: Any, turn: int
) -> None:
    one = Template(
        name="n",
        language=language,
        category=category,
        parameter_format=format_,
        components=drawn[0],
    )
    assert all(finding.change for finding in lint(draft_of(one)))
    form = Form(unsubmitted(one))
    shown = bubble(form, {k: v for k, v in examples(form).items() if k in form.blanks}, NOW)
    if turn == 0:  # it takes its time
        assert draw(shown).startswith(b"\x89PNG")
    blanks = list(form.blanks.values())
    for values in (filled(blanks), filled([blank for blank in blanks if blank.required])):
        form.shorten(values, values.keys())
        assert from_graph(msgspec.json.decode(form.body(values))["template"]).name == "n"
        assert isinstance(lines(bubble(form, values, NOW)), str)
