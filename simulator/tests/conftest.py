"""A small world without a server, and the simulator as its callers see it."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from simulator.app import running
from simulator.ids import Ids
from simulator.people.person import Person
from simulator.refusals import Refused
from simulator.rules import Rules
from simulator.settings import Settings
from simulator.templates.definition import Template
from simulator.webhooks.subscriptions import Subscriptions
from simulator.webhooks.updates import Update
from simulator.world.account import TemplateAccount
from simulator.world.life import Life
from simulator.world.sending import Message, Sending, Sent
from simulator.world.standing import Standing
from simulator.world.world import Later, Lifetime, World

NOW = 1_790_000_000.0
NUMBER, WABA = "1060", "1020"
ADA, BOB = "905321112233", "905321112244"
SECRET, VERIFY, ACCESS, CONTROL = "app-secret", "verify", "access", "control"
OFFER = {
    "name": "offer",
    "language": "tr",
    "category": "MARKETING",
    "components": [
        {
            "type": "BODY",
            "text": "Merhaba {{1}}, {{2}} indirim!",
            "example": {"body_text": [["Ada", "%20"]]},
        },
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "QUICK_REPLY", "text": "Evet"},
                {
                    "type": "URL",
                    "text": "Git",
                    "url": "http://localhost/l/{{1}}",
                    "example": ["http://localhost/l/a"],
                },
            ],
        },
    ],
}


def offer(to: str | None = ADA, *, texts=("Ada", "%20"), suffix="abc", name="offer", **more):
    """The body of a send of OFFER."""
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
        text = {"type": "text", "text": suffix}
        components.append({"type": "button", "sub_type": "url", "index": 1, "parameters": [text]})
    body = {
        "messaging_product": "whatsapp",
        "type": "template",
        "template": {"name": name, "language": {"code": "tr"}, "components": components},
        **more,
    }
    return body | ({"to": to} if to else {})


def words(text="hi", to=ADA):
    """The body of a send of text."""
    return {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": text}}


@dataclass
class Small:
    """A world with a number and the template OFFER, and everything that can happen in it."""

    seed: int = 1
    rules: dict[str, Any] = field(default_factory=dict)
    hour: float | None = 10.0

    def __post_init__(self) -> None:
        self.world = World(
            seed=self.seed,
            ids=Ids(bytes(12)),
            lifetime=Lifetime(1.0, NOW, self.hour),
            subscriptions=Subscriptions("http://receiver"),
            people_limit=200_000,
            ledger_limit=200_000,
            media_limit=1_000_000,
        )
        self.world.rules = Rules(**self.rules)
        self.standing = Standing(self.world)
        self.sending = Sending(self.world)
        self.life = Life(self.world, self.standing)
        self.account = TemplateAccount(self.world, self.standing)
        self.number = self.world.put_number(NUMBER, WABA, "902121112233", 1e9, NOW)
        self.template = self.approved(OFFER)

    offer = staticmethod(offer)
    words = staticmethod(words)

    def approved(self, definition: dict[str, Any]) -> Template:
        template, review = self.account.create(WABA, definition, NOW)
        review.happen(NOW)
        return template

    def person(self, wa_id: str = ADA, **more) -> Person:
        return self.world.people.put(wa_id, **more)

    def heard(self, wa_id: str = ADA, now: float = NOW) -> str:
        said = {"type": "text", "text": {"body": "hey"}}
        return self.world.say(NUMBER, self.person(wa_id), said, now)[0]

    def send(self, body: dict[str, Any], now: float = NOW, **more) -> Sent:
        return self.sending.send(NUMBER, body, now, **more)

    def refusal(self, body: dict[str, Any], now: float = NOW, **more) -> int:
        with pytest.raises(Refused) as caught:
            self.send(body, now, **more)
        return caught.value.code

    def everything(
        self, message: Message | None, now: float = NOW
    ) -> tuple[list[Update], list[str], list[Later]]:
        """All that follows from a message: updates, links tapped, what is still to come."""
        updates, links, later = [], [], []
        while message is not None and message.at < len(message.steps):
            happened = self.life.happen(message, now + message.at)
            updates += happened.updates
            links += [happened.link] if happened.link else []
            later += happened.later
        return updates, links, later

    def statuses(self, body: dict[str, Any], now: float = NOW, **more) -> list[dict[str, Any]]:
        updates, _, _ = self.everything(self.send(body, now, **more).message, now)
        return [u.item for u in updates if u.list_name == "statuses"]

    def failure(self, body: dict[str, Any], now: float = NOW, **more) -> int:
        """The code of the failed status that follows, or 0."""
        (*_, last) = self.statuses(body, now, **more)
        return last["errors"][0]["code"] if last["status"] == "failed" else 0


@pytest.fixture(scope="session")
def small() -> Callable[..., Small]:
    """Makes a small world; keywords are rules, but for seed and hour."""

    def make(seed: int = 1, hour: float | None = 10.0, **rules) -> Small:
        return Small(seed, rules, hour)

    return make


@dataclass
class Receiver:
    """A business's webhook endpoint: checks each signature over the raw bytes."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)
    refuse: int = 0
    forged: int = 0
    agents: set[str] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)

    async def post(self, request: web.Request) -> web.Response:
        body = await request.read()
        for header, algorithm in (("X-Hub-Signature-256", "sha256"), ("X-Hub-Signature", "sha1")):
            expected = hmac.new(SECRET.encode(), body, getattr(hashlib, algorithm)).hexdigest()
            self.forged += request.headers[header] != f"{algorithm}={expected}"
        if self.refuse > 0:
            self.refuse -= 1
            return web.Response(status=503)
        self.agents.add(request.headers["User-Agent"])
        self.paths.append(request.path)
        self.bodies.append(body)
        return web.Response()

    async def verify(self, request: web.Request) -> web.Response:
        if request.query["hub.verify_token"] != VERIFY:
            return web.Response(status=403)
        return web.Response(text=request.query["hub.challenge"])

    async def link(self, request: web.Request) -> web.Response:
        self.opened.append((request.path, request.headers["User-Agent"]))
        raise web.HTTPFound("/elsewhere")

    def changes(self, field_name: str) -> list[dict]:
        entries = [e for b in self.bodies for e in json.loads(b)["entry"]]
        return [c["value"] for e in entries for c in e["changes"] if c["field"] == field_name]

    def items(self, list_name: str) -> list[dict]:
        return [i for value in self.changes("messages") for i in value.get(list_name, [])]

    def statuses_of(self, wamid: str) -> list[str]:
        return [s["status"] for s in self.items("statuses") if s["id"] == wamid]


@dataclass
class Caller:
    """Talks to the simulator: `graph` as the business, `control` as a script."""

    url: str
    session: aiohttp.ClientSession
    receiver: Receiver
    offer = staticmethod(offer)
    words = staticmethod(words)

    async def graph(self, method: str, path: str, token: str = ACCESS, **more) -> tuple[int, dict]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.request(
            method, f"{self.url}/v25.0/{path}", headers=headers, **more
        ) as answer:
            return answer.status, await answer.json()

    async def control(self, method: str, path: str, **more) -> dict:
        headers = {"Authorization": f"Bearer {CONTROL}"} | more.pop("headers", {})
        async with self.session.request(
            method, f"{self.url}/control/{path}", headers=headers, **more
        ) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            return body

    async def send(self, to: str = ADA, data: str | None = None, **more) -> tuple[int, dict]:
        body = offer(to) | more
        if data is not None:
            body["biz_opaque_callback_data"] = data
        return await self.graph("POST", f"{NUMBER}/messages", json=body)

    async def heard(self, wa_id: str = ADA, text: str = "hey") -> str:
        said = {"phone_number_id": NUMBER, "text": text}
        return (await self.control("POST", f"people/{wa_id}/say", json=said))["wamid"]

    async def drained(self) -> None:
        assert (await self.control("POST", "drain", json={"timeout_s": 10}))["drained"]


@pytest.fixture(scope="session")
def simulated() -> Callable[..., AbstractAsyncContextManager[Caller]]:
    """Runs a simulator with a receiver, a number and the template OFFER; keywords are settings."""
    return _simulated


@asynccontextmanager
async def _simulated(**settings) -> AsyncIterator[Caller]:
    receiver = Receiver()
    app = web.Application()
    app.add_routes(
        [
            web.post("/hook{more:.*}", receiver.post),
            web.get("/hook{more:.*}", receiver.verify),
            web.get("/l/{id}", receiver.link),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    told = Settings(
        app_secret=SECRET,
        verify_token=VERIFY,
        access_token=ACCESS,
        control_token=CONTROL,
        **{"simulator_speed": 100_000.0, "simulator_hour": 10.0} | settings,
    )
    try:
        async with (
            asyncio.timeout(60),
            running(told) as url,
            aiohttp.ClientSession() as session,
        ):
            caller = Caller(url, session, receiver)
            await caller.control("PUT", "webhook", json={"url": f"{receiver.url}/hook"})
            number = {
                "phone_number_id": NUMBER,
                "waba_id": WABA,
                "display_phone_number": "+90 212 111 22 33",
                "throughput": 10_000,
            }
            await caller.control("POST", "numbers", json=[number])
            await caller.control("PUT", "rules", json={"pair_interval_s": 0})
            await caller.graph("POST", f"{WABA}/message_templates", json=OFFER)
            yield caller
    finally:
        await runner.cleanup()
