"""Campaigns when what they name changes or goes, and when others hold what is to move."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.ids import fresh_id
from chassis.testing import wait_until
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Budget,
    Campaign,
    CancelCampaignRequest,
    GetCampaignRequest,
    LaunchCampaignRequest,
    PauseCampaignRequest,
    ResumeCampaignRequest,
    Schedule,
    TriggeredAudience,
    Variant,
)
from services.sender.campaigns import keeping
from services.sender.consumer import SignalConsumer
from services.sender.model import NEVER, CampaignPhase, State
from services.sender.tests.test_audiences import greeting, uploaded
from services.sender.tests.test_campaigns import (
    drafted,
    fired,
    launched,
    people,
    segment,
    state_of,
)
from services.sender.tests.test_costs import upload
from services.sender.tests.test_preflight import kinds, outcome, preflight
from services.sender.tests.test_rates import HEAD
from services.sender.tests.test_steering import now_ms, updated, weighed

EUR = "EUR"
CARD = HEAD + "TR,TR,marketing,0,0.5\n"


async def launch(ready: Any, campaign_id: str, **fields: Any) -> Any:
    request = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id, **fields)
    return (await ready.campaign.LaunchCampaign(request)).campaign


async def pause(ready: Any, campaign_id: str) -> None:
    await ready.campaign.PauseCampaign(PauseCampaignRequest(campaign_id=campaign_id))


async def resume(ready: Any, campaign_id: str) -> Any:
    request = ResumeCampaignRequest(campaign_id=campaign_id)
    return (await ready.campaign.ResumeCampaign(request)).campaign


async def reason_of(ready: Any, campaign_id: str) -> str:
    got = await ready.campaign.GetCampaign(GetCampaignRequest(campaign_id=campaign_id))
    assert got.campaign.state == Campaign.STATE_PAUSED
    return str(got.campaign.state_reason)


# --- what it names is gone --------------------------------------------------------------------


async def test_what_was_launched_is_steered_though_what_it_named_is_gone(ready: Any) -> None:
    audience = segment(ready, await people(ready, 3, "9055530"))
    audience.segment.segment_version = 1
    campaign_id = await launched(ready, audience)
    await ready.plan()
    await pause(ready, campaign_id)
    del ready.segment.members[audience.segment.segment_id]
    soon = Timestamp(seconds=now_ms() // 1000 + 3_600)
    changed = await updated(ready, campaign_id, name="n", not_after_time=soon)
    assert (changed.name, changed.not_after_time) == ("n", soon)
    assert (await resume(ready, campaign_id)).state == Campaign.STATE_RUNNING


async def test_an_archived_segment_is_not_launched_and_pauses_what_was_to_start(ready: Any) -> None:
    audience = segment(ready, await people(ready, 2, "9055531"))
    later, never = [await drafted(ready, audience) for _ in range(2)]
    start = Timestamp()
    start.FromMilliseconds(now_ms() + 200)
    await launch(ready, later, schedule=Schedule(start_time=start))
    ready.segment.archived.add(audience.segment.segment_id)
    refused = await ready.refusal(launch(ready, never))
    assert refused == ("NOT_FOUND", "SEGMENT_NOT_FOUND")
    await asyncio.sleep(0.25)  # its time has come
    await ready.plan()
    assert await reason_of(ready, later) == "segment_not_found"


async def test_a_segment_that_changed_before_the_start_pauses_who_named_its_version(
    ready: Any,
) -> None:
    audience = segment(ready, await people(ready, 2, "9055532"))
    audience.segment.segment_version = 1
    campaign_id = await launched(ready, audience)
    ready.segment.version = 2
    await ready.plan()
    assert await reason_of(ready, campaign_id) == "segment_version"
    assert await ready.rows(campaign_id=campaign_id) == []


async def test_a_segment_that_forgot_who_was_in_it_pauses_planning(ready: Any) -> None:
    campaign_id = await launched(ready, segment(ready, await people(ready, 20, "9055540")))
    await ready.pool.execute("UPDATE plans SET cursor = '10' WHERE campaign_id = $1", campaign_id)
    ready.segment.forgotten = True
    await ready.plan()
    assert await reason_of(ready, campaign_id) == "segment_forgotten"


async def test_a_file_that_goes_before_all_is_read_never_passes_for_the_whole(ready: Any) -> None:
    who = await people(ready, 2, "9055533")
    lines = "\n".join(f"905553300{n:03},x" for n in range(len(who)))
    file_id = await uploaded(ready, f"wa_id,greeting\n{lines}".encode())
    campaign_id = await launched(ready, _file(file_id), variants=[greeting()])
    await ready.pool.execute("DELETE FROM file_parts WHERE file_id = $1", file_id)
    await ready.plan()
    assert await reason_of(ready, campaign_id) == "file_not_found"


async def test_a_file_that_is_gone_by_the_start_is_told_before(ready: Any) -> None:
    file_id = await uploaded(ready, b"wa_id,greeting\n905550000001,x")
    end = now_ms() + 3_600_000
    await ready.pool.execute("UPDATE files SET expire_time = $2 WHERE file_id = $1", file_id, end)
    campaign_id = await drafted(ready, _file(file_id), variants=[greeting()])
    late = Schedule(start_time=Timestamp(seconds=end // 1000 + 60))
    assert "file_expires" in kinds(await outcome(ready, campaign_id, schedule=late))
    *_, facts = await ready.refused(launch(ready, campaign_id, schedule=late))
    assert facts["problem"] == "file_expires"
    assert (await launch(ready, campaign_id)).state == Campaign.STATE_PLANNING


async def test_a_template_edited_since_the_draft_refuses_the_launch(ready: Any) -> None:
    campaign_id = await drafted(ready, segment(ready, []))
    await ready.pool.execute(
        "UPDATE templates SET components = replace(convert_from(components, 'UTF8'), 'geldi',"
        " '{{2}}')::bytea WHERE waba_id = $1 AND name = 'welcome'",
        ready.waba_id,
    )
    assert "variables_unfit" in kinds(await outcome(ready, campaign_id))
    *_, facts = await ready.refused(launch(ready, campaign_id))
    assert facts["problem"] == "variables_unfit"


async def test_a_template_that_meta_looks_at_again_pauses_planning_and_refuses_nobody(
    ready: Any,
) -> None:
    campaign_id = await launched(ready, segment(ready, await people(ready, 3, "9055539")))
    await _template(ready, "PENDING")
    await ready.plan()
    assert await reason_of(ready, campaign_id) == "template_pending"
    assert await ready.rows(campaign_id=campaign_id) == []
    assert (await ready.refusal(resume(ready, campaign_id)))[1] == "TEMPLATE_STATE"
    await _template(ready, "APPROVED")
    await resume(ready, campaign_id)
    await ready.plan()
    assert await ready.states(campaign_id) == {State.PLANNED: 3}


async def _template(ready: Any, state: str) -> None:
    await ready.pool.execute(
        "UPDATE templates SET state = $2 WHERE waba_id = $1 AND name = 'welcome'",
        *(ready.waba_id, state),
    )


async def test_what_is_launched_is_what_was_looked_at(
    ready: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_id = await drafted(ready, segment(ready, []))
    steering, past = ready.campaign_api._steering, Timestamp(seconds=now_ms() // 1000 - 60)
    found = steering.found

    async def edited_meanwhile(*asked: Any) -> Any:
        monkeypatch.undo()
        findings = await found(*asked)
        await updated(ready, campaign_id, not_after_time=past)
        return findings

    monkeypatch.setattr(steering, "found", edited_meanwhile)
    *_, facts = await ready.refused(launch(ready, campaign_id))
    assert facts["problem"] == "deadline"


async def test_a_schedule_that_cannot_be_launched_cannot_be_looked_at_either(ready: Any) -> None:
    campaign_id = await drafted(ready, segment(ready, []))
    schedule = Schedule()
    schedule.best_time_duration.FromSeconds(5)
    assert (await ready.refusal(preflight(ready, campaign_id, schedule=schedule)))[1] == (
        "FIELD_INVALID"
    )


# --- money ------------------------------------------------------------------------------------


async def test_a_budget_given_later_counts_what_was_spent_before(ready: Any) -> None:
    await upload(ready, CARD, currency_code=EUR)
    campaign_id = await launched(ready, Audience(triggered=TriggeredAudience()))

    async def send(members: list[str], states: dict[State, int]) -> None:
        for who in members:
            event = fired(campaign_id, who, fresh_id("occ"))
            await SignalConsumer(ready.planner).handle([event])
        await wait_until(lambda: _stand(ready, campaign_id, states))

    async with ready.sending():
        members = await people(ready, 8, "9055534")
        await send(members[:4], {State.SENT: 4})
        budget = Budget(amount_micros=3_000_000, currency_code=EUR)
        await updated(ready, campaign_id, budget=budget)
        await send(members[4:], {State.SENT: 6, State.HELD: 2})


async def test_whom_a_spent_budget_holds_are_asked_once_after_a_resumption(
    ready: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_MOVED", 2)  # as with very many
    campaign_id = await launched(ready, segment(ready, await people(ready, 5, "9055535")))
    await ready.plan()

    async def held(decide_time: int) -> int:
        """By the gate, as soon as anybody is asked."""
        status = await ready.pool.execute(
            "UPDATE messages SET state = 2, gate = 'budget', due_time = $2, decide_time = $3"
            " WHERE campaign_id = $1 AND state = 1",
            *(campaign_id, NEVER, decide_time),
        )
        return int(status.split()[-1])

    await held(now_ms() - 60_000)
    await pause(ready, campaign_id)
    await resume(ready, campaign_id)
    asked = 0
    for _ in range(6):
        await ready.keeper.step()
        asked += await held(now_ms() + 60_000)
    assert asked == 5
    assert await _swept(ready, campaign_id)


async def _stand(ready: Any, campaign_id: str, states: dict[State, int]) -> bool:
    found: dict[int, int] = await ready.states(campaign_id)
    return found == states


async def _swept(ready: Any, campaign_id: str) -> bool:
    found: bool = await ready.pool.fetchval(
        "SELECT swept FROM campaigns WHERE campaign_id = $1", campaign_id
    )
    return found


async def test_a_new_name_or_weight_moves_nobody_who_waits(ready: Any) -> None:
    campaign_id = await launched(ready, segment(ready, await people(ready, 2, "9055536")))
    await ready.plan()
    assert await _swept(ready, campaign_id)
    await updated(ready, campaign_id, name="other")
    await weighed(ready, campaign_id, str(uuid4()), a=2)
    assert await _swept(ready, campaign_id)


# --- side by side -----------------------------------------------------------------------------


@pytest.mark.parametrize("cancelled", [False, True])
async def test_whom_others_hold_at_that_instant_is_not_forgotten(
    ready: Any, cancelled: bool
) -> None:
    campaign_id = await launched(ready, segment(ready, await people(ready, 3, "9055537")))
    await ready.plan()
    await pause(ready, campaign_id)
    await ready.pool.execute(
        "UPDATE messages SET state = 2, gate = 'campaign', due_time = $2 WHERE campaign_id = $1",
        *(campaign_id, NEVER),
    )
    if cancelled:
        await ready.campaign.CancelCampaign(CancelCampaignRequest(campaign_id=campaign_id))
    else:
        await resume(ready, campaign_id)
    one = (await ready.rows(campaign_id=campaign_id))[0].message_id
    async with ready.pool.acquire() as connection, connection.transaction():
        # As whoever follows a merge does
        await connection.execute("SELECT FROM messages WHERE message_id = $1 FOR UPDATE", one)
        await ready.keeper.step()
        await ready.keeper.step()
    await ready.plan()
    expected = State.CANCELLED if cancelled else State.PLANNED
    assert await ready.states(campaign_id) == {expected: 3}


async def test_a_draft_that_stands_is_not_written_over_by_a_late_repeat(ready: Any) -> None:
    end = Timestamp(seconds=now_ms() // 1000 + 3_600)
    campaign_id = await drafted(ready, segment(ready, []))
    before = await ready.campaigns.get(campaign_id)
    await updated(ready, campaign_id, not_after_time=end)
    await ready.campaigns.create(before)
    kept = await ready.pool.fetchval(
        "SELECT not_after FROM campaigns WHERE campaign_id = $1", campaign_id
    )
    assert kept == end.ToMilliseconds()


# --- triggers ---------------------------------------------------------------------------------


async def test_a_value_that_must_not_be_missing_pauses_what_triggers_feed(ready: Any) -> None:
    strict = Binding(variable="body.1", expression="parameters.x", missing=Binding.MISSING_FAIL)
    campaign_id = await launched(
        ready,
        Audience(triggered=TriggeredAudience()),
        variants=[Variant(name="a", template_name="welcome", weight=1, bindings=[strict])],
    )
    (who,) = await people(ready, 1, "9055538")
    await SignalConsumer(ready.planner).handle([fired(campaign_id, who, fresh_id("occ"))])
    assert await reason_of(ready, campaign_id) == "variable_missing_body.1"
    (row,) = await ready.rows(campaign_id=campaign_id)
    assert (row.state, row.gate) == (State.SUPPRESSED, "variables")


async def test_the_refusal_says_what_to_do(ready: Any) -> None:
    campaign_id = await drafted(ready, segment(ready, []))
    with pytest.raises(Exception, match="draft; launch it first"):
        await pause(ready, campaign_id)
    assert await state_of(ready, campaign_id) == CampaignPhase.DRAFT


def _file(file_id: str) -> Audience:
    audience = Audience()
    audience.file.file_id = file_id
    return audience
