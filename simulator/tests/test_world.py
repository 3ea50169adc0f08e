"""The world decides as Meta and people do; no server here."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.ids import Ids
from simulator.kinds import Choice, Content
from simulator.ledger import Ledger
from simulator.limits import Pair, Throughput
from simulator.people import Act, Behaviour, Person, plan
from simulator.refusals import Refused
from simulator.updates import Metadata, Update, body_of
from simulator.world import Rules, World

NOW = 1_790_000_000.0
NUMBER, WABA = "1060", "1020"
ADA = "905321112233"
OFFER = {
    "name": "offer",
    "language": "tr",
    "category": "MARKETING",
    "components": [
        {"type": "BODY", "text": "Merhaba {{1}}, {{2}} indirim!", "example": {"body_text": []}},
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "QUICK_REPLY", "text": "Evet"},
                {"type": "URL", "text": "Git", "url": "http://localhost/l/{{1}}"},
            ],
        },
    ],
}


def world(seed: int = 1, **rules) -> World:
    made = World(seed=seed, ids=Ids(bytes(12)), people_limit=1000, ledger_limit=1000)
    made.rules = Rules(**rules)
    made.put_number(NUMBER, WABA, "902121112233", 80, NOW)
    template, review = made.create_template(WABA, OFFER)
    made.decide(review, NOW)
    assert template.status == "APPROVED"
    return made


def offer(to: str | None = ADA, *, texts=("Ada", "%20"), suffix="abc", **more):
    components = [
        {"type": "body", "parameters": [{"type": "text", "text": t} for t in texts]},
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "0",
            "parameters": [{"type": "payload", "payload": "yes-1"}],
        },
    ]
    if suffix:
        components.append(
            {
                "type": "button",
                "sub_type": "url",
                "index": 1,
                "parameters": [{"type": "text", "text": suffix}],
            }
        )
    body = {
        "messaging_product": "whatsapp",
        "type": "template",
        "template": {"name": "offer", "language": {"code": "tr"}, "components": components},
        **more,
    }
    return body | ({"to": to} if to else {})


def words(text="hi", to=ADA):
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": text}}


def heard(made: World, wa_id: str = ADA, now: float = NOW) -> None:
    made.say(NUMBER, made.people.put(wa_id), {"type": "text", "text": {"body": "hey"}}, now)


def refusal(made: World, body, now: float = NOW, **more) -> int:
    with pytest.raises(Refused) as caught:
        made.send(NUMBER, body, now, **more)
    return caught.value.code


def everything(made: World, message) -> tuple[list[Update], list[str]]:
    updates, links = [], []
    while message.at < len(message.steps):
        told, link = made.happen(message, NOW + message.at)
        updates += told
        links += [link] if link else []
    return updates, links


def test_a_template_is_accepted_and_answered_as_meta_does():
    sent = world().send(NUMBER, offer(to="+90 532 111-22 33"), NOW)
    assert sent.answer["contacts"][0]["input"] == "+90 532 111-22 33"
    assert sent.answer["contacts"][0]["wa_id"] == ADA
    assert sent.answer["messages"][0]["message_status"] == "accepted"
    assert sent.answer["messages"][0]["id"].startswith("wamid.")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (offer(texts=("Ada",)), 132000),
        (offer(texts=("Ada", "")), 131008),
        (offer(texts=("Ada", "a\nb")), 132018),
        (offer(suffix=None), 131008),
        (offer() | {"messaging_product": "x"}, 100),
        (offer(to=None), 131008),
        (offer(to="12"), 131009),
        (offer() | {"biz_opaque_callback_data": "x" * 513}, 131009),
        (offer() | {"template": {"name": "nobody", "language": {"code": "tr"}}}, 132001),
        (offer() | {"template": {"name": "offer", "language": {"code": "en"}}}, 132001),
        (words(), 131047),
        (words("x" * 4097), 131009),
        (words() | {"type": "smoke", "smoke": {}}, 100),
    ],
)
def test_what_meta_refuses_is_refused_with_its_code(body, code):
    assert refusal(world(), body) == code


@pytest.mark.parametrize(("status", "code"), [("PAUSED", 132015), ("DISABLED", 132016)])
def test_a_template_that_is_not_in_use_is_refused(status, code):
    made = world()
    made.templates.find(WABA, "offer", "tr").status = status
    assert refusal(made, offer()) == code


ANYTHING = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just(
    {}
) | st.just([[]]) | st.just({"text": []})  # fmt: skip
BUTTONS = {
    "type": "button",
    "body": {"text": "?"},
    "action": {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "Yes"}}]},
}
ROWS = {
    "type": "list",
    "body": {"text": "?"},
    "action": {"button": "Open", "sections": [{"rows": [{"id": "1", "title": "Yes"}]}]},
}


@given(st.data())
def test_a_malformed_body_is_refused_and_never_breaks(data):
    made = world()
    heard(made)
    bodies = [
        offer(),
        words(),
        words() | {"type": "interactive", "interactive": BUTTONS},
        words() | {"type": "interactive", "interactive": ROWS},
    ]
    body = json.loads(json.dumps(data.draw(st.sampled_from(bodies))))
    made.send(NUMBER, body, NOW)
    _spoil(body, data)
    try:
        made.send(NUMBER, body, NOW)
        made.create_template(WABA, body.get("template") or {})
    except Refused as refused:
        assert refused.envelope("trace")["error"]["code"] == refused.code


@given(st.data())
def test_a_malformed_template_is_refused_and_never_breaks(data):
    made = world()
    definition = json.loads(json.dumps(OFFER | {"name": "another"}))
    _spoil(definition, data)
    try:
        template, _ = made.create_template(WABA, definition)
        assert template.seen_by_graph()["status"] == "PENDING"
    except Refused as refused:
        assert refused.code == 100


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


def test_only_marketing_goes_through_the_marketing_endpoint():
    made = world()
    assert refusal(made, words(), marketing=True) == 131055
    message = made.send(NUMBER, offer(), NOW, marketing=True).message
    assert message is not None
    assert message.content.category == "marketing_lite"


def test_free_text_needs_an_open_window_of_a_day():
    made = world()
    heard(made)
    made.send(NUMBER, words(), NOW + 86_399)
    assert refusal(made, words(), NOW + 86_400) == 131047


def test_a_closed_window_can_be_told_by_a_failed_status_instead():
    made = world(window_error="async")
    message = made.send(NUMBER, words(), NOW).message
    updates, _ = everything(made, message)
    assert [u.item["errors"][0]["code"] for u in updates] == [131047]


def test_a_template_must_be_well_made():
    made = world()
    for change, code in (
        ({"name": "Bad Name"}, 100),
        ({"components": [{"type": "BODY", "text": "{{1}} hi", "example": {}}], "name": "b"}, 100),
        ({}, 100),
    ):
        with pytest.raises(Refused) as caught:
            made.create_template(WABA, OFFER | change)
        assert caught.value.code == code
    assert caught.value.subcode == 2388024


def test_a_rejected_template_cannot_be_sent():
    made = world(reject_templates=frozenset({"spam"}))
    template, review = made.create_template(WABA, OFFER | {"name": "spam"})
    update = made.decide(review, NOW)
    assert update.item["event"] == "REJECTED"
    assert update.item["message_template_id"] == int(template.template_id)
    body = offer()
    body["template"]["name"] = "spam"
    assert refusal(made, body) == 132001


def test_statuses_carry_callback_data_and_price_once_delivered():
    made = world()
    made.people.put(ADA, behaviour=Behaviour(reads=1, clicks=0, replies=0, stops=0))
    for n in range(30):
        message = made.send(NUMBER, offer(biz_opaque_callback_data=f"m-{n}"), NOW + n * 6.0).message
        updates, _ = everything(made, message)
        names = [u.item["status"] for u in updates]
        assert names in (["sent", "delivered", "read"], ["sent", "read"])
        priced = [u.item["pricing"] for u in updates if "pricing" in u.item]
        assert [p["category"] for p in priced] == ["marketing", "marketing"]
        assert all(u.item["biz_opaque_callback_data"] == f"m-{n}" for u in updates)


def test_a_click_is_a_button_answer_to_our_message_or_an_opened_link():
    made = world()
    made.people.put(ADA, behaviour=Behaviour(clicks=1, replies=0, stops=0))
    links, buttons = [], []
    for n in range(30):
        message = made.send(NUMBER, offer(), NOW + n * 6.0).message
        updates, opened = everything(made, message)
        links += opened
        for update in updates:
            if update.list_name == "messages":
                assert update.item["context"]["id"] == message.entry.wamid
                buttons.append(update.item["button"])
    assert set(links) == {"http://localhost/l/abc"}
    assert len(links) + len(buttons) == 30
    assert buttons[0] == {"payload": "yes-1", "text": "Evet"}


def test_someone_who_stops_says_so_and_then_gets_no_marketing():
    made = world()
    made.people.put(ADA, behaviour=Behaviour(stops=1, clicks=0, replies=0))
    seen = []
    for n in range(40):
        heard_before = made.people.find(ADA).opted_out
        # Days apart, so that the window that the word opened is closed again.
        message = made.send(NUMBER, offer(), NOW + n * 100_000).message
        updates, _ = everything(made, message)
        if heard_before:
            assert updates[-1].item["errors"][0]["code"] == 131050
            break
        assert [u.item["text"]["body"] for u in updates if u.list_name == "messages"] == ["DUR"]
        seen += [u.field for u in updates]
    assert "user_preferences" in seen
    assert heard_before


@pytest.mark.parametrize(
    ("mode", "addressed", "shown"),
    [
        ("phone", "to", {"recipient_id"}),
        ("phone_bsuid", "to", {"recipient_id", "recipient_user_id"}),
        ("bsuid", "recipient", {"recipient_user_id"}),
    ],
)
def test_identity_modes_decide_what_a_status_shows(mode, addressed, shown):
    made = world()
    person = made.people.put(ADA, identity_mode=mode)
    target = {"to": ADA} if addressed == "to" else {"recipient": person.bsuid}
    message = made.send(NUMBER, offer(to=None) | target, NOW).message
    (update,), _ = made.happen(message, NOW)
    assert {k for k in update.item if k.startswith("recipient")} == shown
    _, said = made.say(NUMBER, person, {"type": "text", "text": {"body": "x"}}, NOW)
    assert ("from" in said.item) == ("wa_id" in said.contact) == (mode != "bsuid")
    assert ("from_user_id" in said.item) == (mode != "phone")


def test_scripted_failure_and_silence():
    made = world()
    made.people.put(ADA, behaviour=Behaviour(fail_code=131026))
    updates, _ = everything(made, made.send(NUMBER, offer(), NOW).message)
    assert [u.item["status"] for u in updates] == ["failed"]
    made.people.put(ADA, behaviour=Behaviour(silent=True))
    assert made.send(NUMBER, offer(), NOW + 60).message is None


@given(st.integers(0, 10_000), st.booleans())
def test_every_plan_is_repeatable_and_in_order(received, template):
    content = Content(
        "template" if template else "interactive",
        "marketing",
        "offer" if template else "",
        choices=(Choice("button", "yes", "Yes"),),
        links=("http://localhost/",),
    )

    def planned():
        person = Person(ADA, "TR.1", "Ada", "phone", "tr", received=received)
        return plan(person, content, 7, in_window=True)

    steps = planned()
    assert steps == planned()
    statuses = [s.act for s in steps if s.act in {Act.SENT, Act.DELIVERED, Act.READ}]
    assert statuses == sorted(statuses, key=lambda a: a.value)
    assert steps[0].act is Act.SENT
    assert all(0 <= s.after <= 20 * 86_400 for s in steps)


def test_people_differ_believably():
    made = world(pair_interval_s=0)
    made.put_number(NUMBER, WABA, "902121112233", 1e9, NOW)
    for n in range(1000):
        message = made.send(NUMBER, offer(to=f"90532{n:07d}"), NOW).message
        everything(made, message)
    share = {k: made.counts[k] / 1000 for k in ("delivered", "read", "replies", "choices", "taps")}
    assert 0.9 < share["delivered"] <= 1
    assert 0.5 < share["read"] < 0.8
    assert 0.02 < share["choices"] + share["taps"] < 0.25
    assert 0.01 < share["replies"] < 0.15


@given(st.lists(st.floats(0, 3), max_size=200))
def test_throughput_never_passes_more_than_rate_times_time_and_one_second(gaps):
    limiter, now, taken = Throughput(5, 5, 0.0), 0.0, 0
    for gap in gaps:
        now += gap
        if limiter.has_room(now):
            limiter.take(now)
            taken += 1
        assert taken <= 5 * (now + 1)


@given(st.lists(st.floats(0, 30), max_size=200))
def test_a_pair_borrows_at_most_a_burst_and_pays_it_back(gaps):
    pair, now, taken = Pair(), 0.0, []
    for gap in gaps:
        now += gap
        if pair.take(now, 6.0, 45):
            taken.append(now)
    assert all(sum(t <= x <= t + 6 for x in taken) <= 90 for t in taken)
    if taken:
        assert len(taken) <= (taken[-1] - taken[0]) / 6 + 45


def test_a_burst_of_twenty_waits_two_minutes():
    pair = Pair()
    assert all(pair.take(n / 10, 6.0, 45) for n in range(20))
    assert not pair.take(100.0, 6.0, 45)
    assert pair.take(120.0, 6.0, 45)


@given(st.integers(10, 60), st.lists(st.integers(0, 20), max_size=150))
def test_the_ledger_forgets_the_oldest_and_counts_repeats_of_the_rest(limit, data):
    ledger = Ledger(limit)
    for n in data:
        ledger.add(
            wamid="w", to=str(n), phone_number_id="1", kind="template", template="t",
            callback_data=str(n), now=NOW,
        )  # fmt: skip
    page = ledger.page(0, 10_000)
    assert len(page) <= limit
    assert [e.callback_data for e in page] == [str(n) for n in data[len(data) - len(page) :]]
    assert ledger.page(len(data) - 1, 10) == page[-1:]
    repeated = {e.to for e in page if sum(o.to == e.to for o in page) > 1}
    assert ledger.duplicates()["by_callback_data"] == len(repeated)
    assert ledger.duplicates()["by_template_and_recipient"] == len(repeated)


@given(st.text(max_size=30), st.integers(1, 6))
def test_a_body_is_escaped_as_meta_does_and_loses_nothing(text, count):
    rng = Random(count)
    updates = [
        Update(
            f"waba{rng.randrange(2)}",
            "messages",
            Metadata("90", str(rng.randrange(2))),
            rng.choice(["messages", "statuses"]),
            {"n": n, "text": text + "/ç"},
            {"wa_id": "1"},
            NOW,
        )
        for n in range(count)
    ]
    raw = body_of(updates)
    assert raw.isascii()
    assert b"\\u00e7" in raw
    assert b"/" not in raw.replace(b"\\/", b"")
    changes = [c for e in json.loads(raw)["entry"] for c in e["changes"]]
    items = [i for c in changes for k in ("messages", "statuses") for i in c["value"].get(k, [])]
    assert sorted(i["n"] for i in items) == list(range(count))
    assert all(i["text"] == text + "/ç" for i in items)
    assert all(len(c["value"]["contacts"]) == 1 for c in changes)
