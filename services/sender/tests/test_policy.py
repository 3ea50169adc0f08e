"""The policy: sensible as shipped, changed by field, checked by path, in force at once."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from chassis.failures import FieldInvalid
from chassis.testing import wait_until
from merhaba.sender.v1 import (
    FrequencyCap,
    GetPolicyRequest,
    QuietHours,
    SendingPolicy,
    UpdatePolicyRequest,
)
from services.sender.model import State
from services.sender.rulebook.policy_wire import FIELDS, changed, policy_proto
from services.sender.rules.policy import Policy, check
from services.sender.tests.test_sending import reason_of, to, welcome

PROTO = Path(__file__).parents[3] / "protos/merhaba/sender/v1/policy.proto"


def minutes(count: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(minutes=count))
    return duration


def always_quiet() -> list[QuietHours]:
    return [
        QuietHours(purpose="marketing", start="00:00", end="12:00"),
        QuietHours(purpose="marketing", start="12:00", end="24:00"),
    ]


async def update(ready: Any, *paths: str, **fields: Any) -> SendingPolicy:
    answer = await ready.policy.UpdatePolicy(
        UpdatePolicyRequest(policy=SendingPolicy(**fields), update_mask=FieldMask(paths=paths))
    )
    policy: SendingPolicy = answer.policy
    return policy


def test_the_defaults_are_sound_and_stated_in_the_contract() -> None:
    check(Policy())
    shown = policy_proto(Policy())
    assert changed(Policy(), shown, FIELDS) == changed(Policy(), policy_proto(Policy()), FIELDS)
    text = " ".join(re.sub(r"\s*//\s*", " ", PROTO.read_text(encoding="utf-8")).split())
    for sentence in (
        "As shipped: `marketing`, 2 in 24 hours and 5 in 7 days.",
        "As shipped: `marketing`, from 21:00 to 09:00, every day and everywhere.",
        "As shipped: `UTC`.",
        "At least 24 hours, as shipped",
        "while a contact's complaint is open. As shipped: `marketing`.",
        "As shipped: 0. double global_control_share",
        "As shipped: 0.2. double reply_share",
        "As shipped: 24 hours. google.protobuf.Duration unknown_duration",
        "RED. As shipped: `marketing`.",
    ):
        assert sentence in text
    caps = [(c.purpose, c.limit, c.window_duration.seconds) for c in shown.frequency_caps]
    assert caps == [("marketing", 2, 86_400), ("marketing", 5, 7 * 86_400)]
    (night,) = shown.quiet_hours
    assert (night.purpose, night.start, night.end) == ("marketing", "21:00", "09:00")
    assert (shown.default_zone, shown.saturation_duration.seconds) == ("UTC", 86_400)
    assert (shown.global_control_share, shown.reply_share) == (0, 0.2)
    assert shown.complaint_paused_purposes == shown.red_quality_paused_purposes == ["marketing"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("policy.frequency_caps[1].limit", {"frequency_caps": [
            FrequencyCap(purpose="*", limit=1, window_duration=minutes(1)),
            FrequencyCap(purpose="*", limit=-1, window_duration=minutes(1))]}),
        ("policy.frequency_caps[0].purpose", {"frequency_caps": [
            FrequencyCap(purpose="Marketing", limit=1, window_duration=minutes(1))]}),
        ("policy.frequency_caps[0].window_duration", {"frequency_caps": [
            FrequencyCap(purpose="marketing", limit=1)]}),
        ("policy.quiet_hours[0].start", {"quiet_hours": [
            QuietHours(purpose="marketing", start="9:00", end="10:00")]}),
        ("policy.quiet_hours[0].start", {"quiet_hours": [
            QuietHours(purpose="marketing", start="24:00", end="10:00")]}),
        ("policy.quiet_hours[0].end", {"quiet_hours": [
            QuietHours(purpose="marketing", start="09:00", end="09:00")]}),
        ("policy.quiet_hours[0].end", {"quiet_hours": [
            QuietHours(purpose="marketing", start="09:00", end="24:01")]}),
        ("policy.quiet_hours[0].market", {"quiet_hours": [
            QuietHours(purpose="*", market="Turkey", start="09:00", end="10:00")]}),
        ("policy.quiet_hours[0].weekdays", {"quiet_hours": [
            QuietHours(purpose="*", start="09:00", end="10:00", weekdays=[0])]}),
        ("policy.default_zone", {"default_zone": "Europe/Atlantis"}),
        ("policy.saturation_duration", {"saturation_duration": minutes(60)}),
        ("policy.complaint_paused_purposes[0]", {"complaint_paused_purposes": ["*"]}),
        ("policy.global_control_share", {"global_control_share": 1.0}),
        ("policy.reply_share", {"reply_share": -0.1}),
        ("policy.unknown_duration", {"unknown_duration": minutes(0.5)}),
        ("policy.frequency_caps", {"frequency_caps": [
            FrequencyCap(purpose="*", limit=1, window_duration=minutes(1))] * 51}),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_meant_is_named_by_its_path(path: str, fields: Any) -> None:
    with pytest.raises(FieldInvalid) as caught:
        check(changed(Policy(), SendingPolicy(**fields), list(fields)))
    assert caught.value.facts["field"] == path


async def test_a_mask_changes_what_it_names_and_no_mask_what_is_given(ready: Any) -> None:
    await update(ready, default_zone="Europe/Istanbul", reply_share=0.3)
    changed = await update(ready, "reply_share", default_zone="UTC", reply_share=0)
    assert (changed.default_zone, changed.reply_share) == ("Europe/Istanbul", 0)
    read = (await ready.policy.GetPolicy(GetPolicyRequest())).policy
    assert read == changed
    for path in ("update_time", "frequency_caps.limit", "nothing"):
        refused = await reason_of(update(ready, path))
        assert refused == ("INVALID_ARGUMENT", "FIELD_INVALID")


async def test_who_read_an_older_policy_changes_nothing(ready: Any) -> None:
    first = await update(ready, default_zone="Europe/Istanbul")
    await update(ready, default_zone="Europe/Berlin", etag=first.etag)
    late = await reason_of(update(ready, default_zone="Asia/Tokyo", etag=first.etag))
    assert late == ("ABORTED", "ETAG_MISMATCH")
    assert (await ready.policy.GetPolicy(GetPolicyRequest())).policy.default_zone == "Europe/Berlin"


async def test_a_change_asks_what_waits_again_within_a_second(ready: Any) -> None:
    await update(ready, quiet_hours=always_quiet())
    who = ready.profile.add("905557770001")
    sent = await ready.messages.SendMessage(to(who, welcome(str(uuid4()))))
    message_id = sent.message.ref.message_id

    async def stands(*states: State) -> bool:
        row = await ready.outbox.get("message_id", message_id)
        return State(row.state) in states

    async with ready.sending():
        await wait_until(lambda: stands(State.HELD))
        held = await ready.outbox.get("message_id", message_id)
        assert (held.gate, held.reason) == ("quiet_hours", "quiet")
        await update(ready, "quiet_hours")
        await wait_until(
            lambda: stands(State.SENT, State.DELIVERED, State.READ, State.PLAYED), timeout_s=1.5
        )
    told = await ready.told(message_id)
    assert told[:3] == ["message_planned", "message_held", "message_sent"]


async def test_the_policy_says_which_number_sends_when_nothing_else_decides(ready: Any) -> None:
    now = await ready.pool.fetchval("SELECT max(create_time) FROM numbers")
    other = f"{ready.number_id}1"
    for preferred in (other, ready.number_id):
        await ready.pool.execute(
            "INSERT INTO numbers (phone_number_id, waba_id, throughput, create_time, update_time,"
            " sync_time) VALUES ($1, $2, 80, $3, $3, $3) ON CONFLICT DO NOTHING",
            *(other, ready.waba_id, now),
        )
        await update(ready, default_phone_number_ids=["unknown", preferred])
        who = ready.profile.add("905557770002")
        sent = await ready.messages.SendMessage(to(who, welcome(str(uuid4()))))
        assert sent.message.ref.phone_number_id == preferred
