"""People do what the seed gave them, believably, and the same again."""

from collections import Counter
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.messages.content import Choice, Content
from simulator.people.dice import Dice
from simulator.people.habits import habits_of, until_awake
from simulator.people.person import Behaviour, Bsuids, Person
from simulator.people.plan import Act, plan

NOW = 1_790_000_000.0
ADA = "905321112233"
YES = Choice("button", "yes", "Yes")
MARKETING = Content("template", "marketing", "offer", "tr", (YES,), ("http://localhost/",))


@given(st.integers(0, 10_000), st.booleans(), st.floats(0, 86_399))
def test_every_plan_is_repeatable_and_in_order(received, template, utc_s):
    content = MARKETING if template else Content("interactive", choices=(YES,))

    def planned():
        return plan(Person(ADA, received=received), content, 7, utc_s=utc_s)

    steps = planned()
    assert steps == planned()
    statuses = [s.act for s in steps if s.act in {Act.SENT, Act.DELIVERED, Act.READ}]
    assert statuses == sorted(statuses, key=lambda a: a.value)
    assert steps[0].act is Act.SENT
    assert all(s.after >= 0 for s in steps)


def _story(made, count=400):
    """What everybody did with one message each, in words."""
    told = []
    for n in range(count):
        message = made.send(made.offer(f"90532{n:07d}"), NOW + n / 10).message
        told.append([(s.act, round(s.after, 6), s.words) for s in message.steps])
        made.everything(message, NOW + n / 10)
    return told


def test_the_same_seed_repeats_exactly_and_another_does_not(small):
    first = small(seed=5)
    again, other = small(seed=5), small(seed=6)
    story = _story(first)
    assert story == _story(again)
    assert first.world.counts == again.world.counts
    assert story != _story(other)


def test_what_one_person_does_does_not_depend_on_who_else_was_written_to(small):
    alone, crowded = small(), small()
    for n in range(50):
        crowded.send(crowded.offer(f"90533{n:07d}"))
    assert alone.send(alone.offer()).message.steps == crowded.send(crowded.offer()).message.steps


def test_people_differ_believably(small):
    made = small(pair_interval_s=0)
    for n in range(3000):
        made.everything(made.send(made.offer(f"90532{n:07d}")).message)
    counts = made.world.counts
    share = {k: n / 3000 for k, n in counts.items()}
    assert 0.9 < share["delivered"] <= 1
    assert 0.5 < share["read"] < 0.8
    assert 0.05 < share["choices"] + share["taps"] < 0.2
    assert 0.02 < share["replies"] < 0.1
    assert 0.0005 < share["blocks"] < 0.02
    assert counts["reports"] < counts["blocks"]


def _people(segment=None, wa_id="90532{:07d}"):
    return [Person(wa_id.format(n), segment=segment) for n in range(1500)]


def _share(people, act, content=MARKETING, utc_s=None):
    acted = [any(s.act is act for s in plan(p, content, 1, utc_s=utc_s)) for p in people]
    return mean(acted)


def test_segments_differ():
    devoted, quiet, annoyed = (_people(s) for s in ("devoted", "quiet", "annoyed"))
    assert _share(devoted, Act.READ) > _share(quiet, Act.READ) + 0.2
    assert _share(_people("bargain"), Act.TAP) > 3 * _share(quiet, Act.TAP)
    assert _share(annoyed, Act.BLOCK) > 5 * _share(devoted, Act.BLOCK)
    assert {habits_of(1, f"90532{n:07d}", "tr", None).segment for n in range(200)} == {
        "devoted", "regular", "bargain", "quiet", "annoyed",
    }  # fmt: skip


def test_languages_differ():
    turkish, german = _people(), _people(wa_id="49160{:07d}")
    assert _share(turkish, Act.SAY) > 1.2 * _share(german, Act.SAY)
    said = [s.words for p in german for s in plan(p, MARKETING, 1, utc_s=None) if s.words]
    assert any("?" in words and "ich" not in words for words in said)


def test_what_people_want_is_read_more_than_offers():
    code = Content("template", "authentication", "code", "tr")
    assert _share(_people(), Act.READ, code) > _share(_people(), Act.READ) + 0.05


def test_people_sleep_by_their_own_clock():
    def read_hours(people, utc_hour):
        hours = Counter()
        for person in people:
            after = 0.0
            for step in plan(person, MARKETING, 1, utc_s=utc_hour * 3600.0):
                after += step.after
                if step.act is Act.READ:
                    hours[int(utc_hour + after / 3600) % 24] += 1
        return hours

    night = read_hours(_people(), 0)  # 3 in the morning in Türkiye
    by_day = read_hours(_people(), 9)
    at_once = night[0] + night[1]
    assert at_once < 0.2 * night.total() < 0.5 * (by_day[9] + by_day[10])
    assert sum(night[h] for h in (4, 5, 6, 7, 8)) > 0.5 * night.total()
    # The same moment is evening in the United States.
    evening = read_hours(_people(wa_id="1415555{:04d}"), 0)
    assert evening[0] + evening[1] > 0.5 * evening.total()


@given(st.text(max_size=10), st.floats(0, 86_399))
def test_waiting_until_awake_ends_within_a_day(key, at_s):
    habits = habits_of(1, ADA, "tr", None)
    assert 0 <= until_awake(Dice(key), habits.day, at_s) <= 25 * 3600


def test_whoever_is_scripted_is_awake(small):
    made = small(hour=0.0)
    made.person(behaviour=Behaviour(reads=1, clicks=0, replies=0, stops=0, blocks=0))
    waits = []
    for n in range(100):
        steps = made.send(made.offer(), NOW + n * 60).message.steps
        waits.append(sum(s.after for s in steps))
    assert sorted(waits)[90] < 3600


def test_a_click_is_a_button_answer_to_our_message_or_an_opened_link(small):
    made = small()
    made.person(behaviour=Behaviour(clicks=1, replies=0, stops=0, blocks=0))
    links, buttons = [], []
    for n in range(30):
        message = made.send(made.offer(), NOW + n * 6.0).message
        updates, opened, _ = made.everything(message)
        links += opened
        for update in updates:
            if update.list_name == "messages":
                assert update.item["context"]["id"] == message.wamid
                buttons.append(update.item["button"])
    assert set(links) == {"http://localhost/l/abc"}
    assert len(links) + len(buttons) == 30
    assert buttons[0] == {"payload": "yes-1", "text": "Evet"}


def test_someone_who_stops_says_so_and_then_gets_no_marketing(small):
    made = small()
    person = made.person(behaviour=Behaviour(stops=1, clicks=0, replies=0, blocks=0))
    seen, said = [], []
    for n in range(40):
        stopped = person.opted_out
        # Days apart, so that the window that the word opened is closed again.
        message = made.send(made.offer(), NOW + n * 100_000).message
        updates, _, _ = made.everything(message)
        if stopped:
            assert updates[-1].item["errors"][0]["code"] == 131050
            break
        said += [u.item["text"]["body"] for u in updates if u.list_name == "messages"]
        seen += [u.field for u in updates]
    assert set(said) <= {"DUR", "Ret"}
    assert "user_preferences" in seen
    assert stopped


def test_a_voice_message_is_played_after_it_was_read(small):
    made = small()
    made.heard()
    made.person(behaviour=Behaviour(reads=1, answers=0))
    link = "https://shop.example/a.ogg"
    body = made.words() | {"type": "audio", "audio": {"link": link, "voice": True}}
    told = [[s["status"] for s in made.statuses(body, NOW + n * 6)] for n in range(20)]
    assert any(names[-2:] == ["read", "played"] for names in told)


def test_statuses_carry_callback_data_and_price_once_delivered(small):
    made = small()
    made.person(behaviour=Behaviour(reads=1, clicks=0, replies=0, stops=0, blocks=0))
    for n in range(30):
        told = made.statuses(made.offer(biz_opaque_callback_data=f"m-{n}"), NOW + n * 6.0)
        names = [s["status"] for s in told]
        assert names in (["sent", "delivered", "read"], ["sent", "read"])
        priced = [s["pricing"]["category"] for s in told if "pricing" in s]
        assert priced == ["marketing", "marketing"]
        assert all(s["biz_opaque_callback_data"] == f"m-{n}" for s in told)


@pytest.mark.parametrize(
    ("mode", "addressed", "shown"),
    [
        ("phone", "to", {"recipient_id"}),
        ("phone_bsuid", "to", {"recipient_id", "recipient_user_id"}),
        ("bsuid", "recipient", {"recipient_user_id"}),
    ],
)
def test_identity_modes_decide_what_a_status_shows(small, mode, addressed, shown):
    made = small()
    person = made.person(identity_mode=mode)
    bsuid = made.world.people.bsuid_of(person)
    target = {"to": ADA} if addressed == "to" else {"recipient": bsuid}
    status = made.statuses(made.offer(to=None) | target)[0]
    assert {k for k in status if k.startswith("recipient")} == shown
    _, (said,) = made.world.say("1060", person, {"type": "text", "text": {"body": "x"}}, NOW)
    assert ("from" in said.item) == ("wa_id" in said.contact) == (mode != "bsuid")
    assert ("from_user_id" in said.item) == (mode != "phone")


@given(st.integers(10**6, 10**15 - 1), st.integers())
def test_a_bsuid_leads_back_to_its_number_and_no_other(number, seed):
    bsuids = Bsuids(seed)
    bsuid = bsuids.of(str(number))
    assert bsuids.wa_id(bsuid) == str(number)
    assert bsuids.wa_id(f"XX.{bsuid[3:]}") is None
    assert Bsuids(seed + 1).wa_id(bsuid) != str(number)


def test_a_bsuid_that_was_told_replaces_the_own_one(small):
    people = small().world.people
    person = people.put(ADA)
    own = people.bsuid_of(person)
    assert people.find(own) is person
    people.put(ADA, bsuid="TR.1")
    assert people.find("TR.1") is people.find(ADA) is person
    assert people.find(own) is None
