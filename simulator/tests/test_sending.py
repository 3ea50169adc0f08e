"""What is accepted and what is refused, as Meta does it; no server here."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.people.person import Behaviour
from simulator.refusals import Refused

NOW = 1_790_000_000.0
ADA, BOB = "905321112233", "905321112244"
JPEG = b"\xff\xd8\xff-bytes"


def test_a_template_is_accepted_and_answered_as_meta_does(small):
    made = small()
    sent = made.send(made.offer(to="+90 532 111-22 33"))
    assert sent.answer["contacts"][0]["input"] == "+90 532 111-22 33"
    assert sent.answer["contacts"][0]["wa_id"] == ADA
    assert sent.answer["messages"][0]["message_status"] == "accepted"
    assert sent.answer["messages"][0]["id"].startswith("wamid.")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"messaging_product": "x"}, 100),
        ({"to": None}, 131008),
        ({"to": "12"}, 131009),
        ({"to": "0532 111 22 33"}, 131009),
        ({"to": "+90 212 111 22 33"}, 131021),
        ({"to": None, "recipient": "TR.1"}, 131009),
        ({"recipient_type": "group"}, 100),
        ({"biz_opaque_callback_data": "x" * 513}, 131009),
        ({"context": {"id": "wamid.x"}}, 131008),
        ({"template": {"name": "nobody", "language": {"code": "tr"}}}, 132001),
        ({"template": {"name": "offer", "language": {"code": "en"}}}, 132001),
        ({"template": {"name": "offer", "language": "tr"}}, 131008),
        ({"template": {"language": {"code": "tr"}}}, 131008),
        ({"type": "smoke", "smoke": {}}, 100),
        ({"type": ["text"]}, 100),
    ],
)
def test_what_meta_refuses_is_refused_with_its_code(small, change, code):
    made = small()
    assert made.refusal(made.offer() | change) == code


def _interactive(kind, action, **more):
    return {"type": kind, "body": {"text": "?"}, "action": action, **more}


REPLY = {"type": "reply", "reply": {"id": "1", "title": "Yes"}}
ROW = {"id": "1", "title": "Yes"}
URL = {"display_text": "Go", "url": "https://shop.example/"}
CARD = {
    "type": "cta_url",
    "header": {"type": "image", "image": {"link": "https://shop.example/a.jpg"}},
    "action": {"name": "cta_url", "parameters": URL},
}
FLOW = {"flow_message_version": "3", "flow_id": "1", "flow_cta": "Open", "flow_token": "t"}

ACCEPTED = [
    ("text", {"body": "x" * 4096}),
    ("image", {"link": "https://shop.example/a.jpg", "caption": "x" * 1024}),
    ("audio", {"link": "https://shop.example/a.ogg", "voice": True}),
    ("document", {"link": "https://shop.example/a.pdf", "filename": "a.pdf"}),
    ("sticker", {"link": "https://shop.example/a.webp"}),
    ("location", {"latitude": 41.0, "longitude": "29.0", "name": "Kadıköy"}),
    ("contacts", [{"name": {"formatted_name": "Ada", "first_name": "Ada"}}]),
    ("interactive", _interactive("button", {"buttons": [REPLY]})),
    ("interactive", _interactive("list", {"button": "Open", "sections": [{"rows": [ROW]}]})),
    ("interactive", _interactive("cta_url", {"name": "cta_url", "parameters": URL})),
    ("interactive", _interactive("location_request_message", {"name": "send_location"})),
    ("interactive", _interactive("request_contact_info", {"name": "request_contact_info"})),
    ("interactive", _interactive("flow", {"name": "flow", "parameters": FLOW})),
    ("interactive", _interactive("carousel", {"cards": [CARD, CARD]})),
]


@pytest.mark.parametrize(("kind", "value"), ACCEPTED)
def test_every_kind_is_accepted_in_an_open_window(small, kind, value):
    made = small()
    made.heard()
    sent = made.send({"messaging_product": "whatsapp", "to": ADA, "type": kind, kind: value})
    assert "message_status" not in sent.answer["messages"][0]


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("text", {"body": "x" * 4097}, 131009),
        ("text", {"body": ""}, 131008),
        ("image", {}, 131009),
        ("image", {"id": "1", "link": "https://x.example"}, 131009),
        ("image", {"id": "1"}, 100),
        ("image", {"link": "ftp://x.example"}, 131009),
        ("audio", {"link": "https://x.example", "caption": "x"}, 131009),
        ("image", {"link": "https://x.example", "filename": "x"}, 100),
        ("location", {"latitude": 91, "longitude": 0}, 131009),
        ("location", {"longitude": 0}, 131008),
        ("contacts", [], 131009),
        ("contacts", [{"name": {}}], 131008),
        ("reaction", {"message_id": "wamid.unknown", "emoji": "👍"}, 131009),
        ("interactive", _interactive("smoke", {}), 131009),
        ("interactive", {"type": "button", "body": {"text": "?"}}, 131008),
        ("interactive", _interactive("button", {"buttons": [REPLY] * 4}), 131009),
        ("interactive", _interactive("button", {"buttons": [REPLY] * 2}), 131009),
        ("interactive", _interactive("button", {"buttons": [REPLY]}, body={}), 131008),
        ("interactive", _interactive("list", {"button": "x" * 21, "sections": []}), 131009),
        (
            "interactive",
            _interactive("list", {"button": "Open", "sections": [{"rows": [ROW]}] * 2}),
            131008,
        ),
        ("interactive", _interactive("cta_url", {"name": "cta_url"}), 131008),
        ("interactive", _interactive("location_request_message", {"name": "x"}), 131009),
        ("interactive", _interactive("carousel", {"cards": [CARD]}), 131009),
        ("interactive", _interactive("product_list", {"catalog_id": "1"}), 131008),
        (
            "interactive",
            _interactive("flow", {"name": "flow", "parameters": FLOW | {"flow_id": ""}}),
            131008,
        ),
    ],
)
def test_a_kind_that_breaks_a_limit_is_refused(small, kind, value, code):
    made = small()
    made.heard()
    body = {"messaging_product": "whatsapp", "to": ADA, "type": kind, kind: value}
    assert made.refusal(body) == code


def test_free_text_needs_an_open_window_of_a_day(small):
    made = small()
    made.heard()
    made.send(made.words(), NOW + 86_399)
    assert made.refusal(made.words(), NOW + 86_400) == 131047


def test_a_closed_window_can_be_told_by_a_failed_status_instead(small):
    made = small(window_error="async")
    assert made.failure(made.words()) == 131047


def test_reactions_and_read_marks_need_a_message_that_exists(small):
    made = small()
    theirs = made.heard()
    ours = made.send(made.words()).answer["messages"][0]["id"]
    for wamid in (theirs, ours):
        reaction = {"message_id": wamid, "emoji": "👍"}
        body = made.words() | {"type": "reaction", "reaction": reaction}
        assert [s["status"] for s in made.statuses(body)] == ["sent"]
    mark = {"messaging_product": "whatsapp", "status": "read", "message_id": theirs}
    typing = mark | {"typing_indicator": {"type": "text"}}
    assert made.send(mark).answer == made.send(typing).answer == {"success": True}
    assert made.refusal(mark | {"message_id": ours}) == 131009
    assert made.refusal(mark | {"typing_indicator": {"type": "video"}}) == 131009


def test_media_must_be_of_this_number_and_of_the_right_type(small):
    made = small()
    made.heard()
    made.world.put_number("1061", "1020", "902121112244", 1e9, NOW)

    def image(media_id):
        return made.words() | {"type": "image", "image": {"id": media_id}}

    put = made.world.media.put
    here = put("1", "1060", "image/jpeg", JPEG, NOW)
    there = put("2", "1061", "image/jpeg", JPEG, NOW)
    wrong = put("3", "1060", "application/pdf", b"%PDF", NOW)
    assert made.failure(image(here.media_id)) == 0
    assert made.refusal(image(there.media_id)) == 100
    assert made.failure(image(wrong.media_id)) == 131053
    made.heard(now=NOW + 31 * 86_400)
    assert made.refusal(image(here.media_id), NOW + 31 * 86_400) == 100


def test_a_link_that_cannot_be_fetched_fails_later(small):
    made = small(broken_links=("https://broken.example/",))
    made.heard()
    body = made.words() | {"type": "image", "image": {"link": "https://broken.example/a.jpg"}}
    assert made.failure(body) == 131053


@pytest.mark.parametrize(
    ("code", "category", "fails"),
    [(131026, "MARKETING", 131026), (131050, "MARKETING", 131050), (131050, "UTILITY", 0)],
)
def test_scripted_failures_hit_what_they_hit_at_meta(small, code, category, fails):
    made = small()
    made.template.category = category
    made.person(behaviour=Behaviour(fail_code=code))
    assert made.failure(made.offer()) == fails


def test_silence_and_being_offline(small):
    made = small()
    made.person(behaviour=Behaviour(silent=True))
    assert made.send(made.offer()).message is None
    made.person(behaviour=Behaviour(offline=True))
    assert [s["status"] for s in made.statuses(made.offer(), NOW + 60)] == ["sent"]


def test_some_numbers_are_not_on_whatsapp_and_always_the_same_ones(small):
    def missed(seed):
        made = small(seed=seed, not_on_whatsapp=0.05)
        numbers = [f"90532{n:07d}" for n in range(2000)]
        return {to for to in numbers if made.failure(made.offer(to)) == 131026}

    assert 50 < len(missed(1)) < 160
    assert missed(1) == missed(1) != missed(2)


def test_the_marketing_cap_counts_a_rolling_day_and_not_what_is_said_in_a_window(small):
    made = small(marketing_cap=2, pair_interval_s=0)
    codes = [made.failure(made.offer(), NOW + hour * 3600) for hour in (0, 6, 12, 23)]
    assert codes == [0, 0, 131049, 131049]
    assert made.failure(made.offer(), NOW + 24 * 3600 + 1) == 0
    made.heard(BOB)
    assert [made.failure(made.offer(BOB), NOW + n) for n in range(4)] == [0, 0, 0, 0]


def test_marketing_does_not_reach_the_united_states_when_meta_says_so(small):
    assert small().failure(small().offer("14155550100")) == 0
    made = small(us_marketing=False)
    assert made.failure(made.offer("14155550100")) == 131049


def test_the_stop_switch_binds_marketing_until_it_is_turned_back(small):
    made = small()
    made.world.prefer(made.number, made.person(), "stop", NOW)
    assert made.failure(made.offer()) == 131050
    made.template.category = "UTILITY"
    assert made.failure(made.offer(), NOW + 60) == 0
    made.template.category = "MARKETING"
    made.world.prefer(made.number, made.person(), "resume", NOW)
    assert made.failure(made.offer(), NOW + 120) == 0


def test_whoever_the_business_blocked_gets_nothing_and_is_not_heard(small):
    made = small()
    made.heard()
    made.number.blocked[ADA] = None
    assert made.refusal(made.words()) == 130403
    assert made.world.say("1060", made.person(), {"type": "text"}, NOW)[1] == []


def test_whoever_blocked_the_business_is_reached_by_nothing_until_they_write(small):
    made = small()
    person = made.person(behaviour=Behaviour(blocks=1, reads=1, clicks=0, replies=0, stops=0))
    made.statuses(made.offer())
    assert person.blocking
    assert [s["status"] for s in made.statuses(made.offer(), NOW + 60)] == ["sent"]
    made.heard()
    assert "delivered" in [s["status"] for s in made.statuses(made.words(), NOW + 120)]


def test_only_marketing_goes_through_the_marketing_endpoint(small):
    made = small()
    assert made.refusal(made.words(), marketing=True) == 131055
    message = made.send(made.offer(), marketing=True).message
    assert message is not None
    assert message.content.category == "marketing_lite"
    made.template.category = "UTILITY"
    assert made.refusal(made.offer(), marketing=True) == 134100


def test_a_number_that_is_not_registered_or_locked_sends_nothing(small):
    made = small()
    made.number.registered = False
    assert made.refusal(made.offer()) == 133010
    made.number.registered, made.number.refuse_code = True, 131031
    assert made.refusal(made.offer()) == 131031


def test_throughput_and_pairs_are_limited(small):
    made = small()
    made.number.throughput.per_second = made.number.throughput.tokens = 5
    people = [f"90532{n:07d}" for n in range(8)]
    for to in people[:5]:
        made.send(made.offer(to))
    assert made.refusal(made.offer(people[5])) == 130429
    made = small()
    for n in range(45):
        made.send(made.offer(), NOW + n / 10)
    assert made.refusal(made.offer(), NOW + 5) == 131056
    made.send(made.offer(BOB), NOW + 5)


ANYTHING = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just(
    {}
) | st.just([[]]) | st.just({"text": []})  # fmt: skip


@given(st.data())
def test_a_malformed_body_is_refused_and_never_breaks(small, data):
    made = small(pair_interval_s=0)
    made.heard()
    bodies = [made.offer(), made.words()]
    bodies += [made.words() | {"type": kind, kind: value} for kind, value in ACCEPTED]
    body = json.loads(json.dumps(data.draw(st.sampled_from(bodies))))
    made.send(body)
    _spoil(body, data)
    try:
        made.send(body)
        made.account.create("1020", body.get("template") or {}, NOW)
    except Refused as refused:
        assert refused.envelope("trace")["error"]["code"] == refused.code


def _spoil(node, data) -> None:
    """Put something else somewhere in a JSON value."""
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        deeper = node[key]
        if not isinstance(deeper, dict | list) or not deeper or data.draw(st.booleans()):
            node[key] = data.draw(ANYTHING)
            return
        node = deeper
