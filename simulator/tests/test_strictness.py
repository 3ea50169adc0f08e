"""What is subtle in what Meta refuses and counts."""

import pytest

from simulator.messages.media import fits
from simulator.people.person import Behaviour
from simulator.refusals import Refused

NOW = 1_790_000_000.0
HOUR = 3600.0
ADA, BOB = "905321112233", "905321112244"
WEBP = b"RIFF\x04\x00\x00\x00WEBP"
STILL, MOVING = WEBP + b"VP8X\x0a\x00\x00\x00\x00", WEBP + b"VP8X\x0a\x00\x00\x00\x02"
MP4, THREE_GP = b"\x00\x00\x00\x18ftypmp42", b"\x00\x00\x00\x18ftyp3gp5"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
KEEN = Behaviour(reads=1, replies=0, clicks=0, stops=0, blocks=0)


def interactive(kind, action):
    return {"type": kind, "body": {"text": "?"}, "action": action}


# --- people ---------------------------------------------------------------------------------------


def test_whoever_stopped_marketing_gets_none_while_they_talk_with_the_business_either(small):
    made = small(pair_interval_s=0)
    made.heard()
    made.world.prefer(made.number, made.person(), "stop", NOW)
    assert made.failure(made.offer()) == 131050
    assert made.failure(made.words()) == 0
    made.world.prefer(made.number, made.person(), "resume", NOW)
    assert made.failure(made.offer()) == 0


def test_a_reaction_is_to_a_message_of_the_same_chat(small):
    made = small(pair_interval_s=0)
    theirs, others = made.heard(ADA), made.heard(BOB)
    sent = made.send(made.words(to=BOB)).answer["messages"][0]["id"]

    def reacting(wamid):
        reaction = {"message_id": wamid, "emoji": "👍"}
        return made.words() | {"type": "reaction", "reaction": reaction}

    assert made.send(reacting(theirs))
    assert made.refusal(reacting(others)) == made.refusal(reacting(sent)) == 131009


def test_a_number_marks_as_read_what_it_received(small):
    made = small()
    made.world.put_number("1061", "1020", "902121112244", 1e9, NOW)
    mark = {"messaging_product": "whatsapp", "status": "read", "message_id": made.heard()}
    assert made.send(mark).answer == {"success": True}
    with pytest.raises(Refused) as caught:
        made.sending.send("1061", mark, NOW)
    assert caught.value.code == 131009


# --- content --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claimed", "data", "kept"),
    [
        ("image/webp", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("image/png", WEBP, "image/webp"),
        ("audio/mpeg", MP4, "video/mp4"),
        ("audio/mp4", MP4, "audio/mp4"),
        ("video/mp4", THREE_GP, "video/3gpp"),
        ("text/plain", b"%PDF-1.7", "application/pdf"),
        (DOCX, b"PK\x03\x04", DOCX),
        ("text/plain", b"Selam", "text/plain"),
    ],
)
def test_a_file_is_what_its_content_says(small, claimed, data, kept):
    assert small().world.media.put("1", "1060", claimed, data, NOW).mime_type == kept


@pytest.mark.parametrize("data", [b"GIF89a", b"PK\x03\x04"])
def test_a_file_that_is_something_else_altogether_is_not_taken(small, data):
    with pytest.raises(Refused) as caught:
        small().world.media.put("1", "1060", "image/jpeg", data, NOW)
    assert caught.value.code == 100


@pytest.mark.parametrize(
    ("kind", "mime_type", "data", "voice", "fitting"),
    [
        ("sticker", "image/webp", STILL + bytes(90_000), False, True),
        ("sticker", "image/webp", STILL + bytes(110_000), False, False),
        ("sticker", "image/webp", MOVING + bytes(400_000), False, True),
        ("audio", "audio/mpeg", b"ID3", False, True),
        ("audio", "audio/mpeg", b"ID3", True, False),
        ("audio", "audio/ogg", b"OggS", True, True),
        ("image", "image/webp", STILL, False, False),
        ("document", "image/webp", STILL, False, True),
    ],
)
def test_a_file_must_fit_its_kind_of_message(small, kind, mime_type, data, voice, fitting):
    made = small()
    made.heard()
    media = made.world.media.put("1", "1060", mime_type, data, NOW)
    assert fits(kind, media, voice=voice) is fitting
    value = {"id": "1"} | ({"voice": True} if voice else {})
    assert made.failure(made.words() | {"type": kind, kind: value}) == (0 if fitting else 131053)


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("contacts", [{"name": {"formatted_name": "Ada"}}], 131008),
        (
            "interactive",
            interactive("button", {"buttons": [{"type": "url", "reply": {"id": "1"}}]}),
            131009,
        ),
        (
            "interactive",
            interactive(
                "voice_call", {"name": "voice_call", "parameters": {"display_text": "x" * 21}}
            ),
            131009,
        ),
        (
            "interactive",
            interactive("voice_call", {"name": "voice_call", "parameters": {"ttl_minutes": 0}}),
            131009,
        ),
    ],
)
def test_a_kind_that_breaks_a_limit_is_refused(small, kind, value, code):
    made = small()
    made.heard()
    assert made.refusal(made.words() | {"type": kind, kind: value}) == code


@pytest.mark.parametrize("more", [{"product_policy": "LOOSE"}, {"message_activity_sharing": "yes"}])
def test_marketing_is_sent_by_a_policy_that_there_is(small, more):
    made = small(pair_interval_s=0)
    assert made.refusal(made.offer(**more), marketing=True) == 100
    made.send(made.offer(product_policy="STRICT", message_activity_sharing=True), marketing=True)


# --- what Meta counts -----------------------------------------------------------------------------


def test_whoever_was_reached_counts_although_a_later_message_fails(small):
    made = small(pair_interval_s=0)
    made.world.portfolio.put(250)
    made.person(behaviour=KEEN)
    assert made.failure(made.offer()) == 0
    assert made.failure(made.offer(), NOW + 1, fail_code=131026) == 131026
    assert made.world.portfolio.used == 1


def test_whoever_is_reached_by_a_later_message_counts_although_the_first_fails(small):
    made = small(pair_interval_s=0)
    made.world.portfolio.put(250)
    made.person(behaviour=KEEN)
    first = made.send(made.offer(), fail_code=131026).message
    second = made.send(made.offer(), NOW + 1).message
    made.everything(first, NOW + 2)
    made.everything(second, NOW + 3)
    assert made.world.portfolio.used == 1


def test_a_limit_that_was_put_meanwhile_is_not_raised_by_what_the_former_one_earned(small):
    made = small()
    made.world.portfolio.put(250)
    later = []
    for n in range(130):
        message = made.send(made.offer(f"90532{n:07d}")).message
        later += made.everything(message)[2]
    (rise,) = later
    made.world.portfolio.put(0)
    assert rise.happen(NOW) == []
    made.world.portfolio.put(250)
    assert made.world.portfolio.tier == "TIER_250"
    assert not made.world.portfolio.rising


def test_a_number_that_is_told_again_keeps_its_past(small):
    made = small()
    made.number.blocked[BOB], made.number.feedback.told = None, "RED"
    again = made.world.put_number("1060", "1020", "+90 212 111 22 55", 40, NOW)
    assert again is made.number
    assert (again.blocked, again.feedback.told) == ({BOB: None}, "RED")
    assert (again.wa_id, again.throughput.per_second) == ("902121112255", 40)


def test_whoever_came_by_an_ad_is_free_for_three_days_from_the_answer(small):
    made = small(pair_interval_s=0)
    made.person(behaviour=KEEN)
    said = {"type": "text", "text": {"body": "?"}, "referral": {"source_type": "ad"}}

    def kinds(body, now):
        priced = [s for s in made.statuses(body, now) if "pricing" in s]
        (kind,) = {s["pricing"]["type"] for s in priced}
        assert all(("conversation" in s) == (kind == "free_entry_point") for s in priced)
        return kind

    made.world.say("1060", made.person(), said, NOW)
    assert kinds(made.words(), NOW + 23 * HOUR) == "free_entry_point"
    assert kinds(made.offer(), NOW + 94 * HOUR) == "free_entry_point"
    assert kinds(made.offer(), NOW + 96 * HOUR) == "regular"
    made.world.say("1060", made.person(), said, NOW + 100 * HOUR)
    assert kinds(made.offer(), NOW + 125 * HOUR) == "regular"  # answered after the window
