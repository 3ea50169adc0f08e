"""Segment processes that die while triggers are caused, wait and act: every occurrence that there
should be, and no other, for whoever drops repeats by id."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import time
from uuid import uuid4

import grpc
import pytest
from aiohttp import web
from google.protobuf.duration_pb2 import Duration

from chassis.streams import Position, Record
from chassis.testing import wait_until
from merhaba.event.v1 import Event
from merhaba.segment.v1 import (
    Action,
    CreateTriggerRequest,
    EventCause,
    SendAction,
    Trigger,
    TriggerServiceStub,
    UpdateTriggerRequest,
    WebhookAction,
)
from tests.segment.conftest import Alone

PEOPLE = 200
DELAY_S = 3
SEND = Action(send=SendAction(campaign_id="c"))
Said = tuple[str, str, str]
"""By trigger, whom, and what for: the key, or the causing event."""


class Life:
    """What people do, and what has to come of it."""

    def __init__(self) -> None:
        self.people = [str(uuid4()) for _ in range(PEOPLE)]
        self.wanted: set[Said] = set()
        self.open: set[Said] = set()
        """Ordered so late that both saying it and not saying it are right."""
        self._chance = random.Random(7)
        self._carts: dict[str, tuple[int, float, str]] = {}

    def happen(self, turn: int) -> list[Record]:
        """Everybody does something once in ten turns; some repeat it, some order their cart."""
        records = []
        for number, who in enumerate(self.people):
            if (number + turn) % 10:
                continue
            kind = (number + turn // 10) % 3
            if kind == 0:
                event = _event(who, "order_completed")
                self.wanted.add(("now", who, event.event_id))
                records.append(_record(event))
            elif kind == 1:
                event = _event(who, "signed_up")
                self.wanted.add(("hook", who, event.event_id))
                records.append(_record(event))
            else:
                cart = f"cart-{turn}"
                # The first event of a cart counts, the second is its like.
                records += [_record(_event(who, "cart_updated", cart)) for _ in range(2)]
                if self._chance.random() < 0.4:
                    self._carts[who] = turn + 4, time(), cart
                else:
                    self.wanted.add(("later", who, cart))
        records += self.ordered(turn)
        return records + self._chance.sample(records, len(records) // 3)

    def ordered(self, turn: int) -> list[Record]:
        """Those who order what is in their carts do it by then."""
        now = {who: one for who, one in self._carts.items() if one[0] <= turn}
        for who, (_, since, cart) in now.items():
            del self._carts[who]
            if time() > since + DELAY_S - 1:  # a machine that stood still made them late
                self.open.add(("later", who, cart))
        return [_record(_event(who, "checkout_started", cart)) for who, (*_, cart) in now.items()]


def _event(who: str, name: str, cart: str = "") -> Event:
    event = Event(event_id=f"{name}/{secrets.token_hex(8)}", contact_id=who)
    now = int(time() * 1000)
    event.event_time.FromMilliseconds(now)
    event.received_time.FromMilliseconds(now)
    event.tracked.name = name
    event.tracked.properties_json = b'{"cart_id":"%b"}' % cart.encode()
    return event


def _record(event: Event) -> Record:
    return Record("contact", event.contact_id, event.SerializeToString())


class Suite(Alone):
    """What the service is asked and says, and somebody who is called by it."""

    def __init__(self, alone: Alone) -> None:
        super().__init__(alone.running, alone.log)
        self.names: dict[str, str] = {}
        self.called: Counter[str] = Counter()
        self.port = 0

    async def called_by(self, request: web.Request) -> web.Response:
        self.called[request.headers["Merhaba-Occurrence-Id"]] += 1
        return web.Response(status=500 if random.random() < 0.1 else 200)

    async def define(self) -> None:
        hook = WebhookAction(url=f"http://127.0.0.1:{self.port}/", secret_name="crm")
        cancel = 'events("checkout_started").where(e, e.cart_id == event.cart_id).exists()'
        for one in (
            Trigger(name="now", event=EventCause(name="order_completed"), action=SEND),
            Trigger(
                name="later",
                event=EventCause(name="cart_updated"),
                key="event.cart_id",
                delay_duration=Duration(seconds=DELAY_S),
                cancel_condition=cancel,
                action=SEND,
            ),
            Trigger(name="hook", event=EventCause(name="signed_up"), action=Action(webhook=hook)),
        ):
            async with self._triggers() as stub:
                request = CreateTriggerRequest(request_id=one.name, trigger=one)
                made = await stub.CreateTrigger(request)
            self.names[made.trigger.trigger_id] = one.name

    async def edit(self, turn: int) -> None:
        """Another version of every trigger, that does the same."""
        for trigger_id in self.names:
            trigger = Trigger(trigger_id=trigger_id, condition=f"true || {turn} > 0")
            with suppress(grpc.aio.AioRpcError):  # it may be away just now
                async with self._triggers() as stub:
                    await stub.UpdateTrigger(UpdateTriggerRequest(trigger=trigger))

    @asynccontextmanager
    async def _triggers(self) -> AsyncIterator[TriggerServiceStub]:
        addresses = self.running.addresses()
        async with addresses.channel("segment") as one:
            yield TriggerServiceStub(one)

    async def said(self) -> dict[str, Said]:
        """Every firing on the log, once by its id."""
        found: dict[str, Said] = {}
        positions = {s: Position(s, b"0") for s in self.log.streams("signal")}
        while page := await self.log.read([*positions.values()], 500, 1):
            for position, events in page:
                positions[position.stream] = position
                for event in map(Event.FromString, events):
                    if event.WhichOneof("body") != "trigger_fired":
                        continue
                    fired = event.trigger_fired
                    name = self.names[fired.trigger_id]
                    one = name, event.contact_id, fired.key or fired.cause_event_id
                    assert found.setdefault(event.event_id, one) == one, "an id means one thing"
        return found

    async def agrees(self, life: Life) -> None:
        """Return when everything was said and done, and nothing else."""

        async def all_of_it() -> bool:
            said = await self.said()
            hooks = {i for i, one in said.items() if one[0] == "hook"}
            return set(said.values()) >= life.wanted and self.called.keys() >= hooks

        await wait_until(all_of_it, timeout_s=90, every_s=0.3)
        await asyncio.sleep(DELAY_S)  # whatever is too much would come by now
        said = await self.said()
        assert len(set(said.values())) == len(said), "one id each"
        assert set(said.values()) - life.open == life.wanted
        assert self.called.keys() == {i for i, one in said.items() if one[0] == "hook"}


@pytest.fixture
def webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of triggers, to this machine."""
    monkeypatch.setenv("WEBHOOK_SECRETS", "crm:a secret for tests")
    monkeypatch.setenv("WEBHOOK_INSIDE", "true")


@pytest.fixture
async def suite(webhooks: None, alone: Alone) -> AsyncIterator[Suite]:
    one = Suite(alone)
    app = web.Application()
    app.router.add_post("/", one.called_by)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.port = runner.addresses[0][1]
    await one.define()
    yield one
    await runner.cleanup()


@pytest.mark.timeout(240)
async def test_killed_again_and_again_no_occurrence_is_lost_and_none_comes_twice(
    suite: Suite,
) -> None:
    life = Life()
    async with asyncio.TaskGroup() as meanwhile:
        for turn in range(80):
            await suite.log.append(life.happen(turn))
            if turn in {9, 26, 43, 61}:
                suite.kill()
            if turn in {18, 52}:
                meanwhile.create_task(suite.edit(turn))
            await asyncio.sleep(0.1)
    await suite.log.append(life.ordered(turn=90))
    assert len(life.open) < PEOPLE, "most of it was in time"
    await suite.agrees(life)
