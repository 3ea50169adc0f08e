"""Campaigns paused, resumed, changed and cancelled at any instant, while processes of the sender
are killed: everybody of the audience once, nobody forgotten, no call after a pause was answered.

`SURVIVE=long` (`make survive`) plans for twenty times as many people through more of it.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Final
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from bench import audience
from chassis.testing import wait_until
from merhaba.sender.v1 import (
    Audience,
    Binding,
    Campaign,
    CampaignServiceStub,
    CancelCampaignRequest,
    CreateCampaignRequest,
    GetCampaignRequest,
    LaunchCampaignRequest,
    PauseCampaignRequest,
    ResumeCampaignRequest,
    SegmentAudience,
    SetVariantWeightsRequest,
    UpdateCampaignRequest,
    Variant,
    WatchCampaignRequest,
)
from services.sender.model import State
from services.sender.rules.policy import Policy
from tests.sender.suite import UNWILLING, Suite, suite

LONG: Final = os.environ.get("SURVIVE") == "long"
PEOPLE: Final = 20_000 if LONG else 1_500
PER_SECOND: Final = 100 if LONG else 150
DEEDS: Final = 60 if LONG else 12
POLICY: Final = Policy(frequency_caps=(), quiet_hours=(), unknown_ms=5_000)
HOLD_OUT: Final = 0.1
SETTLE_S: Final = 0.3
"""How long a call that had begun may take to reach the ledger."""


def campaign() -> Campaign:
    """To everybody, in two variants."""
    binding = Binding(
        variable="body.1",
        expression="profile.first_name",
        missing=Binding.MISSING_FALLBACK,
        fallbacks={"*": "dostum"},
    )
    return Campaign(
        name="spring",
        waba_id=audience.WABA,
        audience=Audience(segment=SegmentAudience(segment_id="everybody")),
        hold_out_share=HOLD_OUT,
        variants=[
            Variant(name=name, template_name=audience.TEMPLATE, weight=1, bindings=[binding])
            for name in ("a", "b")
        ],
    )


class Over(Exception):
    """Everybody has an outcome before all was done that was to be."""


class Steering:
    """Somebody who cannot leave a campaign alone."""

    def __init__(self, running: Suite, chance: random.Random, campaign_id: str) -> None:
        self._running = running
        self._chance = chance
        self._campaign_id = campaign_id
        self.done: Counter[str] = Counter()

    async def call(self, what: Callable[[CampaignServiceStub], Awaitable[Any]]) -> Any:
        """Call until somebody answers; whatever it is, it may be said twice. Raises Over."""
        until = time.monotonic() + 60
        to = self._running.running.addresses()
        while True:
            try:
                async with to.channel("sender") as opened:
                    return await what(CampaignServiceStub(opened))
            except grpc.aio.AioRpcError as error:
                if (error.details() or "").startswith("the campaign is completed"):
                    raise Over from error
                passing = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                if error.code() not in passing or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)

    async def anything(self) -> None:
        """One thing, chosen by chance."""
        deed = self._chance.choice(
            (self.pause, self.resume, self.edit, self.weigh, self.kill, self.kill)
        )
        self.done[deed.__name__] += 1
        await deed()

    async def pause(self) -> None:
        """And look whether any call begins."""
        request = PauseCampaignRequest(campaign_id=self._campaign_id)
        await self.call(lambda stub: stub.PauseCampaign(request))
        answered = time.time()
        await asyncio.sleep(SETTLE_S + 0.5)
        late = [e for e in await self._running.ledger() if e["accepted"] > answered + SETTLE_S]
        assert not late, f"{len(late)} calls began after the answer"

    async def resume(self) -> None:
        """Let it go on."""
        request = ResumeCampaignRequest(campaign_id=self._campaign_id)
        await self.call(lambda stub: stub.ResumeCampaign(request))

    async def edit(self) -> None:
        """Rename it."""
        request = UpdateCampaignRequest(
            campaign=Campaign(campaign_id=self._campaign_id, name=f"n{self._chance.random()}"),
            update_mask=FieldMask(paths=["name"]),
        )
        await self.call(lambda stub: stub.UpdateCampaign(request))

    async def weigh(self) -> None:
        """As a bandit does."""
        request = SetVariantWeightsRequest(
            request_id=str(uuid4()),
            campaign_id=self._campaign_id,
            weights={"a": 1 + self._chance.randrange(9), "b": 1},
        )
        await self.call(lambda stub: stub.SetVariantWeights(request))

    async def kill(self) -> None:
        """Of a process that may be planning, sending or answering."""
        self._running.kill("sender")


async def launched(running: Suite, chance: random.Random) -> Steering:
    """A campaign that was launched just now."""
    draft = CreateCampaignRequest(request_id=str(uuid4()), campaign=campaign())
    someone = Steering(running, chance, "")
    created = await someone.call(lambda stub: stub.CreateCampaign(draft))
    campaign_id = created.campaign.campaign_id
    launch = LaunchCampaignRequest(request_id=str(uuid4()), campaign_id=campaign_id)
    await someone.call(lambda stub: stub.LaunchCampaign(launch))
    return Steering(running, chance, campaign_id)


async def prepared(exits: AsyncExitStack) -> Suite:
    """A suite with everybody, whom a number may write to."""
    running = await exits.enter_async_context(suite())
    await exits.enter_async_context(audience.members(running.running, PEOPLE))
    await running.prepare(PEOPLE, PER_SECOND, POLICY)
    await running.fetch("DELETE FROM sender.messages")
    await running.fetch("UPDATE sender.campaigns SET state = 7, swept = true")
    await running.sends()
    await exits.enter_async_context(running.senders(2))
    return running


async def state(someone: Steering) -> int:
    request = GetCampaignRequest(campaign_id=someone._campaign_id)
    found = await someone.call(lambda stub: stub.GetCampaign(request))
    return int(found.campaign.state)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> random.Random:
    """Leases that end soon."""
    monkeypatch.setenv("CALL_TIMEOUT_S", "2")
    monkeypatch.setenv("MEDIA_TIMEOUT_S", "1")
    return random.Random(20_261_123)


@pytest.mark.timeout(1_200 if LONG else 300)
async def test_everybody_is_planned_and_sent_once_whatever_is_done_meanwhile(
    patient: random.Random,
) -> None:
    async with AsyncExitStack() as exits:
        running = await prepared(exits)
        someone = await launched(running, patient)
        with suppress(Over):
            for _ in range(DEEDS):
                await asyncio.sleep(patient.uniform(0.1, 1.0))
                await someone.anything()
            await someone.resume()
        assert someone.done.total() > DEEDS / 3

        async def over() -> bool:
            done = await state(someone) == Campaign.STATE_COMPLETED
            return done and not await running.open()

        await wait_until(over, timeout_s=900 if LONG else 200, every_s=1)
        await running.control("POST drain", {"timeout_s": 60, "hurry": True})
        accepted = Counter(entry["callback_data"] for entry in await running.ledger())
        rows: list[Any] = []
        watched: Any = None

        async def agreed() -> bool:
            """The last statuses are in, and counted."""
            nonlocal rows, watched
            rows = await running.fetch(
                "SELECT contact_id, message_id, state, gate, reason FROM sender.messages"
            )
            watched = await someone.call(lambda stub: _last(stub, someone._campaign_id))
            found = Counter(State(row["state"]).name.lower() for row in rows)
            return dict(watched.states) == dict(found)

        await wait_until(agreed, timeout_s=30, every_s=0.5)
    assert set(accepted.values()) == {1}, "nobody twice"
    assert {row["contact_id"] for row in rows} == {
        audience.contact_id(person) for person in range(PEOPLE)
    }
    assert len(rows) == PEOPLE
    assert watched.recipients == PEOPLE
    reached = {row["message_id"] for row in rows if State.SENT <= row["state"] <= State.PLAYED}
    doubted = {row["message_id"] for row in rows if row["reason"] == "unconfirmed"}
    assert reached <= accepted.keys() <= reached | doubted
    held_out = sum(row["state"] == State.HELD_OUT for row in rows)
    assert abs(held_out - HOLD_OUT * PEOPLE) < 6 * (PEOPLE * HOLD_OUT) ** 0.5
    unwilling = sum(row["gate"] == "consent" for row in rows)
    assert unwilling + held_out + len(reached) + len(doubted) == PEOPLE
    assert 0 < unwilling <= PEOPLE / UNWILLING
    assert len(doubted) <= PEOPLE * 0.2, someone.done


async def _last(stub: CampaignServiceStub, campaign_id: str) -> Any:
    request = WatchCampaignRequest(campaign_id=campaign_id)
    return [one async for one in stub.WatchCampaign(request)][-1].progress


@pytest.mark.timeout(600 if LONG else 200)
async def test_whoever_waits_when_it_is_cancelled_ends_and_nobody_is_called_after(
    patient: random.Random,
) -> None:
    async with AsyncExitStack() as exits:
        running = await prepared(exits)
        for _ in range(6 if LONG else 2):
            someone = await launched(running, patient)
            await asyncio.sleep(patient.uniform(0.2, 3.0))
            if patient.random() < 0.5:
                await someone.kill()
            request = CancelCampaignRequest(campaign_id=someone._campaign_id, reason="mistake")
            await someone.call(
                lambda stub, request=request: stub.CancelCampaign(request)  # type: ignore[misc]
            )
            answered = time.time()

            async def ended(someone: Steering = someone) -> bool:
                rows = await running.fetch(
                    "SELECT count(*) FROM sender.messages"
                    " WHERE campaign_id = $1 AND state IN (1, 2, 3)",
                    someone._campaign_id,
                )
                return not rows[0][0]

            await wait_until(ended, timeout_s=90, every_s=0.5)
            rows = await running.fetch(
                "SELECT message_id FROM sender.messages WHERE campaign_id = $1",
                someone._campaign_id,
            )
            mine = {row[0] for row in rows}
            entries = [e for e in await running.ledger() if e["callback_data"] in mine]
            assert len({e["callback_data"] for e in entries}) == len(entries)
            assert not [e for e in entries if e["accepted"] > answered + SETTLE_S]
